"""One instant of the system: what orders every change (reference 2.1).

A timestamp counts units of 10 microseconds since the epoch and carries an *offset*, with which an
internal actor says "the same moment, but newer".  The newest timestamp wins everywhere.

Pure.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

UNITS_PER_SECOND = 100_000
RAW_MAX = 10**10 * UNITS_PER_SECOND - 1
OFFSET_MAX = 16**16 - 1

_PACKED = struct.Struct(">QQ")
PACKED_BYTES = _PACKED.size
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = timedelta(microseconds=10)


class BadTimestamp(ValueError):
    """The text is not a timestamp; the message says which text."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """`raw` in units of 10 microseconds since the epoch, `offset` to order internal rewrites."""

    raw: int
    offset: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.raw <= RAW_MAX and 0 <= self.offset <= OFFSET_MAX):
            raise BadTimestamp(f"timestamp out of range: {self.raw} offset {self.offset}")

    @classmethod
    def from_seconds(cls, seconds: float) -> "Timestamp":
        return cls(round(seconds * UNITS_PER_SECOND))

    @classmethod
    def parse(cls, text: str) -> "Timestamp":
        """Read either form, `1700000000.12345` or `1700000000.12345_000000000000000a`.

        Raises BadTimestamp.
        """
        normal, underscore, offset = text.partition("_")
        whole, _, fraction = normal.partition(".")
        if not (whole.isascii() and whole.isdigit()) or len(whole) > 10:
            raise BadTimestamp(f"not a timestamp: {text[:40]!r}")
        if fraction and not (fraction.isascii() and fraction.isdigit()):
            raise BadTimestamp(f"not a timestamp: {text[:40]!r}")
        raw = int(whole) * UNITS_PER_SECOND + int(fraction[:5].ljust(5, "0"))
        if not underscore:
            return cls(raw)
        if not 0 < len(offset) <= 16 or not _HEX_DIGITS.issuperset(offset):
            raise BadTimestamp(f"not a timestamp: {text[:40]!r}")
        return cls(raw, int(offset, 16))

    @classmethod
    def from_iso(cls, text: str) -> "Timestamp":
        """Read a listing's `last_modified`, which knows no offset.  Raises BadTimestamp."""
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            raise BadTimestamp(f"not a timestamp: {text[:40]!r}") from None
        return cls((moment - _EPOCH) // _UNIT)

    @property
    def normal(self) -> str:
        """The 16 characters that clients see: `1700000000.12345`."""
        whole, fraction = divmod(self.raw, UNITS_PER_SECOND)
        return f"{whole:010d}.{fraction:05d}"

    @property
    def internal(self) -> str:
        """The form between nodes and in file names: `normal`, then `_offset` if there is one."""
        return f"{self.normal}_{self.offset:016x}" if self.offset else self.normal

    @property
    def seconds(self) -> float:
        return self.raw / UNITS_PER_SECOND

    @property
    def seconds_ceiling(self) -> int:
        """Whole seconds, rounded up: Last-Modified is never before the change it names."""
        return -(-self.raw // UNITS_PER_SECOND)

    @property
    def iso(self) -> str:
        """The listing's `last_modified`: UTC, no zone, always six digits of fraction."""
        moment = _EPOCH + timedelta(microseconds=self.raw * 10)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")

    def pack(self) -> bytes:
        """16 bytes whose byte order is the order of timestamps."""
        return _PACKED.pack(self.raw, self.offset)

    @classmethod
    def unpack(cls, data: bytes) -> "Timestamp":
        return cls(*_PACKED.unpack(data))

    def __str__(self) -> str:
        return self.internal


ZERO = Timestamp(0)
