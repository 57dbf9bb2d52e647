"""The client against nodes that say exactly the bytes they are told to, and break when told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from swiftish.domain.limits import KiB, MiB
from swiftish.http import client as client_module
from swiftish.http.bodies import FedBody, read_all
from swiftish.http.client import HttpClient
from swiftish.http.client_connection import BrokenBody, NodeGone
from swiftish.http.client_heads import HEAD_BYTES_MAX, HEADERS_MAX
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.outgoing import WrongLength
from swiftish.http.replies import empty
from tests.unit.http.serving import Recorder, served

GIVE_UP_S = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED += b"3\r\nhel\r\n2;x\r\nlo\r\n0\r\nT: x\r\n\r\n"
BARE = b"HTTP/1.1 204 No Content\r\n\r\n"


class Pieces(Body):
    """A body of pieces; `pulled` counts those that were."""

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.length = length
        self.pulled = 0
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        self.pulled += 1
        return self._pieces.pop(0) if self._pieces else b""


class Endless(Body):
    """Zeros for ever."""

    def __init__(self) -> None:
        self.length = 1 << 50
        self.pulled = 0

    async def read(self) -> bytes:
        self.pulled += 64 * KiB
        return bytes(64 * KiB)


@dataclass
class Peer:
    """One connection that a node has accepted."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # with its script, or cut

    async def head(self) -> bytes:
        """The next request's head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Node:
    """Plays a script on each connection, the last one for all that follow, and then closes it."""

    scripts: list[Script]
    port: int = 0
    peers: list[Peer] = field(default_factory=list)
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    client: HttpClient = field(default_factory=HttpClient)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        script = self.scripts[min(len(self.peers), len(self.scripts)) - 1]
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(peer)
        finally:
            writer.close()
            peer.ended.set()
            self.ended.release()

    async def ask(
        self, body: Body | bytes = b"", *, method: str = "GET", path: str = "/x"
    ) -> Response:
        sent = body if isinstance(body, Body) else Bytes(body)
        return await self.client.send(
            "127.0.0.1", self.port, Request(method=method, path=path, body=sent)
        )

    async def text(self, body: Body | bytes = b"", *, method: str = "GET") -> bytes:
        async with await self.ask(body, method=method) as response:
            return await read_all(response.body, size_max=MiB)


@contextlib.asynccontextmanager
async def node(*scripts: Script) -> AsyncIterator[Node]:
    running = Node(list(scripts))
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(GIVE_UP_S):
            yield running
            await running.client.aclose()
    finally:
        server.close()
        for peer in running.peers:
            peer.reset()
        await asyncio.sleep(0)


def saying(*answers: bytes, after: Script | None = None) -> Script:
    """Answers one request after another with these bytes."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.head()
            await peer.say(answer)
        if after is not None:
            await after(peer)

    return script


async def hang(peer: Peer) -> None:
    """Read for ever."""
    while await peer.reader.read(MiB):
        pass


