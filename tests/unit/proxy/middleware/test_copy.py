"""Server-side copies.  The tables are what real Swift answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from swiftish.domain.limits import Limits
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import status_page
from swiftish.proxy.middleware.copy import Copy
from tests.fakes.inner_app import client_request

LIMITS = Limits(max_file_size=100)
SOURCE, DESTINATION = "/v1/AUTH_a/c/src", "/v1/AUTH_a/d/dst"
STORED = {
    "content-type": "text/x-src",
    "etag": "5eb6",
    "last-modified": "Sat, 21 Nov 2026 07:05:53 GMT",
    "x-timestamp": "1795244752.33519",
    "accept-ranges": "bytes",
    "x-object-meta-a": "1",
    "x-object-meta-b": "2",
    "x-object-sysmeta-s": "3",
    "x-object-transient-sysmeta-t": "4",
    "content-disposition": "cd",
    "content-encoding": "ce",
    "content-language": "cl",
    "cache-control": "cc",
    "expires": "ex",
    "x-robots-tag": "rt",
    "x-delete-at": "1795254752",
    "x-object-manifest": "c/segments",
    "x-static-large-object": "True",
}
ALL = {
    name: STORED[name]
    for name in STORED
    if name not in ("last-modified", "x-timestamp", "accept-ranges", "etag")
    and name not in ("x-object-manifest", "x-static-large-object")
}


class Stream(Body):
    """A source's body; knows what was read of it, and whether it was closed."""

    def __init__(self, data: bytes, *, length: int | None) -> None:
        self.rest = data
        self.length = length
        self.closed = 0

    async def read(self) -> bytes:
        assert not self.closed
        piece, self.rest = self.rest[:4], self.rest[4:]
        return piece

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class Store:
    """Has one object; takes any other."""

    source: Response
    put_status: int = 201
    reads: list[Request] = field(default_factory=list)
    puts: list[Request] = field(default_factory=list)
    written: bytes = b""

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            self.reads.append(request)
            return self.source
        self.puts.append(request)
        if self.put_status != 201:
            return status_page(self.put_status)
        while piece := await request.body.read():
            self.written += piece
        return Response(status=201, headers={"etag": "new", "last-modified": "now"})

    @property
    def put(self) -> Request:
        assert len(self.puts) == 1
        return self.puts[0]


