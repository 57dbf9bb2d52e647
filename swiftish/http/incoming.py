"""A body as it comes in from the socket: buffered a little, counted, and watched."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from swiftish.http.bodies import ClientGone
from swiftish.http.chunked import ChunkedDecoder
from swiftish.http.message import Body
from swiftish.http.replies import Refusal

# The socket is not read while this much waits for the handler, until it is down to the lower.
HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024


class Source(Protocol):
    """What an incoming body asks of its connection."""

    def send_continue(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def wait_for_body(self, incoming: "Incoming") -> None:
        """The handler waits for bytes: the client's time runs."""

    def body_came(self, incoming: "Incoming") -> None:
        """It waits no longer."""


class Incoming(Body):
    """The body of a client's request: `length` bytes, or chunks without one.

    Reading raises ClientGone when the client ends before its body does, Refusal 408 when it takes
    too long, and Refusal 400 when its chunks make no sense.
    """

    def __init__(
        self,
        source: Source,
        length: int | None,
        *,
        expects_continue: bool = False,
        keep_trailers: bool = False,
    ) -> None:
        self.length = length
        self.received = 0
        self.complete = False
        self.failure: Exception | None = None
        self.unclaimed = expects_continue  # the client waits for a word before it sends
        self._source = source
        self._decoder = ChunkedDecoder(keep_trailers=keep_trailers) if length is None else None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._discarding = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def left(self) -> int | None:
        """Bytes that are still to come, where that is known."""
        return None if self.length is None else self.length - self.received

    @property
    def waiting(self) -> bool:
        """Whether somebody waits in `read`."""
        return self._waiter is not None

    # ---- what the connection calls -------------------------------------------------------------

    def feed(self, data: bytes) -> bytes:
        """Bytes from the socket; returns those that came after the end of the body."""
        rest = b""
        if self._decoder is None:
            assert self.length is not None
            left = self.length - self.received
            if len(data) > left:
                data, rest = data[:left], data[left:]
            self.complete = len(data) == left
        else:
            try:
                data = self._decoder.feed(data)
            except Refusal as refusal:
                self.fail(refusal)
                return b""
            self.complete, rest = self._decoder.ended, self._decoder.rest
        self.received += len(data)
        if data and not self._discarding:
            self._pieces.append(data)
            self._buffered += len(data)
            if self._buffered > HIGH_WATER_BYTES and not self._paused:
                self._paused = True
                self._source.pause_reading()
        if data or self.complete:
            self._wake()
        return rest

    def fail(self, error: Exception) -> None:
        """There will be no more: every read raises `error`."""
        self.failure = error
        self.discard()
        self._wake()

    def discard(self) -> None:
        """Nobody will read what has come, and what may come is thrown away."""
        self._discarding = True
        self._pieces.clear()
        self._buffered = 0
        self._resume()

    def take(self) -> bytes:
        """All bytes of a body that is complete, for one that came at once."""
        assert self.complete
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        return data

    # ---- what the handler calls ----------------------------------------------------------------

    def trailers(self) -> Mapping[str, str]:
        """What the sender said behind the last chunk, once the body has been read to its end."""
        return self._decoder.trailers if self._decoder is not None else {}

    async def read(self) -> bytes:
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self._buffered -= len(piece)
                if self._paused and self._buffered <= LOW_WATER_BYTES:
                    self._resume()
                return piece
            if self.failure is not None:
                raise self.failure
            if self._discarding:  # the answer has been sent; whoever still reads comes too late
                raise ClientGone  # also when all had come: some of it may have been thrown away
            if self.complete:
                return b""
            if self.unclaimed:
                self.unclaimed = False
                self._source.send_continue()
            await self._wait()

    async def aclose(self) -> None:
        """Nothing: what to do with the rest of a body is decided when the answer is sent."""

    async def _wait(self) -> None:
        assert self._waiter is None, "a body has one reader"
        self._waiter = asyncio.get_running_loop().create_future()
        self._source.wait_for_body(self)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._source.body_came(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume_reading()
