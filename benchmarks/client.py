"""A load generator's HTTP client: as little work per request as Python allows.

It shares the machine with the server it measures, so it must be cheap: requests are ready-made
bytes, answers are looked at only for their status and length, bodies are counted and dropped, and
no coroutine runs per request.  It speaks what the benchmark needs of HTTP/1.1 and no more.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

BUFFER_BYTES = 256 * 1024
BODILESS = frozenset({204, 304})


class BadTarget(ValueError):
    """A target that is not NAME=http://USER:KEY@HOST:PORT; the message says what is wrong."""


class Broken(Exception):
    """The server closed a connection, or answered what this client does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server, signed in to."""

    name: str
    host: str
    port: int
    root: str  # the path of the account
    token: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Sign in at NAME=http://USER:KEY@HOST:PORT (a user may hold colons, a key not).

        Raises BadTarget.
        """
        name, _, url = text.partition("=")
        parts = urlsplit(url)
        user, _, key = parts.netloc.rpartition("@")[0].rpartition(":")
        if not (name and parts.scheme == "http" and parts.hostname and user and key):
            raise BadTarget(f"{text!r} is not NAME=http://USER:KEY@HOST:PORT")
        port = parts.port or 80
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=30)
        try:
            headers = {"X-Auth-User": user, "X-Auth-Key": key}
            connection.request("GET", "/auth/v1.0", headers=headers)
            reply = connection.getresponse()
            token, storage = reply.getheader("X-Auth-Token"), reply.getheader("X-Storage-Url")
        finally:
            connection.close()
        if not (token and storage):
            raise BadTarget(f"{url} does not let {user} in: {reply.status}")
        root = urlsplit(storage).path
        return cls(name=name, host=parts.hostname, port=port, root=root, token=token)

    def head(self, method: str, path: str, *, length: int | None = None) -> bytes:
        """The head of a request for a path below the account, percent-encoded already."""
        lines = [
            f"{method} {self.root}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"X-Auth-Token: {self.token}",
        ]
        if length is not None:
            lines += [f"Content-Length: {length}", "Content-Type: application/octet-stream"]
        return "\r\n".join((*lines, "", "")).encode()

    def simple(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """One request, when speed does not matter: status, headers in lower case, body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        try:
            connection.request(method, self.root + path, headers={"X-Auth-Token": self.token})
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            return reply.status, headers, reply.read()
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: its first bytes, and the rest of a body that is too large for one write."""

    data: bytes
    more: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Tally:
    """What came of a phase."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    body_bytes: int = 0  # received
    elapsed_s: float = 0.0

    @property
    def count(self) -> int:
        return len(self.latencies_s)


class Connection(asyncio.BufferedProtocol):
    """One kept-alive connection with one request at a time; `answered` is called after each."""

    def __init__(self, answered: Callable[[Connection, int, int], None]) -> None:
        self._answered = answered
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0  # bytes of a head that is not complete yet
        self._left = -1  # bytes of the body still to come; -1 while in the head
        self._received = 0
        self._status = 0
        self._is_head = False
        self._paused = False
        self._more: Iterator[bytes] = iter(())
        self._transport: asyncio.Transport | None = None
        self.began_s = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, ask: Ask) -> None:
        assert self._transport is not None
        self._is_head = ask.data.startswith(b"HEAD ")
        self._left, self._filled, self._received = -1, 0, 0
        self.began_s = time.perf_counter()
        self._transport.write(ask.data)
        if ask.more:
            self._more = iter(ask.more)
            self._send_more()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _send_more(self) -> None:
        assert self._transport is not None
        while not self._paused and (piece := next(self._more, None)) is not None:
            self._transport.write(piece)

    # ---- called by the event loop ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1 << 20)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_more()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._left < 0:
            nbytes = self._read_head(nbytes)
            if self._left < 0:
                return
        self._received += nbytes
        self._left -= nbytes
        if self._left == 0:
            self._answered(self, self._status, self._received)
        elif self._left < 0:
            raise Broken("the answer is longer than it said")

    def _read_head(self, nbytes: int) -> int:
        """Take the head in, once it is complete.  Returns how many bytes of the body came too."""
        self._filled += nbytes
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return 0
        filled, self._filled = self._filled, 0
        self._status = int(self._buffer[9:12])
        if self._is_head or self._status in BODILESS:
            self._left = 0
        else:
            head = self._buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                raise Broken(f"an answer without a length: {bytes(head)!r}")
            stop = head.find(b"\r\n", at + 2)
            self._left = int(head[at + 17 : stop if stop >= 0 else end])
        return filled - end - 4


async def drive(
    target: Target, asks: Iterator[Ask], *, concurrency: int, duration_s: float | None = None
) -> Tally:
    """Keep so many connections busy until the time is up or the requests are.

    Requests under way when the time is up are waited for and counted.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    finished = loop.create_future()
    busy = concurrency
    deadline = float("inf")

    def answered(connection: Connection, status: int, size: int) -> None:
        now = time.perf_counter()
        tally.latencies_s.append(now - connection.began_s)
        tally.statuses[status] = tally.statuses.get(status, 0) + 1
        tally.body_bytes += size
        go_on(connection, now)

    def go_on(connection: Connection, now: float) -> None:
        nonlocal busy
        ask = next(asks, None) if now < deadline else None
        if ask is not None:
            connection.send(ask)
            return
        busy -= 1
        if busy == 0 and not finished.done():
            finished.set_result(None)

    def lost(_: asyncio.Future[None]) -> None:
        if not finished.done():
            finished.set_exception(Broken(f"{target.name} closed a connection"))

    connections: list[Connection] = []
    for _ in range(concurrency):
        _, connection = await loop.create_connection(
            lambda: Connection(answered), target.host, target.port
        )
        connection.closed.add_done_callback(lost)
        connections.append(connection)
    began = time.perf_counter()
    if duration_s is not None:
        deadline = began + duration_s
    for connection in connections:
        go_on(connection, began)
    await finished
    tally.elapsed_s = time.perf_counter() - began
    for connection in connections:
        connection.close()
    for connection in connections:
        await connection.closed
    return tally
