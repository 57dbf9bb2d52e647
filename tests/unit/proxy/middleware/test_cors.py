"""Cross-origin requests.  The tables are what real Swift answered to the same requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from swiftish.http.message import Response
from swiftish.proxy.infos import ContainerInfo
from swiftish.proxy.middleware.cors import EXPOSED, Cors
from tests.fakes.inner_app import InnerApp, KnownInfos, client_request

ACCOUNT, CONTAINER, OBJECT = "/v1/a", "/v1/a/c", "/v1/a/c/o"
ORIGIN = "http://example.com"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "GET"}
CONTAINER_METHODS = "GET, PUT, POST, HEAD, OPTIONS, DELETE"
OBJECT_METHODS = f"{CONTAINER_METHODS}, COPY"
BELOW = Response(status=299, headers={"x-object-meta-a": "1", "etag": "e"})


def ask(
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    meta: Mapping[str, str] | None = None,
    answer: Response = BELOW,
    allow_origin: tuple[str, ...] = (),
    expose_headers: tuple[str, ...] = (),
    strict: bool = True,
) -> Response:
    """`meta` without its prefix `access-control-`."""
    named = {f"access-control-{name}": value for name, value in (meta or {}).items()}
    infos = KnownInfos(containers={("a", "c"): ContainerInfo(status=204, meta=named)})
    cors = Cors(
        InnerApp(answer),
        infos=infos,
        allow_origin=allow_origin,
        expose_headers=expose_headers,
        strict=strict,
    )
    return asyncio.run(cors(client_request(method, path, headers)))


@pytest.mark.parametrize("path", [CONTAINER, OBJECT, f"{OBJECT}/none"])
@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ("*", {"access-control-allow-origin": "*"}),
        (ORIGIN, {"access-control-allow-origin": ORIGIN, "vary": "Origin"}),
        (f"https://b.org {ORIGIN}", {"access-control-allow-origin": ORIGIN, "vary": "Origin"}),
    ],
)
def test_preflight(path: str, allowed: str, said: dict[str, str]) -> None:
    """An allowed origin hears which methods there are, whether or not the object exists."""
    methods = CONTAINER_METHODS if path == CONTAINER else OBJECT_METHODS
    response = ask("OPTIONS", path, PREFLIGHT, meta={"allow-origin": allowed})
    assert response.status == 200
    assert dict(response.headers) == {
        "content-type": "text/html; charset=UTF-8",
        "allow": methods,
        "access-control-allow-methods": methods,
        **said,
    }


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": ORIGIN}, "*"),
        (PREFLIGHT | {"access-control-request-method": ""}, "*"),
        (PREFLIGHT | {"access-control-request-method": "LICK"}, "*"),
        (PREFLIGHT | {"access-control-request-method": "get"}, "*"),
        (PREFLIGHT, "http://other.com"),
        (PREFLIGHT, f"{ORIGIN}:8080 {ORIGIN}x https://example.com"),
        (PREFLIGHT, ""),
    ],
)
def test_refused_preflight(headers: dict[str, str], allowed: str) -> None:
    """401 without a word about origins; as for a container that is not there."""
    for path in (CONTAINER, OBJECT, "/v1/a/none", "/v1/a/none/o"):
        response = ask("OPTIONS", path, headers, meta={"allow-origin": allowed})
        assert response.status == 401
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_preflight_extras() -> None:
    """How long it may be remembered, and the headers that were asked for, each once."""
    response = ask(
        "OPTIONS",
        OBJECT,
        PREFLIGHT | {"access-control-request-headers": "x-a,,X-B ,x-A"},
        meta={"allow-origin": ORIGIN, "max-age": "5"},
    )
    assert response.headers["access-control-max-age"] == "5"
    assert response.headers["access-control-allow-headers"] == "x-A, X-B"
    assert response.headers["vary"] == "Origin, Access-Control-Request-Headers"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("OPTIONS", OBJECT, {}),
        ("OPTIONS", OBJECT, {"origin": "", "access-control-request-method": "GET"}),
        ("OPTIONS", ACCOUNT, PREFLIGHT),
        ("OPTIONS", "/v1", PREFLIGHT),
        ("OPTIONS", "/v2/a/c", PREFLIGHT),
        ("OPTIONS", "/v1/a//o", PREFLIGHT),
        ("GET", OBJECT, {}),
        ("GET", ACCOUNT, {"origin": ORIGIN}),
        ("GET", "/v1/a/c/\udcff", {"origin": ORIGIN}),
    ],
)
def test_others_pass(method: str, path: str, headers: dict[str, str]) -> None:
    """Without Origin, for accounts and for paths that name nothing there is nothing to say."""
    assert ask(method, path, headers, meta={"allow-origin": "*"}) is BELOW


def exposed(response: Response) -> set[str]:
    names = response.headers["access-control-expose-headers"].split(", ")
    assert len(set(names)) == len(names)
    return set(names)


def test_answers() -> None:
    """An allowed origin may read the usual headers, the metadata and what the container names."""
    meta = {"allow-origin": ORIGIN, "expose-headers": "X-Foo, x-bar  etag,X-Foo"}
    response = ask("GET", OBJECT, {"origin": ORIGIN}, meta=meta, expose_headers=("X-Cluster",))
    assert response.status == 299
    assert response.headers["etag"] == "e"
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "Origin"
    extra = {"x-foo", "x-bar", "x-object-meta-a", "x-cluster"}
    assert exposed(response) == set(EXPOSED) | extra
    response = ask("GET", OBJECT, {"origin": ORIGIN}, meta={"allow-origin": "*"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "vary" not in response.headers


def test_a_refusal_can_be_read_too() -> None:
    """A page must be able to see that its token has ended."""
    answer = Response(status=401, headers={"www-authenticate": "Swift", "vary": "Accept"})
    response = ask("GET", OBJECT, {"origin": ORIGIN}, meta={"allow-origin": ORIGIN}, answer=answer)
    assert response.status == 401
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "Accept, Origin"


def test_strict() -> None:
    """An origin that is not allowed hears nothing; unless the cluster is not strict."""
    meta = {"allow-origin": "http://other.com"}
    assert ask("GET", OBJECT, {"origin": ORIGIN}, meta=meta) is BELOW
    assert ask("GET", "/v1/a/none/o", {"origin": ORIGIN}, meta=meta) is BELOW
    loose = ask("GET", OBJECT, {"origin": ORIGIN}, meta=meta, strict=False)
    assert loose.headers["access-control-allow-origin"] == ORIGIN


def test_the_cluster_allows_for_all_containers() -> None:
    """An origin in the settings is allowed everywhere, also where there is no container."""
    for allow in (ORIGIN, "*"):
        for path in (OBJECT, "/v1/a/none/o"):
            response = ask("GET", path, {"origin": ORIGIN}, allow_origin=(allow,))
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert ask("OPTIONS", path, PREFLIGHT, allow_origin=(allow,)).status == 200
