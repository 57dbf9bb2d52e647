"""Bodies made of bodies, and the pipe: nothing is lost, everything is closed, nobody hangs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest

from swiftish.http.bodies import (
    ClientGone,
    FedBody,
    Joined,
    Prefixed,
    TooLong,
    read_all,
)
from swiftish.http.message import Body, Bytes
from swiftish.http.replies import Refusal

T = TypeVar("T")


class Pieces(Body):
    """Pieces, and how often they were closed."""

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.length = length
        self.closed = 0
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def aclose(self) -> None:
        self.closed += 1


async def opened(body: Body) -> Body:
    return body


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(limited())


def test_what_has_been_read_comes_again() -> None:
    """Then the rest; and the source is closed."""

    async def go() -> None:
        source = Pieces(b"ab", b"cd")
        body = Prefixed([b"", b"xy"], source)
        assert await read_all(body, size_max=6) == b"xyabcd"
        await body.aclose()
        assert source.closed
        assert await Prefixed(b"a", Bytes(b"b")).read() == b"a"
        assert Prefixed(b"a", Pieces(length=7)).length == 7

    run(go())


def test_limits() -> None:
    """A body that is too long is refused, 413, before it is in memory."""

    async def go() -> None:
        with pytest.raises(TooLong) as caught:
            await read_all(Pieces(b"abc", b"d"), size_max=3)
        assert caught.value.status == 413
        with pytest.raises(TooLong):
            await read_all(Pieces(length=4), size_max=3)
        assert await read_all(Pieces(b"abc"), size_max=3) == b"abc"
        assert await read_all(Bytes(b"abc"), size_max=3) == b"abc"
        assert await read_all(Bytes(), size_max=0) == b""

    run(go())


def test_joined_opens_lazily_and_closes_each() -> None:
    """One part is open at a time; closing early closes it and opens no more."""

    async def go() -> None:
        parts = [Pieces(b"a", b"b"), Pieces(), Pieces(b"c"), Pieces(b"d")]
        opening: list[Pieces] = []

        async def open_part(part: Pieces) -> Body:
            assert all(p.closed for p in opening)
            opening.append(part)
            return part

        def joined() -> Joined:
            return Joined([lambda p=part: open_part(p) for part in parts], length=4)  # type: ignore[misc]

        body = joined()
        assert body.length == 4
        assert [await body.read() for _ in range(3)] == [b"a", b"b", b"c"]
        assert opening == parts[:3]
        await body.aclose()
        await body.aclose()
        assert [part.closed for part in parts] == [1, 1, 1, 0]
        assert await body.read() == b""

    run(go())


def test_fed_one_piece_at_a_time() -> None:
    """The reader sets the pace."""

    async def go() -> None:
        body = FedBody()
        fed: list[int] = []

        async def feed() -> None:
            for number in range(5):
                assert await body.feed(b"%d" % number)
                fed.append(number)
            body.finish()

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert fed == [0]
            assert not body.accepted.is_set()
            assert await body.read() == b"0"
            assert body.accepted.is_set()
            assert await read_all(body, size_max=10) == b"1234"
        assert await body.read() == b""

    run(go())


def test_feeding_after_the_reader_has_closed() -> None:
    """Says so at once, also to one who waits for room."""

    async def go() -> None:
        body = FedBody()
        assert await body.feed(b"a")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(body.feed(b"b"))
            await asyncio.sleep(0)
            await body.aclose()
            await body.closed.wait()
        assert waiting.result() is False
        assert await body.feed(b"c") is False
        body.finish()

    run(go())


def test_failing() -> None:
    """Every read raises, the one that waits too, and what was in the pipe is lost."""

    async def go() -> None:
        body = FedBody()
        async with asyncio.TaskGroup() as group:

            async def read() -> None:
                for _ in range(2):
                    with pytest.raises(ClientGone):
                        await body.read()

            group.create_task(read())
            await asyncio.sleep(0)
            body.fail(ClientGone())
        assert await body.feed(b"a") is False
        full = FedBody()
        await full.feed(b"a")
        full.fail(Refusal(499))
        with pytest.raises(Refusal):
            await full.read()

    run(go())


def test_closing_while_reading() -> None:
    """A read that waits must not end like a body that ended."""

    async def go() -> None:
        body = FedBody()
        async with asyncio.TaskGroup() as group:

            async def read() -> None:
                with pytest.raises(RuntimeError):
                    await body.read()

            group.create_task(read())
            await asyncio.sleep(0)
            await body.aclose()

    run(go())


def test_cancelling_either_side_loses_nothing(chance: random.Random) -> None:
    """Whoever is cancelled while waiting can go on as if nothing had been."""

    async def go() -> None:
        body = FedBody()
        got: list[bytes] = []
        wanted = [b"%d" % number for number in range(300)]

        async def some_steps() -> None:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

        async def until_done(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
            while True:
                task = asyncio.ensure_future(make())
                await some_steps()
                if not task.done() and chance.random() < 0.5:
                    task.cancel()
                try:
                    return await task
                except asyncio.CancelledError:
                    continue

        async def feed() -> None:
            for piece in wanted:
                # A feed that was cancelled has not fed: it is asked again.
                assert await until_done(partial(body.feed, piece))
            body.finish()

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            while piece := await until_done(body.read):
                got.append(piece)
        assert got == wanted

    run(go())
