"""The protocol cases of the fault list that any server must survive, asked over a raw socket.

They hold for every base URL: what is refused must be refused before anything is stored, nothing
may be taken for a second request, and the server goes on.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.functional.account import Account
from tests.functional.wire import CutShort, Reply, Wire

TIMEOUT_S = 20.0


@pytest.fixture
def wire(auth_url: str) -> Iterator[Wire]:
    """A connection of its own."""
    parts = urlsplit(auth_url)
    assert parts.hostname is not None
    with Wire(parts.hostname, parts.port or 80, timeout_s=TIMEOUT_S) as wire:
        yield wire


def head(method: str, target: str, *lines: str, version: str = "HTTP/1.1") -> bytes:
    """A request's head, with a Host, as these very bytes."""
    text = "\r\n".join([f"{method} {target} {version}", "Host: test", *lines, "", ""])
    return text.encode("utf-8", "surrogateescape")


def answer(wire: Wire, data: bytes, method: str = "GET") -> Reply:
    """The reply to these bytes; its ids and date are checked."""
    wire.send(data)
    reply = wire.read_reply(method)
    assert reply.headers["x-trans-id"].startswith("tx")
    assert reply.headers["x-openstack-request-id"] == reply.headers["x-trans-id"]
    assert "date" in reply.headers
    return reply


def closes(wire: Wire) -> bool:
    """Whether the server ends the connection without another word."""
    with contextlib.suppress(CutShort, ConnectionError):
        return wire.at_end()
    return True


def alive(account: Account) -> bool:
    """Whether the server still answers."""
    with account.wire() as wire:
        return wire.request("GET", "/healthcheck").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: -3",),
        ("Content-Length: 3x",),
        ("Content-Length: +3",),
        ("Content-Length: 99999999999999999999999999",),
        ("Content-Length: 3", "X-A: b\r\n folded"),
        ("Content-Length: 3", "X-A : b"),
        ("Content-Length: 3", "X-A: b\0c"),
        ("Content-Length: 3", "X-A: b\nX-B: c"),
        ("Content-Length: 3", "no colon"),
        ("Content-Length : 3",),
    ],
)
def test_t69_ambiguous_requests(
    wire: Wire, account: Account, container: str, lines: tuple[str, ...]
) -> None:
    """400 and closed; what follows is no request, and nothing is stored."""
    path = account.path(container, "smuggled")
    token = f"X-Auth-Token: {account.token}"
    smuggled = head("PUT", path, token, "Content-Length: 0")
    reply = answer(wire, head("PUT", path, token, *lines) + smuggled)
    assert reply.status == 400
    assert closes(wire)
    assert account.request_target("HEAD", path).status == 404


@pytest.mark.parametrize(
    ("coding", "status"), [("xchunked", 400), ("gzip, chunked", 501), ("identity", 501)]
)
def test_t69_unknown_transfer_encodings(
    wire: Wire, account: Account, coding: str, status: int
) -> None:
    """400 for what only looks like chunked, 501 for what is something else; closed."""
    line = f"Transfer-Encoding: {coding}"
    token = f"X-Auth-Token: {account.token}"
    assert answer(wire, head("PUT", account.path("c", "o"), token, line)).status == status
    assert closes(wire)


