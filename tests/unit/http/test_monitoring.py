"""/healthcheck, /metrics, /recon, and what is counted of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from swiftish.http.access_log import Exchange
from swiftish.http.health import HealthCheck, Monitoring, everybody, nobody, only_from
from swiftish.http.message import Bytes, Context, Request, Response
from swiftish.http.observe import RequestMetrics
from swiftish.http.request_head import parse_head
from swiftish.runtime.metrics import Registry, rendered
from tests.fakes.prometheus import total, value


class FakePicture:
    async def metrics(self) -> str:
        return "up 1\n"

    async def document(self, what: str) -> object:
        return {"time": 1.5, "none": None}[what]


async def app(_: Request) -> Response:
    return Response(status=418)


def ask(
    method: str,
    path: str,
    *,
    peer: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    only: frozenset[str] | None = None,
) -> tuple[int, bytes]:
    may_ask = everybody if only is None else only_from(only)
    monitored = Monitoring(HealthCheck(app), FakePicture(), may_ask=may_ask)
    context = Context(remote_address=peer)
    request = Request(method=method, path=path, headers=headers or {}, context=context)
    response = asyncio.run(monitored(request))
    assert isinstance(response.body, Bytes)
    if method == "HEAD" and response.status == 200:
        assert response.length
    return response.status, response.body.take()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/healthcheck", (200, b"OK")),
        ("HEAD", "/healthcheck", (200, b"")),
        ("GET", "/metrics", (200, b"up 1\n")),
        ("HEAD", "/metrics", (200, b"")),
        ("GET", "/recon/time", (200, b"1.5")),
        ("GET", "/recon/none", (200, b"null")),
        ("GET", "/recon/unheard-of", (404, b"Invalid path: /recon/unheard-of")),
        ("PUT", "/metrics", (418, b"")),
        ("DELETE", "/recon/time", (418, b"")),
        ("GET", "/recon", (418, b"")),
        ("GET", "/metrics/", (418, b"")),
        ("GET", "/v1/AUTH_a/c/metrics", (418, b"")),
    ],
)
def test_what_is_where(method: str, path: str, expected: tuple[int, bytes]) -> None:
    assert ask(method, path) == expected


LOCAL = frozenset({"127.0.0.1", "::1"})


def test_a_proxys_port_shows_it_only_to_this_machine() -> None:
    for path in ("/metrics", "/recon/time"):
        assert ask("GET", path, only=LOCAL)[0] == 200
        assert ask("GET", path, only=LOCAL, peer="192.0.2.1")[0] == 418, "as if it were not there"
        for header in ("x-forwarded-for", "forwarded", "via", "x-cluster-client-ip"):
            through = ask("GET", path, only=LOCAL, headers={header: "192.0.2.1"})
            assert through[0] == 418, "a proxy on this machine asks for somebody else"
    assert ask("GET", "/healthcheck", only=LOCAL, peer="192.0.2.1")[0] == 200
    assert nobody(Request(method="GET", path="/metrics")) is False


# ---- what is counted ----------------------------------------------------------------------------


def exchange(line: str | None, status: int = 200, **numbers: float) -> Exchange:
    head = None
    if line is not None:
        head = parse_head(
            f"{line} HTTP/1.1\r\nHost: h".encode(), line_bytes_max=9999, headers_max=9
        )
    return Exchange(
        head=head,
        context=Context(),
        peer="-",
        status=status,
        bytes_in=int(numbers.get("bytes_in", 0)),
        bytes_out=int(numbers.get("bytes_out", 0)),
        seconds=numbers.get("seconds", 0.0),
        first_byte_seconds=numbers.get("first_byte", 0.0),
    )


def counted(*exchanges: Exchange) -> str:
    registry = Registry()
    metrics = RequestMetrics(registry, "proxy")
    for each in exchanges:
        metrics(each)
    return rendered(registry.snapshot())


def test_requests_are_counted_by_method_and_class_of_status() -> None:
    text = counted(
        exchange("GET /v1/a", 200, bytes_out=10, seconds=0.3, first_byte=0.002),
        exchange("GET /v1/a", 206, bytes_out=5),
        exchange("GET /v1/a", 404),
        exchange("PUT /v1/a", 201, bytes_in=7),
        exchange(None, 400),
    )

    def number(name: str, method: str, status: str) -> float:
        return value(text, f"swiftish_{name}", server="proxy", method=method, status=status)

    assert number("requests_total", "GET", "2xx") == 2
    assert number("requests_total", "GET", "4xx") == 1
    assert number("requests_total", "PUT", "2xx") == 1
    assert number("requests_total", "other", "4xx") == 1, "a head that made no sense"
    assert number("response_bytes_total", "GET", "2xx") == 15
    assert number("request_bytes_total", "PUT", "2xx") == 7
    bucket = {"server": "proxy", "method": "GET", "status": "2xx", "le": "0.25"}
    assert total(text, "swiftish_request_seconds", **bucket) == 1
    assert total(text, "swiftish_request_first_byte_seconds", **bucket) == 2


def test_clients_choose_methods_but_not_labels() -> None:
    """T97 in spirit: what anybody may write must not fill our memory."""
    registry = Registry()
    metrics = RequestMetrics(registry, "proxy")
    for number in range(1000):
        metrics(exchange(f"M{number} /v1/a", 405))
    text = rendered(registry.snapshot())
    assert (
        value(text, "swiftish_requests_total", server="proxy", method="other", status="4xx") == 1000
    )
    assert "M1" not in text
    assert len(metrics._kinds) == 1


def test_looking_at_it_does_not_change_it() -> None:
    paths = ("/healthcheck", "/metrics", "/recon/node")
    assert counted(*(exchange(f"GET {path}") for path in paths)) == ""
    assert counted(exchange("GET /reconnaissance")) != ""
