"""An HttpServer on a loopback socket, and clients that send exactly the bytes they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from swiftish.domain.limits import Limits
from swiftish.domain.timestamp import Timestamp
from swiftish.http.bodies import read_all
from swiftish.http.message import Bytes, Context, Handler, Request, Response
from swiftish.http.peers import Peers
from swiftish.http.server import DEFAULT_PATIENCE, HttpServer, Patience

# Long enough for a busy machine; a test that waits for it fails.
GIVE_UP_S = 20.0
QUICK = Patience(head_s=0.2, keepalive_s=0.3, write_s=0.3, linger_s=0.2)


class StoppedClock:
    """A clock that shows one moment."""

    def now(self) -> float:
        return 1_000_000_000.0

    def timestamp(self) -> Timestamp:
        return Timestamp.from_seconds(self.now())

    def observe(self, timestamp: Timestamp) -> None:
        del timestamp


@dataclass
class Recorder:
    """A handler that remembers its requests and says what it got: `/path`, `query`, headers."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await read_all(request.body, size_max=10_000_000))
        return Response(status=200, headers={"content-type": "text/plain"}, body=Bytes(b"seen"))


@dataclass
class Answer:
    """A response as it was on the wire; `names` are its headers' names as they were spelled."""

    status: int
    headers: Mapping[str, str]
    names: list[str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, method: str = "GET") -> Answer:
        """The next response; raises IncompleteReadError when it is cut short."""
        async with asyncio.timeout(GIVE_UP_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].decode("utf-8", "surrogateescape").split("\r\n")
            version, status, _ = first.split(" ", 2)
            assert version == "HTTP/1.1"
            pairs = [line.split(": ", 1) for line in lines]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), "a header was sent twice"
            code = int(status)
            if method == "HEAD" or code in {100, 204, 304}:
                body = b""
            elif headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
            return Answer(code, headers, [name for name, _ in pairs], body)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def at_end(self) -> bool:
        """Whether the server closes without another word; waits for either."""
        async with asyncio.timeout(GIVE_UP_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def ask(self, data: bytes, *, method: str = "GET") -> Answer:
        await self.send(data)
        return await self.answer(method=method)

    def reset(self) -> None:
        """Go away as a killed process does."""
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


@dataclass
class Served:
    """A running server."""

    server: HttpServer

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        client = Client(reader, writer)
        try:
            yield client
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, data: bytes, *, method: str = "GET") -> Answer:
        """Send on a connection of its own."""
        async with self.client() as client:
            return await client.ask(data, method=method)


@contextlib.asynccontextmanager
async def served(
    handler: Handler,
    *,
    context: Callable[[], Context] = Context,
    transaction_suffix: str = "",
    client_timeout_s: float = 60.0,
    patience: Patience = DEFAULT_PATIENCE,
    access_log: bool = False,
    peers: Peers | None = None,
) -> AsyncIterator[Served]:
    """Serve `handler` until the block ends; then nothing may be left of the server."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    server = HttpServer(
        handler,
        context=context,
        clock=StoppedClock(),
        limits=Limits(),
        transaction_suffix=transaction_suffix,
        client_timeout_s=client_timeout_s,
        patience=patience,
        access_log=access_log,
        peers=peers,
    )
    await server.start(sock)
    try:
        yield Served(server)
    finally:
        await server.drain(GIVE_UP_S)
    assert not server.connections


def get(target: str | bytes = "/", *headers: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body."""
    path = target if isinstance(target, bytes) else target.encode()
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), b"Host: a", *headers, b"", b""])


def put(body: bytes, *headers: bytes, target: bytes = b"/") -> bytes:
    """A request with a body and its length."""
    length = b"Content-Length: %d" % len(body)
    return get(target, length, *headers, method=b"PUT") + body
