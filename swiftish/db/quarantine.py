"""A copy of a damaged database, in the device's quarantine, before it is let go.

The file `database` is a sequence of msgpack arrays: [marker, version, kind, hash, head, totals],
then [policy, name, row, is a tombstone] of each row, all as they were stored.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Generic

import msgpack

from swiftish.db import heads, row_table
from swiftish.db.name_index import NameIndex, space_of
from swiftish.db.schema import Row, Schema
from swiftish.runtime.environment import Reader
from swiftish.runtime.quarantine import new_place

MARKER, VERSION = "swiftish database", 1
FILE = "database"
ROWS_MAX = 1000  # in one transaction

_ID = Struct(">Q")


class Copy(Generic[Row]):
    """The copying of one database.  `step` is called with one reader after the other.  Blocking."""

    def __init__(
        self, device: Path, schema: Schema[Row], digest: bytes, database_id: int, reason: str
    ) -> None:
        self.place = new_place(device, f"{schema.kind}s", digest.hex(), reason)
        self._digest = digest
        self._id = database_id
        self._kind = schema.kind
        self._tables: list[NameIndex] = [row_table.TOMBSTONES, row_table.ROWS]
        self._after: tuple[int, bytes] | None = None
        self._is_begun = False

    def step(self, reader: Reader) -> bool:
        """Copy some more; True when there is more.  Raises OSError."""
        with (self.place / FILE).open("ab") as file:
            if not self._is_begun:
                self._is_begun = True
                head = reader.get(heads.HEADS, self._digest)
                totals = reader.get(heads.TOTALS, _ID.pack(self._id))
                first = [MARKER, VERSION, self._kind, self._digest, head, totals]
                file.write(msgpack.packb(first))
            if not self._tables:
                return False
            names = self._tables[-1]
            is_tombstone = names is row_table.TOMBSTONES
            count = 0
            for policy_index, name, value in islice(self._rows(reader, names), ROWS_MAX):
                file.write(msgpack.packb([policy_index, name, value, is_tombstone]))
                self._after = policy_index, name
                count += 1
            if count < ROWS_MAX:
                self._tables.pop()
                self._after = None
            return bool(self._tables)

    def _rows(self, reader: Reader, names: NameIndex) -> Iterator[tuple[int, bytes, bytes]]:
        for policy_index in row_table.policies_of(reader, names, self._id):
            start = b""
            if self._after is not None:
                if policy_index < self._after[0]:
                    continue
                if policy_index == self._after[0]:
                    start = self._after[1] + b"\0"
            space = space_of(self._id, policy_index)
            for name, value in names.walk(reader, space, start):
                yield policy_index, name, value
