"""Asking the other replicas of a database whether one of them holds all of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic

from swiftish.cluster.documents import BadDocument
from swiftish.db import heads, numbers, sync_points
from swiftish.db.deltas import Offer, offer_document, parse_heard
from swiftish.db.exchange import Full, Refused, Sender, Silent
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.schema import Row, Schema
from swiftish.ring.device import Device
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import Reader

TIMEOUT_S = 30.0

# Whether another replica of the database that has this hash on this device holds all of it.
PeersHave = Callable[[LocalDevice, bytes], Awaitable[bool]]


class SecondCopies(Generic[Row]):
    """Called with a device of this node and a hash: whether some other device, one that takes
    itself for a primary, says that it has merged all that this one knows of the database.

    It is offered as for replication, but nothing is sent.  Raises Refusal when this device fails.
    """

    def __init__(self, *, pool: Pool, peers: Peers, schema: Schema[Row]) -> None:
        self._pool = pool
        self._peers = peers
        self._schema = schema

    async def __call__(self, device: LocalDevice, digest: bytes) -> bool:
        environment, offer = await self._pool.read(device, partial(_offer, digest=digest))
        if offer is None:
            return False
        sender = Sender(
            device=device,
            pool=self._pool,
            schema=self._schema,
            transport=self._peers.transport,
            timeout_s=TIMEOUT_S,
            counters=Counter(),
        )
        placement = self._peers.place(device.name, digest)
        document = offer_document(environment, [offer])
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._holds(sender, peer, placement.partition, document, offer))
                for peer in placement.primaries
            ]
        return any(task.result() for task in tasks)

    async def _holds(
        self, sender: Sender[Row], peer: Device, partition: int, document: object, offer: Offer
    ) -> bool:
        try:
            (heard,) = parse_heard(await sender.ask(peer, partition, "offer", document), 1)
        except (BadDocument, Full, Refused, Silent):
            return False
        return heard.is_primary and heard.point == offer.last


def second_copies(pool: Pool, peers: Peers | None, schema: Schema[Row]) -> PeersHave:
    """A way to ask; without peers nobody has anything."""
    return nobody if peers is None else SecondCopies(pool=pool, peers=peers, schema=schema)


def are_replicated(peers: Peers | None) -> bool:
    """Whether what is lost here can come back from elsewhere."""
    return peers is not None and peers.ring().replicas > 1


async def nobody(_device: LocalDevice, _digest: bytes) -> bool:
    """Nobody has it."""
    return False


def _offer(reader: Reader, *, digest: bytes) -> tuple[bytes, Offer | None]:
    environment = numbers.environment_id(reader)
    database_id = heads.find_id(reader, digest)
    if database_id is None:
        return environment, None
    last = sync_points.here(reader, heads.find_totals(reader, database_id).sequence)
    return environment, Offer(digest, last, is_bygone=False)
