"""One response on its way out: its head, then its body, as fast as the client reads."""

import asyncio
import time
from typing import Protocol

from swiftish.http.message import Body, Bytes, Response
from swiftish.http.request_head import RequestHead
from swiftish.http.response_head import response_head

# Head and body go into one write up to this size; beyond it the copy costs more than the write.
JOIN_BYTES_MAX = 64 * 1024
# The longest stretch of a body that is written without looking at other connections.
YIELD_BYTES = 1024 * 1024
# Answers to these statuses have no body.
BODILESS = frozenset({204, 304})


class WrongLength(OSError):
    """A body has fewer or more bytes than its response announced."""


class Sink(Protocol):
    """What an outgoing response asks of its connection."""

    writing_paused: bool  # the client does not read what has been written

    @property
    def transport(self) -> asyncio.Transport | None:
        """None when the client is gone."""
        ...

    async def room_to_write(self) -> None:
        """Wait until writing is no longer paused: the client's time runs."""

    def is_last(self) -> bool:
        """Whether the connection must end after the response that is about to begin."""
        ...

    def date(self) -> str: ...


class Outgoing:
    """The answer to `head`, and what has become of it so far."""

    __slots__ = (
        "_head",
        "_sink",
        "_transaction_id",
        "bytes_out",
        "closes",
        "first_byte_at",
        "status",
    )

    def __init__(self, sink: Sink, head: RequestHead, transaction_id: str) -> None:
        self.status = 0  # once the first byte is out
        self.bytes_out = 0  # of the body
        self.first_byte_at = 0.0  # by the monotonic clock; 0.0: not yet
        self.closes = False  # the client has been told that the connection ends with this
        self._sink = sink
        self._head = head
        self._transaction_id = transaction_id

    async def send(self, response: Response) -> bool:
        """Write a response; False when the client went away before its end.

        Raises what the body raises, and WrongLength: once there is a `status`, what is out can't
        be taken back, and the connection must be cut.
        """
        head, body, sink = self._head, response.body, self._sink
        status = response.status
        piece = b""
        if status in BODILESS:
            length: int | None = 0  # Swift says it, and its clients look for it
        elif head.method == "HEAD":
            length = body.length if response.length is None else response.length
        else:
            length = response.length if body.length is None else body.length
            piece = body.take() if isinstance(body, Bytes) else await body.read()
        silent = head.method == "HEAD" or status in BODILESS
        endless = length is None and not silent
        chunked = endless and not head.is_http_10
        self.closes = sink.is_last() or (endless and not chunked)
        transport = sink.transport
        if transport is None or transport.is_closing():
            return False
        self.status = status
        lines = response_head(
            status,
            response.headers,
            length=length,
            chunked=chunked,
            connection="close" if self.closes else _answer_to(head.headers.get("connection")),
            transaction_id=self._transaction_id,
            date=sink.date(),
        )
        self.first_byte_at = time.monotonic()
        if silent or (length == len(piece) <= JOIN_BYTES_MAX and isinstance(body, Bytes)):
            self.bytes_out = len(piece)
            transport.write(lines + piece)
            if sink.writing_paused:  # also without a body: who pipelines has to read, too
                await sink.room_to_write()
            return True
        return await self._send_body(lines, piece, body, length, chunked=chunked)

    async def _send_body(
        self, lines: bytes, piece: bytes, body: Body, length: int | None, *, chunked: bool
    ) -> bool:
        """The head and the body; never more bytes than `length`, and fewer only with an error."""
        sink = self._sink
        whole = isinstance(body, Bytes)
        yielded_at = 0
        while piece:
            self.bytes_out += len(piece)
            if length is not None and self.bytes_out > length:
                break
            transport = sink.transport
            if transport is None or transport.is_closing():
                return False
            if chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            if lines and len(piece) <= JOIN_BYTES_MAX:
                piece = lines + piece
            elif lines:
                transport.write(lines)
            lines = b""
            transport.write(piece)
            if sink.writing_paused:
                await sink.room_to_write()
            elif self.bytes_out - yielded_at >= YIELD_BYTES:
                # Neither the body nor the client made us wait, and there are others.
                yielded_at = self.bytes_out
                await asyncio.sleep(0)
            piece = b"" if whole else await body.read()
        if length is not None and self.bytes_out != length:
            raise WrongLength(f"a body of {self.bytes_out} bytes was announced as {length}")
        transport = sink.transport
        if transport is None:
            return False
        if chunked or lines:
            transport.write(lines + b"0\r\n\r\n" if chunked else lines)
        return True


def _answer_to(connection: str | None) -> str:
    """Keeping a connection goes without saying, but Swift says it to those who asked."""
    return "keep-alive" if connection is not None and "keep-alive" in connection.lower() else ""
