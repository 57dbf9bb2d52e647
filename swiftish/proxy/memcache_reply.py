"""What memcached answers, in its meta protocol: one line, and for `VA` a value after it.

    VA <size> <flags>…      a value of so many bytes follows; the flag `c…` is its generation
    HD                      done
    EN, NF, EX, NS          there is none; there is none; it has changed; not stored
    SERVER_ERROR …          it can't: mostly there is no room

Pure.
"""

from dataclasses import dataclass

LINE_BYTES_MAX = 2048
VALUE_BYTES_MAX = 1 << 20

_CODES = frozenset({b"VA", b"HD", b"EN", b"NF", b"EX", b"NS", b"OK", b"SERVER_ERROR"})


class BadReply(ConnectionError):
    """The bytes are not what memcached says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`size` of the value that follows the line, None when none does; `unique` is its number."""

    code: bytes
    size: int | None = None
    unique: int = 0
    value: bytes = b""


def parse_line(line: bytes) -> Reply:
    """Read the line of an answer, its end included.  Raises BadReply."""
    words = line.split()
    if not line.endswith(b"\r\n") or not words or words[0] not in _CODES:
        raise BadReply(f"not an answer: {line[:40]!r}")
    if words[0] != b"VA":
        return Reply(words[0])
    size, unique = -1, 0
    if len(words) > 1:
        size = _number(words[1])
    for flag in words[2:]:
        if flag[:1] == b"c":
            unique = _number(flag[1:])
    if not 0 <= size <= VALUE_BYTES_MAX:
        raise BadReply(f"not the size of a value: {line[:40]!r}")
    return Reply(b"VA", size, unique)


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise BadReply(f"not a number: {text[:40]!r}")
    return int(text)
