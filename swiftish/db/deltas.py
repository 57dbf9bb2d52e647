"""What two replicas tell each other, as documents; whatever arrives is looked at field by field.

offer   the sender's databases, and the number of the last change of each
heard   of each: what the receiver has of them already, and whether it is a primary
merge   of some databases the head, and the rows that changed since what the receiver has
heard   again

A row travels as it is stored.  The receiver decodes it and stores it in its own words, so nothing
of what somebody else wrote gets into a listing unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

from swiftish.cluster.documents import BadDocument
from swiftish.db import heads, row_table, sync_points
from swiftish.db.heads import Found, Head
from swiftish.db.numbers import ENVIRONMENT_BYTES, LIFE_BYTES, NUMBER_MAX
from swiftish.db.schema import (
    NAME_BYTES_MAX,
    Row,
    Schema,
    Stored,
    check_metadata,
    decode_checked,
)
from swiftish.db.settings import BATCH_MAX
from swiftish.db.sync_points import Point
from swiftish.domain.rows import UnknownVersion
from swiftish.runtime.environment import Reader

DIGEST_BYTES = 16

# A document that is merged is one transaction, during which nobody else writes.
ROWS_MAX = 1000
DATABASES_MAX = BATCH_MAX
# So that one with the longest names and types fits into what a document may have (64 MiB).
BYTES_MAX = 4 * 1024 * 1024


class Offer(NamedTuple):
    """A database of the sender's, and its last change.

    `is_bygone`: deleted so long ago that nobody who does not know it needs to.
    """

    digest: bytes
    last: Point
    is_bygone: bool


class Heard(NamedTuple):
    """What the receiver has of the sender's database; whether it is a primary by its own ring."""

    point: Point | None
    is_primary: bool


@dataclass(slots=True)
class Wanted:
    """A database of which a peer lacks something; it has what was here until `since`."""

    digest: bytes
    since: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Some changes of a database, as the sender reads them.

    All that changed after `since` (None: ever) and up to `upto`; `is_all`: there is nothing after
    that.  Each row is (policy index, name, stored, is a tombstone).
    """

    digest: bytes
    head: bytes
    since: Point | None
    upto: Point
    rows: Sequence[tuple[int, bytes, bytes, bool]]
    is_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived(Generic[Row]):
    """Some changes of a database, as the receiver has checked them."""

    digest: bytes
    head: Head
    since: Point | None
    upto: Point
    rows: Sequence[tuple[int, bytes, Row]]


# ---- the sender reads its own ------------------------------------------------------------------


def read_offers(
    reader: Reader, schema: Schema[Row], *, after: bytes, limit: int, cutoff: float
) -> tuple[list[tuple[Found, Offer]], bytes, int]:
    """The next `limit` databases behind the hash `after`; the last hash that was looked at, b""
    at the end; how many could not be read.

    What was deleted before `cutoff` is bygone once it is empty.
    """
    found: list[tuple[Found, Offer]] = []
    keys = heads.after(reader, after, limit=limit)
    damaged = 0
    for digest, database_id in keys:
        try:
            head = heads.find(reader, digest)
            totals = heads.find_totals(reader, database_id)
        except UnknownVersion:
            damaged += 1
            continue
        assert head is not None, "it was read from the same moment's state"
        last = sync_points.here(reader, totals.sequence)
        one = Found(digest, head, totals)
        found.append((one, Offer(digest, last, is_bygone(schema, one, cutoff))))
    return found, keys[-1][0] if len(keys) == limit else b"", damaged


def is_bygone(schema: Schema[Row], found: Found, cutoff: float) -> bool:
    """Deleted before `cutoff`, and without live rows in any policy."""
    _, head, totals = found
    return head.delete.seconds < cutoff and not totals.sum(0) and schema.is_deleted(head, totals)


def read_deltas(
    reader: Reader, wanted: Sequence[Wanted], *, rows_max: int = ROWS_MAX
) -> list[Delta]:
    """As much of what a peer wants as one document may hold; at least one, unless none is here.

    What can't be read (UnknownVersion) is left out.
    """
    deltas: list[Delta] = []
    rows_left, bytes_left = rows_max, BYTES_MAX
    for each in wanted:
        if rows_left <= 0 or bytes_left <= 0 or len(deltas) == DATABASES_MAX:
            break
        try:
            delta = _read_delta(reader, each, rows_left, bytes_left)
        except UnknownVersion:
            continue
        if delta is not None:
            deltas.append(delta)
            rows_left -= len(delta.rows)
            bytes_left -= _size(delta)
    return deltas


def _read_delta(reader: Reader, wanted: Wanted, rows_max: int, bytes_max: int) -> Delta | None:
    head = heads.find(reader, wanted.digest)
    if head is None:
        return None
    last = heads.find_totals(reader, head.id).sequence
    since = wanted.since
    if since is not None and not sync_points.holds(reader, since, last=last):
        since = None
    rows: list[tuple[int, bytes, bytes, bool]] = []
    number, is_all = last, True
    start = since.number if since else 0
    for changed, policy_index, name, stored in row_table.changes_since(reader, head.id, start):
        if len(rows) == rows_max or bytes_max <= 0:
            number, is_all = start, False
            break
        rows.append((policy_index, name, stored.value, stored.deleted))
        bytes_max -= len(name) + len(stored.value)
        start = changed
    return Delta(
        digest=wanted.digest,
        head=heads.encode(head),
        since=since,
        upto=sync_points.here(reader, number),
        rows=rows,
        is_all=is_all,
    )


def _size(delta: Delta) -> int:
    return len(delta.head) + sum(len(name) + len(value) for _, name, value, _ in delta.rows)


# ---- documents ---------------------------------------------------------------------------------


def offer_document(environment: bytes, offers: Sequence[Offer]) -> object:
    return {
        "environment": environment,
        "databases": [(digest, *last, bygone) for digest, last, bygone in offers],
    }


def merge_document(environment: bytes, deltas: Sequence[Delta]) -> object:
    return {
        "environment": environment,
        "databases": [(d.digest, d.head, d.since, d.upto, d.rows) for d in deltas],
    }


def heard_document(heard: Sequence[Heard]) -> object:
    return {"databases": heard}


def parse_offers(document: object) -> tuple[bytes, list[Offer]]:
    """The sender's environment and databases.  Raises BadDocument."""
    environment, entries = _parts(document)
    offers = []
    for entry in entries:
        digest, number, life, bygone = _fields(entry, bytes, int, bytes, bool)
        offers.append(Offer(_digest(digest), _point(number, life), bygone))
    return environment, offers


