"""What is known of a database itself: whose it is, when it was made and deleted, its metadata.

Heads are stored under the hash of the name, so that all databases of a partition are neighbours.
The totals change with every row and are kept apart: they are small, and heads may be large.

Tables: heads, hash -> id and head; totals, id -> totals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from swiftish.db import claims, numbers
from swiftish.db.claims import Claim, Claims
from swiftish.db.name_index import next_id
from swiftish.domain import metadata as metadata_rules
from swiftish.domain.metadata import Metadata
from swiftish.domain.rows import VERSION, UnknownVersion, packed, unpacked
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.runtime.environment import Reader, Writer

HEADS = "heads"
TOTALS = "totals"
TABLES = (HEADS, TOTALS)

HEAD_VERSION = 2  # 1 had no claims, but one policy index

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
    marked_deleted: bool = False  # of an account: deleted by its owner, whatever is left in it
    metadata: Metadata = field(default_factory=dict)
    claims: Claims = field(default_factory=dict)  # of a container

    @property
    def policy_index(self) -> int:
        """The policy of a container."""
        return claims.winner(self.claims)


@dataclass(slots=True)
class Totals:
    """Sums over the live rows, kept in the transaction that changes the rows.

    `sequence` is the number of the last change; `by_policy` maps a policy's index to
    [objects, bytes], and in accounts to [containers, objects, bytes].
    """

    sequence: int = 0
    by_policy: dict[int, list[int]] = field(default_factory=dict)

    def add(self, policy_index: int, amounts: Sequence[int], *, sign: int = 1) -> None:
        sums = self.by_policy.setdefault(policy_index, [0] * len(amounts))
        for place, amount in enumerate(amounts):
            sums[place] += sign * amount

    def sum(self, place: int) -> int:
        """Over all policies."""
        return sum(sums[place] for sums in self.by_policy.values())


class Found(NamedTuple):
    """A database as it is stored."""

    digest: bytes
    head: Head
    totals: Totals


def new_head(
    writer: Writer,
    *,
    account: str,
    container: str = "",
    timestamp: Timestamp,
    policy_index: int | None = None,
) -> Head:
    """A database that is being made, a container in some policy; `save` stores it."""
    made = {} if policy_index is None else {policy_index: Claim(timestamp, ZERO, timestamp)}
    return Head(
        id=next_id(writer),
        account=account,
        container=container,
        created=timestamp,
        put=timestamp,
        status_changed=timestamp,
        claims=made,
    )


def merged(a: Head, b: Head) -> Head:
    """What either knows (reference 2.7); a new head with the id of `a`.

    Metadata from before a deletion do not come back, wherever they have been kept.
    """
    delete = max(a.delete, b.delete)
    metadata = metadata_rules.merge(a.metadata, b.metadata)
    return Head(
        id=a.id,
        account=a.account,
        container=a.container,
        created=min(a.created, b.created),
        put=max(a.put, b.put),
        delete=delete,
        status_changed=max(a.status_changed, b.status_changed),
        marked_deleted=a.marked_deleted or b.marked_deleted,
        metadata=metadata_rules.cleared(metadata, delete) if delete > ZERO else metadata,
        claims=claims.joined(a.claims, b.claims),
    )


# ---- in the environment ------------------------------------------------------------------------


def find_id(reader: Reader, digest: bytes) -> int | None:
    """The database's number, without reading all of its head."""
    value = reader.get(HEADS, digest)
    return None if value is None else int(_ID.unpack_from(value)[0])


def find(reader: Reader, digest: bytes) -> Head | None:
    """Raises UnknownVersion."""
    value = reader.get(HEADS, digest)
    return None if value is None else _stored(value)


def after(reader: Reader, digest: bytes, *, limit: int) -> list[tuple[bytes, int]]:
    """The next `limit` hashes and ids behind `digest`."""
    found: list[tuple[bytes, int]] = []
    for key, value in reader.scan(HEADS, start=digest + b"\0" if digest else b""):
        found.append((key, _ID.unpack_from(value)[0]))
        if len(found) == limit:
            break
    return found


def save(writer: Writer, digest: bytes, head: Head, totals: Totals) -> None:
    """Store a head that has changed, which is a change of the database and has a number."""
    totals.sequence = numbers.take(writer)
    replace(writer, digest, head)
    save_totals(writer, head.id, totals)


def replace(writer: Writer, digest: bytes, head: Head) -> None:
    """Store a head in which there is no news for other replicas."""
    writer.put(HEADS, digest, _ID.pack(head.id) + encode(head))


def delete(writer: Writer, digest: bytes, database_id: int) -> None:
    writer.delete(HEADS, digest)
    writer.delete(TOTALS, _ID.pack(database_id))


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


# ---- stored form, which is also what nodes send each other -------------------------------------


def encode(head: Head) -> bytes:
    """All but the id, which is the environment's own."""
    moments = (head.created, head.put, head.delete, head.status_changed)
    return packed(
        (
            HEAD_VERSION,
            *(head.account, head.container),
            *(moment.pack() for moment in moments),
            head.marked_deleted,
            {name: (value, when.pack()) for name, (value, when) in head.metadata.items()},
            {i: tuple(when.pack() for when in claim) for i, claim in head.claims.items()},
        )
    )


def decode(value: bytes, *, database_id: int = 0) -> Head:
    """The other way round.  Whoever got it from elsewhere has to check what it says.

    Raises UnknownVersion for anything that `encode` can't have made.
    """
    version, *fields = unpacked(value, versions=(1, HEAD_VERSION))
    try:
        if version == 1:
            fields = _from_version_1(*fields)
        account, container, *packed_moments, marked, metadata, claimed = fields
        created, put, delete, status_changed = map(Timestamp.unpack, packed_moments)
        return Head(
            id=database_id,
            account=account,
            container=container,
            created=created,
            put=put,
            delete=delete,
            status_changed=status_changed,
            marked_deleted=marked,
            metadata={n: (text, Timestamp.unpack(when)) for n, (text, when) in metadata.items()},
            claims={
                index: Claim(*map(Timestamp.unpack, moments)) for index, moments in claimed.items()
            },
        )
    except (AttributeError, TypeError, ValueError, struct_error) as error:
        raise UnknownVersion(f"no head: {value[:20]!r}") from error


def _from_version_1(*fields: Any) -> list[Any]:  # noqa: ANN401  (as msgpack gives them)
    """The claim of a container that only knew its policy; an account has one that says nothing."""
    account, container, created, put, delete, status_changed, policy_index, *rest = fields
    made = created if delete > put else status_changed  # packed moments sort as moments do
    claimed = {policy_index: (put, delete, made)} if container else {}
    return [account, container, created, put, delete, status_changed, *rest, claimed]


def _stored(value: bytes) -> Head:
    return decode(value[_ID.size :], database_id=_ID.unpack_from(value)[0])