def stored(
    data: bytes = b"hello world", *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    body = Stream(data, length=len(data))
    return Response(status=status, headers={**STORED, **(headers or {})}, body=body)


def run(store: Store, request: Request) -> Response:
    return asyncio.run(Copy(store, limits=LIMITS)(request))


def copy(
    headers: Mapping[str, str] | None = None, *, store: Store | None = None, query: str = ""
) -> tuple[Response, Store]:
    """COPY the source to the destination."""
    store = store or Store(stored())
    sent = {"destination": "d/dst", "content-length": "0", **(headers or {})}
    return run(store, client_request("COPY", SOURCE, sent, query=query)), store


def text_of(response: Response) -> str:
    return asyncio.run(response.body.read()).decode()


@pytest.mark.parametrize("slash", ["", "/"])
def test_both_ways(slash: str) -> None:
    """COPY with a Destination, PUT with X-Copy-From: one GET of the newest, one PUT of it all."""
    for method, path, headers in (
        ("COPY", SOURCE, {"destination": f"{slash}d/dst"}),
        ("PUT", DESTINATION, {"x-copy-from": f"{slash}c/src", "content-length": "0"}),
    ):
        store = Store(stored())
        response = run(store, client_request(method, path, headers))
        assert response.status == 201
        assert [read.path for read in store.reads] == [SOURCE]
        assert store.reads[0].headers["x-newest"] == "true"
        assert store.put.path == DESTINATION
        assert store.written == b"hello world"
        assert store.put.headers == {**ALL, "etag": "5eb6"}
        assert store.put.body.length == 11
        assert dict(response.headers) == {
            "etag": "new",
            "last-modified": "now",
            "x-copied-from": "c/src",
            "x-copied-from-account": "AUTH_a",
            "x-copied-from-last-modified": STORED["last-modified"],
            "x-object-meta-a": "1",
            "x-object-meta-b": "2",
            "x-delete-at": "1795254752",
        }
        assert isinstance(store.source.body, Stream)
        assert store.source.body.closed


def test_metadata_of_the_request_wins() -> None:
    """The source's, and the request's over it, also the empty one."""
    headers = {"x-object-meta-a": "9", "x-object-meta-b": "", "x-object-meta-c": "3"}
    response, store = copy({**headers, "content-type": "text/new", "content-language": "x"})
    assert store.put.headers == {
        **ALL,
        **headers,
        "content-type": "text/new",
        "content-language": "x",
        "etag": "5eb6",
    }
    assert response.headers["x-object-meta-b"] == ""


def test_fresh_metadata() -> None:
    """Only the system's metadata and the type are the source's."""
    for word in ("true", "T", "1", "yes"):
        response, store = copy({"x-fresh-metadata": word, "x-object-meta-c": "3"})
        assert store.put.headers == {
            "content-type": "text/x-src",
            "x-object-sysmeta-s": "3",
            "x-object-meta-c": "3",
            "etag": "5eb6",
        }
        assert "x-delete-at" not in response.headers
    assert "x-object-meta-a" in copy({"x-fresh-metadata": "false"})[1].put.headers


def test_times_to_delete() -> None:
    """X-Delete-After takes the place of the source's X-Delete-At."""
    assert "x-delete-at" not in copy({"x-delete-after": "5"})[1].put.headers
    assert copy({"x-delete-at": "7"})[1].put.headers["x-delete-at"] == "7"


def test_what_is_about_the_source_is_asked_of_the_source() -> None:
    """Conditions, ranges and the referrer; the query goes to both."""
    headers = {
        "range": "bytes=1-3",
        "if-match": "a",
        "if-none-match": "*",
        "if-modified-since": "b",
        "if-unmodified-since": "c",
        "referer": "http://x",
    }
    partial = stored(b"ell", status=206, headers={"content-range": "bytes 1-3/11"})
    _, store = copy({**headers, "x-auth-token": "t"}, store=Store(partial), query="a=b")
    assert store.reads[0].headers == {**headers, "x-newest": "true"}
    assert (store.reads[0].query, store.put.query) == ("a=b", "a=b")
    assert store.put.headers == {
        **ALL,
        "if-none-match": "*",
        "referer": "http://x",
        "x-auth-token": "t",
    }
    assert store.written == b"ell"


def test_the_checksum_goes_along_unless_it_is_a_range() -> None:
    """The source's ETag checks the copy end to end; of a range only the client can know it."""
    assert copy({"etag": "bogus"})[1].put.headers["etag"] == "5eb6"
    quoted = stored(headers={"etag": '"5eb6"'})
    assert copy(store=Store(quoted))[1].put.headers["etag"] == "5eb6"
    partial = stored(b"e", status=206, headers={"content-range": "bytes 1-1/11"})
    assert "etag" not in copy(store=Store(partial))[1].put.headers
    partial = stored(b"e", status=206, headers={"content-range": "bytes 1-1/11"})
    assert copy({"etag": "mine"}, store=Store(partial))[1].put.headers["etag"] == "mine"


def test_manifests() -> None:
    """A manifest stays one only when it is the manifest that was asked for; a client's own is
    for the copy."""
    assert "x-object-manifest" not in copy()[1].put.headers
    _, store = copy(query="multipart-manifest=get")
    assert store.put.headers["x-object-manifest"] == "c/segments"
    assert "x-static-large-object" not in store.put.headers
    assert copy({"x-object-manifest": "e/f"})[1].put.headers["x-object-manifest"] == "e/f"


def test_other_accounts() -> None:
    """Either half may be in another account; names are percent-encoded."""
    _, store = copy({"destination-account": "AUTH_%62"})
    assert store.put.path == "/v1/AUTH_b/d/dst"
    store = Store(stored())
    headers = {"x-copy-from": "c/src", "x-copy-from-account": "AUTH_%C3%A9"}
    response = run(store, client_request("PUT", DESTINATION, headers))
    assert store.reads[0].path == "/v1/AUTH_é/c/src"
    assert response.headers["x-copied-from-account"] == "AUTH_%C3%A9"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("%64%2fdst2", "/v1/AUTH_a/d/dst2"),
        ("d//", "/v1/AUTH_a/d//"),
        ("d/a?b#c", "/v1/AUTH_a/d/a?b#c"),
        ("d/..", "/v1/AUTH_a/d/.."),
        ("d/%0d%0aX: y", "/v1/AUTH_a/d/\r\nX: y"),
        ("d/%F0%9F%98%80", "/v1/AUTH_a/d/😀"),
    ],
)
def test_t82_names(name: str, path: str) -> None:
    """T82: any name can be copied to and from, and none splits the answer."""
    assert copy({"destination": name})[1].put.path == path
    store = Store(stored())
    response = run(store, client_request("PUT", DESTINATION, {"x-copy-from": name}))
    assert store.reads[0].path == path
    assert response.headers["x-copied-from"].isprintable()
    assert response.headers["x-copied-from"].isascii()


