"""T59: names of every legal kind survive: stored, read, listed, copied, deleted, in byte order."""

from __future__ import annotations

import itertools
import json
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from tests.functional.account import Account, quoted

LAST = "\U0010ffff"
NAMES = {
    "slash at the start": "/leading",
    "slash at the end": "trailing/",
    "only a slash": "/",
    "only slashes": "//",
    "two slashes": "a//b",
    "dot": ".",
    "dots": "..",
    "dots inside": "a/../b",
    "dots at the start": "../../etc/passwd",
    "dot inside": "a/./b",
    "dots at the end": "a/..",
    "quoted slash": "a%2Fb",
    "quoted percent": "100%25",
    "percent": "100%",
    "half an escape": "%zz",
    "question mark": "what?",
    "query": "a?format=json&limit=1",
    "hash": "a#b",
    "semicolon": "a;b=c",
    "plus and space": "a+b c",
    "spaces around": " around ",
    "newline": "two\nlines",
    "newline at the end": "line\n",
    "tab": "tab\there",
    "control characters": "\x01\x1f\x7f",
    "carriage return": "a\r\nb",
    "quotes": "\"double\" 'single'",
    "markup": '<a href="x">&amp;</a>',
    "backslash": "a\\b",
    "emoji": "📷 photo",
    "many emoji": "👩‍👩‍👧‍👦",
    "right to left": "שלום עולם",
    "override": "\u202egnp.exe",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "end of the plane": "\ufffd",
    "first of the next plane": "\U00010000",
    "last code point": LAST,
    "zero": "0",
    "none": "None",
    "comma": "a,b",
    "equals": "a=b",
    "at": "user@host:80",
    "star": "*",
    "tilde": "~",
    "longest": "x" * 1024,
    "longest in two bytes each": "\u00e9" * 512,
    "longest in four bytes each": "\U0001f600" * 256,
    "longest slashes": "/" * 1024,
}

# What a database key can hold ends near here; names that agree up to the border must still differ,
# and come in order.
BORDERS = (478, 479, 480, 481, 482, 509, 510, 511, 512, 513, 1022, 1023, 1024)
ALIKE = "k" * 480
LONG_NAMES = [
    *("b" * length for length in BORDERS),
    *(ALIKE[:-1] + end for end in ("\u00e9", "\U0001f600", "l", "j", "\x01")),
    *(ALIKE + end for end in ("", "0", "00", "\u00e9", "/", "//", "\U0001f600", "z" * 544)),
    *("\u00e9" * count for count in (239, 240, 241, 255, 256, 257, 511, 512)),
    *("a" + "\u00e9" * count for count in (239, 240, 241, 255, 256, 511)),
    *("\U0001f600" * count for count in (119, 120, 121, 128, 256)),
]

XML_NAMES = [name for name in NAMES.values() if not set(name) & set("\x01\x1f\x7f\r")]


def encoded(names: object) -> list[bytes]:
    assert isinstance(names, list)
    return [name.encode() for name in names]


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def test_t59_object_round_trip(account: Account, container: str, name: str) -> None:
    """An object of this name answers to PUT, HEAD, GET, POST, COPY both ways and DELETE."""
    body = b"body of " + name.encode()
    account.put(container, name, body, {"X-Object-Meta-Which": "first", "Content-Type": "a/b"})
    assert account.get(container, name).body == body
    assert account.request("HEAD", container, name).headers["content-length"] == str(len(body))
    posted = account.request("POST", container, name, headers={"X-Object-Meta-Which": "second"})
    assert posted.status == 202
    assert account.get(container, name).headers["x-object-meta-which"] == "second"

    destination = {"Destination": quoted(f"{container}/copy")}
    copied = account.request("COPY", container, name, headers=destination)
    assert copied.status == 201
    assert account.get(container, "copy").body == body
    assert copied.headers["x-copied-from"] == quoted(f"{container}/{name}")

    assert account.request("DELETE", container, name).status == 204
    assert account.request("GET", container, name).status == 404
    source = {"X-Copy-From": quoted(f"/{container}/copy"), "Content-Length": "0"}
    with account.wire() as wire:
        wire.send_head("PUT", account.path(container, name), account.headers(source))
        assert wire.read_reply("PUT").status == 201
    assert account.get(container, name).body == body
    assert account.names(container) == sorted(["copy", name], key=str.encode)
    assert account.request("DELETE", container, name).status == 204
    assert account.names(container) == ["copy"]


