"""What a client writes is what a server reads; what it can't understand it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.http.client_heads import (
    CONNECTIONS_OWN,
    BadAnswer,
    parse_answer_head,
    request_head,
    sendable,
    target_of,
)
from swiftish.http.request_head import parse_head

# Text as it is inside the program: any bytes, those that are not UTF-8 as surrogate escapes.
raw = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789-.!#$%&'*+^`|~"
names = st.one_of(st.text(TOKEN, min_size=1, max_size=20), raw)


@given(raw, raw, st.dictionaries(names, raw, max_size=8))
def test_t59_t82_what_is_written_is_what_is_read(
    name: str, query: str, headers: dict[str, str]
) -> None:
    """Any path arrives as it is; any header arrives or is left out, and is one header."""
    path = f"/{name}"
    target = target_of(path, query)
    sent = {"host": "a", **sendable(headers)}
    data = request_head("PUT", target, sent)
    assert data.endswith(b"\r\n\r\n")
    assert data.count(b"\r\n\r\n") == 1
    head = parse_head(data[:-4], line_bytes_max=10_000, headers_max=100)
    assert (head.method, head.target, head.path) == ("PUT", target, path)
    assert head.headers == sent
    assert head.length is None
    assert not head.chunked


@given(st.dictionaries(names, st.text(max_size=20), max_size=8))
def test_any_text_can_be_sent(headers: dict[str, str]) -> None:
    """Also halves of surrogate pairs, which are no bytes."""
    sent = {"host": "a", **sendable(headers)}
    data = request_head("PUT", "/", sent)
    assert parse_head(data[:-4], line_bytes_max=10_000, headers_max=100).headers == sent


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/sda/7/AUTH_a/c/o", "", "/sda/7/AUTH_a/c/o"),
        ("/a b/%41?#", "", "/a%20b/%2541%3F%23"),
        ("//a/../.", "", "//a/../."),
        ("/\udcff\n\0", "", "/%FF%0A%00"),
        ("/ü", "a=%20b c&d=ü#", "/%C3%BC?a=%20b%20c&d=%C3%BC#"),
    ],
)
def test_targets(path: str, query: str, target: str) -> None:
    """As they are on the wire."""
    assert target_of(path, query) == target


def test_headers_that_are_not_sent() -> None:
    """Those that are the connection's to say, and names that are none or that nobody would read."""
    said = dict.fromkeys([*CONNECTIONS_OWN, "x_y", "", "a b", "a:b", "a\n", "\ud800"], "x")
    assert sendable(said) == {}
    assert sendable({"X-Upper": " a\r\nb\0\t"}) == {"x-upper": "a  b"}
    long = "x-object-meta-" + "n" * 100
    assert sendable({long: "v"}) == {long: "v"}


def test_many_names() -> None:
    """The names that are remembered are limited, and what is not sent stays so."""
    for i in range(3000):
        assert sendable({f"x-{i}": "a", "host": "b"}) == {f"x-{i}": "a"}


@pytest.mark.parametrize("method", ["", "G T", "get", "GET\r\n", "GÉT"])
def test_methods_that_are_none(method: str) -> None:
    with pytest.raises(ValueError, match="not a method"):
        request_head(method, "/", {})


def test_an_answer() -> None:
    """Its status, its headers but for the connection's, and where its body ends."""
    head = parse_answer_head(
        b"HTTP/1.1 206 Partial\r\nX-A: \xff\r\nX-A:b \r\nContent-Length: 3\r\nDate: now\r\n"
        b"X-Trans-Id: t\r\nX-Openstack-Request-Id: t\r\nConnection: keep-alive\r\nEtag:",
        method="GET",
    )
    assert (head.status, head.headers) == (206, {"x-a": "\udcff, b", "etag": ""})
    assert (head.length, head.chunked, head.bodiless, head.keep_alive) == (3, False, False, True)


@pytest.mark.parametrize(
    ("lines", "method", "length", "bodiless"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7", "HEAD", 7, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "HEAD", None, True),
        (b"HTTP/1.1 200 OK", "HEAD", None, True),
        (b"HTTP/1.1 204", "GET", None, True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0", "GET", 0, True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9", "GET", 9, True),
        (b"HTTP/1.1 100 Continue", "PUT", None, True),
        (b"HTTP/1.1 200 \r\nContent-Length: 0", "PUT", 0, False),
    ],
)
def test_t75_bodies(lines: bytes, method: str, length: int | None, bodiless: bool) -> None:
    """HEAD, 1xx, 204 and 304 have none, whatever they say of lengths."""
    head = parse_answer_head(lines, method=method)
    assert (head.length, head.bodiless) == (length, bodiless)


@given(st.binary(max_size=80), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_any_bytes(data: bytes, before: bytes) -> None:
    """Are an answer or a BadAnswer, and never anything else."""
    try:
        head = parse_answer_head(before + data, method="GET")
    except BadAnswer:
        return
    assert 100 <= head.status < 600
