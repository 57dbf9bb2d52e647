"""Listings as text, JSON and XML."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from swiftish.http.message import Body, Bytes, Response
from swiftish.proxy.middleware.listing_formats import ListingFormats
from tests.fakes.inner_app import InnerApp, client_request

ACCOUNT, CONTAINER, OBJECT = "/v1/AUTH_a", "/v1/AUTH_a/c", "/v1/AUTH_a/c/o"
MOMENT = "2026-01-02T03:04:05.000060"
ROW = {"name": "o", "hash": "5d41", "bytes": 5, "content_type": "text/x", "last_modified": MOMENT}
CONTAINER_ROW = {"storage_policy": "gold", "bytes": 4, "count": 3, "last_modified": MOMENT}


class Pieces(Body):
    """A body that comes in several pieces, and knows whether it was closed."""

    def __init__(self, data: bytes) -> None:
        self.rest = data
        self.closed = False

    async def read(self) -> bytes:
        piece, self.rest = self.rest[:7], self.rest[7:]
        return piece

    async def aclose(self) -> None:
        self.closed = True


def ask(
    path: str,
    rows: object = (),
    *,
    method: str = "GET",
    query: str = "",
    accept: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """(status, headers, body) of a listing of `rows`."""
    answer = Response(
        status=200 if method == "GET" else 204,
        headers={"content-type": "application/json", "x-timestamp": "1", **(headers or {})},
        body=Bytes(orjson.dumps(rows) if method == "GET" else b""),
    )
    request = client_request(
        method, path, {} if accept is None else {"accept": accept}, query=query
    )

    async def run() -> tuple[int, Mapping[str, str], bytes]:
        response = await ListingFormats(InnerApp(answer))(request)
        return response.status, response.headers, await response.body.read()

    return asyncio.run(run())


@pytest.mark.parametrize("path", [ACCOUNT, CONTAINER, f"{CONTAINER}/", f"{ACCOUNT}/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", None, "text/plain"),
        ("", "", "text/plain"),
        ("", "application/json", "application/json"),
        ("", "text/xml", "text/xml"),
        ("", "text/*;q=0.5,application/*", "application/json"),
        ("format=json", None, "application/json"),
        ("format=JSON", None, "application/json"),
        ("format=xml", "application/json", "application/xml"),
        ("format=plain", "application/json", "text/plain"),
        ("format=bogus", "image/png", "text/plain"),
        ("format=json&limit=1", "malformed", "application/json"),
        ("format=", "application/json", "application/json"),
    ],
)
def test_content_type(
    path: str, method: str, query: str, accept: str | None, content_type: str
) -> None:
    """`format` first, then Accept; only what Accept could change varies by it."""
    row = {**ROW, **CONTAINER_ROW}
    _, headers, _ = ask(path, [row], method=method, query=query, accept=accept)
    assert headers["content-type"] == f"{content_type}; charset=utf-8"
    assert headers.get("vary") == (None if "format" in query else "Accept")
    assert headers["x-timestamp"] == "1"


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [("", "image/png", 406), ("", "bogus", 400), ("format=%ff", None, 400)],
)
def test_refused(query: str, accept: str | None, status: int) -> None:
    """Nothing to offer is 406, nonsense is 400; the app is not even asked."""
    app = InnerApp()
    for path in (ACCOUNT, CONTAINER):
        for method in ("GET", "HEAD"):
            headers = {} if accept is None else {"accept": accept}
            request = client_request(method, path, headers, query=query)
            assert asyncio.run(ListingFormats(app)(request)).status == status
    assert app.asked == []


def test_what_is_no_listing_is_left_alone() -> None:
    """Objects, other methods, other paths, errors, pages of other middleware."""
    page = {"content-type": "text/html"}
    json = {"content-type": "application/json"}
    for method, path, status, headers in (
        *(("GET", each, 200, json) for each in (OBJECT, f"{OBJECT}/", f"{CONTAINER}//")),
        *(("GET", each, 200, json) for each in ("/info", "/v1", "/v2/a", "/v1/", "v1/a", "/v1//c")),
        *(("PUT", each, 201, json) for each in (ACCOUNT, CONTAINER)),
        ("GET", CONTAINER, 404, json),
        ("GET", CONTAINER, 200, page),
    ):
        answer = Response(status=status, headers=headers, body=Bytes(b"[]"))
        request = client_request(method, path, {"accept": "text/xml"})
        assert asyncio.run(ListingFormats(InnerApp(answer))(request)) is answer


def test_json_passes_through_untouched() -> None:
    """The very body that came, whatever is in it: no parsing, no copy."""
    body = Pieces(b"[not even JSON")
    answer = Response(status=200, headers={"content-type": "application/json"}, body=body)
    request = client_request("GET", CONTAINER, query="format=json")
    assert asyncio.run(ListingFormats(InnerApp(answer))(request)).body is body


def test_a_body_in_pieces_is_read_and_closed() -> None:
    """A listing that comes from another node arrives in pieces."""
    body = Pieces(orjson.dumps([{"name": f"o{i}"} for i in range(20)]))
    answer = Response(status=200, headers={"content-type": "application/json"}, body=body)

    async def run() -> bytes:
        response = await ListingFormats(InnerApp(answer))(client_request("GET", CONTAINER))
        return await response.body.read()

    assert asyncio.run(run()) == b"".join(b"o%d\n" % i for i in range(20))
    assert body.closed


def test_text() -> None:
    """One name a line, subdirectories too; nothing at all is a 204."""
    rows = [{"name": "a\nb"}, {"subdir": "d/"}, ROW]
    assert ask(CONTAINER, rows)[::2] == (200, b"a\nb\nd/\no\n")
    status, headers, body = ask(CONTAINER, [])
    assert (status, body, headers["content-type"]) == (204, b"", "text/plain; charset=utf-8")
    assert ask(CONTAINER, [], query="format=json")[::2] == (200, b"[]")


def test_vary_is_added_to() -> None:
    """What varies already goes on doing so."""
    assert ask(CONTAINER, [ROW], headers={"vary": "Origin"})[1]["vary"] == "Origin, Accept"


def test_head_has_no_length_of_its_own() -> None:
    """As in Swift, the Content-Length of a HEAD is 0 for every format."""
    for query in ("", "format=json", "format=xml"):
        answer = Response(status=204, headers={"content-type": "application/json"})
        request = client_request("HEAD", CONTAINER, query=query)
        response = asyncio.run(ListingFormats(InnerApp(answer))(request))
        assert (response.status, response.length) == (204, 0)


XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


@pytest.mark.parametrize(
    ("path", "rows", "document"),
    [
        (CONTAINER, [], '<container name="c" />'),
        (ACCOUNT, [], '<account name="AUTH_a">\n</account>'),
        (
            CONTAINER,
            [ROW, {"subdir": 'd<"/'}],
            '<container name="c"><object><name>o</name><hash>5d41</hash><bytes>5</bytes>'
            f"<content_type>text/x</content_type><last_modified>{MOMENT}</last_modified></object>"
            '<subdir name="d&lt;&quot;/"><name>d&lt;"/</name></subdir></container>',
        ),
        (
            ACCOUNT,
            [
                {"name": "c", "count": 1, "bytes": 2, "last_modified": MOMENT},
                {"subdir": "d-"},
                {**CONTAINER_ROW, "name": "e"},
            ],
            '<account name="AUTH_a">\n'
            "<container><name>c</name><count>1</count><bytes>2</bytes>"
            f"<last_modified>{MOMENT}</last_modified></container>\n"
            '<subdir name="d-" />\n'
            "<container><name>e</name><count>3</count><bytes>4</bytes>"
            f"<last_modified>{MOMENT}</last_modified><storage_policy>gold</storage_policy></container>\n</account>",
        ),
    ],
)
def test_xml(path: str, rows: list[dict[str, Any]], document: str) -> None:
    """Swift's documents, to the byte."""
    status, _, body = ask(path, rows, query="format=xml")
    assert (status, body.decode()) == (200, XML + document)


