"""What a database has of others: "all rows of that environment's, up to this number".

A point is stored in the transaction that merges the rows, so an environment that is restored from
an older snapshot has the points that go with its rows.  Why a number can be relied on: numbers.py.

A point that is lost costs one exchange of all rows.  So only the newest few are kept: those of the
other primaries, and of handoffs that have come by.

Table: points, id -> [[environment, number, life], ...], the last used last.
"""

from struct import Struct
from typing import NamedTuple

from swiftish.db import numbers
from swiftish.domain.rows import VERSION, packed, unpacked
from swiftish.runtime.environment import Reader, Writer

POINTS = "points"
TABLES = (POINTS,)

KEPT = 16

_ID = Struct(">Q")


class Point(NamedTuple):
    """The number of a change, and the life in which it was given."""

    number: int
    life: bytes


def find(reader: Reader, database_id: int, environment: bytes) -> Point | None:
    """What a database has of another environment's."""
    for known, number, life in _stored(reader, database_id):
        if known == environment:
            return Point(number, life)
    return None


def save(writer: Writer, database_id: int, environment: bytes, point: Point) -> None:
    others = [entry for entry in _stored(writer, database_id) if entry[0] != environment]
    entries = [*others, (environment, *point)][-KEPT:]
    writer.put(POINTS, _ID.pack(database_id), packed((VERSION, entries)))


def forget(writer: Writer, database_id: int) -> None:
    writer.delete(POINTS, _ID.pack(database_id))


def here(reader: Reader, number: int) -> Point:
    """A number of this environment's own, with its life."""
    return Point(number, numbers.life_of(reader, number))


def holds(reader: Reader, point: Point, *, last: int) -> bool:
    """Whether what somebody has of a database, whose last change has the number `last`, was of
    this environment as it is."""
    return point.number <= last and here(reader, point.number) == point


def _stored(reader: Reader, database_id: int) -> list[tuple[bytes, int, bytes]]:
    value = reader.get(POINTS, _ID.pack(database_id))
    return [] if value is None else [tuple(entry) for entry in unpacked(value)[1]]