@pytest.mark.parametrize(
    "chunks",
    [
        b"-1\r\n",
        b"zz\r\n",
        b"3 \r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"ffffffffffffffffffff\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"3;" + b"x" * 9000 + b"\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_t69_bad_chunks(wire: Wire, account: Account, container: str, chunks: bytes) -> None:
    """400 and closed, and nothing is stored."""
    path = account.path(container, "object")
    token = f"X-Auth-Token: {account.token}"
    reply = answer(wire, head("PUT", path, token, "Transfer-Encoding: chunked") + chunks, "PUT")
    assert reply.status == 400
    assert closes(wire)
    assert account.request_target("HEAD", path).status == 404


@pytest.mark.parametrize(
    "data",
    [
        head("GET", "/healthcheck", *[f"X-{i}: a" for i in range(1000)]),
        head("GET", "/healthcheck", "X-A: " + "a" * 1_000_000),
        head("GET", "/" + "a" * 1_000_000),
        b"a" * 1_000_000,
    ],
    ids=["1000 headers", "long header", "long target", "no line at all"],
)
def test_t72_floods(wire: Wire, account: Account, data: bytes) -> None:
    """431 and closed, whether or not all of it was read."""
    with contextlib.suppress(ConnectionError):
        wire.send(data)
    with contextlib.suppress(CutShort):
        assert wire.read_reply().status == 431
    assert closes(wire)
    assert alive(account)


def test_t72_ten_thousand_pipelined_requests(wire: Wire) -> None:
    """All are answered, in turn, while the client reads."""
    data = head("GET", "/healthcheck")
    for _ in range(100):
        wire.send(data * 100)
        for _ in range(100):
            assert wire.read_reply().body == b"OK"


def test_t73_an_offer_that_is_refused(wire: Wire, account: Account, container: str) -> None:
    """The final status comes without a 100, and then the connection closes."""
    lines = ("Expect: 100-continue", "Content-Length: 5")
    path = account.path(container, "object")
    wire.send(head("PUT", path, *lines))
    first = wire.read_head()
    assert first.status == 401
    assert first.headers["connection"] == "close"
    wire.read_body(first)
    assert closes(wire)


def test_t73_an_offer_that_is_taken(wire: Wire, account: Account, container: str) -> None:
    """100, then 201, and the connection goes on."""
    lines = (f"X-Auth-Token: {account.token}", "Expect: 100-continue", "Content-Length: 5")
    path = account.path(container, "object")
    for _ in range(2):
        wire.send(head("PUT", path, *lines))
        assert wire.read_head().status == 100
        wire.send(b"hello")
        assert wire.read_reply("PUT").status == 201
    assert account.request_target("GET", path).body == b"hello"


def test_other_expectations(wire: Wire) -> None:
    """417."""
    assert answer(wire, head("GET", "/healthcheck", "Expect: the-unexpected")).status == 417


def test_t75_answers_without_a_body(wire: Wire, account: Account, container: str) -> None:
    """HEAD, 204 and 304 on one connection: each answer begins where the last ended."""
    token = f"X-Auth-Token: {account.token}"
    path = account.path(container, "object")
    etag = account.request_target("PUT", path, body=b"hello").headers["etag"]
    for _ in range(3):
        reply = answer(wire, head("HEAD", path, token), "HEAD")
        assert (reply.status, reply.headers["content-length"]) == (200, "5")
        reply = answer(wire, head("GET", path, token, f"If-None-Match: {etag}"))
        assert (reply.status, reply.body) == (304, b"")
        reply = answer(wire, head("HEAD", path + "-missing", token), "HEAD")
        assert reply.status == 404
        reply = answer(wire, head("POST", account.path(container), token, "Content-Length: 0"))
        assert (reply.status, reply.body) == (204, b"")
        assert answer(wire, head("GET", path, token)).body == b"hello"


def test_t76_compressed_bodies_are_stored_as_they_are(account: Account, container: str) -> None:
    """Whatever Content-Encoding says, and whether or not it is true."""
    path = account.path(container, "object")
    for encoding in ("gzip", "deflate", "br"):
        body = b"\x1f\x8b\x08\x00 no gzip at all"
        headers = {"Content-Encoding": encoding}
        assert account.request_target("PUT", path, headers=headers, body=body).status == 201
        reply = account.request_target("GET", path, headers={"Accept-Encoding": "identity"})
        assert reply.body == body
        assert reply.headers["content-encoding"] == encoding


def test_t78_ranges(account: Account, container: str) -> None:
    """Too many and too many at once are refused, huge numbers mean the end."""
    path = account.path(container, "object")
    account.request_target("PUT", path, body=b"0123456789")
    cases = {
        "bytes=" + ",".join(["0-0"] * 1500): 416,
        "bytes=0-,0-,0-,0-,0-,0-,0-,0-": 416,
        "bytes=5-" + "9" * 4000: 206,
        "bytes=" + "9" * 4000 + "-": 416,
        "bytes=-" + "9" * 4000: 206,
        "bytes=--1": 200,
    }
    for header, status in cases.items():
        assert account.request_target("GET", path, headers={"Range": header}).status == status, (
            header[:40]
        )


@pytest.mark.parametrize("evil", ["%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%00X-Evil"])
def test_t82_names_cannot_split_a_response(account: Account, container: str, evil: str) -> None:
    """Whatever a path holds when it comes back in a header."""
    for path in (
        account.path(container) + f"/{evil}",
        f"/v1/AUTH_{evil}",
        f"/v1/{evil}/c/o",
        account.path(container) + f"?format={evil}",
    ):
        for method in ("GET", "PUT"):
            headers = {"Origin": "http://a", "Content-Type": "a/b"}
            reply = account.request_target(method, path, headers=headers)
            assert "x-evil" not in reply.headers
            assert reply.status < 500
    account.request_target("DELETE", account.path(container) + f"/{evil}")


def test_t83_hosts(wire: Wire) -> None:
    """Two hosts are none; an absolute target is as good as a relative one."""
    assert answer(wire, head("GET", "http://a:1/healthcheck")).body == b"OK"
    assert answer(wire, head("GET", "/healthcheck", "Host: other")).status == 400
    assert closes(wire)


@pytest.mark.parametrize(
    "data",
    [
        head("GET", "/healthcheck", version="HTTP/2.0"),
        head("GET", "/healthcheck", version="HTTP/9"),
        head("GET", "/healthcheck", version="http/1.1"),
        head("GET", "/info asdf"),
        b"GET /healthcheck\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_t84_what_is_no_http_1(wire: Wire, account: Account, data: bytes) -> None:
    """400 and closed."""
    assert answer(wire, data).status == 400
    assert closes(wire)
    assert alive(account)


@pytest.mark.parametrize("method", ["get", "LICK", "GETorHEAD_base", "__init__"])
def test_t84_unknown_methods(wire: Wire, account: Account, method: str) -> None:
    """405, also with a token, on a connection that goes on."""
    token = f"X-Auth-Token: {account.token}"
    for lines in ((), (token,)):
        assert answer(wire, head(method, account.path(), *lines)).status == 405
    assert answer(wire, head("GET", "/healthcheck")).body == b"OK"


def test_header_names(account: Account, container: str) -> None:
    """T88: an underscore is no dash, and UTF-8 is a name like any other."""
    path = account.path(container)
    name = "X-Container-Meta-Uni\N{THAI CHARACTER THO PHUTHAO}"
    headers = {name: "1", "X_Container_Meta_Evil": "1", "X-Container-Meta-Good": "1"}
    assert account.request_target("POST", path, headers=headers).status == 204
    found = account.request_target("HEAD", path).headers
    assert found[name.lower()] == "1"
    assert found["x-container-meta-good"] == "1"
    assert "x-container-meta-evil" not in found


def test_a_body_that_ends_early_is_not_stored(account: Account, container: str) -> None:
    """Reference 6.45."""
    path = account.path(container, "object")
    for framing in ("Content-Length: 9", "Transfer-Encoding: chunked"):
        for end in ("finish_sending", "reset"):
            with account.wire() as wire:
                wire.send(head("PUT", path, f"X-Auth-Token: {account.token}", framing))
                wire.send(b"4\r\nab")
                getattr(wire, end)()
                if end == "finish_sending":
                    with contextlib.suppress(CutShort):
                        assert wire.read_reply("PUT").status in {400, 408, 499}
    assert account.request_target("HEAD", path).status == 404


def test_random_bytes(account: Account, chance: random.Random) -> None:
    """Whatever comes, the server answers in HTTP or closes, and goes on."""
    pieces = [b"GET /", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: a", b":", b"\0", b"\xff", b"%"]
    for _ in range(100):
        data = b"".join(chance.choices(pieces, k=12)) + chance.randbytes(chance.randrange(40))
        with account.wire() as wire, contextlib.suppress(CutShort, ConnectionError):
            wire.send(data)
            wire.finish_sending()
            wire.read_reply()
    assert alive(account)
