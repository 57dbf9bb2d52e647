"""The rows of many databases: live ones and tombstones apart, and the log of changes.

A listing walks live rows only, however many have been deleted.  The log holds one entry for each
row that is or was there, under the number of its last change, so "what is new since N" is a scan
whose length is what has changed and not what has happened.

Tables: rows and tombstones, (database, policy, name) -> row; log, (database, number) -> (policy,
name).  A kind's schema says how a row is stored; numbers.py, what the number is.
"""

from collections.abc import Iterator
from enum import Enum
from struct import Struct

from swiftish.db import numbers
from swiftish.db.heads import Totals
from swiftish.db.name_index import META, SPACE_BYTES, NameIndex, policy_of, space_of
from swiftish.db.schema import Row, Schema, Stored
from swiftish.domain.listing import after_prefix
from swiftish.domain.rows import UnknownVersion
from swiftish.runtime.environment import Reader, Writer

ROWS = NameIndex("rows")
TOMBSTONES = NameIndex("tombstones")
LOG = "log"
TABLES = (META, ROWS.table, TOMBSTONES.table, LOG)

_LOG_KEY = Struct(">QQ")
_LOG_POLICY = Struct(">H")


def find(reader: Reader, space: bytes, name: bytes) -> Stored | None:
    """A row, dead or alive."""
    value = ROWS.get(reader, space, name)
    if value is not None:
        return Stored(value, deleted=False)
    value = TOMBSTONES.get(reader, space, name)
    return None if value is None else Stored(value, deleted=True)


class Outcome(Enum):
    """What a row was that came to be merged."""

    NEWS = "news"
    KNOWN = "known"  # just what is stored
    STALE = "stale"  # less than what is stored


def merge(
    writer: Writer,
    schema: Schema[Row],
    database_id: int,
    totals: Totals,
    policy_index: int,
    name: bytes,
    row: Row,
) -> Outcome:
    """Merge a row into what is known of it.

    News change the log too, and `totals`, which the caller saves when all rows are merged.
    """
    space = space_of(database_id, policy_index)
    old = find(writer, space, name)
    old_number = None
    if old is not None:
        old_row, old_number = schema.decode(old)
        merged = schema.merge(old_row, row)
        if merged == old_row:
            return Outcome.KNOWN if row == old_row else Outcome.STALE
        row = merged
        if counted := schema.counts(old_row, policy_index):
            totals.add(*counted, sign=-1)
    if counted := schema.counts(row, policy_index):
        totals.add(*counted)
    totals.sequence = _store(writer, schema, database_id, policy_index, name, row, old, old_number)
    return Outcome.NEWS


def bury_again(
    writer: Writer,
    schema: Schema[Row],
    database_id: int,
    totals: Totals,
    policy_index: int,
    name: bytes,
    cutoff: float,
) -> bool:
    """Give a row a new number, as if it had just come, if it is a tombstone from before `cutoff`;
    False if it is none."""
    old = find(writer, space_of(database_id, policy_index), name)
    assert old is not None
    row, number = schema.decode(old)
    deleted_at = schema.deleted_at(row)
    if deleted_at is None or deleted_at.seconds >= cutoff:
        return False
    totals.sequence = _store(writer, schema, database_id, policy_index, name, row, old, number)
    return True


def _store(
    writer: Writer,
    schema: Schema[Row],
    database_id: int,
    policy_index: int,
    name: bytes,
    row: Row,
    old: Stored | None,
    old_number: int | None,
) -> int:
    """Put a row in the place of the old one, dead or alive, and at the end of the log; its number
    there."""
    space, number = space_of(database_id, policy_index), numbers.take(writer)
    new = schema.encode(row, number)
    if old is not None and old.deleted != new.deleted:
        (TOMBSTONES if old.deleted else ROWS).delete(writer, space, name)
    (TOMBSTONES if new.deleted else ROWS).put(writer, space, name, new.value)
    if old_number is not None:
        writer.delete(LOG, _LOG_KEY.pack(database_id, old_number))
    writer.put(LOG, _LOG_KEY.pack(database_id, number), _LOG_POLICY.pack(policy_index) + name)
    return number