@pytest.mark.parametrize(
    "name",
    [
        "<&\"'>",
        "]]><!--",
        "a\nb\tc",
        "a\rb",
        "é😀\u0080\u2028",
        " lead and trail ",
        "&amp;",
        "&#1;",
    ],
)
def test_xml_names_survive(name: str) -> None:
    """CVE-2013-2161: any name that XML can spell is read back the same, in text and attribute."""
    for path in (ACCOUNT, CONTAINER):
        row = {**ROW, **CONTAINER_ROW, "name": name, "content_type": name}
        document = ask(path, [row, {"subdir": name}], query="format=xml")[2]
        root = ElementTree.fromstring(document)  # noqa: S314  (we made it)
        assert root[0][0].text == name
        assert root[1].get("name") == name
    document = ask(f"/v1/{name.replace('/', '')}", [], query="format=xml")[2]
    assert ElementTree.fromstring(document).get("name") == name  # noqa: S314


def test_xml_of_names_that_it_can_not_spell() -> None:
    """A control character leaves the document readable, and the other rows as they are."""
    names = [chr(code) for code in (*range(1, 0x20), 0x7F, 0xFFFE, 0xFFFF)]
    document = ask(
        CONTAINER, [{**ROW, "name": f"a{c}b"} for c in names] + [ROW], query="format=xml"
    )[2]
    found = [row[0].text for row in ElementTree.fromstring(document)]  # noqa: S314
    assert len(found) == len(names) + 1
    for control, text in zip(names, found, strict=False):
        assert text in (f"a{control}b", "a\ufffdb")
    assert found[-1] == "o"
