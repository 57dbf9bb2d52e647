"""The verb REPLICATE of account and container servers: what other nodes' replicators ask.

`offer` says which databases a peer has, and is answered from what is remembered of earlier merges;
`merge` brings heads and rows.  deltas.py has the documents.  All of a document is merged in one
transaction or nothing is, and merging a document again changes nothing.
"""

from collections.abc import Sequence
from typing import Generic

from swiftish.cluster.backend_app import PartitionCall
from swiftish.cluster.documents import BadDocument, asked, reply
from swiftish.db import heads, row_table, sync_points
from swiftish.db.deltas import (
    Arrived,
    Heard,
    Offer,
    heard_document,
    parse_deltas,
    parse_offers,
)
from swiftish.db.heads import Head
from swiftish.db.name_index import next_id, space_of
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.row_table import Outcome
from swiftish.db.schema import Row, Schema
from swiftish.db.sync_points import Point
from swiftish.domain.hashing import HashPath
from swiftish.domain.metadata import Metadata
from swiftish.domain.rows import UnknownVersion
from swiftish.http.message import Response
from swiftish.http.replies import Refusal
from swiftish.runtime.clock import Clock
from swiftish.runtime.environment import Reader, Writer


class Receiver(Generic[Row]):
    """Answers to REPLICATE `/<device>/<partition>/{offer,merge}`.

    400 for what is no such document, 507 for a device that is full or fails.
    """

    def __init__(
        self,
        *,
        schema: Schema[Row],
        pool: Pool,
        peers: Peers,
        hash_path: HashPath,
        clock: Clock,
        reclaim_age_s: float,
    ) -> None:
        self._schema = schema
        self._pool = pool
        self._peers = peers
        self._hash_path = hash_path
        self._clock = clock
        self._reclaim_age_s = reclaim_age_s

    async def __call__(self, call: PartitionCall) -> Response:
        try:
            match call.rest:
                case "offer":
                    return await self._offer(call)
                case "merge":
                    return await self._merge(call)
                case _:
                    raise Refusal(400, f"not something to replicate: {call.rest[:40]!r}")
        except BadDocument as error:
            raise Refusal(400, f"The document is no {call.rest}: {error}") from None

    async def _offer(self, call: PartitionCall) -> Response:
        environment, offers = parse_offers(await asked(call.request.body))
        points = await self._pool.read(
            call.device,
            lambda reader: [known_point(reader, environment, offer) for offer in offers],
        )
        return self._heard(call, [offer.digest for offer in offers], points)

    async def _merge(self, call: PartitionCall) -> Response:
        document = await asked(call.request.body)
        environment, arrived = await call.device.threads.run(self._parsed, document)
        cutoff = self._clock.now() - self._reclaim_age_s

        def merge_all(writer: Writer) -> list[Point | None]:
            writer.require_room()
            return [merge(writer, self._schema, environment, each, cutoff) for each in arrived]

        points = await self._pool.commit(call.device, merge_all)
        return self._heard(call, [each.digest for each in arrived], points)

    def _parsed(self, document: object) -> tuple[bytes, list[Arrived[Row]]]:
        environment, arrived = parse_deltas(document, self._schema)
        for each in arrived:
            head = each.head
            if self._hash_path(head.account, head.container or None) != each.digest:
                raise BadDocument("a name does not have this hash here")
        return environment, arrived

    def _heard(
        self, call: PartitionCall, digests: Sequence[bytes], points: Sequence[Point | None]
    ) -> Response:
        name, place = call.device.name, self._peers.place
        heard = [
            Heard(point, place(name, digest).is_home)
            for digest, point in zip(digests, points, strict=True)
        ]
        return reply(heard_document(heard))


def known_point(reader: Reader, environment: bytes, offer: Offer) -> Point | None:
    """What is known of a peer's database.  One that is bygone need not get here any more."""
    database_id = heads.find_id(reader, offer.digest)
    if database_id is not None:
        return sync_points.find(reader, database_id, environment)
    return offer.last if offer.is_bygone else None


def merge(
    writer: Writer,
    schema: Schema[Row],
    environment: bytes,
    arrived: Arrived[Row],
    cutoff: float,
) -> Point | None:
    """Merge what came of one database; what is known of it in that environment now.

    That moves on only when nothing is missing between what was known and what came, and nothing
    that is stored here is damaged.

    What was deleted before `cutoff` is being forgotten, here sooner and there later.  A tombstone
    of something that is unknown here is not taken: replicas would for ever remind each other.
    Where one is still known, and the sender has what it deleted, brought by somebody who had been
    away for long, it is told to everybody once more.
    """
    try:
        head, is_news, is_repeated = _merged_head(writer, arrived, cutoff)
        totals = heads.find_totals(writer, head.id)
    except UnknownVersion:
        return None
    are_rows_news, are_rows_repeated, is_whole = False, False, True
    for policy_index, name, row in arrived.rows:
        if _is_bygone(writer, schema, space_of(head.id, policy_index), name, row, cutoff):
            continue
        where = head.id, totals, policy_index, name
        try:
            outcome = row_table.merge(writer, schema, *where, row)
        except UnknownVersion:
            is_whole = False
            continue
        if outcome is Outcome.NEWS:
            are_rows_news = True
        elif outcome is Outcome.STALE and row_table.bury_again(writer, schema, *where, cutoff):
            are_rows_repeated = True
    if is_news or is_repeated:
        heads.save(writer, arrived.digest, head, totals)
    elif are_rows_news or are_rows_repeated:
        heads.save_totals(writer, head.id, totals)
    if is_news or are_rows_news:
        schema.changed(writer, arrived.digest, totals)
    return _moved_point(writer, head.id, environment, arrived, is_whole=is_whole)


def _moved_point(
    writer: Writer, database_id: int, environment: bytes, arrived: Arrived[Row], *, is_whole: bool
) -> Point | None:
    known = sync_points.find(writer, database_id, environment)
    if not is_whole or (arrived.since is not None and arrived.since != known):
        return known
    if known != arrived.upto:
        sync_points.save(writer, database_id, environment, arrived.upto)
    return arrived.upto


def _is_bygone(
    reader: Reader, schema: Schema[Row], space: bytes, name: bytes, row: Row, cutoff: float
) -> bool:
    """Whether this is the old tombstone of something that is unknown here."""
    deleted_at = schema.deleted_at(row)
    if deleted_at is None or deleted_at.seconds >= cutoff:
        return False
    return row_table.find(reader, space, name) is None


def _merged_head(writer: Writer, arrived: Arrived[Row], cutoff: float) -> tuple[Head, bool, bool]:
    """The head with what came, not yet stored; whether that is news, and whether the sender has
    a key that was removed long ago.  With metadata it is as with rows."""
    old, new = heads.find(writer, arrived.digest), arrived.head
    known: Metadata = {} if old is None else old.metadata
    new.metadata = {
        name: (value, when)
        for name, (value, when) in new.metadata.items()
        if value or name in known or when.seconds >= cutoff
    }
    if old is None:
        new.id = next_id(writer)
        return heads.merged(new, new), True, False
    merged = heads.merged(old, new)
    return merged, merged != old, _has_removed(new.metadata, merged.metadata, cutoff)


def _has_removed(came: Metadata, merged: Metadata, cutoff: float) -> bool:
    """Whether a key came with a value that was removed before `cutoff`."""
    return any(
        came[name][0] and not merged[name][0] and merged[name][1].seconds < cutoff for name in came
    )
