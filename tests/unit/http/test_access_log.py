"""The access log: one line each, nothing secret, and what really became of the request."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from swiftish.http.access_log import AccessLog, Exchange, line, redacted
from swiftish.http.message import Body, Context, Request, Response
from swiftish.http.replies import plain
from swiftish.http.request_head import parse_head
from tests.unit.http.serving import get, put, served


def exchange(target: bytes, *headers: bytes, context: Context | None = None) -> Exchange:
    data = b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: a", *headers])
    head = parse_head(data, line_bytes_max=8192, headers_max=100)
    context = context or Context(transaction_id="tx1", log={"policy": "gold"})
    return Exchange(head, context, "1.2.3.4", 200, 5, 7, 0.0125, 0.01)


def test_a_line() -> None:
    """What it says."""
    text = line(exchange(b"/v1/a?x=1", b"User-Agent: curl/8 (x)", b"Referer: http://r/?a"))
    assert text == (
        "client=1.2.3.4 method=GET path=/v1/a?x=1 status=200 bytes_in=5 bytes_out=7 ms=12.5 "
        "first_byte_ms=10.0 transaction=tx1 agent=curl/8%20(x) referer=http://r/?a policy=gold"
    )


def test_the_client_behind_a_balancer() -> None:
    """X-Cluster-Client-Ip, else the first of X-Forwarded-For (reference 1.22)."""
    assert line(exchange(b"/", b"X-Forwarded-For: 9.9.9.9, 8.8.8.8")).startswith("client=9.9.9.9 ")
    both = exchange(b"/", b"X-Forwarded-For: 9.9.9.9", b"X-Cluster-Client-Ip: 7.7.7.7")
    assert line(both).startswith("client=7.7.7.7 ")


def test_a_line_stays_a_line() -> None:
    """Nothing that a client sends can end it, or look like another field."""
    context = Context(transaction_id="tx1", log={"a": "b\nstatus=1", "empty": ""})
    text = line(exchange(b'/\xff"\t', b"User-Agent: x\x0b\xff status=1", context=context))
    assert text.isascii()
    assert text.isprintable()
    assert text.count("status=") == 3
    assert text.count(" status=") == 1
    assert "path=/%FF%22%09" in text


def test_who_asks_how_the_server_is_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Unless the answer is not what they hoped for."""
    caplog.set_level(logging.INFO, "swiftish.access")
    log = AccessLog()
    for target in (b"/healthcheck", b"/metrics", b"/recon/node", b"/v1/a"):
        log.write(exchange(target))
    refused = exchange(b"/metrics")
    refused.status = 404
    log.write(refused)
    said = [(record.message.split()[2], record.message.split()[3]) for record in caplog.records]
    assert said == [("path=/v1/a", "status=200"), ("path=/metrics", "status=404")]


SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "temp_url_sig",
        "signature",
        "Signature",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Credential",
        "AWSAccessKeyId",
        "temp%5Furl%5Fsig",
        "auth_token",
    ],
)
def test_t97_secrets_are_cut_short(name: str) -> None:
    """In the path and in the referer; tokens in headers are not logged at all."""
    text = line(
        exchange(
            f"/o?a=1&{name}={SECRET}&b=2".encode(),
            f"Referer: http://x/?{name}={SECRET}".encode(),
            f"X-Auth-Token: {SECRET}".encode(),
            f"Authorization: {SECRET}".encode(),
        )
    )
    assert SECRET not in text
    assert text.count(f"{name}={SECRET[:16]}...") == 2
    assert "?a=1&" in text
    assert "&b=2 " in text


def test_what_is_no_secret_is_left() -> None:
    """And paths are not looked into."""
    for url in ("/a/signature=0123456789abcdef01", "/a?prefix=0123456789abcdef0123&limit=5", "/a?"):
        assert redacted(url) == url


class Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, str]] = []
        self.full = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(dict(pair.split("=", 1) for pair in record.getMessage().split(" ")))
        if len(self.lines) == 4:
            self.full.set()


def test_the_log_tells_what_became_of_each_request() -> None:
    """Bytes in and out, refused heads, 499 for a client that went away, and cut answers."""

    class Never(Body):
        length = 10

        async def read(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    asked = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/never":
            asked.set()
            return Response(status=200, body=Never())
        while await request.body.read():
            pass
        return plain(201, "hello")

    async def go() -> None:
        async with served(handler, access_log=True) as running:
            await running.ask(put(b"body", target=b"/a"))
            await running.ask(
                get("/b", b"Transfer-Encoding: chunked", method=b"PUT") + b"2\r\nab\r\n0\r\n\r\n"
            )
            await running.ask(b"nonsense\r\n\r\n")
            async with running.client() as client:
                await client.send(get("/never"))
                await asked.wait()
                client.reset()
            async with asyncio.timeout(10):
                await keep.full.wait()

    keep = Keep()
    logger = logging.getLogger("swiftish.access")
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)
    try:
        asyncio.run(go())
    finally:
        logger.removeHandler(keep)
        logger.setLevel(level)
    seen = [
        (each["path"], each["status"], each["bytes_in"], each["bytes_out"]) for each in keep.lines
    ]
    assert seen == [
        ("/a", "201", "4", "5"),
        ("/b", "201", "2", "5"),
        ("-", "400", "0", "57"),
        ("/never", "499", "0", "0"),
    ]
    assert all(each["client"] == "127.0.0.1" for each in keep.lines)


def test_the_times_are_finer_than_a_loops_clock(caplog: pytest.LogCaptureFixture) -> None:
    """The time of uvloop stands still for a millisecond, in which a request can be over."""

    async def handler(_: Request) -> Response:
        began = time.monotonic()
        while time.monotonic() - began < 2e-4:
            pass
        return plain(200, "x")

    async def go() -> None:
        loop = asyncio.get_running_loop()
        loop.time = lambda: 5.0  # type: ignore[method-assign]
        async with served(handler, access_log=True) as running, running.client() as client:
            await client.ask(get())
            del loop.time

    with caplog.at_level(logging.INFO, "swiftish.access"):
        asyncio.run(go())
    lines = [record.getMessage() for record in caplog.records if record.name == "swiftish.access"]
    assert len(lines) == 1
    assert " ms=0.0 " not in lines[0]
