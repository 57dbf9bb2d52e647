"""Rows without a head: of databases that are no more, and that nobody will ever find again.

A database that is removed leaves a note by which its rows are swept up (removal.py), and follows
its log for that.  What damage has made of a log, or of a head, can leave rows behind that no note
tells of.  Numbers of databases are never given twice, so they can belong to nobody.

They are looked for by seeking from one number to the next, and only when every head can be read:
the rows of a head that says another number than its own must not be taken for leftovers.
"""

from collections.abc import Collection
from itertools import islice
from struct import Struct

from swiftish.db import removal, row_table
from swiftish.db.heads import TOTALS
from swiftish.db.name_index import META, space_of
from swiftish.runtime.environment import Reader, Writer

ROWS_MAX = 1000  # in one transaction
SEEKS_MAX = 1000

_ID = Struct(">Q")
_CHILD = 0xFFFF  # in the place of a policy: not a database, but the rest of a long name
_LAST_ID = b"last-id"


def last_id(reader: Reader) -> int:
    """The greatest number of a database so far."""
    return int.from_bytes(reader.get(META, _LAST_ID) or b"", "big")


class Search:
    """Looks for numbers up to `up_to` that have rows, are not `known` to have a head, and are not
    being swept up already; they are `found`."""

    def __init__(self, known: Collection[int], *, up_to: int) -> None:
        self.found: set[int] = set()
        self._known = known
        self._stop = _ID.pack(up_to + 1)
        self._tables = [TOTALS, row_table.LOG, row_table.ROWS.table, row_table.TOMBSTONES.table]
        self._start = b""

    def step(self, reader: Reader) -> bool:
        """Look at some more; True when there is more."""
        for _ in range(SEEKS_MAX):
            if not self._tables:
                return False
            table = self._tables[-1]
            item = next(reader.scan(table, start=self._start, stop=self._stop), None)
            if item is None:
                self._tables.pop()
                self._start = b""
                continue
            (number,) = _ID.unpack_from(item[0])
            self._start = _ID.pack(number + 1)
            if number in self._known or number in self.found or _is_child(table, item[0]):
                continue
            if reader.get(removal.REMOVED, _ID.pack(number)) is None:
                self.found.add(number)
        return True


def remove_some(writer: Writer, database_id: int) -> bool:
    """Remove some of the rows of a number that has no head; True when there may be more."""
    left = ROWS_MAX - row_table.remove_some(writer, database_id, ROWS_MAX)
    for names in (row_table.ROWS, row_table.TOMBSTONES):
        for policy_index in list(row_table.policies_of(writer, names, database_id)):
            space = space_of(database_id, policy_index)
            found = list(islice((name for name, _ in names.walk(writer, space)), max(0, left)))
            for name in found:
                names.delete(writer, space, name)
            left -= len(found)
    if left > 0:
        writer.delete(TOTALS, _ID.pack(database_id))
    return left <= 0


def _is_child(table: str, key: bytes) -> bool:
    if table in (TOTALS, row_table.LOG):
        return False
    return int.from_bytes(key[_ID.size : _ID.size + 2], "big") == _CHILD
