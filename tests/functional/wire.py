"""A small HTTP/1.1 client on a blocking socket that sends exactly the bytes it is given.

Real clients correct what they send (they resolve `..`, quote, wait or do not wait for a 100), so
they cannot ask for what these tests must ask for.  This one never normalises, never retries, and
says precisely how far an answer came when the connection was cut.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

TIMEOUT_S = 60.0
PIECE_BYTES = 256 * 1024
HEAD_BYTES_MAX = 256 * 1024
BODILESS = frozenset({204, 304})


class CutShort(Exception):
    """The server closed the connection before the answer was complete."""

    def __init__(self, where: str, *, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(f"closed {where} (status {status}, {len(body)} bytes of body)")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Head:
    """A status line and headers; names in lower case, values as UTF-8 with surrogate escapes."""

    status: int
    reason: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """One connection.  A timeout raises `TimeoutError`, a cut connection `CutShort`."""

    def __init__(self, host: str, port: int, *, timeout_s: float = TIMEOUT_S) -> None:
        self.host = host
        self.port = port
        self.usable = True  # False once the server has said or shown that it closes
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.usable = False
        self._socket.close()

    def reset(self) -> None:
        """Close with an RST instead of a FIN, as a client does whose process was killed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def finish_sending(self) -> None:
        """Say FIN, and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def set_timeout(self, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)

    # ---- sending --------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_head(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """The request line and headers, with a Host when none is given."""
        self.send(self.head_bytes(method, target, headers))

    def head_bytes(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> bytes:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", f"{self.host}:{self.port}"))
        path = target if isinstance(target, bytes) else target.encode()
        lines = [b"%b %b HTTP/1.1" % (method.encode(), path)]
        lines += [f"{n}: {v}".encode("utf-8", "surrogateescape") for n, v in pairs]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def send_chunk(self, data: bytes) -> None:
        """One chunk of a chunked body; an empty one ends the body."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    # ---- receiving ------------------------------------------------------------------------

    def read_head(self) -> Head:
        """The next status line and headers, a 100 Continue included."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise AssertionError("the head of the answer has no end")
            if not self._fill():
                raise CutShort("in the head", body=bytes(self._buffer))
        text = self._buffer[:end].decode("utf-8", "surrogateescape")
        del self._buffer[: end + 4]
        first, *lines = text.split("\r\n")
        version, status, reason = (*first.split(" ", 2), "")[:3]
        assert version in {"HTTP/1.1", "HTTP/1.0"}, first
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, f"a header line without a colon: {line!r}"
            key = name.lower()
            value = value.strip()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        if headers.get("connection", "").lower() == "close" or version == "HTTP/1.0":
            self.usable = False
        return Head(int(status), reason, headers)

    def read_some(self) -> bytes:
        """Whatever has arrived, at least a byte; `b""` when the server has closed."""
        if not self._buffer:
            self._fill()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def read_exactly(self, size: int, *, status: int | None = None) -> bytes:
        while len(self._buffer) < size:
            if not self._fill():
                raise CutShort("in the body", status=status, body=bytes(self._buffer))
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read_reply(self, method: str = "GET") -> Reply:
        """A whole final answer; 1xx answers before it are passed over."""
        head = self.read_head()
        while head.status // 100 == 1:
            head = self.read_head()
        return Reply(head.status, head.reason, head.headers, self.read_body(head, method))

    def read_body(self, head: Head, method: str = "GET") -> bytes:
        if method == "HEAD" or head.status in BODILESS:
            return b""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks(head)
        if (length := head.headers.get("content-length")) is not None:
            return self.read_exactly(int(length), status=head.status)
        self.usable = False
        body = bytearray()
        while piece := self.read_some():
            body += piece
        return bytes(body)

    def at_end(self) -> bool:
        """Whether the server has closed and nothing is left to read; waits for either."""
        return not self._buffer and not self._fill()

    def _read_chunks(self, head: Head) -> bytes:
        body = bytearray()
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if not self._fill():
                    raise CutShort("in a chunk size", status=head.status, body=bytes(body))
            size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            del self._buffer[: end + 2]
            try:
                body += self.read_exactly(size + 2)[:size]
            except CutShort as cut:
                got = bytes(body) + cut.body
                raise CutShort("in a chunk", status=head.status, body=got) from cut
            if size == 0:
                return bytes(body)

    def _fill(self) -> bool:
        try:
            piece = self._socket.recv(PIECE_BYTES)
        except (ConnectionResetError, BrokenPipeError):
            piece = b""
        if not piece:
            self.usable = False
            return False
        self._buffer += piece
        return True

    # ---- both -----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Reply:
        """Send a request with a whole body, and read the whole answer."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if body is not None or method in {"PUT", "POST"}:
            pairs.append(("Content-Length", str(len(body or b""))))
        # One write, so that a small request is one packet.
        self.send(self.head_bytes(method, target, pairs) + (body or b""))
        return self.read_reply(method)