def keeping(answer: bytes) -> Script:
    """Answers each request alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.say(answer)

    return script


def run(scenario: Callable[[Node], Awaitable[None]], *scripts: Script) -> None:
    async def go() -> None:
        async with node(*scripts) as running:
            await scenario(running)

    asyncio.run(go())


# ---- answers that are none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 \uff1200 OK\r\nContent-Length: 0\r\n\r\n".encode(),
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b" HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        # T69: where does the body end?
        b"HTTP/1.1 200 OK\r\n\r\nuntil I close",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        # more than anybody needs
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100 + OK,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * (2 * HEAD_BYTES_MAX),
        b"x" * (2 * HEAD_BYTES_MAX),
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * HEADERS_MAX + b"Content-Length: 0\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:50]),
)
def test_t69_an_answer_that_is_none(answer: bytes) -> None:
    """NodeGone, at once though the node hangs, and the connection is cut."""

    async def scenario(at: Node) -> None:
        with pytest.raises(NodeGone):
            await at.ask()
        await at.peers[0].ended.wait()

    run(scenario, saying(answer, after=hang))


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED.replace(b"2;x\r\n", b"x\r\n"),
        CHUNKED.replace(b"2;x\r\n", b"-2\r\n"),
        CHUNKED.replace(b"hel\r\n", b"help\r\n"),
        CHUNKED.replace(b"3\r\n", b"3" * 30 + b"\r\n"),
        CHUNKED.replace(b"T: x", b"T" * 9000),
    ],
)
def test_t69_a_body_that_is_none(answer: bytes) -> None:
    """BrokenBody after what made sense, and the connection is cut."""

    async def scenario(at: Node) -> None:
        response = await at.ask()
        with pytest.raises(BrokenBody):
            await read_all(response.body, size_max=MiB)
        await response.body.aclose()
        await at.peers[0].ended.wait()

    run(scenario, saying(answer, after=hang))


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + OK])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_t70_an_answer_that_ends_at_any_byte(answer: bytes, how: str) -> None:
    """Is never taken for a whole one."""

    async def scenario(at: Node) -> None:
        for _ in range(len(answer)):
            with pytest.raises((NodeGone, BrokenBody)):
                await at.text()
        assert len(at.peers) == len(answer), "nothing is asked twice on a new connection"
        assert await at.text() == b"hello"

    def cut_at(size: int) -> Script:
        async def script(peer: Peer) -> None:
            await peer.head()
            await peer.say(answer[:size])
            if how == "reset" and size < len(answer):
                await asyncio.sleep(0.001)  # else it may overtake what was said
                peer.reset()

        return script

    run(scenario, *[cut_at(size) for size in range(len(answer) + 1)])


@pytest.mark.parametrize("answer", [OK, CHUNKED])
def test_an_answer_byte_by_byte(answer: bytes) -> None:
    """Is the same answer; and so is the next one on this connection."""

    async def drip(peer: Peer) -> None:
        while True:
            await peer.head()
            for byte in answer:
                await peer.say(bytes([byte]))
                await asyncio.sleep(0)

    async def scenario(at: Node) -> None:
        for _ in range(3):
            assert await at.text() == b"hello"
        assert len(at.peers) == 1

    run(scenario, drip)


# ---- connections kept --------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [OK, CHUNKED, BARE, b"HTTP/1.1 103 Hint\r\n\r\n" + OK])
def test_a_connection_is_kept(answer: bytes) -> None:
    """One after another; as many connections as there are requests at a time."""

    async def scenario(at: Node) -> None:
        for _ in range(5):
            await at.text()
        assert len(at.peers) == 1
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(at.text())
        assert len(at.peers) == 10

    run(scenario, keeping(answer))


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"X-A: b", b"Connection: close"),
        OK.replace(b"X-A: b", b"Connection: foo, Close"),
        OK.replace(b"1.1", b"1.0"),
        OK + b"H",  # whose byte would that be?
        CHUNKED + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        BARE + b"x",
    ],
)
def test_a_connection_is_not_kept(answer: bytes) -> None:
    """When its end was announced, or something follows that nobody asked for."""

    async def scenario(at: Node) -> None:
        for turn in range(1, 4):
            assert await at.text() in {b"hello", b""}
            assert len(at.peers) == turn

    run(scenario, keeping(answer))


def test_what_comes_unasked_is_no_answer() -> None:
    """Bytes on an idle connection end it."""

    async def unasked(peer: Peer) -> None:
        await peer.head()
        await peer.say(OK)
        await asyncio.sleep(0.05)
        await peer.say(OK.replace(b"hello", b"evil!"))
        await hang(peer)

    async def scenario(at: Node) -> None:
        assert await at.text() == b"hello"
        await at.peers[0].ended.wait()
        assert await at.text() == b"hello"
        assert len(at.peers) == 2

    run(scenario, unasked)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    ("make", "sent"),
    [
        (lambda: Bytes(b"abc"), b"abc"),
        (Bytes, b""),
        (lambda: Pieces(b"abc", length=2 * MiB), b""),
        (Pieces, b""),
    ],
)
def test_a_kept_connection_that_ends_when_it_is_used(
    make: Callable[[], Body], sent: bytes, reset: bool
) -> None:
    """The request goes out again on a new one, once, with the same body."""

    async def stale(peer: Peer) -> None:
        await saying(OK)(peer)
        await peer.head()
        if reset:
            peer.reset()

    async def fresh(peer: Peer) -> None:
        await peer.head()
        assert await peer.reader.readexactly(len(sent)) == sent
        await peer.say(OK)

    async def scenario(at: Node) -> None:
        await at.text()
        assert await at.text(make(), method="PUT") == b"hello"
        assert len(at.peers) == 2

    run(scenario, stale, fresh)


def test_a_request_is_not_sent_again() -> None:
    """When something of its body has been pulled, when an answer has begun, or a second time."""

    async def scenario(at: Node) -> None:
        await at.text()
        with pytest.raises(NodeGone):
            await at.text(Pieces(b"abc", length=3), method="PUT")
        assert len(at.peers) == 1
        await at.text()
        with pytest.raises(NodeGone):
            await at.text()
        assert len(at.peers) == 2
        await at.text()
        with pytest.raises(NodeGone):
            await at.text()
        assert len(at.peers) == 4

    async def stale(peer: Peer) -> None:
        await saying(OK)(peer)
        await peer.head()

    async def begins(peer: Peer) -> None:
        await saying(OK)(peer)
        await peer.head()
        await peer.say(b"H")

    async def at_once(peer: Peer) -> None:
        await peer.head()

    run(scenario, stale, begins, stale, at_once)


def test_a_connection_that_the_node_has_closed() -> None:
    """Is not used again."""

    async def scenario(at: Node) -> None:
        for turn in range(1, 5):
            assert await at.text() == b"hello"
            assert len(at.peers) == turn
            assert await at.peers[-1].reader.read() == b""

    run(scenario, saying(OK))


def test_connections_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor too many of them."""

    async def scenario(at: Node) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(at.text())
        assert len(at.peers) == 5
        for _ in range(3):
            await at.ended.acquire()
        assert sum(peer.ended.is_set() for peer in at.peers) == 3
        monkeypatch.setattr(client_module, "IDLE_S_MAX", -1.0)
        await at.text()
        assert len(at.peers) == 6

    monkeypatch.setattr(client_module, "IDLE_MAX", 2)
    run(scenario, keeping(OK))


