"""Worker: tell the accounts the totals of containers that have changed.

A unit of work is a batch of containers of one device.  A container whose accounts
did not all take the report keeps its mark and is left alone for a while, so that one account that
is gone does not hold up the others.

Only primaries report.  A copy on a handoff knows what came while somebody was away; its report,
made later than theirs, would put the account back, and nobody would correct it: they have nothing
new to tell.  What it alone knows is news to the primaries when the replicator brings it home.
"""

import asyncio
from functools import partial

from swiftish.cluster.updates import Updates
from swiftish.container import broker
from swiftish.container.account_updates import send_report
from swiftish.container.broker import Unreported
from swiftish.container.settings import ContainerSettings
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.domain.hashing import HashPath
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Context
from swiftish.http.replies import Refusal
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report


class ContainerUpdater:
    """Reports the dirty containers of this node's devices to the primaries of their accounts.

    With `peers` None all devices are where their containers belong.
    """

    name = "container-updater"

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        clock: Clock,
        account_ring: RingSource,
        updates: Updates,
        hash_path: HashPath,
        settings: ContainerSettings,
        peers: Peers | None = None,
    ) -> None:
        self.interval_s = settings.report_interval_s
        self.report = Report()
        self._devices = devices
        self._pool = pool
        self._clock = clock
        self._ring = account_ring
        self._updates = updates
        self._hash_path = hash_path
        self._peers = peers
        self._batch = settings.report_batch
        self._retry_s = settings.report_retry_s
        self._failed: dict[bytes, float] = {}  # containers whose report was not taken, and when
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        """A pass: of each device all that is marked, a batch at a time."""
        now = self._clock.now()
        # Also when the machine's clock has been set back since.
        self._failed = {d: at for d, at in self._failed.items() if abs(now - at) < self._retry_s}
        for device in self._devices:
            after: bytes | None = b""
            while after is not None and device.out_of_service is None:
                after = await self._batch_of(device, after) if self._pool.exists(device) else None
                if after is not None:
                    yield

    async def _batch_of(self, device: LocalDevice, after: bytes) -> bytes | None:
        """Report a batch behind `after`; the last one's hash, None when there are no more."""
        read = partial(broker.dirty, after=after, limit=self._batch)
        asked = self._clock.timestamp()  # of two who report, the one that has read later counts
        try:
            reports = await self._pool.read(device, read)
            due = [report for report in reports if self._is_due(device, report.digest)]
            if due:
                await self._report(device, due, asked)
        except Refusal:
            return None  # the device is full or fails: the pool has said so
        self.report.advance(len(due))
        return reports[-1].digest if len(reports) == self._batch else None

    def _is_due(self, device: LocalDevice, digest: bytes) -> bool:
        is_home = self._peers is None or self._peers.place(device.name, digest).is_home
        return is_home and digest not in self._failed

    async def _report(
        self, device: LocalDevice, reports: list[Unreported], asked: Timestamp
    ) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [(report, group.create_task(self._send(report, asked))) for report in reports]
        taken = [report for report, task in tasks if task.result()]
        now = self._clock.now()
        self._failed.update((report.digest, now) for report, task in tasks if not task.result())
        self.report.counters["reported"] += len(taken)
        if taken:
            await self._pool.commit(device, lambda writer: broker.told(writer, taken))

    async def _send(self, report: Unreported, asked: Timestamp) -> bool:
        """Tell all primaries; True when all of them took it."""
        head = report.info.head
        ring = self._ring()
        partition = ring.partition(self._hash_path(head.account))
        timestamp = max(asked, head.put, head.delete)
        context = Context()
        taken = True
        for node in ring.primaries(partition):
            status = await send_report(
                self._updates,
                node,
                partition,
                report.info,
                timestamp=timestamp,
                context=context,
                also_deleted=True,  # the reaper has to see what is left
            )
            taken = taken and status < 300  # the others shall hear of it all the same
        return taken
