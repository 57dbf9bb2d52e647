"""One client's connection: bytes in, requests to the handler one at a time, responses out.

Theory of operation.  The protocol's callbacks are synchronous; the requests are answered by one
task for each connection, which is cancelled when the client goes away.  While it works on one,
`data_received` feeds the request's body, and what comes after that waits in the buffer (up
to a limit, then the socket is not read).  When the response is out, the next head is looked for.

There are no timers per request.  A connection says what it is waiting for (`_phase`) and until
when (`_deadline`); the server looks at all connections about once a second (`check`).

A connection ends in one of three ways.  *Closed*: all has been said, what is buffered still goes
out.  *Lingering*: we have answered and the client is still sending; closing at once would make
the kernel send a reset, which can destroy the answer before the client reads it (RFC 9112 9.6),
so we say FIN and throw away what comes for a moment.  *Cut*: aborted, because a body broke after
its length had been promised, and a short body must not look like a whole one.
"""

import asyncio
import enum
import logging
import math
import time
from typing import TYPE_CHECKING, cast

from swiftish.http.access_log import Exchange
from swiftish.http.bodies import ClientGone
from swiftish.http.incoming import Incoming
from swiftish.http.message import Body, Bytes, Context, Request, Response, no_trailers
from swiftish.http.outgoing import Outgoing
from swiftish.http.peers import Gate
from swiftish.http.replies import Refusal
from swiftish.http.request_head import HEAD_END, RequestHead, parse_head
from swiftish.http.response_head import response_head

if TYPE_CHECKING:
    from swiftish.http.server import HttpServer

log = logging.getLogger(__name__)

# What a client may send ahead of its turn before we stop reading from its socket.
PIPELINE_BYTES_MAX = 64 * 1024
# The rest of a body that nobody wanted is read to keep the connection, if it is not more than this.
DRAIN_BYTES_MAX = 64 * 1024
# Each time a client's patience is used up it must have sent this much, or it is too slow (T71).
BODY_PROGRESS_BYTES = 1024
NO_BODY = Bytes()


class _Phase(enum.Enum):
    """What the connection waits for."""

    IDLE = enum.auto()  # the first byte of a request
    HEAD = enum.auto()  # the rest of its head
    HANDLER = enum.auto()  # us
    BODY = enum.auto()  # the client's body
    WRITE = enum.auto()  # the client to read
    DRAIN = enum.auto()  # the rest of a body that nobody wanted
    LINGER = enum.auto()  # the client to stop
    CLOSE = enum.auto()  # the last bytes to be read


_ENDED = (_Phase.LINGER, _Phase.CLOSE)