# ---- requests ----------------------------------------------------------------------------------


def test_a_small_request_is_one_write() -> None:
    """Head, body and trailers; nothing is said that need not be."""
    seen: list[bytes] = []

    async def listen(peer: Peer) -> None:
        while True:
            seen.append(await peer.reader.read(MiB))
            await peer.say(BARE)

    async def scenario(at: Node) -> None:
        head = b" HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % at.port
        await at.ask()
        await at.ask(method="PUT")
        await at.ask(b"abc", method="PUT")
        trailers = {"etag": "1\r\nx: y", "host": "evil", "": "no name", "x_y": "z", "Upper": "u"}
        for data in (b"abc", b""):
            request = Request(
                method="PUT", path="/x", body=Bytes(data), trailers=lambda: trailers, query="a=b c"
            )
            await at.client.send("127.0.0.1", at.port, request)
        end = b"0\r\netag: 1  x: y\r\nupper: u\r\n\r\n"
        assert seen == [
            b"GET /x" + head + b"\r\n",
            b"PUT /x" + head + b"content-length: 0\r\n\r\n",
            b"PUT /x" + head + b"content-length: 3\r\n\r\nabc",
            b"PUT /x?a=b%20c" + head + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" + end,
            b"PUT /x?a=b%20c" + head + b"transfer-encoding: chunked\r\n\r\n" + end,
        ]

    run(scenario, listen)


