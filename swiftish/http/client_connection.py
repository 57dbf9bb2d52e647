"""One kept-alive connection to a node: requests out one at a time, answers in.

Theory of operation.  As on the server's side the protocol's callbacks are synchronous, and all
state is in fields; futures only wake whoever waits.  What is under way is one `_Exchange`.  The
caller's own task writes the request and waits for the head of the answer; a small answer that has
come whole is in memory then, of a larger one the body is read as it is pulled (`AnswerBody`).

A node may answer before it has read a body, or break.  Either ends the sending at once, though the
task may be waiting for the body's source: the exchange has an `asyncio.timeout` without a time,
which is moved to now.  No task of its own is needed for the body, and what `body.read()` raises
reaches the caller as it is.

A connection goes back to its pool when nobody can be in doubt where the next answer begins: all
that was promised has been sent, all that was announced has come, and not a byte more.  In every
other case it is cut.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from swiftish.http.chunked import last_chunk
from swiftish.http.client_heads import HEAD_BYTES_MAX, AnswerHead, parse_answer_head, request_head
from swiftish.http.incoming import Incoming
from swiftish.http.message import Body, Bytes, Response, no_trailers
from swiftish.http.outgoing import JOIN_BYTES_MAX, YIELD_BYTES, WrongLength
from swiftish.http.peer_auth import CHALLENGE_BYTES, CHALLENGE_PATH, SIGNATURE, Signer
from swiftish.http.request_head import HEAD_END

# Answers of 1xx to one request; a node says 100 once.
INTERIM_MAX = 8


class NodeGone(ConnectionError):
    """A node can't be reached, breaks off, or answers what is no answer."""


class BrokenBody(ConnectionError):
    """The body of an answer ends early, or makes no sense."""


class Unheard(NodeGone):
    """The connection ended before a byte of the answer came."""


class Pool(Protocol):
    """What a connection tells whoever keeps it."""

    def release(self, connection: "ClientConnection") -> None:
        """It is ready for another request."""

    def forget(self, connection: "ClientConnection") -> None:
        """It has ended."""


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A request, ready to be sent to any node, and again if nothing of its body was pulled.

    `data` is all that follows the head, where it is in memory; else `body` is pulled.  `offered`:
    it is pulled when the node has asked for it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    data: Sequence[bytes] | None = ()
    body: Body = field(default_factory=Bytes)
    trailers: Callable[[], Mapping[str, str]] = no_trailers
    chunked: bool = False
    offered: bool = False
    begun: bool = False  # something of the body has been pulled, and can't be pulled again


class AnswerBody(Incoming):
    """The body of an answer.  Reading raises BrokenBody; what came before can be read first.
    Closed before its end it costs the connection."""

    def __init__(self, connection: "ClientConnection", length: int | None) -> None:
        super().__init__(connection, length)
        self._connection: ClientConnection | None = connection

    def feed(self, data: bytes) -> bytes:
        rest = super().feed(data)
        if self.complete:
            self._resume()  # what comes next on this connection is somebody else's
        return rest

    def fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = BrokenBody(str(error))
            self._wake()

    async def aclose(self) -> None:
        self.fail(BrokenBody("read after aclose"))
        self.discard()
        if not self.complete and self._connection is not None:
            self._connection.cut()
        self._connection = None


