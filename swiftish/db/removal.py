"""Removing a database, however many rows it has, in short transactions.

The first takes away the head, so nobody finds the database any more: it is not an empty one, it is
none.  It leaves a note with the id of what is to be swept up.  A crash in between leaves the note;
a database of the same name that is made meanwhile has another id.

Table: removed, id -> nothing.
"""

from struct import Struct

from swiftish.db import heads, row_table, sync_points
from swiftish.db.heads import Found
from swiftish.db.schema import Row, Schema
from swiftish.runtime.environment import Reader, Writer

REMOVED = "removed"
TABLES = (REMOVED,)

ROWS_MAX = 1000  # in one transaction

_ID = Struct(">Q")


def begin(writer: Writer, schema: Schema[Row], found: Found) -> bool:
    """Take a database away; False when it has changed since `found`, and nothing is done."""
    digest, head, totals = found
    if heads.find_id(writer, digest) != head.id:
        return False
    if heads.find_totals(writer, head.id).sequence != totals.sequence:
        return False
    schema.forget(writer, found)
    heads.delete(writer, digest, head.id)
    sync_points.forget(writer, head.id)
    writer.put(REMOVED, _ID.pack(head.id), b"")
    return True


def is_due(reader: Reader) -> bool:
    """Whether there is something to sweep up."""
    return next(reader.scan(REMOVED), None) is not None


def go_on(writer: Writer) -> bool:
    """Sweep up some rows; True when there is more."""
    for key, _ in writer.scan(REMOVED):
        if row_table.remove_some(writer, _ID.unpack(key)[0], ROWS_MAX) < ROWS_MAX:
            writer.delete(REMOVED, key)
        return True
    return False