def test_a_large_body_is_offered() -> None:
    """So is one of unknown length, and in memory; others come unasked."""
    heads: list[bytes] = []

    async def listen(peer: Peer) -> None:
        while True:
            heads.append(await peer.head())
            if b"expect" in heads[-1]:
                await peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            if b"chunked" in heads[-1]:
                await peer.reader.readuntil(b"0\r\n\r\n")
            else:
                await peer.reader.readexactly(int(heads[-1].split(b"content-length: ")[1][:7]))
            await peer.say(BARE)

    async def scenario(at: Node) -> None:
        await at.ask(Pieces(b"x" * MiB, length=MiB), method="PUT")
        await at.ask(Pieces(b"x" * MiB, b"y", length=MiB + 1), method="PUT")
        await at.ask(bytes(MiB + 1), method="PUT")
        await at.ask(Pieces(b"abc"), method="PUT")
        assert [b"100-continue" in head for head in heads] == [False, True, True, True]
        assert [b"chunked" in head for head in heads] == [False, False, False, True]
        assert len(at.peers) == 1

    run(scenario, listen)


@pytest.mark.parametrize(
    "body",
    [
        Pieces(b"abc", length=4),
        Pieces(b"abc", b"de", length=4),
        Pieces(length=1),
        Pieces(b"x" * MiB, length=MiB + 1),
    ],
)
@pytest.mark.parametrize("trailers", [True, False])
def test_a_body_of_another_length(body: Pieces, trailers: bool) -> None:
    """Is an error of whoever sends it, and never a whole body for the node."""
    heard = bytearray()

    async def listen(peer: Peer) -> None:
        head = await peer.head()
        if b"expect" in head:
            await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        while data := await peer.reader.read(MiB):
            heard.extend(data)

    async def scenario(at: Node) -> None:
        again = Pieces(*body._pieces, length=body.length)
        request = Request(method="PUT", path="/x", body=again)
        if trailers:
            request = request.replace(trailers=lambda: {"etag": "x"})
        with pytest.raises(WrongLength):
            await at.client.send("127.0.0.1", at.port, request)
        await asyncio.sleep(0.01)
        assert b"\r\n0\r\n" not in heard
        assert again.length is not None
        assert trailers or len(heard) < again.length

    run(scenario, listen)


@pytest.mark.parametrize("expects", [True, False])
def test_an_answer_before_the_body_has_ended(expects: bool) -> None:
    """Nothing more is pulled; the answer is heard; the connection is not used again."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        if expects:
            await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            await peer.reader.readexactly(1000)
        await peer.say(OK)
        await hang(peer)

    async def scenario(at: Node) -> None:
        body = Endless()
        async with await at.ask(body, method="PUT") as response:
            assert await read_all(response.body, size_max=9) == b"hello"
        assert (body.pulled > 0) is expects
        pulled = body.pulled
        await asyncio.sleep(0.01)
        assert body.pulled == pulled
        await at.peers[0].ended.wait()
        assert await at.text() == b"hello"
        assert len(at.peers) == 2

    run(scenario, refuse, keeping(OK))


def test_an_answer_while_the_source_has_nothing() -> None:
    """The body's source is not waited for; its own errors stay its own."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.reader.readexactly(8)
        await peer.say(OK)
        await hang(peer)

    class Late(Body):
        async def read(self) -> bytes:
            raise TimeoutError("the source's")

    async def scenario(at: Node) -> None:
        body = FedBody()
        await body.feed(b"abc")
        assert await at.text(body, method="PUT") == b"hello"
        with pytest.raises(TimeoutError, match="the source's"):
            await at.text(Late(), method="PUT")

    run(scenario, refuse)


