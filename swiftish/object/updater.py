"""Worker: send the container updates that are pending in the devices' indexes."""

import asyncio
import logging
from dataclasses import replace

from swiftish.domain.hashing import HashPath
from swiftish.http.message import Context
from swiftish.object.container_update import ContainerUpdates
from swiftish.object.index import Indexes, Node, Update
from swiftish.object.settings import ObjectSettings
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

INTERVAL_MAX_S = 60.0


class Updater:
    """One pass tries every pending update of every device once, some at a time; then it rests.

    An update goes where it was meant to go.  When one of those places is no longer a primary of the
    container, that has moved, and all of its primaries are told; so it is when nobody said where to
    go (object/recovery.py).  Rows older than the reclaim age are dropped: their container
    is gone for good.

    A server that does not answer in time is not asked again in this pass.  Passes that achieve
    nothing come more and more seldom.
    """

    name = "object-updater"

    def __init__(
        self,
        *,
        devices: Devices,
        indexes: Indexes,
        updates: ContainerUpdates,
        ring: RingSource,
        hash_path: HashPath,
        clock: Clock,
        settings: ObjectSettings,
    ) -> None:
        self.interval_s = settings.updater_interval_s
        self.report = Report()
        self._silent: set[Node] = set()
        self._tried = self._achieved = False
        self._devices = devices
        self._indexes = indexes
        self._updates = updates
        self._ring = ring
        self._hash_path = hash_path
        self._clock = clock
        self._settings = settings
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        """A pass: of each device all that is pending, some at a time."""
        self._silent.clear()
        self._tried = self._achieved = False
        for device in self._devices:
            after: bytes | None = b""
            while device.out_of_service is None and after is not None:
                after = await self._batch(device, after)
                if after is not None:
                    yield
        usual, in_vain = self._settings.updater_interval_s, self.interval_s * 2
        is_in_vain = self._tried and not self._achieved
        self.interval_s = min(in_vain, INTERVAL_MAX_S) if is_in_vain else usual

    async def _batch(self, device: LocalDevice, after: bytes) -> bytes | None:
        """Send some updates of one device, those behind `after`; the last one's key, None when
        there were none.  A device that fails is left for the next pass."""
        try:
            pending = await self._indexes.of(device)
            batch = await device.threads.run(
                pending.read, after=after, limit=self._settings.updater_concurrency
            )
            if not batch:
                return None
            rest: dict[bytes, Update | None] = {}
            async with asyncio.TaskGroup() as group:
                for key, update in batch:
                    group.create_task(self._send(key, update, rest))
            if rest:
                await pending.settle(rest)
        except (EnvironmentTrouble, OSError) as error:
            self.report.counters["failures"] += 1
            log.warning("no index", extra={"device": device.name, "reason": str(error)})
            return None
        self.report.advance(len(batch))
        self.report.counters["sent"] += sum(left is None for left in rest.values())
        return batch[-1][0]

    async def _send(self, key: bytes, update: Update, rest: dict[bytes, Update | None]) -> None:
        if self._clock.now() - update.timestamp.seconds > self._settings.reclaim_age_s:
            rest[key] = None  # whoever knew that it was deleted since may have forgotten
            return
        update = self._addressed(update)
        skipped = self._silent.intersection(update.nodes)
        left = set(update.nodes) - skipped
        try:
            async with asyncio.timeout(self._settings.updater_timeout_s):
                await self._updates.send(update, left, Context())
        except TimeoutError:
            log.info("a container is slow", extra={"container": update.container})
            self._silent |= left
        left |= skipped
        self._tried = True
        if not left:
            rest[key] = None
        elif len(left) < len(update.nodes):
            rest[key] = update.to([node for node in update.nodes if node in left])
        self._achieved = self._achieved or key in rest

    def _addressed(self, update: Update) -> Update:
        ring = self._ring()
        partition = ring.partition(self._hash_path(update.account, update.container))
        primaries = [
            Node(address=device.address, device=device.device)
            for device in ring.primaries(partition)
        ]
        known = [node for node in update.nodes if node in primaries]
        if known and len(known) == len(update.nodes):
            return update
        return replace(update, partition=partition, nodes=tuple(primaries))
