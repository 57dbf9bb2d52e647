"""Ranges of an object of several blocks: single, multiple, suffixes, conditions, nonsense."""

from __future__ import annotations

import email.utils
import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.functional.account import Account
from tests.functional.wire import Reply

MiB = 1 << 20
SIZE = 5 * MiB + 12345
NAME = "blocks"
TYPE = "application/x-blocks; charset=utf-8"


@dataclass(frozen=True)
class Stored:
    container: str
    body: bytes
    etag: str
    modified: str


@pytest.fixture(scope="module")
def stored(auth_url: str, user: tuple[str, str]) -> Iterator[Stored]:
    """An object of five whole blocks of 1 MiB and a part of another."""
    account = Account.sign_in(auth_url, *user)
    container = f"ranges-{uuid.uuid4().hex[:8]}"
    account.put_container(container)
    body = random.Random(7).randbytes(SIZE)
    reply = account.put(container, NAME, body, {"Content-Type": TYPE})
    head = account.request("HEAD", container, NAME).headers
    account.close()
    yield Stored(container, body, reply.headers["etag"].strip('"'), head["last-modified"])
    account.empty_and_delete(container)
    account.close()


def ask(account: Account, stored: Stored, ranges: str, **headers: str) -> Reply:
    return account.request("GET", stored.container, NAME, headers={"Range": ranges, **headers})


EDGES = sorted(
    {
        offset
        for block in range(6)
        for offset in (block * MiB - 1, block * MiB, block * MiB + 1, block * MiB + 4095)
        if 0 <= offset < SIZE
    }
    | {SIZE - 2, SIZE - 1}
)


def test_every_pair_of_edges(account: Account, stored: Stored) -> None:
    """A range that begins and ends at, before or behind a block's border is exact."""
    for first in EDGES[::2]:
        for last in (first, first + 1, first + MiB, SIZE - 1):
            if not first <= last < SIZE:
                continue
            reply = ask(account, stored, f"bytes={first}-{last}")
            assert reply.status == 206
            assert reply.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
            assert reply.headers["content-length"] == str(last - first + 1)
            assert reply.headers["etag"].strip('"') == stored.etag
            assert reply.body == stored.body[first : last + 1]


def test_chance_ranges(account: Account, stored: Stored, chance: random.Random) -> None:
    """Any range is exact."""
    for _ in range(60):
        first = chance.randrange(SIZE)
        last = min(first + chance.choice((0, 10, 4096, MiB, 3 * MiB)), SIZE - 1)
        assert ask(account, stored, f"bytes={first}-{last}").body == stored.body[first : last + 1]


@pytest.mark.parametrize(
    ("ranges", "start", "end"),
    [
        ("bytes=-1", SIZE - 1, SIZE),
        (f"bytes=-{MiB + 1}", SIZE - MiB - 1, SIZE),
        (f"bytes=-{SIZE}", 0, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=-{10**30}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{10**30}", 5, SIZE),
        (f"bytes={4 * MiB}-", 4 * MiB, SIZE),
        ("bytes=0-0", 0, 1),
    ],
)
def test_open_ended(account: Account, stored: Stored, ranges: str, start: int, end: int) -> None:
    """Suffixes, and ranges that reach beyond the end, are cut to what there is."""
    reply = ask(account, stored, ranges)
    assert reply.status == 206
    assert reply.body == stored.body[start:end]
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"


@pytest.mark.parametrize("ranges", [f"bytes={SIZE}-", f"bytes={10**30}-", "bytes=-0"])
def test_beyond_the_end(account: Account, stored: Stored, ranges: str) -> None:
    """A range that holds no byte of the object is 416 and tells the size."""
    reply = ask(account, stored, ranges)
    assert reply.status == 416
    assert reply.headers["content-range"] == f"bytes */{SIZE}"
    assert "etag" in reply.headers


@pytest.mark.parametrize(
    "ranges",
    ["bytes=", "bytes=x-y", "bytes=5-2", "lines=1-2", "1-2", "bytes=1", "bytes=--1", "bytes=1-2-3"],
)
def test_no_range_at_all(account: Account, stored: Stored, ranges: str) -> None:
    """What is no range is ignored: the whole object, 200."""
    reply = ask(account, stored, ranges)
    assert reply.status == 200
    assert reply.body == stored.body


def parts(reply: Reply) -> list[tuple[str, str, bytes]]:
    """(Content-Type, Content-Range, bytes) of each part of a multipart answer."""
    found = re.fullmatch(r"multipart/byteranges;\s*boundary=(\S+)", reply.headers["content-type"])
    assert found, reply.headers
    assert "content-range" not in reply.headers
    boundary = b"--" + found[1].strip('"').encode()
    opening, *pieces, closing = reply.body.split(boundary)
    assert opening.strip() == b""
    assert closing.strip() == b"--"
    result = []
    for piece in pieces:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = {
            key.lower(): value.strip()
            for key, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        }
        assert body.endswith(b"\r\n")
        result.append((headers["content-type"], headers["content-range"], body[:-2]))
    return result


@pytest.mark.parametrize(
    "asked",
    [
        [(0, 0), (SIZE - 1, SIZE - 1)],
        [(0, 9), (MiB - 1, MiB), (4 * MiB, SIZE - 1)],
        [(0, MiB - 1), (MiB, 2 * MiB - 1), (2 * MiB, 3 * MiB + 5)],
        [(100 * n, 100 * n + 10) for n in range(50)],
    ],
    ids=["ends", "borders", "blocks", "fifty"],
)
def test_multiple_ranges(account: Account, stored: Stored, asked: list[tuple[int, int]]) -> None:
    """Each range is a part with the object's type, its own Content-Range and its exact bytes."""
    text = ",".join(f"{first}-{last}" for first, last in asked)
    reply = ask(account, stored, f"bytes={text}")
    assert reply.status == 206
    assert reply.headers["content-length"] == str(len(reply.body))
    expected = [
        (TYPE, f"bytes {first}-{last}/{SIZE}", stored.body[first : last + 1])
        for first, last in asked
    ]
    found = parts(reply)
    assert [(kind.replace(" ", ""), where) for kind, where, _ in found] == [
        (kind.replace(" ", ""), where) for kind, where, _ in expected
    ]
    assert [body for *_, body in found] == [body for *_, body in expected]


def test_suffix_among_many(account: Account, stored: Stored) -> None:
    """Suffixes and open ends may stand beside others; only one that holds bytes is no multipart."""
    found = parts(ask(account, stored, f"bytes=1-2,{SIZE - 3}-,-2"))
    assert [body for *_, body in found] == [stored.body[1:3], stored.body[-3:], stored.body[-2:]]
    single = ask(account, stored, f"bytes=1-2,{SIZE}-")
    assert single.headers["content-range"] == f"bytes 1-2/{SIZE}"
    assert single.body == stored.body[1:3]


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=" + ",".join("0-0" for _ in range(10_00)),
        "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(51)),
        "bytes=0-10,5-15,8-20,9-30",
        "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(20, 0, -1)),
    ],
    ids=["one byte a thousand times", "51", "overlapping", "backwards"],
)
def test_t78_greedy_ranges(account: Account, stored: Stored, ranges: str) -> None:
    """T78: ranges made to cost the server more than the object does are 416."""
    assert ask(account, stored, ranges).status == 416


