"""What is known of a database itself: whose it is, when it was made and deleted, its metadata.

Heads are stored under the hash of the name, so that all databases of a partition are neighbours.
The totals change with every row and are kept apart: they are small, and heads may be large.

Tables: heads, hash -> id and head; totals, id -> totals.
"""

from dataclasses import dataclass, field
from struct import Struct

from swiftish.db.name_index import next_id
from swiftish.domain.metadata import Metadata
from swiftish.domain.rows import VERSION, packed, unpacked
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.runtime.environment import Reader, Writer

HEADS = "heads"
TOTALS = "totals"
TABLES = (HEADS, TOTALS)

_ID = Struct(">Q")


@dataclass(slots=True, kw_only=True)
class Head:
    """An account or a container (`container` is "" for an account)."""

    id: int
    account: str
    container: str = ""
    created: Timestamp
    put: Timestamp
    delete: Timestamp = ZERO
    status_changed: Timestamp
    policy_index: int = 0  # of a container
    marked_deleted: bool = False  # of an account: deleted by its owner, whatever is left in it
    metadata: Metadata = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Sums over the live rows, kept in the transaction that changes the rows.

    `sequence` is the number of the last change; `by_policy` maps a policy's index to
    [objects, bytes], and in accounts to [containers, objects, bytes].
    """

    sequence: int = 0
    by_policy: dict[int, list[int]] = field(default_factory=dict)

    def add(self, policy_index: int, *amounts: int) -> None:
        sums = self.by_policy.setdefault(policy_index, [0] * len(amounts))
        for place, amount in enumerate(amounts):
            sums[place] += amount

    def sum(self, place: int) -> int:
        """Over all policies."""
        return sum(sums[place] for sums in self.by_policy.values())


def new_head(writer: Writer, *, account: str, container: str = "", timestamp: Timestamp) -> Head:
    """A database that is being made; `save` stores it."""
    return Head(
        id=next_id(writer),
        account=account,
        container=container,
        created=timestamp,
        put=timestamp,
        status_changed=timestamp,
    )


def find_id(reader: Reader, digest: bytes) -> int | None:
    """The database's number, without reading all of its head."""
    value = reader.get(HEADS, digest)
    return None if value is None else int(_ID.unpack_from(value)[0])


def find(reader: Reader, digest: bytes) -> Head | None:
    """Raises UnknownVersion."""
    value = reader.get(HEADS, digest)
    if value is None:
        return None
    _, account, container, *moments, policy_index, marked, metadata = unpacked(value[_ID.size :])
    created, put, delete, status_changed = map(Timestamp.unpack, moments)
    return Head(
        id=_ID.unpack_from(value)[0],
        account=account,
        container=container,
        created=created,
        put=put,
        delete=delete,
        status_changed=status_changed,
        policy_index=policy_index,
        marked_deleted=marked,
        metadata={name: (text, Timestamp.unpack(when)) for name, (text, when) in metadata.items()},
    )


def save(writer: Writer, digest: bytes, head: Head) -> None:
    moments = (head.created, head.put, head.delete, head.status_changed)
    fields = (
        VERSION,
        *(head.account, head.container),
        *(moment.pack() for moment in moments),
        *(head.policy_index, head.marked_deleted),
        {name: (value, when.pack()) for name, (value, when) in head.metadata.items()},
    )
    writer.put(HEADS, digest, _ID.pack(head.id) + packed(fields))


def find_totals(reader: Reader, database_id: int) -> Totals:
    """Raises UnknownVersion."""
    value = reader.get(TOTALS, _ID.pack(database_id))
    if value is None:
        return Totals()
    _, sequence, by_policy = unpacked(value)
    return Totals(sequence, by_policy)


def save_totals(writer: Writer, database_id: int, totals: Totals) -> None:
    fields = (VERSION, totals.sequence, totals.by_policy)
    writer.put(TOTALS, _ID.pack(database_id), packed(fields))
