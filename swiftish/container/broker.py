"""Containers and their rows, in the transactions of one environment.

Functions that take a Writer are the work of one transaction: they refuse before they write, and
may be run again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from swiftish.container import schema
from swiftish.container.schema import DIRTY, SCHEMA, USER_METADATA, objects_and_bytes
from swiftish.db import claims, heads, removal, row_table, sync_points
from swiftish.db.heads import Head, Totals
from swiftish.db.name_index import space_of
from swiftish.db.row_table import Outcome
from swiftish.domain import metadata as metadata_rules
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.listing import page as listing_page
from swiftish.domain.metadata import Metadata, TooMuchMetadata
from swiftish.domain.rows import ObjectRow
from swiftish.domain.timestamp import Timestamp
from swiftish.http.replies import Refusal
from swiftish.runtime.environment import EnvironmentFull, Reader, Writer

TABLES = (
    *heads.TABLES,
    *row_table.TABLES,
    *sync_points.TABLES,
    *removal.TABLES,
    *schema.TABLES,
)


@dataclass(slots=True)
class Info:
    """A container: what it is and what it holds."""

    head: Head
    totals: Totals

    @property
    def is_deleted(self) -> bool:
        return SCHEMA.is_deleted(self.head, self.totals)

    @property
    def objects(self) -> int:
        return objects_and_bytes(self.head, self.totals)[0]

    @property
    def bytes(self) -> int:
        return objects_and_bytes(self.head, self.totals)[1]


class Unreported(NamedTuple):
    """A container of whose change the accounts have not heard yet, and that change."""

    digest: bytes
    mark: bytes
    info: Info


def find(reader: Reader, digest: bytes) -> Info | None:
    """The container, also when it is deleted; None when there never was one."""
    head = heads.find(reader, digest)
    return None if head is None else Info(head, heads.find_totals(reader, head.id))


def page(reader: Reader, info: Info, query: Query) -> list[tuple[bytes, bytes | None]]:
    """(name, stored row) and (subdirectory, None) of the container's own policy."""
    space = space_of(info.head.id, info.head.policy_index)

    def walk(start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return row_table.ROWS.walk(reader, space, start, stop, reverse=query.reverse)

    return listing_page(walk, query)


# ---- changes of the container itself -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A PUT or POST of a container.  `policy_index` is None when any will do."""

    account: str
    container: str
    timestamp: Timestamp
    metadata: Metadata
    policy_index: int | None = None
    policy_index_default: int = 0


def put_container(
    writer: Writer, digest: bytes, change: Change, limits: Limits
) -> tuple[Info, bool]:
    """Make the container or change it; True when it was made, for the first time or again.

    Raises Refusal 400 for too much metadata, 409 for another policy than it has (with that in
    x-backend-storage-policy-index) or a newer deletion.
    """
    writer.require_room()
    info = find(writer, digest)
    new_policy = change.policy_index
    if new_policy is None:
        new_policy = change.policy_index_default
    if info is None:
        _check_metadata(change.metadata, limits)
        head = heads.new_head(
            writer,
            account=change.account,
            container=change.container,
            timestamp=change.timestamp,
            policy_index=new_policy,
        )
        head.metadata = dict(change.metadata)
        info = Info(head, Totals())
        _save(writer, digest, info)
        return info, True
    head, again = info.head, info.is_deleted
    if again and change.timestamp < head.delete:
        raise superseded(head)
    if not again and change.policy_index not in (None, head.policy_index):
        raise Refusal(
            409,
            "The container has another storage policy.",
            {"x-backend-storage-policy-index": str(head.policy_index)},
        )
    merged = metadata_rules.merge(head.metadata, change.metadata)
    _check_metadata(merged, limits)
    head.metadata = merged
    head.put = max(head.put, change.timestamp)
    if again:
        head.status_changed = max(head.status_changed, change.timestamp)
        head.claims = claims.made_again(
            head.claims, new_policy, delete=head.delete, timestamp=change.timestamp
        )
    else:
        head.claims = claims.used(head.claims, change.timestamp)
    _save(writer, digest, info)
    return info, again


def post_container(writer: Writer, digest: bytes, change: Change, limits: Limits) -> None:
    """Merge metadata.  Raises Refusal 400, 404."""
    writer.require_room()
    info = find(writer, digest)
    if info is None or info.is_deleted:
        raise Refusal(404)
    head = info.head
    merged = metadata_rules.merge(head.metadata, change.metadata)
    _check_metadata(merged, limits)
    head.metadata = merged
    head.put = max(head.put, change.timestamp)
    head.claims = claims.used(head.claims, change.timestamp)
    _save(writer, digest, info)


def delete_container(writer: Writer, digest: bytes, timestamp: Timestamp) -> tuple[Info, int]:
    """Mark the container as deleted; how it stands now, and the status to answer with.

    204 when it was there until now, 404 when it had been deleted before, 409 when it was put later:
    then the deletion is remembered all the same, as by a replica that heard of it in time.
    Raises Refusal 404 when there never was one, 409 when it is not empty.
    """
    info = find(writer, digest)
    if info is None:
        raise Refusal(404)
    head, existed = info.head, not info.is_deleted
    if info.totals.sum(0):
        raise Refusal(409, "The container is not empty.")
    if timestamp > head.delete:
        head.delete = timestamp
        head.status_changed = max(head.status_changed, timestamp)
        head.claims = claims.deleted(head.claims, timestamp)
        head.metadata = metadata_rules.cleared(head.metadata, timestamp)
        _save(writer, digest, info)
    if not info.is_deleted:
        return info, 409
    return info, 204 if existed else 404


def superseded(head: Head) -> Refusal:
    """Something newer is stored."""
    newest = max(head.put, head.delete).internal
    return Refusal(409, "A newer change is stored.", {"x-backend-timestamp": newest})


def _check_metadata(metadata: Metadata, limits: Limits) -> None:
    try:
        metadata_rules.check(metadata, prefix=USER_METADATA, limits=limits)
    except TooMuchMetadata as error:
        raise Refusal(400, str(error)) from None


def _save(writer: Writer, digest: bytes, info: Info) -> None:
    heads.save(writer, digest, info.head, info.totals)
    SCHEMA.changed(writer, digest, info.totals)


# ---- rows ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row for one container.  `make_container` if there is none: (account, container)."""

    digest: bytes
    name: bytes
    policy_index: int
    row: ObjectRow
    make_container: tuple[str, str] | None = None


def merge_row(writer: Writer, change: RowChange) -> None:
    """Merge one row; totals, log and mark change with it.  Again, it changes nothing.

    A row for a deleted container brings it back: the object is there, and must be found.
    Raises Refusal 404 when there never was such a container, EnvironmentFull.
    """
    row, name, policy_index = change.row, change.name, change.policy_index
    if not row.deleted:
        writer.require_room()
    database_id = heads.find_id(writer, change.digest)
    if database_id is None:
        database_id = _make_container(writer, change)
    totals = heads.find_totals(writer, database_id)
    outcome = row_table.merge(writer, SCHEMA, database_id, totals, policy_index, name, row)
    if outcome is Outcome.NEWS:
        heads.save_totals(writer, database_id, totals)
        SCHEMA.changed(writer, change.digest, totals)


def merge_rows(writer: Writer, changes: Mapping[int, RowChange]) -> dict[int, int]:
    """Merge rows of any containers; the statuses of those that were refused, by their numbers.

    One that is refused keeps no other from its place, and without room deletions still have theirs.
    """
    refused: dict[int, int] = {}
    try:
        writer.require_room()
    except EnvironmentFull:
        refused = {number: 507 for number, change in changes.items() if not change.row.deleted}
    for number, change in changes.items():
        if number not in refused:
            try:
                merge_row(writer, change)
            except Refusal as refusal:
                refused[number] = refusal.status
    return refused


def _make_container(writer: Writer, change: RowChange) -> int:
    if change.make_container is None:
        raise Refusal(404)
    account, container = change.make_container
    head = heads.new_head(
        writer,
        account=account,
        container=container,
        timestamp=change.row.timestamp,
        policy_index=change.policy_index,
    )
    heads.save(writer, change.digest, head, Totals())
    return head.id


# ---- what the accounts have not heard --------------------------------------------------------


def dirty(reader: Reader, *, after: bytes, limit: int) -> list[Unreported]:
    """The next `limit` dirty containers behind `after`, in the order of their hashes."""
    found: list[Unreported] = []
    for digest, mark in reader.scan(DIRTY, start=after + b"\0" if after else b""):
        info = find(reader, digest)
        assert info is not None, "what is marked is there"
        found.append(Unreported(digest, mark, info))
        if len(found) == limit:
            break
    return found


def told(writer: Writer, reports: Sequence[Unreported]) -> None:
    """Remove the marks, but for those of containers that have changed again since."""
    for report in reports:
        if writer.get(DIRTY, report.digest) == report.mark:
            writer.delete(DIRTY, report.digest)
