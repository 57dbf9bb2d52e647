"""Worker: tell the accounts the totals of containers that have changed.

A unit of work is one pass over the devices, a batch of containers each.  A container whose accounts
did not all take the report keeps its mark and is left alone for a while, so that one account that
is gone does not hold up the others.
"""

import asyncio
from functools import partial

from swiftish.cluster.transport import Transport
from swiftish.container import broker
from swiftish.container.account_updates import send_report
from swiftish.container.broker import Unreported
from swiftish.container.settings import ContainerSettings
from swiftish.db.pool import Pool
from swiftish.domain.hashing import HashPath
from swiftish.http.message import Context
from swiftish.http.replies import Refusal
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.worker import Progress, Report


class ContainerUpdater:
    """Reports the dirty containers of this node's devices to the primaries of their accounts."""

    name = "container-updater"

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        clock: Clock,
        account_ring: RingSource,
        transport: Transport,
        hash_path: HashPath,
        settings: ContainerSettings,
    ) -> None:
        self.interval_s = settings.report_interval_s
        self.report = Report()
        self._devices = devices
        self._pool = pool
        self._clock = clock
        self._ring = account_ring
        self._transport = transport
        self._hash_path = hash_path
        self._batch = settings.report_batch
        self._retry_s = settings.report_retry_s
        self._after: dict[str, bytes] = {}  # device -> how far its round has come
        self._failed: dict[bytes, float] = {}  # containers whose report was not taken, and when

    async def work(self) -> Progress:
        """One batch per device; BUSY while some device's round is not at its end."""
        now = self._clock.now()
        # Also when the machine's clock has been set back since.
        self._failed = {d: at for d, at in self._failed.items() if abs(now - at) < self._retry_s}
        progress = Progress.IDLE
        for device in self._devices:
            if device.out_of_service is not None or not self._pool.exists(device):
                continue
            if await self._batch_of(device):
                progress = Progress.BUSY
        return progress

    async def _batch_of(self, device: LocalDevice) -> bool:
        """Report a batch; True when there may be more in this round."""
        after = self._after.get(device.name, b"")
        read = partial(broker.dirty, after=after, limit=self._batch)
        try:
            reports = await self._pool.read(device, read)
            due = [report for report in reports if report.digest not in self._failed]
            if due:
                await self._report(device, due)
        except Refusal:
            return False  # the device is full or fails: the pool has said so
        more = len(reports) == self._batch
        self._after[device.name] = reports[-1].digest if more else b""
        return more

    async def _report(self, device: LocalDevice, reports: list[Unreported]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [(report, group.create_task(self._send(report))) for report in reports]
        taken = [report for report, task in tasks if task.result()]
        now = self._clock.now()
        self._failed.update((report.digest, now) for report, task in tasks if not task.result())
        if taken:
            await self._pool.commit(device, lambda writer: broker.told(writer, taken))

    async def _send(self, report: Unreported) -> bool:
        """Tell all primaries; True when all of them took it."""
        head = report.info.head
        ring = self._ring()
        partition = ring.partition(self._hash_path(head.account))
        timestamp = max(self._clock.timestamp(), head.put, head.delete)
        context = Context()
        taken = True
        for node in ring.primaries(partition):
            status = await send_report(
                self._transport,
                node,
                partition,
                report.info,
                timestamp=timestamp,
                context=context,
            )
            taken = taken and status < 300  # the others shall hear of it all the same
        return taken