def test_conditions(account: Account, stored: Stored) -> None:
    """Conditions are looked at before ranges."""
    other = "0" * 32
    before = email.utils.formatdate(1, usegmt=True)
    cases = [
        ({"If-Match": f'"{stored.etag}"'}, 206),
        ({"If-Match": f'"{other}", "{stored.etag}"'}, 206),
        ({"If-Match": "*"}, 206),
        ({"If-Match": f'"{other}"'}, 412),
        ({"If-None-Match": f'"{other}"'}, 206),
        ({"If-None-Match": f'"{stored.etag}"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-Modified-Since": stored.modified}, 304),
        ({"If-Modified-Since": before}, 206),
        ({"If-Modified-Since": "yesterday"}, 206),
        ({"If-Unmodified-Since": stored.modified}, 206),
        ({"If-Unmodified-Since": before}, 412),
    ]
    for headers, status in cases:
        for method in ("GET", "HEAD"):
            asked = {"Range": "bytes=10-19", **headers}
            reply = account.request(method, stored.container, NAME, headers=asked)
            if method == "HEAD" and status == 206:
                assert reply.status == 200, headers
                continue
            assert reply.status == status, (method, headers)
            if status == 206:
                assert reply.body == stored.body[10:20]
            if status in {304, 412}:
                assert reply.headers["etag"].strip('"') == stored.etag
                assert reply.headers["last-modified"] == stored.modified
    assert account.request("GET", stored.container, "no", headers={"If-Match": "*"}).status == 412
    assert (
        account.request("GET", stored.container, "no", headers={"If-None-Match": "*"}).status == 404
    )


def test_head_with_a_range(account: Account, stored: Stored) -> None:
    """A range is for GET only (RFC 9110, 14.2): HEAD tells of the whole object."""
    reply = account.request("HEAD", stored.container, NAME, headers={"Range": "bytes=0-9"})
    assert reply.status == 200
    assert reply.headers["content-length"] == str(SIZE)
    assert "content-range" not in reply.headers


def test_ranges_of_nothing(account: Account, container: str) -> None:
    """An empty object has no bytes to ask for: a suffix gets all of it, a range is 416."""
    account.put(container, "empty", b"")
    reply = account.request("GET", container, "empty", headers={"Range": "bytes=-5"})
    assert (reply.status, reply.body) == (200, b"")
    reply = account.request("GET", container, "empty", headers={"Range": "bytes=0-"})
    assert reply.status == 416


def test_copying_a_range(account: Account, stored: Stored, container: str) -> None:
    """A copy of a range is an object of just these bytes."""
    first, last = MiB - 7, 3 * MiB + 7
    headers = {"X-Copy-From": f"/{stored.container}/{NAME}", "Range": f"bytes={first}-{last}"}
    assert account.request("PUT", container, "piece", headers=headers).status == 201
    assert account.get(container, "piece").body == stored.body[first : last + 1]


def test_copying_all_of_it(account: Account, stored: Stored, container: str) -> None:
    """A copy is the same bytes, type and ETag; conditions are those of the source."""
    source = {"X-Copy-From": f"/{stored.container}/{NAME}"}
    assert account.request("PUT", container, "copy", headers=source).status == 201
    copy = account.get(container, "copy")
    assert copy.body == stored.body
    assert copy.headers["etag"].strip('"') == stored.etag
    assert copy.headers["content-type"].replace(" ", "") == TYPE.replace(" ", "")
    headers = {**source, "If-Match": '"00000000000000000000000000000000"'}
    assert account.request("PUT", container, "copy", headers=headers).status == 412
