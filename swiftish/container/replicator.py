"""Worker: the replicator of containers; it also feeds the reconciler's queue."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from swiftish.cluster.updates import Updates
from swiftish.container import strays
from swiftish.container.misplacement import QUEUE_ACCOUNT
from swiftish.container.schema import SCHEMA, ContainerSchema
from swiftish.container.strays import QueueRow
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.receiver import Receiver
from swiftish.db.replicator import Database, Errand, Replicator
from swiftish.db.settings import ReplicatorSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import PolicySet, quorum_size
from swiftish.domain.rows import ObjectRow
from swiftish.http.message import Request
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice


class ContainerReplicator(Replicator[ObjectRow]):
    """Once containers are replicated, their misplaced rows are put into the queue (strays.py).

    Every replica does that for itself; it is the same queue.  Counts the rows that it has `fed`.
    """

    name = "container-replicator"
    schema = SCHEMA

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        peers: Peers,
        clock: Clock,
        settings: ReplicatorSettings,
        hash_path: HashPath,
        updates: Updates,
    ) -> None:
        super().__init__(devices=devices, pool=pool, peers=peers, clock=clock, settings=settings)
        self._hash_path = hash_path
        self._updates = updates

    def errands(self, device: LocalDevice, databases: Sequence[Database]) -> Iterable[Errand]:
        for database in databases:
            if strays.has_strays(database.found.head, database.found.totals):
                yield partial(self._feed, device, database.found.digest)

    async def _feed(self, device: LocalDevice, digest: bytes) -> bool:
        """Put some rows into the queue; what not enough of its replicas took is fed again."""
        feed = await self._pool.read(device, partial(strays.unfed, digest=digest))
        if feed is None:
            return False
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._put(row)) for row in feed.rows]
        if not all(task.result() for task in tasks):
            return False
        await self._pool.commit(device, lambda writer: strays.fed(writer, feed))
        self.report.counters["fed"] += len(feed.rows)
        return True

    async def _put(self, row: QueueRow) -> bool:
        """Tell the queue's container of a row; whether a quorum of its replicas have it."""
        ring = self._peers.ring()
        partition = ring.partition(self._hash_path(QUEUE_ACCOUNT, row.container))
        nodes = ring.primaries(partition)
        headers = {
            "x-timestamp": row.timestamp.internal,
            "x-size": "0",
            "x-content-type": row.content_type,
            "x-etag": row.timestamp.internal,
            "x-backend-storage-policy-index": "0",
        }
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._updates.send(
                        node,
                        Request(
                            method="PUT",
                            path=f"/{node.device}/{partition}"
                            f"/{QUEUE_ACCOUNT}/{row.container}/{row.name}",
                            headers=headers,
                        ),
                    )
                )
                for node in nodes
            ]
        taken = sum(task.result() < 300 for task in tasks)
        return taken >= quorum_size(len(nodes))


def replication(
    *,
    devices: Devices,
    pool: Pool,
    peers: Peers,
    policies: PolicySet,
    clock: Clock,
    settings: ReplicatorSettings,
    hash_path: HashPath,
    updates: Updates,
) -> tuple[Receiver[ObjectRow], ContainerReplicator]:
    """What takes from other nodes, and what gives to them."""
    receiver = Receiver(
        schema=ContainerSchema(policies),
        pool=pool,
        peers=peers,
        hash_path=hash_path,
        clock=clock,
        reclaim_age_s=settings.reclaim_age_s,
    )
    replicator = ContainerReplicator(
        devices=devices,
        pool=pool,
        peers=peers,
        clock=clock,
        settings=settings,
        hash_path=hash_path,
        updates=updates,
    )
    return receiver, replicator
