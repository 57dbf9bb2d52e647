"""Bodies made of other bodies, and a pipe from one that writes to one that reads.

Closing one always closes what it is made of.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from swiftish.http.message import Body, Bytes
from swiftish.http.replies import Refusal

Opener: TypeAlias = Callable[[], Awaitable[Body]]


class ClientGone(Refusal):
    """The body ended before its end: its sender went away.  Nothing of it may be kept."""

    def __init__(self) -> None:
        super().__init__(499)


class TooLong(Refusal):
    """The body is longer than somebody is willing to read."""

    def __init__(self, size_max: int) -> None:
        super().__init__(413)
        self.size_max = size_max


async def read_all(body: Body, *, size_max: int) -> bytes:
    """All bytes of a body that is known to be small.  Raises TooLong, and what the body raises."""
    if body.length is not None and body.length > size_max:
        raise TooLong(size_max)
    if isinstance(body, Bytes):
        return body.take()
    pieces: list[bytes] = []
    size = 0
    while piece := await body.read():
        size += len(piece)
        if size > size_max:
            raise TooLong(size_max)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Prefixed(Body):
    """`source` once more from its beginning: `first` is what has been read from it already.

    A body's `length` counts all of its bytes, read or not, so it stays that of `source`.
    """

    def __init__(self, first: bytes | Sequence[bytes], source: Body) -> None:
        pieces = [first] if isinstance(first, bytes) else first
        self._first = deque(piece for piece in pieces if piece)
        self._source = source
        self.length = source.length

    async def read(self) -> bytes:
        return self._first.popleft() if self._first else await self._source.read()

    async def aclose(self) -> None:
        await self._source.aclose()


class Joined(Body):
    """Several bodies, one after another; each is opened when the one before it has ended.

    `length` is that of all of them, where it is known.  What an opener raises, `read` raises.
    """

    def __init__(self, openers: Iterable[Opener], *, length: int | None = None) -> None:
        self._openers = iter(openers)
        self._current: Body | None = None
        self.length = length

    async def read(self) -> bytes:
        while True:
            if self._current is None:
                opener = next(self._openers, None)
                if opener is None:
                    return b""
                self._current = await opener()
            if piece := await self._current.read():
                return piece
            ended, self._current = self._current, None
            await ended.aclose()

    async def aclose(self) -> None:
        self._openers = iter(())
        if self._current is not None:
            current, self._current = self._current, None
            await current.aclose()


class FedBody(Body):
    """A pipe with room for one piece: one task feeds, another reads.

    The reader sets the pace: `feed` waits until the piece before has been taken.  Whoever leaves
    wakes the other: `fail` makes every read raise; after `aclose`, `feed` says False at once.
    All state is in the fields and the futures only wake, so cancelling either side loses nothing.

    `accepted` is set when the reader first reads, `closed` when it has closed.
    """

    def __init__(self, *, length: int | None = None) -> None:
        self.length = length
        self.accepted = asyncio.Event()
        self.closed = asyncio.Event()
        self._slot: bytes | None = None
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None  # waits for a piece
        self._feeder: asyncio.Future[None] | None = None  # waits for room

    async def feed(self, piece: bytes) -> bool:
        """Pass a piece on, once there is room.  False: nobody will read it, now or later."""
        assert piece
        assert not self._ended
        while self._slot is not None and not self._broken:
            self._feeder = asyncio.get_running_loop().create_future()
            try:
                await self._feeder
            finally:
                self._feeder = None
        if self._broken:
            return False
        self._slot = piece
        _wake(self._reader)
        return True

    def finish(self) -> None:
        """The body ends after what has been fed."""
        self._ended = True
        _wake(self._reader)

    def fail(self, error: Exception) -> None:
        """The body breaks here: every read raises `error`.  Too late once it has been finished
        and read, or closed."""
        self._error = error
        self._slot = None
        _wake(self._reader)
        _wake(self._feeder)

    async def read(self) -> bytes:
        """The next piece; b"" after `finish`.  Raises what `fail` was given."""
        self.accepted.set()
        while True:
            if self._error is not None:
                raise self._error
            if self.closed.is_set():
                raise RuntimeError("read after aclose")
            if self._slot is not None:
                piece, self._slot = self._slot, None
                _wake(self._feeder)
                return piece
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def aclose(self) -> None:
        """The reader leaves.  A read that waits in another task raises."""
        self.closed.set()
        self._slot = None
        _wake(self._reader)
        _wake(self._feeder)

    @property
    def _broken(self) -> bool:
        return self._error is not None or self.closed.is_set()


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