class Connection(asyncio.Protocol):
    """A client.  Made by the server, which owns all settings."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._loop = server.loop
        self._transport: asyncio.Transport | None = None
        self.peer = "-"
        self._buffer = b""
        self._searched = 0  # how far in the buffer there is no end of a head
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None  # the task waits for a request
        self._request: Request | None = None  # what the task is to do next
        self._current: _Current | None = None  # what is known of it, until it is done
        self._phase = _Phase.IDLE
        self._deadline = math.inf
        self._patience_s = 0.0  # what is left of the client's time for its body
        self._patience_bytes = 0  # what had come when it began
        self._waiting_since = 0.0
        self._reading_paused = False
        self.writing_paused = False
        self._room: asyncio.Future[None] | None = None  # the response waits for the client
        self._gone = False
        self._gate: Gate | None = None  # for who must say who they are

    # ---- the protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "-"
        if self._server.peers is not None:
            self._gate = self._server.peers.gate(self.peer)
        self._server.connections.add(self)
        self._wait_for(_Phase.IDLE, self._server.patience.head_s)
        if self._server.draining:
            self._close()
        else:
            self._task = self._server.start_task(self._run())

    def data_received(self, data: bytes) -> None:
        if self._phase in _ENDED:
            return
        current = self._current
        if current is None:
            self._buffer = self._buffer + data if self._buffer else data
            self._next()
            return
        incoming = current.incoming
        if incoming is None or incoming.complete:
            self._buffer += data
            if len(self._buffer) > PIPELINE_BYTES_MAX:
                self.pause_reading()
        elif incoming.failure is None:
            self._buffer = incoming.feed(data)
            if self._phase is _Phase.DRAIN:
                self._drain()

    def eof_received(self) -> bool:
        """The client sends no more.  If somebody waits for the rest of its body, it can still be
        told so; else the transport closes, and `connection_lost` does what is to be done."""
        incoming = self._current.incoming if self._current is not None else None
        if incoming is None or incoming.complete or not incoming.waiting:
            return False
        incoming.fail(ClientGone())
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        drained = self._phase is _Phase.DRAIN
        self._end(_Phase.CLOSE, math.inf)
        self._server.forget(self)
        self._transport = None
        current = self._current
        if current is None or drained:
            return
        incoming = current.incoming
        if incoming is not None and not incoming.complete:
            reading = incoming.waiting
            if incoming.failure is None:
                incoming.fail(ClientGone())
            if reading and self._room is None:
                return  # the handler learns it there
        if self._task is not None:
            self._task.cancel()
        if not current.started:
            self._finish(current, clean=False)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # ---- time ----------------------------------------------------------------------------------

    def _wait_for(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._loop.time() + seconds

    def check(self, now: float) -> None:
        """Called about once a second: end what has waited long enough."""
        if now < self._deadline:
            return
        self._deadline = math.inf
        match self._phase:
            case _Phase.IDLE:
                self._close()
            case _Phase.HEAD:
                self._refuse(Refusal(408, "The head of the request did not arrive in time."))
            case _Phase.BODY if self._current is not None and self._current.incoming is not None:
                self._current.incoming.fail(Refusal(408))
            case _:
                self.cut()

    # ---- what a body in the making asks for (incoming.Source) ----------------------------------

    def send_continue(self) -> None:
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def wait_for_body(self, incoming: Incoming) -> None:
        if incoming.received - self._patience_bytes >= BODY_PROGRESS_BYTES:
            self._patience_s = self._server.client_timeout_s
            self._patience_bytes = incoming.received
        self._waiting_since = self._loop.time()
        if self._phase is _Phase.HANDLER:
            self._phase = _Phase.BODY
            self._deadline = self._waiting_since + self._patience_s

    def body_came(self, incoming: Incoming) -> None:
        self._patience_s -= self._loop.time() - self._waiting_since
        if self._phase is _Phase.BODY:
            self._phase, self._deadline = _Phase.HANDLER, math.inf

    # ---- requests ------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the request at the front of the buffer, if its head is all there."""
        buffer = self._buffer
        if buffer[:2] == b"\r\n":  # RFC 9112 2.2: an empty line before a request doesn't count
            buffer = self._buffer = buffer[2:]
            self._searched = 0
        server = self._server
        end = buffer.find(HEAD_END, self._searched)
        if 0 <= end <= server.head_bytes_max:
            self._searched = 0
            rest = end + len(HEAD_END)
            self._buffer = buffer[rest:] if len(buffer) > rest else b""
            try:
                head = parse_head(
                    buffer[:end],
                    line_bytes_max=server.line_bytes_max,
                    headers_max=server.headers_max,
                )
            except Refusal as refusal:
                self._refuse(refusal)
            else:
                self._begin(head)
        elif len(buffer) > server.head_bytes_max:
            self._refuse(Refusal(431, f"A head may have {server.head_bytes_max} bytes."))
        elif b"\n\n" in buffer[self._searched :] or buffer[:1] == b"\n":
            self._refuse(Refusal(400, "Lines end with CR LF."))
        elif buffer:
            self._searched = max(0, len(buffer) - len(HEAD_END) + 1)
            if self._phase is _Phase.IDLE:
                self._wait_for(_Phase.HEAD, server.patience.head_s)

    def _begin(self, head: RequestHead) -> None:
        incoming: Incoming | None = None
        body: Body
        length = head.length
        if head.chunked or (length and (length > len(self._buffer) or head.expects_continue)):
            body = incoming = Incoming(
                self,
                length,
                expects_continue=head.expects_continue and not self._buffer,
                keep_trailers=self._gate is not None,
            )
        elif length:  # a small body that came with its head
            body = Bytes(self._buffer[:length])
            self._buffer = self._buffer[length:]
        else:
            body = NO_BODY
        server = self._server
        context = server.new_context(head.headers, self.peer)
        outgoing = Outgoing(self, head, context.transaction_id)
        self._current = current = _Current(head, context, incoming, outgoing)
        self._phase, self._deadline = _Phase.HANDLER, math.inf
        if incoming is not None:
            self._patience_s, self._patience_bytes = server.client_timeout_s, 0
            if self._buffer:
                self._buffer = incoming.feed(self._buffer)
        trailers = no_trailers
        if self._gate is not None:
            try:
                current.answer = self._gate.answer(head)
            except Refusal as refusal:
                current.answer, current.refused = refusal.response(), True
            if incoming is not None:
                trailers = incoming.trailers
                if incoming.complete:  # small, in chunks for its trailers
                    body = Bytes(incoming.take())
        self._request = Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=body,
            trailers=trailers,
            context=context,
        )
        self._wake()

    async def _run(self) -> None:
        """The connection's task: answer requests, one after another, until it is closed."""
        while self._transport is not None:
            request, self._request = self._request, None
            if request is not None and self._current is not None:
                await self._serve(request, self._current)
            elif self._phase in _ENDED:
                break
            else:
                self._ready = self._loop.create_future()
                try:
                    await self._ready
                finally:
                    self._ready = None

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    async def _serve(self, request: Request, current: "_Current") -> None:
        """One request, to the last byte of its response."""
        current.started = True
        outgoing = current.outgoing
        clean = False
        try:
            response = current.answer or await self._server.handler(request)
            try:
                clean = await outgoing.send(response)
            finally:
                await response.body.aclose()
        except (Refusal, OSError) as error:  # by the body: the handler has no more say
            if isinstance(error, OSError) or outgoing.status:
                self._complain(f"a body broke: {error!r}", current)
            if not outgoing.status:
                refusal = error if isinstance(error, Refusal) else Refusal(503)
                clean = await outgoing.send(refusal.response())
        finally:
            self._finish(current, clean=clean)

    def _finish(self, current: "_Current", *, clean: bool) -> None:
        """Log what became of a request, and go on to the next or end the connection."""
        outgoing, incoming = current.outgoing, current.incoming
        self._log(current, 499 if self._gone and not clean else outgoing.status or 499)
        self._current = None
        if incoming is not None:
            incoming.discard()
        if self._gone:
            return
        if not clean:
            self.cut()
        elif incoming is None or incoming.complete:
            if outgoing.closes:
                self._close()
            else:
                self._idle()
        elif isinstance(incoming.failure, ClientGone):
            self._close()
        elif outgoing.closes or incoming.failure is not None:
            self._linger()
        else:
            self._current = current  # what comes next is still its body
            self._wait_for(_Phase.DRAIN, self._server.client_timeout_s)

    def _idle(self) -> None:
        """Ready for the next request; it may be in the buffer already."""
        self._current = None
        self._wait_for(_Phase.IDLE, self._server.patience.keepalive_s)
        self.resume_reading()
        if self._server.draining:
            self._close()
        elif self._buffer:
            self._next()

    def _drain(self) -> None:
        """More of a body that nobody wanted has come."""
        assert self._current is not None
        assert self._current.incoming is not None
        if self._current.incoming.failure is not None:
            self._close()
        elif self._current.incoming.complete:
            self._idle()

    # ---- what a response on its way out asks for (outgoing.Sink) -------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    async def room_to_write(self) -> None:
        self._room = self._loop.create_future()
        self._wait_for(_Phase.WRITE, self._server.patience.write_s)
        try:
            await self._room
        finally:
            self._room = None
            if self._phase is _Phase.WRITE:
                self._phase, self._deadline = _Phase.HANDLER, math.inf

    def is_last(self) -> bool:
        current = self._current
        if current is None or current.refused or self._server.draining:
            return True
        if not current.head.keep_alive:
            return True
        incoming = current.incoming
        if incoming is None or incoming.complete:
            return False
        if incoming.unclaimed or incoming.failure is not None:
            return True  # the client may send the body that it offered, or not
        return incoming.left is None or incoming.left > DRAIN_BYTES_MAX

    def date(self) -> str:
        return self._server.date()

    # ---- the end -------------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal) -> None:
        """Answer a head that makes no sense; where the next one begins nobody knows."""
        context = self._server.new_context({}, self.peer)
        response = refusal.response()
        assert isinstance(response.body, Bytes)
        data = response.body.take()
        lines = response_head(
            response.status,
            response.headers,
            length=len(data),
            chunked=False,
            connection="close",
            transaction_id=context.transaction_id,
            date=self._server.date(),
        )
        assert self._transport is not None
        self._transport.write(lines + data)
        self._tell(
            Exchange(
                head=None,
                context=context,
                peer=self.peer,
                status=response.status,
                bytes_in=0,
                bytes_out=len(data),
                seconds=0.0,
                first_byte_seconds=0.0,
            )
        )
        self._linger()

    def let_go(self) -> None:
        """The server stops: close when idle; a request in flight is answered first."""
        if self._current is None or self._phase is _Phase.DRAIN:
            self._close()

    def _linger(self) -> None:
        self._end(_Phase.LINGER, self._server.patience.linger_s)
        self.resume_reading()
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        self._end(_Phase.CLOSE, self._server.patience.write_s)
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        self._end(_Phase.CLOSE, math.inf)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, phase: _Phase, seconds: float) -> None:
        """No request will be read from this connection any more."""
        self._wait_for(phase, seconds)
        self._buffer = b""
        self._wake()

    # ---- the log -------------------------------------------------------------------------------

    def _log(self, current: "_Current", status: int) -> None:
        if not self._server.listeners:
            return
        now = time.monotonic()  # the loop's own time is in whole milliseconds
        outgoing, incoming = current.outgoing, current.incoming
        self._tell(
            Exchange(
                head=current.head,
                context=current.context,
                peer=self.peer,
                status=status,
                bytes_in=incoming.received if incoming is not None else current.head.length or 0,
                bytes_out=outgoing.bytes_out,
                seconds=now - current.began_at,
                first_byte_seconds=(outgoing.first_byte_at or now) - current.began_at,
            )
        )

    def _tell(self, exchange: Exchange) -> None:
        for hear in self._server.listeners:
            hear(exchange)

    def _complain(self, what: str, current: "_Current") -> None:
        head = current.head
        log.error(
            what,
            extra={
                "transaction": current.context.transaction_id,
                "method": head.method,
                "path": head.path,
            },
        )


class _Current:
    """The request that is being answered."""

    __slots__ = (
        *("answer", "began_at", "context", "head", "incoming", "outgoing", "refused", "started"),
    )

    def __init__(
        self, head: RequestHead, context: Context, incoming: Incoming | None, outgoing: Outgoing
    ) -> None:
        self.head = head
        self.context = context
        self.incoming = incoming  # None when there is no body, or it came with the head
        self.outgoing = outgoing
        self.began_at = time.monotonic()
        self.started = False
        self.answer: Response | None = None  # that of the gate, in place of the handler's
        self.refused = False  # by the gate: nothing more is heard from this connection