def parse_deltas(document: object, schema: Schema[Row]) -> tuple[bytes, list[Arrived[Row]]]:
    """The sender's environment and changes; names are not compared with hashes here.

    Raises BadDocument.
    """
    environment, entries = _parts(document)
    arrived: list[Arrived[Row]] = []
    rows_left = ROWS_MAX
    for entry in entries:
        *plain, since, upto, rows = _fields(entry, bytes, bytes, None, list, list)
        rows_left -= len(rows)
        if rows_left < 0:
            raise BadDocument("too many rows")
        arrived.append(
            Arrived(
                digest=_digest(plain[0]),
                head=_head(plain[1], schema),
                since=None if since is None else _point(*_fields(since, int, bytes)),
                upto=_point(*_fields(upto, int, bytes)),
                rows=[_row(row, schema) for row in rows],
            )
        )
    return environment, arrived


def parse_heard(document: object, count: int) -> list[Heard]:
    """What a peer says of `count` databases.  Raises BadDocument."""
    entries = document.get("databases") if type(document) is dict else None
    if type(entries) is not list or len(entries) != count:
        raise BadDocument("not an answer for each database")
    heard = []
    for entry in entries:
        point, is_primary = _fields(entry, None, bool)
        known = None if point is None else _point(*_fields(point, int, bytes))
        heard.append(Heard(known, is_primary))
    return heard


def _parts(document: object) -> tuple[bytes, list[Any]]:
    if type(document) is not dict:
        raise BadDocument("not a map")
    environment, entries = document.get("environment"), document.get("databases")
    if type(environment) is not bytes or len(environment) != ENVIRONMENT_BYTES:
        raise BadDocument("no environment")
    if type(entries) is not list or len(entries) > DATABASES_MAX:
        raise BadDocument("no databases, or too many")
    return environment, entries


def _fields(entry: object, *types: type | None) -> list[Any]:
    """The items of a list, each of its type (None: of any)."""
    if type(entry) is not list or len(entry) != len(types):
        raise BadDocument(f"not {len(types)} fields")
    for item, wanted in zip(entry, types, strict=True):
        if wanted is not None and type(item) is not wanted:
            raise BadDocument(f"{item!r:.40} is no {wanted.__name__}")
    return entry


def _digest(value: bytes) -> bytes:
    if len(value) != DIGEST_BYTES:
        raise BadDocument("not a hash")
    return value


def _is_name(name: object) -> bool:
    """Whether a database may be called so: names may hold NULs and ends of lines, but no slash."""
    return type(name) is str and 0 < len(name) <= NAME_BYTES_MAX and "/" not in name


def _point(number: int, life: bytes) -> Point:
    if not 0 <= number <= NUMBER_MAX or len(life) != LIFE_BYTES:
        raise BadDocument("not a number of a change")
    return Point(number, life)


def _head(value: bytes, schema: Schema[Row]) -> Head:
    try:
        head = heads.decode(value)
        check_metadata(head.metadata, schema.metadata_names)
    except (UnknownVersion, TypeError, AttributeError) as error:
        raise BadDocument(f"no head: {error}") from None
    if not _is_name(head.account) or not (head.container == "" or _is_name(head.container)):
        raise BadDocument("not the name of a database")
    if type(head.marked_deleted) is not bool:
        raise BadDocument("deleted is neither true nor false")
    schema.check_head(head)
    return head


def _row(entry: object, schema: Schema[Row]) -> tuple[int, bytes, Row]:
    policy_index, name, value, deleted = _fields(entry, int, bytes, bytes, bool)
    if not 0 < len(name) <= NAME_BYTES_MAX:
        raise BadDocument("not the name of a row")
    return policy_index, name, decode_checked(schema, Stored(value, deleted), policy_index)
