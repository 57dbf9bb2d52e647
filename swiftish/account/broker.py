"""Accounts and their rows, one per container, in the transactions of one environment.

Functions that take a Writer are the work of one transaction: they refuse before they write, and
may be run again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from swiftish.account.schema import SCHEMA, USER_METADATA
from swiftish.db import heads, removal, row_table, sync_points
from swiftish.db.heads import Head, Totals
from swiftish.db.name_index import space_of
from swiftish.db.row_table import Outcome
from swiftish.domain import metadata as metadata_rules
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.listing import page as listing_page
from swiftish.domain.metadata import Metadata, TooMuchMetadata
from swiftish.domain.rows import ContainerRow
from swiftish.domain.timestamp import Timestamp
from swiftish.http.replies import Refusal
from swiftish.runtime.environment import Reader, Writer

TABLES = (*heads.TABLES, *row_table.TABLES, *sync_points.TABLES, *removal.TABLES)

DELETED = {"x-account-status": "Deleted"}


@dataclass(slots=True)
class Info:
    """An account: what it is and what it holds."""

    head: Head
    totals: Totals

    @property
    def is_deleted(self) -> bool:
        return SCHEMA.is_deleted(self.head, self.totals)


def find(reader: Reader, digest: bytes) -> Info | None:
    """The account, also when it is deleted; None when there never was one."""
    head = heads.find(reader, digest)
    return None if head is None else Info(head, heads.find_totals(reader, head.id))


def existing(info: Info | None) -> Info:
    """Raises Refusal 404, which tells a deleted account from one that never was."""
    if info is None:
        raise Refusal(404)
    if info.is_deleted:
        raise Refusal(404, None, DELETED if info.head.marked_deleted else None)
    return info


def page(reader: Reader, info: Info, query: Query) -> list[tuple[bytes, bytes | None]]:
    """(name, stored row) and (subdirectory, None)."""
    space = space_of(info.head.id)

    def walk(start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        return row_table.ROWS.walk(reader, space, start, stop, reverse=query.reverse)

    return listing_page(walk, query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A PUT or POST of an account."""

    account: str
    timestamp: Timestamp
    metadata: Metadata


def put_account(writer: Writer, digest: bytes, change: Change, limits: Limits) -> bool:
    """Make the account or change it; True when it was made.

    Raises Refusal 400 for too much metadata, 403 when its owner has deleted it, 409 when it was
    deleted later than this.
    """
    writer.require_room()
    info = find(writer, digest)
    if info is None:
        _check_metadata(change.metadata, limits)
        head = heads.new_head(writer, account=change.account, timestamp=change.timestamp)
        head.metadata = dict(change.metadata)
        heads.save(writer, digest, head, Totals())
        return True
    head, again = info.head, info.is_deleted
    if head.marked_deleted:
        raise Refusal(403, "Recently deleted", DELETED)
    if again and change.timestamp < head.delete:
        text = "A newer change is stored."
        raise Refusal(409, text, {"x-backend-timestamp": head.delete.internal})
    _merge_metadata(head, change, limits)
    head.put = max(head.put, change.timestamp)
    if again:
        head.status_changed = max(head.status_changed, change.timestamp)
    heads.save(writer, digest, head, info.totals)
    return again


def post_account(writer: Writer, digest: bytes, change: Change, limits: Limits) -> None:
    """Merge metadata.  Raises Refusal 400, 404."""
    writer.require_room()
    info = existing(find(writer, digest))
    _merge_metadata(info.head, change, limits)
    heads.save(writer, digest, info.head, info.totals)


def delete_account(writer: Writer, digest: bytes, timestamp: Timestamp) -> None:
    """Mark the account as deleted; what is in it is left to the reaper.  Raises Refusal 404."""
    info = existing(find(writer, digest))
    head = info.head
    if timestamp > head.delete:
        head.delete = timestamp
        head.status_changed = max(head.status_changed, timestamp)
        head.marked_deleted = True
        head.metadata = metadata_rules.cleared(head.metadata, timestamp)
        heads.save(writer, digest, head, info.totals)


def put_container(
    writer: Writer,
    digest: bytes,
    *,
    account: str,
    container: bytes,
    row: ContainerRow,
    also_deleted: bool = False,
) -> bool:
    """Merge what a container reports; the totals change with it.  Again, it changes nothing.

    False when other totals were reported at a later moment: those are still believed.  By a clock
    that was ahead, perhaps; so whoever reports is to do so again.

    Raises Refusal 404 when there is no account, unless its name begins with "."; and when it is
    deleted, unless `also_deleted`.
    """
    if not row.deleted:
        writer.require_room()
    info = find(writer, digest)
    if info is None:
        if not account.startswith("."):
            raise Refusal(404)
        moment = max(row.put_timestamp, row.delete_timestamp)
        info = Info(heads.new_head(writer, account=account, timestamp=moment), Totals())
        heads.save(writer, digest, info.head, info.totals)
    if not also_deleted:
        existing(info)
    head, totals = info.head, info.totals
    outcome = row_table.merge(writer, SCHEMA, head.id, totals, 0, container, row)
    if outcome is Outcome.NEWS:
        heads.save_totals(writer, head.id, totals)
    stored = row_table.find(writer, space_of(head.id, 0), container)
    assert stored is not None
    known, _ = SCHEMA.decode(stored)
    return known.totals == row.totals


def _merge_metadata(head: Head, change: Change, limits: Limits) -> None:
    merged = metadata_rules.merge(head.metadata, change.metadata)
    _check_metadata(merged, limits)
    head.metadata = merged


def _check_metadata(metadata: Metadata, limits: Limits) -> None:
    try:
        metadata_rules.check(metadata, prefix=USER_METADATA, limits=limits)
    except TooMuchMetadata as error:
        raise Refusal(400, str(error)) from None