@pytest.mark.parametrize("bad", ["x", "/x", "x/", "/x/", "//x/y", "c/o%00", "c/%ff", "c%00/o", "/"])
def test_names_that_make_no_sense(bad: str) -> None:
    """412, before anything is asked of anybody."""
    store = Store(stored())
    assert copy({"destination": bad}, store=store)[0].status == 412
    request = client_request("PUT", DESTINATION, {"x-copy-from": bad})
    assert run(store, request).status == 412
    for account in ("a/b", "", "a%00", "%ff", "a%2fb"):
        assert copy({"destination-account": account}, store=store)[0].status == 412
        headers = {"x-copy-from": "c/src", "x-copy-from-account": account}
        assert run(store, client_request("PUT", DESTINATION, headers)).status == 412
    assert copy({"destination": ""}, store=store)[0].status == 412
    assert (store.reads, store.puts) == ([], [])


def test_a_copy_has_no_body() -> None:
    """A PUT that copies must be empty; chunked ones are not counted, a COPY's body is ignored."""
    headers = {"x-copy-from": "c/src"}
    store = Store(stored())
    request = client_request("PUT", DESTINATION, headers, body=Bytes(b"x"))
    response = run(store, request)
    assert response.status == 400
    assert store.reads == []
    chunked = client_request("PUT", DESTINATION, headers, body=Stream(b"", length=None))
    assert run(Store(stored()), chunked).status == 201
    sent = client_request("COPY", SOURCE, {"destination": "d/dst"}, body=Bytes(b"x"))
    store = Store(stored())
    assert run(store, sent).status == 201
    assert store.written == b"hello world"


@pytest.mark.parametrize("status", [304, 401, 403, 404, 412, 416, 503])
def test_a_source_that_can_not_be_read(status: int) -> None:
    """Its answer is the answer, its body too."""
    response, store = copy(store=Store(status_page(status, {"etag": "e"})))
    assert (response.status, response.headers["etag"]) == (status, "e")
    assert "<html>" in text_of(response)
    assert store.puts == []


def test_sizes() -> None:
    """413 for a source whose size is unknown or too large; the source is let go."""
    exact = stored(b"x" * 100)
    assert copy(store=Store(exact))[0].status == 201
    for body in (Stream(b"x" * 101, length=101), Stream(b"x", length=None)):
        response, store = copy(store=Store(stored().replace(body=body)))
        assert response.status == 413
        assert store.puts == []
        assert body.closed


def test_several_ranges() -> None:
    """Their answer is a page of parts, which nobody wants as an object."""
    parts = stored(status=206, headers={"content-type": "multipart/byteranges;boundary=x"})
    response, store = copy({"range": "bytes=0-1,3-4"}, store=Store(parts))
    assert response.status == 400
    assert store.puts == []
    assert isinstance(parts.body, Stream)
    assert parts.body.closed


@pytest.mark.parametrize("status", [202, 401, 403, 404, 413, 422, 503])
def test_a_destination_that_can_not_be_written(status: int) -> None:
    """Its answer is the answer, and the source is let go."""
    store = Store(stored(), put_status=status)
    response, _ = copy(store=store)
    assert response.status == status
    assert "x-copied-from" not in response.headers
    assert isinstance(store.source.body, Stream)
    assert store.source.body.closed


def test_the_source_is_let_go_when_the_copy_breaks() -> None:
    """Whatever happens in between."""
    source = stored()

    async def breaks(request: Request) -> Response:
        if request.method == "GET":
            return source
        raise ConnectionError

    request = client_request("COPY", SOURCE, {"destination": "d/dst"})
    with pytest.raises(ConnectionError):
        asyncio.run(Copy(breaks, limits=LIMITS)(request))
    assert isinstance(source.body, Stream)
    assert source.body.closed


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", DESTINATION, {}),
        ("PUT", DESTINATION, {"x-copy-from": ""}),
        ("PUT", DESTINATION, {"x-copy-from-account": "AUTH_b"}),
        ("PUT", "/v1/AUTH_a/d", {"x-copy-from": "c/src"}),
        ("POST", DESTINATION, {"x-copy-from": "c/src"}),
        ("DELETE", DESTINATION, {"destination": "c/src"}),
        ("COPY", "/v1/AUTH_a/c", {"destination": "d/dst"}),
        ("COPY", "/v1/AUTH_a", {"destination": "d/dst"}),
        ("COPY", "/v2/AUTH_a/c/o", {"destination": "d/dst"}),
        ("COPY", "/v1/AUTH_a/c/\udcff", {"destination": "d/dst"}),
    ],
)
def test_others_pass(method: str, path: str, headers: dict[str, str]) -> None:
    """What is no copy goes through as it is; what makes no sense is the router's to refuse."""
    asked = []

    async def below(request: Request) -> Response:
        asked.append(request)
        return Response(status=299)

    request = client_request(method, path, headers)
    assert asyncio.run(Copy(below, limits=LIMITS)(request)).status == 299
    assert asked == [request]
    assert asked[0] is request
