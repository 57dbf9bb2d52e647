"""Where a broken download goes on: from which byte, and with which answers.

One GET is one version: another node may continue only what is the same object to the byte, with
the same ETag and the same timestamp of its data.

Pure.
"""

from collections.abc import Mapping

from swiftish.http.message import Response

_VERSION = ("etag", "x-backend-data-timestamp")


class Download:
    """How far one answer's body (200 or 206 with one range) has been read."""

    def __init__(self, response: Response) -> None:
        length = response.body.length
        assert length is not None, "objects say how long they are"
        start = 0
        if response.status == 206:
            start = first_byte(response.headers.get("content-range", "")) or 0
        self._next = start
        self._end = start + length
        self._version = _version(response.headers)

    def advance(self, size: int) -> None:
        """`size` more bytes have arrived."""
        self._next += size

    @property
    def left(self) -> int:
        """Bytes that have not arrived; less than 0 when a node sends more than it announced."""
        return self._end - self._next

    @property
    def range(self) -> str:
        """The Range header of the request that goes on."""
        return f"bytes={self._next}-{self._end - 1}"

    def continues(self, response: Response) -> bool:
        """Whether an answer to `range` is what is missing, of the same version."""
        return (
            response.status == 206
            and first_byte(response.headers.get("content-range", "")) == self._next
            and response.body.length == self.left
            and _version(response.headers) == self._version
        )


def first_byte(content_range: str) -> int | None:
    """The first position in `bytes 5-9/100`; None for anything else."""
    unit, _, rest = content_range.partition(" ")
    first, dash, _ = rest.partition("-")
    if unit != "bytes" or not dash or not (first.isascii() and first.isdigit()):
        return None
    return int(first)


def _version(headers: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(headers.get(name) for name in _VERSION)