@pytest.fixture(scope="module")
def full(auth_url: str, user: tuple[str, str]) -> Iterator[str]:
    """A container that holds an object of each of NAMES."""
    account = Account.sign_in(auth_url, *user)
    container = f"names-{uuid.uuid4().hex[:8]}"
    account.put_container(container)
    for name in NAMES.values():
        account.put(container, name, b"")
    account.close()
    yield container
    account.empty_and_delete(container)
    account.close()


def test_t59_listings_are_exact_and_in_byte_order(account: Account, full: str) -> None:
    """Text, JSON and XML listings name every object exactly, in the order of UTF-8's bytes."""
    expected = sorted(NAMES.values(), key=str.encode)
    assert account.names(full) == expected
    text = account.request("GET", full).body
    assert text == b"".join(name.encode() + b"\n" for name in expected)
    backwards = account.rows(full, reverse="true", limit=1000)
    assert [row["name"] for row in backwards] == expected[::-1]


def test_t59_xml_listing(account: Account, container: str) -> None:
    """An XML parser reads back every name that XML can express."""
    for name in XML_NAMES:
        account.put(container, name, b"")
    listing = account.request("GET", container, query={"format": "xml"})
    assert listing.headers["content-type"] == "application/xml; charset=utf-8"
    root = ET.fromstring(listing.body)  # noqa: S314 -- our own server's
    assert root.get("name") == container
    found = [element.text or "" for element in root.iterfind("object/name")]
    assert found == sorted(XML_NAMES, key=str.encode)


def test_t59_every_name_is_a_marker(account: Account, full: str) -> None:
    """A page that starts after any name, ends before any name, or has it as a prefix, is exact."""
    expected = sorted(NAMES.values(), key=str.encode)
    for index, name in enumerate(expected):
        assert account.names(full, marker=name, limit=3) == expected[index + 1 : index + 4]
        if name != expected[0]:
            assert account.names(full, end_marker=name, limit=1000) == expected[:index]
        if name == LAST:
            continue
        with_prefix = [other for other in expected if other.startswith(name)]
        assert account.names(full, prefix=name, limit=1000) == with_prefix


def test_t59_one_row_at_a_time(account: Account, full: str) -> None:
    """Walking with limit=1, forwards and backwards, meets every name once."""
    expected = sorted(NAMES.values(), key=str.encode)
    for reverse, order in (("false", expected), ("true", expected[::-1])):
        walked: list[str] = []
        marker: dict[str, str] = {}
        while page := account.names(full, limit=1, reverse=reverse, **marker):
            walked += page
            marker = {"marker": page[0]}
        assert walked == order


def test_t59_long_names_in_byte_order(account: Account, container: str) -> None:
    """Names around every border of length differ, come in byte order, and can be paged through."""
    for name in LONG_NAMES:
        account.put(container, name, name.encode()[-20:])
    expected = sorted(set(LONG_NAMES), key=str.encode)
    assert account.names(container) == expected
    for name in expected:
        assert account.get(container, name).body == name.encode()[-20:]
    for index, name in enumerate(expected):
        assert account.names(container, marker=name, limit=2) == expected[index + 1 : index + 3]
    below = [name for name in expected if name.startswith(ALIKE)]
    assert account.names(container, prefix=ALIKE) == below
    removed = expected[::2]
    for name in removed:
        assert account.request("DELETE", container, name).status == 204
    assert account.names(container) == expected[1::2]
    head = account.request("HEAD", container).headers
    assert head["x-container-object-count"] == str(len(expected[1::2]))


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        pytest.param("/%00", {412, 404}, id="NUL"),
        pytest.param("/a%00b", {412, 404}, id="NUL inside"),
        pytest.param("/%ff", {412}, id="no UTF-8"),
        pytest.param("/%c3%28", {412}, id="half a character"),
        pytest.param("/%ed%a0%80", {412}, id="surrogate"),
        pytest.param("/%c0%af", {412}, id="overlong slash"),
        pytest.param("/" + "x" * 1025, {400}, id="1,025 bytes"),
    ],
)
def test_t59_illegal_names(
    account: Account, container: str, target: str, statuses: set[int]
) -> None:
    """What is no name is refused with a client error, and nothing is stored."""
    reply = account.request_target("PUT", account.path(container) + target, body=b"x")
    assert reply.status in statuses
    assert account.names(container) == []