class ClientConnection(asyncio.Protocol):
    """Made by the pool; `node` is its name for people."""

    def __init__(self, pool: Pool, node: str) -> None:
        self.node = node
        self.idle_since = 0.0
        self.pooled = False  # back to the pool, whenever an answer has ended
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._signer: Signer | None = None
        self._exchange: _Exchange | None = None
        self._buffer = b""  # of a head that has not ended
        self._reading_paused = False
        self._writing_paused = False

    # ---- the protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.cut()  # nobody has asked; it must not be taken for the next answer
        elif exchange.body is not None:
            self._more(exchange, exchange.body, data)
        else:
            self._buffer = self._buffer + data if self._buffer else data
            try:
                self._understand(exchange)
            except ConnectionError as error:
                self._break(NodeGone(f"{self.node}: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._exchange is not None:
            why = f"{self.node}: the connection ended" + (f": {exc}" if exc else "")
            heard = self._buffer or self._exchange.interim or self._exchange.response
            self._break(NodeGone(why) if heard else Unheard(why))
        self._pool.forget(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._exchange is not None:
            self._exchange.wake()

    # ---- what comes in -------------------------------------------------------------------------

    def _understand(self, exchange: "_Exchange") -> None:
        """Take the heads at the front of the buffer, up to that of the answer.

        Raises ConnectionError for what is none.
        """
        while (end := self._buffer.find(HEAD_END)) >= 0:
            if end > HEAD_BYTES_MAX:
                break
            head = parse_answer_head(self._buffer[:end], method=exchange.method)
            self._buffer = self._buffer[end + len(HEAD_END) :]
            if head.status >= 200:
                self._begin(exchange, head)
                return
            exchange.interim += 1
            if head.status == 101 or exchange.interim > INTERIM_MAX:
                raise NodeGone(f"an answer of {head.status} that nobody waits for")
            if head.status == 100:
                exchange.wanted = True
                exchange.wake()
        if len(self._buffer) > HEAD_BYTES_MAX:
            raise NodeGone(f"the head of an answer has more than {HEAD_BYTES_MAX} bytes")

    def _begin(self, exchange: "_Exchange", head: AnswerHead) -> None:
        data, self._buffer = self._buffer, b""  # what came of the body
        exchange.keep_alive = head.keep_alive
        body: Body
        if head.bodiless or head.length == 0:
            body = Bytes()
            self._end(exchange, data)
        elif head.length is not None and len(data) >= head.length:
            body = Bytes(data[: head.length])
            self._end(exchange, data[head.length :])
        else:
            body = exchange.body = AnswerBody(self, head.length)
            if data:
                self._more(exchange, exchange.body, data)
        exchange.response = Response(
            status=head.status, headers=head.headers, body=body, length=head.length
        )
        exchange.wake()
        exchange.interrupt()

    def _more(self, exchange: "_Exchange", body: AnswerBody, data: bytes) -> None:
        rest = body.feed(data)
        if body.complete:
            self._end(exchange, rest)
        elif body.failure is not None:
            self.cut()

    def _end(self, exchange: "_Exchange", rest: bytes) -> None:
        """The answer has come to its end, with `rest` behind it."""
        self._exchange = None
        transport = self._transport
        if transport is None:
            return
        if exchange.sent and exchange.keep_alive and not rest and not transport.is_closing():
            if self.pooled:
                self._pool.release(self)
        else:
            self.cut()

    def _break(self, error: NodeGone) -> None:
        """Whoever waits for something of this connection has waited long enough."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.body is not None:
                exchange.body.fail(error)
            exchange.error = error
            exchange.wake()
            exchange.interrupt()
        self.cut()

    # ---- what a body on its way in asks for (incoming.Source) ----------------------------------

    def send_continue(self) -> None:
        """Nothing: answers are not offered."""

    def wait_for_body(self, incoming: Incoming) -> None:
        """Nothing: how long to wait is for the reader to say."""

    def body_came(self, incoming: Incoming) -> None:
        """Nothing, see above."""

    def pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # ---- what goes out -------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def ask_challenge(self, key: bytes) -> None:
        """Sign everything from now on.  Raises NodeGone when the node has no challenge for us."""
        prepared = Prepared(method="GET", target=CHALLENGE_PATH, headers={"host": self.node})
        challenge = b""
        async with await self.exchange(prepared) as response:
            try:
                while len(challenge) <= 2 * CHALLENGE_BYTES and (
                    piece := await response.body.read()
                ):
                    challenge += piece
            except BrokenBody as error:
                raise NodeGone(str(error)) from None
        if response.status != 200 or len(challenge) != 2 * CHALLENGE_BYTES or not self.usable:
            self.cut()
            raise NodeGone(f"{self.node}: no challenge for us ({response.status})")
        self._signer = Signer(key, challenge.decode("ascii", "replace"))

    async def exchange(self, prepared: Prepared) -> Response:
        """Send a request; returns its answer as soon as its head has come.

        Raises NodeGone, and what the request's body raises.
        """
        assert self._exchange is None
        if not self.usable:
            raise Unheard(f"{self.node}: the connection has ended")
        exchange = self._exchange = _Exchange(prepared.method)
        try:
            if prepared.data is not None:
                exchange.sent = True
                self._write(self._head(prepared), *prepared.data)
            else:
                await self._offer(exchange, prepared)
            while exchange.response is None and exchange.error is None:
                await exchange.wait()
        except BaseException:  # nobody will ever read the rest of what is under way
            if self._exchange is exchange:
                self._exchange = None
                self.cut()
            raise
        if exchange.response is None:
            assert exchange.error is not None
            raise exchange.error
        return exchange.response

    def _head(self, prepared: Prepared) -> bytes:
        method, target, headers = prepared.method, prepared.target, prepared.headers
        if self._signer is not None:
            headers = {**headers, SIGNATURE: self._signer.sign(method, target, headers)}
        return request_head(method, target, headers)

    def _write(self, *pieces: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return  # the exchange has been told, or is about to be
        if sum(map(len, pieces)) <= JOIN_BYTES_MAX:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    async def _offer(self, exchange: "_Exchange", prepared: Prepared) -> None:
        """The head, and the body piece by piece, until it ends or an answer comes."""
        try:
            async with asyncio.timeout(None) as exchange.sending:
                head = self._head(prepared)
                if prepared.offered:
                    self._write(head)
                    head = b""
                    while not exchange.wanted:
                        await exchange.wait()
                await self._pump(exchange, prepared, head)
                exchange.sent = True
        except TimeoutError:
            if not exchange.interrupted:
                raise
        finally:
            exchange.sending = None

    async def _pump(self, exchange: "_Exchange", prepared: Prepared, head: bytes) -> None:
        body, chunked = prepared.body, prepared.chunked
        length, size, yielded_at = body.length, 0, 0
        prepared.begun = True
        while piece := await body.read():
            size += len(piece)
            if length is not None and size > length:
                break
            if chunked:
                self._write(head, b"%x\r\n" % len(piece), piece, b"\r\n")
            else:
                self._write(head, piece)
            head = b""
            while self._writing_paused:
                await exchange.wait()
            if size - yielded_at >= YIELD_BYTES:
                # Neither the body nor the node may have made us wait, and there are others.
                yielded_at = size
                await asyncio.sleep(0)
        if length is not None and size != length:
            raise WrongLength(f"a body of {length} bytes was {size} or more")
        if chunked:
            self._write(head, last_chunk(prepared.trailers()))
        elif head:
            self._write(head)


class _Exchange:
    """One request and its answer."""

    __slots__ = (
        *("body", "error", "interim", "interrupted", "keep_alive", "method", "response"),
        *("sending", "sent", "wanted", "_waiter"),
    )

    def __init__(self, method: str) -> None:
        self.method = method
        self.sending: asyncio.Timeout | None = None
        self.interrupted = False  # the sending was ended by what came
        self.sent = False  # all that was promised
        self.wanted = False  # the node has said 100 Continue
        self.interim = 0  # answers of 1xx
        self.keep_alive = False
        self.response: Response | None = None
        self.body: AnswerBody | None = None  # of the response, where it is not in memory
        self.error: NodeGone | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait until something may have changed."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def interrupt(self) -> None:
        """End the sending now, wherever it waits."""
        if self.sending is not None and not self.interrupted:
            self.interrupted = True
            self.sending.reschedule(asyncio.get_running_loop().time())
