"""Worker: brings every replica of every object to where it belongs (reference 2.9).

A pass visits each partition's folder of each local device once (object/visit.py): first those that
are not at home here, for what lies at the wrong place is the scarcer, then the others, in an order
of chance, so that the devices of a cluster do not all begin with the same peers.  Several
partitions are visited at once.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from swiftish.domain.policy import Policy, PolicySet
from swiftish.object.errors import ObjectError
from swiftish.object.exchange.means import Means
from swiftish.object.partitions import listed
from swiftish.object.replication_plan import own_place
from swiftish.object.settings import ObjectSettings
from swiftish.object.visit import Tally, Task, Visit
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

UNIT_S = 0.5  # after so long no further step is begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an operator wants to be looked at; None: all."""

    devices: Collection[str] | None = None
    partitions: Collection[int] | None = None
    handoffs_only: bool = False


EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class Safety:
    """Of the last whole pass, for this node's primary partitions: how many objects lack a replica
    that nobody stands in for, and of how many partitions a primary did not answer."""

    objects_below: int
    partitions_unheard: int


class ObjectReplicator:
    """One unit is some steps of the visits under way.

    Counters: `partitions` visited, `digests_matched` of them; files `sent` and `sent_bytes`;
    `given_up` objects, of handoffs; `reclaimed` files; `quarantined` objects (object/presence.py);
    `failures` of peers and of visits.  `safety` is None before the first whole pass; the gauges
    `below_replicas` and `partitions_unheard` say the same.
    """

    name = "object-replicator"

    def __init__(
        self,
        *,
        devices: Devices,
        policies: PolicySet,
        means: Means,
        settings: ObjectSettings,
        scope: Scope = EVERYWHERE,
    ) -> None:
        self.interval_s = settings.replicator_interval_s
        self.report = Report()
        self.safety: Safety | None = None
        self._devices = devices
        self._policies = policies
        self._means = means
        self._settings = settings
        self._scope = scope
        # Another order on each node, and the same when all is done again.
        seed = repr(([device.name for device in devices], means.here))
        self._chance = random.Random(seed)  # noqa: S311  (an order, not a secret)
        self._strangers: set[str] = set()  # folders that were complained of
        self._tally: Tally | None = None  # of the pass under way
        self._tasks: deque[Task] = deque()
        self._visits: deque[Visit] = deque()
        self._away: dict[str, float] = {}  # devices, at the beginning of the pass

    async def work(self) -> Progress:
        if self._tally is None:
            await self._begin_pass()
            return Progress.BUSY
        if not self._tasks and not self._visits:
            await self._end_pass(self._tally)
            return Progress.IDLE
        stop_at = asyncio.get_running_loop().time() + UNIT_S
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.replicator_concurrency):
                group.create_task(self._some_steps(self._tally, stop_at))
        return Progress.BUSY

    # ---- a pass ----------------------------------------------------------------------------------

    async def _begin_pass(self) -> None:
        self._tally = Tally(self.report.counters)
        self._away.clear()
        tasks = []
        for device in self._devices:
            if device.out_of_service is None and _within(self._scope.devices, device.name):
                try:
                    tasks += await self._tasks_of(device)
                except (OSError, EnvironmentTrouble) as error:
                    self._failed(device, error)
        self._chance.shuffle(tasks)
        tasks.sort(key=self._is_at_home)
        if self._scope.handoffs_only:
            tasks = [task for task in tasks if not self._is_at_home(task)]
        self._tasks = deque(tasks)
        self.report.begin_pass(self._means.clock.now(), total=len(tasks))

    async def _tasks_of(self, device: LocalDevice) -> list[Task]:
        presence = await self._means.presences.noted(device)
        if presence is not None and presence.away_from is not None:
            self._away[device.name] = presence.away_from
        disk = self._means.disk_of(device)
        tasks = []
        for policy in self._policies:
            if policy.index in self._means.rings:
                names = await disk.run_blocking(listed, policy.datadir)
                tasks += [t for name in names if (t := self._task(device, policy, name))]
        if not tasks:
            await self._means.presences.in_step(device)  # there is nothing to hear of
        return tasks

    def _task(self, device: LocalDevice, policy: Policy, name: str) -> Task | None:
        number = int(name) if name.isascii() and name.isdecimal() else -1
        if str(number) == name and 0 <= number < self._means.rings[policy.index]().partitions:
            return Task(device, policy, number) if _within(self._scope.partitions, number) else None
        path = f"{device.path}/{policy.datadir}/{name}"
        if path not in self._strangers:
            self._strangers.add(path)
            log.warning("no partition of the ring; left alone", extra={"path": path})
        return None

    def _is_at_home(self, task: Task) -> bool:
        ring = self._means.rings[task.policy.index]()
        return own_place(ring, task.partition, self._means.here, task.device.name) is not None

    async def _end_pass(self, tally: Tally) -> None:
        self._tally = None
        self.report.end_pass(self._means.clock.now())
        if self._scope != EVERYWHERE:
            return
        self.safety = Safety(tally.objects_below, tally.partitions_unheard)
        self.report.gauges["below_replicas"] = tally.objects_below
        self.report.gauges["partitions_unheard"] = tally.partitions_unheard
        for device in self._devices:
            away_from = self._away.get(device.name)
            if away_from is not None and device.name not in tally.unsettled:
                try:
                    await self._means.presences.dealt_with(device, away_from)
                except (OSError, EnvironmentTrouble) as error:
                    self._failed(device, error)

    # ---- a unit ----------------------------------------------------------------------------------

    async def _some_steps(self, tally: Tally, stop_at: float) -> None:
        loop = asyncio.get_running_loop()
        while (visit := self._next_visit(tally)) is not None:
            if await self._step(visit, tally):
                self._visits.append(visit)
            else:
                self.report.counters["partitions"] += 1
                size, tally.size = tally.size, 0
                self.report.advance(size=size)
            if loop.time() >= stop_at:
                return

    def _next_visit(self, tally: Tally) -> Visit | None:
        if self._visits:
            return self._visits.popleft()
        while self._tasks:
            task = self._tasks.popleft()
            if task.device.out_of_service is None:
                number = self.report.passes + 1
                thorough = number % self._settings.replicator_thorough_every == 0
                return Visit(task, self._means, tally, thorough=thorough)
            self.report.advance()
        return None

    async def _step(self, visit: Visit, tally: Tally) -> bool:
        """A step of a visit; whether there is more to do.  What goes wrong costs this visit."""
        more = False
        try:
            more = await visit.step()
        except* (OSError, ObjectError, EnvironmentTrouble) as errors:
            self._failed(visit.task.device, errors)
            tally.unsettled.add(visit.task.device.name)
            tally.partitions_unheard += self._is_at_home(visit.task)
        return more

    def _failed(self, device: LocalDevice, error: BaseException) -> None:
        self.report.counters["failures"] += 1
        self.report.last_error = repr(error)
        log.warning("cannot replicate", extra={"device": device.name, "reason": repr(error)})


def _within(wanted: Collection[str] | Collection[int] | None, name: str | int) -> bool:
    return wanted is None or name in wanted