def test_t59_unquoted_and_quoted_are_one_name(account: Account, container: str) -> None:
    """A path may be quoted more than it must, in either case of hex digit, or not at all."""
    account.put(container, "a/b:é~", b"one")
    prefix = account.path(container)
    for target in ("/a/b:%C3%A9~", "/a%2fb%3a%c3%a9%7E", "/%61%2Fb:%c3%A9~"):
        assert account.request_target("GET", prefix + target).body == b"one"
    raw = prefix.encode() + "/a/b:é~".encode()
    assert account.request_target("GET", raw).body == b"one"
    assert account.names(container) == ["a/b:é~"]


def test_t59_dots_are_never_resolved(account: Account, container: str) -> None:
    """`..` in a path is a name: it never climbs to the container, the account or the disk."""
    account.put(container, "x", b"x")
    prefix = account.path(container)
    assert account.request_target("PUT", f"{prefix}/..", body=b"up").status == 201
    for target in ("/..", "/%2e%2e", "/.%2E"):
        assert account.request_target("GET", prefix + target).body == b"up"
    assert account.request_target("GET", f"{prefix}/../{container}/x").status == 404
    assert account.request_target("GET", f"{prefix}/y/../x").status == 404
    assert account.names(container) == ["..", "x"]


CONTAINERS = {
    key: NAMES[key]
    for key in (
        *("dot", "dots", "quoted percent", "percent", "half an escape", "question mark", "hash"),
        *("plus and space", "newline", "tab", "quotes", "emoji", "right to left"),
        *("composed", "decomposed", "first of the next plane", "comma"),
    )
} | {"markup": "<&amp;'\">", "longest": "c" * 256, "longest in two bytes each": "\u00e9" * 128}


@pytest.mark.parametrize("base", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_t59_container_names(account: Account, base: str) -> None:
    """Containers may be called anything without a slash, up to 256 bytes."""
    assert account.request("PUT", base).status in {201, 202}
    try:
        account.put(base, "o", b"body")
        assert account.get(base, "o").body == b"body"
        assert account.names(base) == ["o"]
        assert base in account.names()
        row = next(row for row in account.rows() if row.get("name") == base)
        assert row["count"] in {0, 1}  # the account hears of it a little later
    finally:
        account.empty_and_delete(base)
    assert account.request("HEAD", base).status == 404
    assert base not in account.names()


def test_t59_container_name_too_long(account: Account) -> None:
    """One byte more than 256 is 400."""
    assert account.request("PUT", "c" * 257).status == 400


def test_t59_delimiters_of_any_length(account: Account, container: str) -> None:
    """A delimiter folds names into subdirs, in order, whatever bytes it has."""
    names = ["a--b--c", "a--d", "a-e", "b", "ééx", "éy", "x\ny\nz", "//", "/a", "📷/1", "📷/2"]
    for name in names:
        account.put(container, name, b"")
    for delimiter in ("-", "--", "/", "\n", "é", "éé", "📷", "📷/"):
        expected = folded(names, delimiter)
        assert account.names(container, delimiter=delimiter) == expected, delimiter
        reply = account.request("GET", container, query={"delimiter": delimiter, "format": "json"})
        kinds = [("subdir" in row) for row in json.loads(reply.body)]
        assert kinds == [entry not in names or entry.endswith(delimiter) for entry in expected]


def folded(names: list[str], delimiter: str) -> list[str]:
    """What a listing with this delimiter shows, found the slow way."""
    entries = {
        name[: name.index(delimiter) + len(delimiter)] if delimiter in name else name
        for name in names
    }
    return sorted(entries, key=str.encode)


def test_t59_pages_never_split_a_character(account: Account, container: str) -> None:
    """Prefixes that end inside a character's bytes cannot be asked for, whole ones always can."""
    names = ["".join(pair) for pair in itertools.product("aé📷\ufffd", repeat=2)]
    for name in names:
        account.put(container, name, b"")
    for prefix in ("a", "é", "📷", "\ufffd"):
        expected = sorted((name for name in names if name.startswith(prefix)), key=str.encode)
        assert account.names(container, prefix=prefix) == expected
    assert encoded(account.names(container)) == sorted(name.encode() for name in names)


def test_t59_the_last_code_point_is_a_prefix(account: Account, container: str) -> None:
    """No code point comes after U+10FFFF to end its range with; Swift 2.38 answers 503 here."""
    for name in (LAST, f"{LAST}/a", f"a{LAST}", f"a{LAST}{LAST}b", "b"):
        account.put(container, name, b"")
    assert account.names(container, prefix=LAST) == [LAST, f"{LAST}/a"]
    assert account.names(container, prefix=f"a{LAST}") == [f"a{LAST}", f"a{LAST}{LAST}b"]
    assert account.names(container, delimiter=LAST) == [f"a{LAST}", "b", LAST]
