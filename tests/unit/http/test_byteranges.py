"""200, 206, several parts, and 416, each with its length known beforehand."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from swiftish.domain.ranges import parse_range
from swiftish.http.bodies import read_all
from swiftish.http.byteranges import ranged
from swiftish.http.message import Body, Bytes, Response
from swiftish.http.replies import Refusal

DATA = bytes(range(100))
HEADERS = {"etag": "x", "content-type": "text/plain; charset=x", "x-object-meta-a": "b"}


async def opener(first: int, last: int) -> Body:
    assert 0 <= first <= last < len(DATA)
    return Bytes(DATA[first : last + 1])


def answer(header: str | None, *, length: int = 100) -> tuple[Response, bytes]:
    async def go() -> tuple[Response, bytes]:
        spans = parse_range(header, length)
        response = await ranged(opener, HEADERS, length=length, spans=spans)
        announced = response.body.length
        data = await read_all(response.body, size_max=10_000)
        assert announced == len(data)
        assert response.length in {None, announced}
        assert response.headers["etag"] == "x"
        assert response.headers["x-object-meta-a"] == "b"
        assert response.headers["accept-ranges"] == "bytes"
        return response, data

    return asyncio.run(go())


def test_the_whole() -> None:
    """No Range, no Content-Range; an empty object is never opened."""
    response, data = answer(None)
    assert (response.status, data) == (200, DATA)
    assert "content-range" not in response.headers
    assert answer("bytes=-5", length=0)[0].status == 200


def test_one_span() -> None:
    """Also when it is the only one of several that exists."""
    for header in ("bytes=5-9", "bytes=5-9,200-"):
        response, data = answer(header)
        assert (response.status, data) == (206, DATA[5:10])
        assert response.headers["content-range"] == "bytes 5-9/100"
        assert response.headers["content-type"] == "text/plain; charset=x"


def test_several_spans() -> None:
    """Byte for byte as a real Swift answers; no Content-Range of the whole."""
    response, data = answer("bytes=0-1,5-6")
    assert response.status == 206
    assert "content-range" not in response.headers
    kind, boundary = response.headers["content-type"].split(";boundary=")
    assert kind == "multipart/byteranges"
    mark = boundary.encode()
    assert data == (
        b"--%b\r\nContent-Type: text/plain; charset=x\r\nContent-Range: bytes 0-1/100\r\n\r\n\0\1"
        b"\r\n--%b\r\nContent-Type: text/plain; charset=x\r\nContent-Range: bytes 5-6/100\r\n\r\n"
        b"\5\6\r\n--%b--" % (mark, mark, mark)
    )


def test_lengths_are_right(chance: random.Random) -> None:
    """Of any spans (`answer` compares them)."""
    for _ in range(50):
        firsts = sorted(chance.sample(range(100), 5))
        answer("bytes=" + ",".join(f"{a}-{min(a + 3, b)}" for a, b in pairwise(firsts)))


def test_none_of_it_exists() -> None:
    """416 with the object's headers and its length."""
    response, data = answer("bytes=100-")
    assert response.status == 416
    assert response.headers["content-range"] == "bytes */100"
    assert data


def test_t82_a_stored_content_type_cannot_split_a_part() -> None:
    """The parts' heads are made in this place."""

    async def go() -> None:
        headers = {"content-type": "a\r\nX-Evil: 1\r\n\r\n\udcff"}
        response = await ranged(opener, headers, length=100, spans=[(0, 0), (2, 2)])
        data = await read_all(response.body, size_max=1000)
        assert b"\r\nX-Evil" not in data
        assert len(data) == response.length

    asyncio.run(go())


def test_a_span_that_cannot_be_opened() -> None:
    """A single one raises before there is an answer; of several, the body raises."""

    async def broken(first: int, last: int) -> Body:
        raise Refusal(503)

    async def go() -> None:
        for spans in ([(0, 1)], [(0, 1), (2, 3)]):
            with pytest.raises(Refusal):
                await read_all(
                    (await ranged(broken, {}, length=9, spans=spans)).body, size_max=1000
                )

    asyncio.run(go())
