"""The heads of requests: what is understood, what is refused, and that nothing is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.http.replies import Refusal
from swiftish.http.request_head import RequestHead, parse_head


def parse(data: bytes) -> RequestHead:
    return parse_head(data, line_bytes_max=8448, headers_max=200)


def with_header(line: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + line


def refused(data: bytes) -> int:
    with pytest.raises(Refusal) as caught:
        parse(data)
    return caught.value.status


def test_a_usual_head() -> None:
    """The parts of a head are where they belong."""
    head = parse(b"GET /v1/a/c%20d?x=%20y HTTP/1.1\r\nHost: h:80\r\nX-Auth-Token:  t \t\r\nAccept:")
    assert (head.method, head.path, head.query) == ("GET", "/v1/a/c d", "x=%20y")
    assert head.target == "/v1/a/c%20d?x=%20y"
    assert head.headers == {"host": "h:80", "x-auth-token": "t", "accept": ""}
    assert head.length is None
    assert head.keep_alive
    assert not any((head.chunked, head.expects_continue, head.is_http_10))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/a//c/../d/./e//", "/v1/a//c/../d/./e//"),
        (b"//", "//"),
        (b"/a%2Fb%3Fc%23d", "/a/b?c#d"),
        (b"/a%252F", "/a%2F"),
        (b"/a%0A%0D%00", "/a\n\r\0"),
        (b"/a%zz%", "/a%zz%"),
        (b"/a+b", "/a+b"),
        (b"/%F0%9F%98%80", "/\N{GRINNING FACE}"),
        ("/\N{GRINNING FACE}".encode(), "/\N{GRINNING FACE}"),
        (b"/%ff\xfe", "/\udcff\udcfe"),
        (b"/a#b", "/a#b"),
        (b"http://other:1/x//y?q", "/x//y"),
        (b"HTTPS://other", "/"),
        (b"http://other?q", "/"),
    ],
)
def test_paths_are_decoded_once_and_never_normalised(target: bytes, path: str) -> None:
    """Object names of every kind survive (reference 6.28)."""
    assert parse(b"GET " + target + b" HTTP/1.1\r\nHost: a").path == path


def test_t83_an_absolute_target_names_the_host() -> None:
    """There is one answer to the question whom a request is for."""
    head = parse(b"GET http://b:81/x HTTP/1.1\r\nHost: a")
    assert head.headers["host"] == "b:81"
    assert parse(b"GET / HTTP/1.1\r\nHost: [::1]:8080").headers["host"] == "[::1]:8080"
    assert refused(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a") == 400
    assert refused(b"GET / HTTP/1.1\r\nHost: a, b") == 400
    assert refused(b"GET / HTTP/1.1\r\nHost: a/b") == 400
    assert refused(b"GET / HTTP/1.1\r\nHost: u@a") == 400
    assert refused(b"GET / HTTP/1.1") == 400
    assert refused(b"GET http://u:p@b/x HTTP/1.1\r\nHost: a") == 400
    assert refused(b"GET http:///x HTTP/1.1\r\nHost: a") == 400
    assert refused(b"GET ftp://b/x HTTP/1.1\r\nHost: a") == 400
    assert refused(b"CONNECT b:80 HTTP/1.1\r\nHost: a") == 400
    assert refused(b"GET * HTTP/1.1\r\nHost: a") == 400
    assert parse(b"OPTIONS * HTTP/1.1\r\nHost: a").path == "*"
    assert "host" not in parse(b"GET / HTTP/1.0").headers


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: 1\r\ncontent-length: 2",
        b"Content-Length: -1",
        b"Content-Length: +1",
        b"Content-Length: 0x1",
        b"Content-Length: 1_0",
        b"Content-Length: 1, 1",
        b"Content-Length: \xd9\xa1",
        b"Content-Length: " + b"9" * 30,
        b"Content-Length: X",
        b"Content-Length:",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"X-A: a\r\n folded",
        b"X-A: a\r\n\tfolded",
        b"X-A : a",
        b"X-A\t: a",
        b" X-A: a",
        b"X A: a",
        b"X-A: a\nX-B: b",
        b"X-A: a\rX-B: b",
        b"X-A: a\0",
        b"X-\0A: a",
        b": a",
        b"X-A",
        b"X(A): a",
    ],
)
def test_t69_what_two_readers_could_read_differently_is_refused(line: bytes) -> None:
    """No request can be smuggled past a proxy in front of us, or through us."""
    assert refused(with_header(line)) == 400


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b""]
)
def test_t69_only_chunked_is_a_transfer_encoding(coding: bytes) -> None:
    """Any other is 501 (reference 1.0)."""
    assert refused(with_header(b"Transfer-Encoding: " + coding)) == 501


@pytest.mark.parametrize("coding", [b"xchunked", b"chunkedx", b"gzip, xchunked", b'"chunked"'])
def test_t69_what_only_looks_like_chunked_is_refused(coding: bytes) -> None:
    assert refused(with_header(b"Transfer-Encoding: " + coding)) == 400


def test_t69_http_10_has_no_chunks() -> None:
    """RFC 9112 6.1: such a request has been through somebody who didn't understand it."""
    assert refused(b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked") == 400
    assert parse(with_header(b"Transfer-Encoding: Chunked")).chunked


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / HTTP/2",
        b"GET / http/1.1",
        b"GET / HTTP/1.1 ",
        b"GET /info asdf HTTP/1.1",
        b"GET  / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"G\xc3\x89T / HTTP/1.1",
        b"GE(T / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02",
        b"",
    ],
)
def test_t84_bad_request_lines(line: bytes) -> None:
    """Refused before anybody looks at who is asking."""
    assert refused(line + b"\r\nHost: a") == 400


