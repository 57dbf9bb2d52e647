"""Rows whose objects are in another policy than their container's, and the reconciler's queue.

A container that was made in several policies has one in the end (db/claims.py), and then rows of
the others.  Listings do not show them.  Each is put into a queue, from which the reconciler moves
the object, or the deletion, to where it belongs (misplacement.py, reference 2.7):

    container  1700000000, the hour of the row's timestamp
    object     2:/a/c/o, policy and path of what is misplaced; what to do is its content type

How far a container's changes have been fed is remembered with the policy that it had: in another
one, other rows are misplaced.  A row that changes is fed again, which changes nothing in the queue
unless its object has changed.

Table: fed, id -> [number, policy].
"""

from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from swiftish.container.misplacement import DELETE_TYPE, PUT_TYPE, QUEUE_ACCOUNT
from swiftish.container.schema import FED, SCHEMA
from swiftish.db import heads, row_table
from swiftish.db.heads import Head, Totals
from swiftish.db.name_index import space_of
from swiftish.domain.rows import VERSION, UnknownVersion, packed, unpacked
from swiftish.domain.timestamp import Timestamp
from swiftish.runtime.environment import Reader, Writer

HOUR_S = 3600

FED_AT_ONCE = 100
SCANNED_AT_ONCE = 10_000

_ID = Struct(">Q")


class QueueRow(NamedTuple):
    """What the queue is told: `container` and `name` are where the row goes."""

    container: str
    name: str
    content_type: str
    timestamp: Timestamp


class Feed(NamedTuple):
    """Some misplaced rows of a container; with them all changes up to `number` are fed."""

    database_id: int
    number: int
    policy_index: int
    rows: list[QueueRow]


def has_strays(head: Head, totals: Totals) -> bool:
    """Whether there may be misplaced rows: that there are rows of another policy."""
    own = head.policy_index
    return head.account != QUEUE_ACCOUNT and any(policy != own for policy in totals.by_policy)


def unfed(reader: Reader, digest: bytes) -> Feed | None:
    """The next misplaced rows of a container that are not yet fed; None when all changes are."""
    head = heads.find(reader, digest)
    if head is None:
        return None
    own, last = head.policy_index, heads.find_totals(reader, head.id).sequence
    start = _fed(reader, head.id, own)
    if start >= last:
        return None
    rows: list[QueueRow] = []
    log = row_table.log_since(reader, head.id, start)
    for scanned, (number, policy_index, name) in enumerate(log):
        if len(rows) == FED_AT_ONCE or scanned == SCANNED_AT_ONCE:
            return Feed(head.id, start, own, rows)
        start = number
        if policy_index != own:
            rows += _rows(reader, head, policy_index, name)
    return Feed(head.id, last, own, rows)


def fed(writer: Writer, feed: Feed) -> None:
    """Remember that these rows are in the queue."""
    value = packed((VERSION, feed.number, feed.policy_index))
    writer.put(FED, _ID.pack(feed.database_id), value)


def queue_row(
    head: Head, policy_index: int, name: bytes, timestamp: Timestamp, *, deleted: bool
) -> QueueRow:
    """The queue's row for an object that is, or was deleted, in the wrong policy."""
    seconds = int(timestamp.seconds)
    text = name.decode("utf-8", "surrogateescape")
    return QueueRow(
        container=str(seconds // HOUR_S * HOUR_S),
        name=f"{policy_index}:/{head.account}/{head.container}/{text}",
        content_type=DELETE_TYPE if deleted else PUT_TYPE,
        timestamp=timestamp,
    )


def _rows(reader: Reader, head: Head, policy_index: int, name: bytes) -> Iterator[QueueRow]:
    """The row of that name, unless it can't be read."""
    stored = row_table.find(reader, space_of(head.id, policy_index), name)
    with suppress(UnknownVersion):
        if stored is not None:
            row, _ = SCHEMA.decode(stored)
            yield queue_row(head, policy_index, name, row.timestamp, deleted=row.deleted)


def _fed(reader: Reader, database_id: int, policy_index: int) -> int:
    value = reader.get(FED, _ID.pack(database_id))
    if value is None:
        return 0
    _, number, policy_then = unpacked(value)
    return int(number) if policy_then == policy_index else 0
