"""Worker: bring the databases of this node's devices to where the rings say they belong.

A pass goes over each device in the order of the hashes, a batch of databases at a time.  All of a
batch that belong on one other device are offered to it together; it says what it lacks, and is sent
that in bounded documents (exchange.py).  One unit of work is one request to each of some peers, or
one transaction, so requests of clients get in between and a stop is quick.

A device that is a primary of a database pushes to the other primaries, and in the place of one that
answers 507 to the next handoff.  One that is none pushes to all primaries, and lets the database go
once they have confirmed it (sync_rules.py).  Who lacks something does nothing: the others push.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Generic, TypeAlias

from swiftish.db import reclaim, removal
from swiftish.db.deltas import Offer, is_bygone, read_offers
from swiftish.db.exchange import Exchange, Sender
from swiftish.db.heads import HEADS, Found
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.reclaim import Tour
from swiftish.db.schema import Row, Schema
from swiftish.db.settings import ReplicatorSettings
from swiftish.db.sync_rules import (
    Confirmation,
    Placement,
    Where,
    is_in_sync,
    is_ours_to_count,
    is_removable,
    lacking,
    stand_ins,
    where,
)
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Writer
from swiftish.runtime.pace import Pace
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

# Something to do in units: True when there is more of it.
Errand: TypeAlias = Callable[[], Awaitable[bool]]


@dataclass(slots=True, kw_only=True)
class Database:
    """One of a batch: as it was when it was offered, where it belongs, who has confirmed it."""

    found: Found
    offer: Offer
    placement: Placement
    spares: Iterator[Device]  # for primaries that have no room or no disk
    confirmed: dict[Where, Confirmation] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return self.offer.last.number


@dataclass(slots=True, kw_only=True)
class _Batch(Generic[Row]):
    """Some databases of a device, by hash, and the exchanges about them that are not done."""

    sender: Sender[Row]
    databases: dict[bytes, Database]
    exchanges: deque[Exchange[Row]]


class Replicator(Generic[Row]):
    """The replicator of accounts or of containers.

    Counters: `documents` and `rows` sent; databases `refused` by a peer, `damaged` here, `removed`
    from where they do not belong, `reclaimed`; `reclaimed_rows`.
    Gauges, for each device, as its last round found them: `below_replicas`, databases of which
    fewer replicas are known to exist than there should be; `strays`, those that belong elsewhere.
    """

    name: str
    schema: Schema[Row]

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        peers: Peers,
        clock: Clock,
        settings: ReplicatorSettings,
    ) -> None:
        self.interval_s = settings.interval_s
        self.report = Report()
        self._devices = devices
        self._pool = pool
        self._peers = peers
        self._clock = clock
        self._settings = settings
        self._databases_pace = Pace(settings.databases_per_second)
        self._rows_pace = Pace(settings.rows_per_second)
        # Of the pass that is under way:
        self._tour: Iterator[LocalDevice] | None = None
        self._device: LocalDevice | None = None
        self._after = b""
        self._errands: deque[Errand] = deque()
        self._silent: set[Where] = set()
        self._below = self._strays = 0
        self._reclaimed_at: float | None = None  # when the last pass that reclaims began
        self._is_reclaiming = False

    async def work(self) -> Progress:
        if self._tour is None:
            await self._begin_pass()
        try:
            while not self._errands:
                if not await self._plan():
                    return Progress.IDLE
            errand = self._errands.popleft()  # one that fails is left for the next pass
            if await errand():
                self._errands.appendleft(errand)
        except Refusal:  # the device is full or fails: the pool has said so
            assert self._device is not None
            self._give_up(self._device)
        return Progress.BUSY

    # ---- the pass --------------------------------------------------------------------------

    async def _begin_pass(self) -> None:
        now = self._clock.now()
        last = self._reclaimed_at
        # Also when the machine's clock has been set back since.
        self._is_reclaiming = last is None or abs(now - last) >= self._settings.reclaim_interval_s
        if self._is_reclaiming:
            self._reclaimed_at = now
        self._silent.clear()
        self._tour = iter(self._devices)
        self.report.begin_pass(now)

    async def _plan(self) -> bool:
        """Go to the next device; False at the end of the pass."""
        assert self._tour is not None
        if self._device is not None:
            self._end_device(self._device)
        device = self._device = next(self._tour, None)
        if device is None:
            self._tour = None
            self.report.end_pass(self._clock.now())
            return False
        if device.out_of_service is None:
            await self._begin_device(device)
        else:
            self._give_up(device)
        return True

    async def _begin_device(self, device: LocalDevice) -> None:
        self._after, self._below, self._strays = b"", 0, 0
        if await device.threads.run(self._pool.exists, device):
            count = await self._pool.read(device, lambda reader: reader.count(HEADS))
            self.report.total = (self.report.total or 0) + count
            self._errands += [partial(self._sweep, device), partial(self._next_batch, device)]

    def _end_device(self, device: LocalDevice) -> None:
        gauges = self.report.gauges
        gauges[f"below_replicas {device.name}"] = self._below
        gauges[f"strays {device.name}"] = self._strays

    def _give_up(self, device: LocalDevice) -> None:
        """Leave a device alone for this pass: what it holds is not known."""
        self._errands.clear()
        self._device = None
        for gauge in ("below_replicas", "strays"):
            self.report.gauges.pop(f"{gauge} {device.name}", None)

    async def _sweep(self, device: LocalDevice) -> bool:
        """Go on removing what is left of databases that were let go."""
        if not await self._pool.read(device, removal.is_due):
            return False
        return await self._pool.commit(device, removal.go_on)

    async def _next_batch(self, device: LocalDevice) -> bool:
        """Read the next databases of a device, and see whom to offer them to."""
        limit, cutoff = self._settings.batch, self._cutoff()
        pairs, self._after, damaged = await self._pool.read(
            device,
            lambda reader: read_offers(
                reader, self.schema, after=self._after, limit=limit, cutoff=cutoff
            ),
        )
        self.report.counters["damaged"] += damaged
        self.report.advance(damaged)
        await self._databases_pace.take(len(pairs))
        if pairs:
            self._errands.append(partial(self._exchange, self._batch(device, pairs)))
        if self._after:
            self._errands.append(partial(self._next_batch, device))
        return False

    def _cutoff(self) -> float:
        """What was deleted before may be forgotten."""
        return self._clock.now() - self._settings.reclaim_age_s

    # ---- a batch ---------------------------------------------------------------------------

    def _batch(self, device: LocalDevice, pairs: Sequence[tuple[Found, Offer]]) -> _Batch[Row]:
        databases = {found.digest: self._database(device, found, offer) for found, offer in pairs}
        sender = Sender(
            device=device,
            pool=self._pool,
            schema=self.schema,
            transport=self._peers.transport,
            timeout_s=self._settings.timeout_s,
            counters=self.report.counters,
        )
        batch = _Batch(sender=sender, databases=databases, exchanges=deque())
        self._open(batch, ((d, peer) for d in databases.values() for peer in d.placement.primaries))
        return batch

    def _database(self, device: LocalDevice, found: Found, offer: Offer) -> Database:
        peers, name = self._peers, device.name
        placement = peers.place(name, found.digest)
        spares: Iterator[Device] = iter(())
        if placement.is_home:  # else this one stands in already
            others = stand_ins(
                peers.ring(), placement.partition, lambda other: peers.is_own(name, other)
            )
            spares = islice(others, placement.replicas)
        return Database(found=found, offer=offer, placement=placement, spares=spares)

    def _open(self, batch: _Batch[Row], pairs: Iterable[tuple[Database, Device]]) -> None:
        """Begin an exchange with each peer about all that it is to be offered."""
        by_peer: defaultdict[Device, list[Database]] = defaultdict(list)
        for database, peer in pairs:
            if where(peer) not in self._silent:
                by_peer[peer].append(database)
        for peer, databases in by_peer.items():
            offers = [database.offer for database in databases]
            partition = databases[0].placement.partition
            batch.exchanges.append(Exchange(batch.sender, peer, partition, offers))

    async def _exchange(self, batch: _Batch[Row]) -> bool:
        """One step with some of the peers; when all are done, see what follows."""
        running = list(islice(batch.exchanges, self._settings.concurrency))
        if not running:
            self._conclude(batch)
            return False
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(exchange.step()) for exchange in running]
        for exchange in running:
            if exchange.refusal is not None:
                raise exchange.refusal
            if exchange.is_done:
                batch.exchanges.remove(exchange)
                self._close(batch, exchange)
        await self._rows_pace.take(max(task.result() for task in tasks))
        return True

    def _close(self, batch: _Batch[Row], exchange: Exchange[Row]) -> None:
        peer = where(exchange.peer)
        for digest, confirmation in exchange.confirmed.items():
            batch.databases[digest].confirmed[peer] = confirmation
        if exchange.is_silent:
            self._silent.add(peer)
        if exchange.is_full:
            digests = (offer.digest for offer in exchange.offers)
            left = [batch.databases[d] for d in digests if d not in exchange.confirmed]
            pairs = [(database, next(database.spares, None)) for database in left]
            self._open(batch, ((database, peer) for database, peer in pairs if peer is not None))

    # ---- what follows ----------------------------------------------------------------------

    def _conclude(self, batch: _Batch[Row]) -> None:
        """All peers have been heard: count what is not safe, and find out what may go."""
        device = batch.sender.device
        let_go: list[Database] = []
        for database in batch.databases.values():
            args = database.placement, database.confirmed, database.number
            self._below += lacking(*args) > 0 and is_ours_to_count(*args)
            self._strays += not database.placement.is_home
            if is_removable(*args):
                let_go.append(database)
        self.report.advance(len(batch.databases))
        found = [d.found for d in batch.databases.values() if _may_reclaim(d)]
        if self._is_reclaiming and found:
            tour, cutoff = Tour(found), self._cutoff()
            self._errands.appendleft(partial(self._reclaim_databases, device, found, cutoff))
            self._errands.appendleft(partial(self._reclaim_rows, device, tour, cutoff))
        if let_go:
            self._errands.appendleft(partial(self._sweep, device))
            self._errands.appendleft(partial(self._remove, device, let_go))
        self._errands.extendleft(self.errands(device, list(batch.databases.values())))

    def errands(self, device: LocalDevice, databases: Sequence[Database]) -> Iterable[Errand]:
        """What else is to be done about databases that have been replicated."""
        del device, databases
        return ()

    async def _remove(self, device: LocalDevice, databases: Sequence[Database]) -> bool:
        """Let go what all primaries hold, by the ring as it is now, if it has not changed since."""
        due = [
            database.found
            for database in databases
            if is_removable(
                self._peers.place(device.name, database.found.digest),
                database.confirmed,
                database.number,
            )
        ]

        def remove(writer: Writer) -> int:
            return sum(removal.begin(writer, self.schema, found) for found in due)

        removed = await self._pool.commit(device, remove) if due else 0
        self.report.counters["removed"] += removed
        self._strays -= removed
        return False

    async def _reclaim_rows(self, device: LocalDevice, tour: Tour, cutoff: float) -> bool:
        """Forget some old tombstones of databases that are in sync."""
        schema = self.schema
        old = await self._pool.read(
            device, lambda reader: reclaim.old_tombstones(reader, schema, tour, cutoff)
        )
        if old:
            self.report.counters["reclaimed_rows"] += await self._pool.commit(
                device, lambda writer: reclaim.forget_tombstones(writer, schema, old, cutoff)
            )
        return not tour.is_done

    async def _reclaim_databases(
        self, device: LocalDevice, databases: Sequence[Found], cutoff: float
    ) -> bool:
        """Forget old databases that are in sync, and old metadata."""
        schema = self.schema
        bygone = [found for found in databases if is_bygone(schema, found, cutoff)]
        worn = [each for each in databases if reclaim.has_old_metadata(each.head, cutoff)]
        if not bygone and not worn:
            return False

        def forget(writer: Writer) -> int:
            for found in worn:
                reclaim.forget_metadata(writer, found, cutoff)
            return sum(reclaim.forget_database(writer, schema, found, cutoff) for found in bygone)

        self.report.counters["reclaimed"] += await self._pool.commit(device, forget)
        return False


def _may_reclaim(database: Database) -> bool:
    placement = database.placement
    return placement.is_home and is_in_sync(placement, database.confirmed, database.number)
