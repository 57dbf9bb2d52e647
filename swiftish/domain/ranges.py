"""The Range header: which bytes of an object a client asks for (reference 1.0, RFC 9110 14.1).

Swift's rules, where they differ from the RFC's or choose among what it allows: a header that makes
no sense is ignored; spaces count nowhere; too many ranges, too many that overlap, or many in no
order are refused (RFC 9110 14.2 warns of them), which is told like "no such bytes".

Pure.
"""

import enum
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int]  # the first and the last byte, both included

RANGES_MAX = 50
OVERLAPS_MAX = 2
UNORDERED_MAX = 7  # so many ranges may come in any order

# No object is so large; numbers with more digits all mean "beyond the end".
_DIGITS_MAX = 18
_BEYOND: Final = 1_000_000_000_000_000_000
assert _BEYOND == 10**_DIGITS_MAX


class Unsatisfiable(enum.Enum):
    """None of the bytes asked for exists, or the header asks too much."""

    UNSATISFIABLE = "unsatisfiable"


UNSATISFIABLE: Final = Unsatisfiable.UNSATISFIABLE
Spans: TypeAlias = list[Span] | Unsatisfiable | None


def parse_range(header: str | None, length: int) -> Spans:
    """What a Range header means for an object of `length` bytes.

    None: serve the whole (no header, or one to be ignored).  A list: serve these spans, in this
    order (never empty).  UNSATISFIABLE: answer 416.
    """
    if header is None:
        return None
    asked = _parse(header)
    if asked is None:
        return None
    spans: list[tuple[int, int]] = []  # first byte, and the one after the last
    for first, last in asked:
        if first is None:
            assert last is not None
            if last > 0:
                spans.append((max(0, length - last), length))
        elif first < length:
            spans.append((first, length if last is None else min(last + 1, length)))
    if not spans or _excessive(spans):
        return UNSATISFIABLE
    if length == 0:
        return None  # "the last five" of an empty object is all of it
    return [(first, end - 1) for first, end in spans]


def _parse(header: str) -> list[tuple[int | None, int | None]] | None:
    """(first, last) as written, where one may be missing; None when it makes no sense."""
    header = header.replace(" ", "").replace("\t", "")
    if header[:6].lower() != "bytes=":
        return None
    ranges: list[tuple[int | None, int | None]] = []
    for item in header[6:].split(","):
        left, dash, right = item.partition("-")
        if not dash or not (left or right):
            return None
        first, last = _number(left), _number(right)
        if (left and first is None) or (right and last is None):
            return None
        if first is not None and last is not None and last < first:
            return None
        ranges.append((first, last))
    return ranges


def _number(digits: str) -> int | None:
    """A whole number, at most _BEYOND; None when it is not one."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    if len(digits) > _DIGITS_MAX:
        digits = digits.lstrip("0") or "0"
        if len(digits) > _DIGITS_MAX:
            return _BEYOND
    return int(digits)


def _excessive(spans: list[tuple[int, int]]) -> bool:
    if len(spans) > RANGES_MAX:
        return True
    overlaps = 0
    for index, (first, end) in enumerate(spans):
        for other_first, other_end in spans[index + 1 :]:
            if first < other_end and other_first < end:
                overlaps += 1
                if overlaps > OVERLAPS_MAX:
                    return True
    if len(spans) <= UNORDERED_MAX:
        return False
    return any(spans[i][0] >= spans[i + 1][0] for i in range(len(spans) - 1))