@pytest.mark.parametrize("method", [b"get", b"LICK", b"GETorHEAD_base", b"REPLICATE"])
def test_t84_any_token_is_a_method(method: bytes) -> None:
    """So that the handler can answer 405, as Swift does (test_bad_headers)."""
    assert parse(method + b" / HTTP/1.1\r\nHost: a").method == method.decode()


def test_t72_too_much_head() -> None:
    """Lines and headers are limited."""
    assert refused(b"GET /" + b"a" * 8448 + b" HTTP/1.1\r\nHost: a") == 431
    assert refused(with_header(b"X-A: " + b"a" * 8448)) == 431
    assert refused(with_header(b"\r\n".join([b"X-A: a"] * 200))) == 431
    assert len(parse(with_header(b"X-A: " + b"a" * 8192)).headers["x-a"]) == 8192
    assert len(parse(with_header(b"\r\n".join(b"X-%d: a" % i for i in range(199)))).headers) == 200


def test_header_names() -> None:
    """Case does not matter, underscores are dropped (T88), and UTF-8 is a name too."""
    head = parse(
        with_header(
            b"X_Auth_Token: evil\r\nX_Auth_Token: two\r\nX-AUTH-Token: good\r\n"
            b"X-Account-Meta-Uni\xe0\xb8\x92K: \xff"
        )
    )
    assert head.headers == {
        "host": "a",
        "x-auth-token": "good",
        "x-account-meta-uni\N{THAI CHARACTER THO PHUTHAO}k": "\udcff",
    }


def test_repeated_headers_are_joined() -> None:
    """RFC 9110 5.3."""
    assert parse(with_header(b"X-A: 1\r\nx-a: 2\r\nX-A:")).headers["x-a"] == "1, 2, "


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", None, True),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"Close", False),
        (b"1.1", b"te, close", False),
        (b"1.1", b"Upgrade, HTTP2-Settings", False),
        (b"1.0", None, False),
        (b"1.0", b"Keep-Alive", True),
    ],
)
def test_keep_alive(version: bytes, connection: bytes | None, keeps: bool) -> None:
    """RFC 9112 9.3."""
    data = b"GET / HTTP/" + version + b"\r\nHost: a"
    if connection is not None:
        data += b"\r\nConnection: " + connection
    assert parse(data).keep_alive is keeps


def test_t73_expectations() -> None:
    """100-continue is the only one, and HTTP/1.0 has none."""
    assert parse(with_header(b"Expect: 100-Continue")).expects_continue
    assert not parse(b"GET / HTTP/1.0\r\nExpect: 100-continue").expects_continue
    assert refused(with_header(b"Expect: 200-ok")) == 417
    assert refused(with_header(b"Expect: 100-continue, x")) == 417


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    """No other error ever."""
    for each in (data, b"GET / HTTP/1.1\r\nHost: a\r\n" + data, b"GET /" + data + b" HTTP/1.1"):
        status = 200
        try:
            parse(each)
        except Refusal as refusal:
            status = refusal.status
        assert status in {200, 400, 417, 431, 501}