@pytest.mark.parametrize("reset", [True, False])
def test_a_node_that_dies_while_the_source_has_nothing(reset: bool) -> None:
    """The source is not waited for."""

    async def die(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.reader.readexactly(8)
        if reset:
            peer.reset()

    async def scenario(at: Node) -> None:
        body = FedBody()
        await body.feed(b"abc")
        with pytest.raises(NodeGone):
            await at.text(body, method="PUT")

    run(scenario, die)


def test_a_node_that_does_not_read() -> None:
    """Back-pressure: no more is pulled than buffers hold; the caller's deadline ends it."""

    async def deaf(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(GIVE_UP_S)

    async def scenario(at: Node) -> None:
        body = Endless()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await at.ask(body, method="PUT")
        assert 0 < body.pulled < 32 * MiB

    run(scenario, deaf)


@pytest.mark.parametrize("stage", [b"", b"HTTP/1.1 200", OK[:-2], CHUNKED[:-9]])
def test_t71_a_node_that_stops_in_the_middle(stage: bytes) -> None:
    """Is waited for as long as the caller likes."""

    async def scenario(at: Node) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await at.text()
        await at.peers[0].ended.wait()

    run(scenario, saying(stage, after=hang))


def test_t74_cancelled_at_any_moment(chance: random.Random) -> None:
    """No connection is left over, none is used for two, and no answer is another request's."""

    async def echo(request: Request) -> Response:
        data = await read_all(request.body, size_max=10 * MiB)
        return empty(200).replace(body=Pieces(*filter(None, [data, request.path.encode()])))

    async def go() -> None:
        client = HttpClient()

        async def ask(i: int, port: int) -> None:
            data = bytes([i]) * chance.choice((0, 10, 300 * KiB, 2 * MiB))
            request = Request(method="PUT", path=f"/{i}", body=Bytes(data))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, 0.02)):
                    async with await client.send("127.0.0.1", port, request) as response:
                        answer = await read_all(response.body, size_max=10 * MiB)
                    assert answer == data + f"/{i}".encode()

        async with served(echo) as running:
            for _ in range(20):
                async with asyncio.TaskGroup() as group:
                    for i in range(10):
                        group.create_task(ask(i, running.server.port))
            await asyncio.sleep(0.1)
            idle = sum(map(len, client._idle.values()))
            assert len(client._connections) == idle <= 10
            await client.aclose()
            assert not client._connections
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())


# ---- no connection -----------------------------------------------------------------------------


def test_nobody_listens() -> None:
    """NodeGone, which is an OSError; nothing of the body is pulled."""

    async def go() -> None:
        body = Pieces(b"abc", length=3)
        client = HttpClient()
        with pytest.raises(NodeGone) as caught:
            await client.send("127.0.0.1", 1, Request(method="PUT", path="/", body=body))
        assert isinstance(caught.value, OSError)
        assert body.pulled == 0
        await client.aclose()
        with pytest.raises(NodeGone):
            await client.send("127.0.0.1", 1, Request(method="GET", path="/"))

    asyncio.run(go())


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port that takes no more connections, and does not say so."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_a_connection_takes_too_long(full_port: int) -> None:
    """The client gives up by itself: a machine that is off says nothing at all."""

    async def go() -> None:
        client = HttpClient(connect_timeout_s=0.05)
        with pytest.raises(NodeGone):
            await client.send("127.0.0.1", full_port, Request(method="GET", path="/"))
        await client.aclose()

    asyncio.run(go())


def test_the_client_is_closed() -> None:
    """Whoever waits for an answer hears of it."""

    async def scenario(at: Node) -> None:
        response = await at.ask()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(pytest_raises(BrokenBody, response.body.read))
            asking = group.create_task(pytest_raises(NodeGone, at.ask))
            await asyncio.sleep(0.05)
            await at.client.aclose()
        assert reading.result()
        assert asking.result()

    async def pytest_raises(kind: type[Exception], act: Callable[[], Awaitable[object]]) -> bool:
        with pytest.raises(kind):
            await act()
        return True

    run(scenario, saying(OK[:-5], after=hang), hang)


def test_requests_that_are_none() -> None:
    """Are bugs of the caller's: nothing is sent."""

    async def go() -> None:
        handler, client = Recorder(), HttpClient()
        async with served(handler) as running:
            for method, path in (("GET", "x"), ("GET", "/\ud800"), ("G T", "/")):
                request = Request(method=method, path=path)
                with pytest.raises(ValueError, match=r"method|path|encode"):
                    await client.send("127.0.0.1", running.server.port, request)
            await client.aclose()
        assert handler.requests == []

    asyncio.run(go())
