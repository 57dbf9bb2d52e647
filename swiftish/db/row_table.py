"""The rows of many databases: live ones and tombstones apart, and the log of changes.

A listing walks live rows only, however many have been deleted.  The log holds one entry for each
row that is or was there, under the number of its last change, so "what is new since N" is a scan
whose length is what has changed and not what has happened.

Tables: rows and tombstones, (database, policy, name) -> row; log, (database, number) -> (policy,
name).  `rows.py` says how a row is stored; what this module needs of it is the number.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from swiftish.db.name_index import META, NameIndex, space_of
from swiftish.runtime.environment import Reader, Writer

ROWS = NameIndex("rows")
TOMBSTONES = NameIndex("tombstones")
LOG = "log"
TABLES = (META, ROWS.table, TOMBSTONES.table, LOG)

_LOG_KEY = Struct(">QQ")
_LOG_POLICY = Struct(">H")


class Stored(NamedTuple):
    """A row as it is stored, and whether it is a tombstone."""

    value: bytes
    deleted: bool


def find(reader: Reader, space: bytes, name: bytes) -> Stored | None:
    """A row, dead or alive."""
    value = ROWS.get(reader, space, name)
    if value is not None:
        return Stored(value, deleted=False)
    value = TOMBSTONES.get(reader, space, name)
    return None if value is None else Stored(value, deleted=True)


def put(writer: Writer, space: bytes, name: bytes, new: Stored, *, old: Stored | None) -> None:
    """Store a row in the place of `old`, which is what `find` found."""
    if old is not None and old.deleted != new.deleted:
        (TOMBSTONES if old.deleted else ROWS).delete(writer, space, name)
    (TOMBSTONES if new.deleted else ROWS).put(writer, space, name, new.value)


def log_change(
    writer: Writer, database_id: int, policy_index: int, name: bytes, *, new: int, old: int | None
) -> None:
    """Move a row's entry to the end of the log: from number `old`, if it has one, to `new`."""
    if old is not None:
        writer.delete(LOG, _LOG_KEY.pack(database_id, old))
    writer.put(LOG, _LOG_KEY.pack(database_id, new), _LOG_POLICY.pack(policy_index) + name)


def changes_since(
    reader: Reader, database_id: int, number: int
) -> Iterator[tuple[int, int, bytes, Stored]]:
    """Yield (number, policy index, name, row) of all rows changed after `number`, oldest first."""
    start, stop = _LOG_KEY.pack(database_id, number + 1), _LOG_KEY.pack(database_id + 1, 0)
    for key, entry in reader.scan(LOG, start=start, stop=stop):
        (policy_index,) = _LOG_POLICY.unpack_from(entry)
        name = entry[_LOG_POLICY.size :]
        stored = find(reader, space_of(database_id, policy_index), name)
        assert stored is not None, "each entry of the log has its row"
        yield _LOG_KEY.unpack(key)[1], policy_index, name, stored