def log_since(reader: Reader, database_id: int, number: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (number, policy index, name) of all rows changed after `number`, oldest first."""
    start, stop = _LOG_KEY.pack(database_id, number + 1), _LOG_KEY.pack(database_id + 1, 0)
    for key, entry in reader.scan(LOG, start=start, stop=stop):
        (policy_index,) = _LOG_POLICY.unpack_from(entry)
        yield _LOG_KEY.unpack(key)[1], policy_index, entry[_LOG_POLICY.size :]


def changes_since(
    reader: Reader, database_id: int, number: int
) -> Iterator[tuple[int, int, bytes, Stored]]:
    """Yield (number, policy index, name, row) of all rows changed after `number`, oldest first.

    Raises UnknownVersion where the log is damaged.
    """
    for changed, policy_index, name in log_since(reader, database_id, number):
        stored = find(reader, space_of(database_id, policy_index), name)
        if stored is None:
            raise UnknownVersion(f"the log of database {database_id} names a row that is not there")
        yield changed, policy_index, name, stored


def policies_of(reader: Reader, names: NameIndex, database_id: int) -> Iterator[int]:
    """Yield the policies in which a database has rows, or tombstones."""
    start: bytes | None = space_of(database_id)
    stop = space_of(database_id + 1)
    while start and (item := next(reader.scan(names.table, start=start, stop=stop), None)):
        yield policy_of(item[0])
        start = after_prefix(item[0][:SPACE_BYTES])


def is_empty(reader: Reader, database_id: int) -> bool:
    """Whether there is no row, dead or alive."""
    return next(log_since(reader, database_id, 0), None) is None


def forget(writer: Writer, database_id: int, policy_index: int, name: bytes, number: int) -> None:
    """Remove a tombstone, whose last change had this number, as if the row had never been."""
    TOMBSTONES.delete(writer, space_of(database_id, policy_index), name)
    writer.delete(LOG, _LOG_KEY.pack(database_id, number))


def remove_some(writer: Writer, database_id: int, limit: int) -> int:
    """Remove about `limit` entries of a database that is no more; how many there were."""
    start, stop = _LOG_KEY.pack(database_id, 0), _LOG_KEY.pack(database_id + 1, 0)
    entries = []
    for entry in writer.scan(LOG, start=start, stop=stop):
        entries.append(entry)
        if len(entries) == limit:
            break
    for key, value in entries:
        (policy_index,) = _LOG_POLICY.unpack_from(value)
        space, name = space_of(database_id, policy_index), value[_LOG_POLICY.size :]
        if not ROWS.delete(writer, space, name):
            TOMBSTONES.delete(writer, space, name)
        writer.delete(LOG, key)
    return len(entries)


# ---- for auditors (census.py) ------------------------------------------------------------------


def logged(reader: Reader, database_id: int, number: int) -> tuple[int, bytes] | None:
    """The policy and name that the log has under a number."""
    entry = reader.get(LOG, _LOG_KEY.pack(database_id, number))
    if entry is None or len(entry) < _LOG_POLICY.size:
        return None
    return int(_LOG_POLICY.unpack_from(entry)[0]), entry[_LOG_POLICY.size :]


def log_anew(
    writer: Writer, schema: Schema[Row], database_id: int, policy_index: int, name: bytes
) -> int | None:
    """Give a row that the log has lost a new number and entry, as if it had just changed; the
    number, or None when there is no such row, or its entry is there."""
    space = space_of(database_id, policy_index)
    stored = find(writer, space, name)
    if stored is None:
        return None
    row, number = schema.decode(stored)
    if logged(writer, database_id, number) == (policy_index, name):
        return None
    number = numbers.take(writer)
    new = schema.encode(row, number)
    (TOMBSTONES if new.deleted else ROWS).put(writer, space, name, new.value)
    writer.put(LOG, _LOG_KEY.pack(database_id, number), _LOG_POLICY.pack(policy_index) + name)
    return number


def unlog(writer: Writer, schema: Schema[Row], database_id: int, number: int) -> bool:
    """Remove an entry of the log that has no row of that number; False when it has."""
    if is_logged_rightly(writer, schema, database_id, number):
        return False
    return writer.delete(LOG, _LOG_KEY.pack(database_id, number))


def is_logged_rightly(reader: Reader, schema: Schema[Row], database_id: int, number: int) -> bool:
    """Whether the log's entry under a number is that of a row which says the same."""
    entry = logged(reader, database_id, number)
    if entry is None:
        return False
    stored = find(reader, space_of(database_id, entry[0]), entry[1])
    return stored is not None and schema.decode(stored)[1] == number
