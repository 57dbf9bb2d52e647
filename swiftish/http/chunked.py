"""The chunked transfer coding (RFC 9112 7.1): bytes fed are taken apart, and trailers written.

Trailers are what a sender knows only when the body has ended.  Those of a client mean nothing to
us and are passed over; those of another node are kept for whoever asks for them.

Pure.
"""

from collections.abc import Mapping

from swiftish.http.client_heads import sendable
from swiftish.http.replies import Refusal
from swiftish.http.request_head import parse_headers

# An extension means nothing to us; nobody needs more room for one, or for all trailers, than this.
LINE_BYTES_MAX = 8192
TRAILERS_MAX = 64
# What says where a message ends or whom it is for is said before it (RFC 9110 6.5.1).
_NO_TRAILERS = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"}
)
_SIZE_DIGITS_MAX = 15
_HEX = frozenset(b"0123456789abcdefABCDEF")


class ChunkedDecoder:
    """`feed` gives the body's bytes among those fed; once `ended`, `rest` is what came after it.

    `trailers` are what came behind the last chunk, for those who want them kept.
    """

    __slots__ = (
        "_gap",
        "_kept",
        "_left",
        "_line",
        "_trailer_bytes",
        "_trailers",
        "ended",
        "rest",
        "trailers",
    )

    def __init__(self, *, keep_trailers: bool = False) -> None:
        self.ended = False
        self.rest = b""
        self.trailers: Mapping[str, str] = {}
        self._kept: list[bytes] | None = [] if keep_trailers else None  # lines of trailers
        self._line = b""  # what has come of a line that has not ended
        self._left = 0  # bytes of the chunk that are still to come
        self._gap = False  # the chunk's data have ended; its CR LF is still to come
        self._trailers = False  # the last chunk has come
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Raises Refusal 400 for what is no chunked coding; then the decoder is of no more use."""
        assert not self.ended
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._gap = not self._left
                continue
            newline = data.find(b"\n", at)
            end = size if newline < 0 else newline + 1
            self._line += data[at:end]
            at = end
            if len(self._line) > LINE_BYTES_MAX:
                raise Refusal(400, "A chunk's head is too long.")
            if newline < 0:
                break
            line, self._line = self._line, b""
            self._handle(line)
            if self.ended:
                self.rest = data[at:]
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _handle(self, line: bytes) -> None:
        """A line with its end: a chunk's size, the empty one behind a chunk, or a trailer."""
        text = line[:-2]
        if line[-2:] != b"\r\n" or b"\r" in text or b"\0" in text:
            raise Refusal(400, "The lines between chunks end with CR LF.")
        if self._gap:
            if text:
                raise Refusal(400, "A chunk is longer than it said.")
            self._gap = False
        elif self._trailers:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > LINE_BYTES_MAX:
                raise Refusal(400, "The trailers are too long.")
            if text:
                self._keep(text)
            else:
                self._end()
        else:
            digits = text.partition(b";")[0]
            if not digits or len(digits) > _SIZE_DIGITS_MAX or not _HEX.issuperset(digits):
                raise Refusal(400, "A chunk's size is not a hexadecimal number.")
            self._left = int(digits, 16)
            self._trailers = not self._left

    def _keep(self, text: bytes) -> None:
        if self._kept is None:
            return
        if len(self._kept) >= TRAILERS_MAX:
            raise Refusal(400, "There are too many trailers.")
        self._kept.append(text)

    def _end(self) -> None:
        if self._kept:
            lines = [line.decode("utf-8", "surrogateescape") for line in self._kept]
            self.trailers = parse_headers(lines)
            if not _NO_TRAILERS.isdisjoint(self.trailers):
                raise Refusal(400, "That can't be said in a trailer.")
        self.ended = True


def last_chunk(trailers: Mapping[str, str]) -> bytes:
    """The end of a chunked body, with what is known only now."""
    if not trailers:
        return b"0\r\n\r\n"
    lines = [f"{name}: {value}" for name, value in sendable(trailers).items()]
    return "\r\n".join(["0", *lines, "\r\n"]).encode("utf-8", "surrogateescape")
