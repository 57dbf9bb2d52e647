"""Forgetting what was deleted longer ago than any replica may have been away (reference 2.6).

Only for databases that all other primaries hold just as this one does: what they have not heard of
must not be forgotten here.  Forgetting is no change: nobody is told, each does it by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from swiftish.db import heads, removal, row_table
from swiftish.db.deltas import is_bygone
from swiftish.db.heads import Found, Head
from swiftish.db.name_index import space_of
from swiftish.db.schema import Row, Schema, Stored
from swiftish.domain.rows import UnknownVersion
from swiftish.runtime.environment import Reader, Writer

LOOKED_AT_MAX = 1000  # tombstones at once, and so no more are removed in one transaction


class Tombstone(NamedTuple):
    """Where one is, and the number of its last change."""

    database_id: int
    policy_index: int
    name: bytes
    number: int


@dataclass(slots=True)
class Tour:
    """How far the tombstones of some databases have been looked at: those before `at` are done,
    and of that one those up to `last`, a policy and a name."""

    databases: Sequence[Found]
    at: int = 0
    last: tuple[int, bytes] | None = None

    @property
    def is_done(self) -> bool:
        return self.at == len(self.databases)


def old_tombstones(
    reader: Reader, schema: Schema[Row], tour: Tour, cutoff: float
) -> list[Tombstone]:
    """Look at the next tombstones of a tour; which of them are from before `cutoff`, and of a
    change that the others have confirmed."""
    old: list[Tombstone] = []
    left = LOOKED_AT_MAX
    while left and not tour.is_done:
        _, head, totals = tour.databases[tour.at]
        looked = list(islice(_tombstones(reader, head.id, tour.last), left))
        for policy_index, name, stored in looked:
            number = _number_if_old(schema, stored, cutoff)
            if number is not None and number <= totals.sequence:
                old.append(Tombstone(head.id, policy_index, name, number))
        left -= len(looked)
        if left:
            tour.at, tour.last = tour.at + 1, None
        else:
            tour.last = looked[-1][:2]
    return old


def forget_tombstones(
    writer: Writer, schema: Schema[Row], old: Sequence[Tombstone], cutoff: float
) -> int:
    """Remove those that are still there, and the same; how many."""
    count = 0
    for database_id, policy_index, name, number in old:
        stored = row_table.find(writer, space_of(database_id, policy_index), name)
        if stored is not None and _number_if_old(schema, stored, cutoff) == number:
            row_table.forget(writer, database_id, policy_index, name, number)
            count += 1
    return count


def has_old_metadata(head: Head, cutoff: float) -> bool:
    """Whether keys were removed before `cutoff`."""
    return any(not value and when.seconds < cutoff for value, when in head.metadata.values())


def forget_metadata(writer: Writer, found: Found, cutoff: float) -> None:
    """Forget that keys were removed before `cutoff`, unless the database has changed since."""
    digest, head, totals = found
    last = heads.find_totals(writer, head.id).sequence
    if heads.find_id(writer, digest) == head.id and last == totals.sequence:
        head.metadata = {
            name: (value, when)
            for name, (value, when) in head.metadata.items()
            if value or when.seconds >= cutoff
        }
        heads.replace(writer, digest, head)


def forget_database(writer: Writer, schema: Schema[Row], found: Found, cutoff: float) -> bool:
    """Remove one that was deleted before `cutoff`, has no rows left, not even dead ones, and of
    whose deletion everybody knows; False when there is a reason not to."""
    return (
        is_bygone(schema, found, cutoff)
        and schema.may_forget(writer, found.digest)
        and row_table.is_empty(writer, found.head.id)
        and removal.begin(writer, schema, found)
    )


def _tombstones(
    reader: Reader, database_id: int, after: tuple[int, bytes] | None
) -> Iterator[tuple[int, bytes, Stored]]:
    for policy_index in row_table.policies_of(reader, row_table.TOMBSTONES, database_id):
        start = b""
        if after is not None and policy_index <= after[0]:
            if policy_index < after[0]:
                continue
            start = after[1] + b"\0"
        space = space_of(database_id, policy_index)
        for name, value in row_table.TOMBSTONES.walk(reader, space, start):
            yield policy_index, name, Stored(value, deleted=True)


def _number_if_old(schema: Schema[Row], stored: Stored, cutoff: float) -> int | None:
    """The number of an old tombstone's last change.  What can't be read is the auditor's."""
    try:
        row, number = schema.decode(stored)
    except UnknownVersion:
        return None
    deleted_at = schema.deleted_at(row)
    return number if deleted_at is not None and deleted_at.seconds < cutoff else None
