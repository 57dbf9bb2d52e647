"""Workers: look at everything that is stored, so that what goes bad is found while others have it.

The auditor reads every byte; the quick one looks at metadata and sizes only, and so comes by more
often (it is Swift's scanner for files of zero bytes).  Each goes over all devices at once, at a
pace of its own on each, and takes one thread there, some milliseconds at a time.  It keeps a note
in the device's index of how far it is, and goes on there after a restart.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import PolicySet
from swiftish.object import audit_record
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.audit import FolderAudit
from swiftish.object.audit_record import AuditRecord, Cursor, Pass
from swiftish.object.disk import Disk
from swiftish.object.errors import Corrupt
from swiftish.object.index import Indexes
from swiftish.object.paths import Location
from swiftish.object.quarantine import lost
from swiftish.object.settings import AuditorSettings
from swiftish.object.tour import places
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Environment, EnvironmentTrouble
from swiftish.runtime.pace import Pace
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

SLICE_S = 1.0  # how long a unit of work is, so that a stop is quick
STEP_TIMEOUT_S = 20.0  # a block that takes longer is a device that hangs

# A device on which more than this is bad since the start is broken as a whole, or is read wrongly
# (by a version that does not know its files, say): nothing more of it is put away.
BAD_MAX = 1000
BAD_SHARE_MAX = 0.1

FAILURES_MAX = 10  # so many in a row could not be read, or not be put away: nothing can


def auditors(
    *,
    devices: Devices,
    disk_of: Callable[[LocalDevice], AsyncDisk],
    indexes: Indexes,
    policies: PolicySet,
    hash_path: HashPath,
    clock: Clock,
    settings: AuditorSettings,
) -> list["ObjectAuditor"]:
    """The auditor and, unless it is switched off, the quick one."""
    return [
        ObjectAuditor(
            devices=devices,
            disk_of=disk_of,
            indexes=indexes,
            policies=policies,
            hash_path=hash_path,
            clock=clock,
            settings=settings,
            quick=quick,
        )
        for quick in ((False, True) if settings.zero_byte_files_per_second else (False,))
    ]


class ObjectAuditor:
    """One unit is a second's worth of all devices.  A device that fails, hangs or is out of service
    is left for the next pass.

    Counters: `files`, `bytes`, `quarantined`, `errors`, `etags` (those that were compared) and
    `misplaced` (hash folders in another suffix than their own).
    """

    def __init__(
        self,
        *,
        devices: Devices,
        disk_of: Callable[[LocalDevice], AsyncDisk],
        indexes: Indexes,
        policies: PolicySet,
        hash_path: HashPath,
        clock: Clock,
        settings: AuditorSettings,
        quick: bool = False,
    ) -> None:
        self.name = "object-auditor-quick" if quick else "object-auditor"
        self.interval_s = settings.interval_s
        self.report = Report()
        self.quick = quick
        self.settings = settings
        self.hash_path = hash_path
        self.indexes = indexes
        self.clock = clock
        self._devices = devices
        self._disk_of = disk_of
        self._datadirs = [policy.datadir for policy in policies]
        self._lanes: dict[str, _Lane] = {}
        self._active: list[_Lane] | None = None

    async def work(self) -> Progress:
        if self._active is None:
            self._active = await self._begin()
        if not self._active:
            self._active = None
            self.report.end_pass(self.clock.now())
            return Progress.IDLE
        async with asyncio.TaskGroup() as group:
            for lane in self._active:
                group.create_task(lane.run())
        self._active = [lane for lane in self._active if not lane.done]
        return Progress.BUSY

    def close(self) -> None:
        """Let go of the files that are open."""
        for lane in self._lanes.values():
            lane.close()

    async def _begin(self) -> list["_Lane"]:
        wanted = self.settings.devices
        active = []
        self.report.begin_pass(self.clock.now())
        for device in self._devices:
            if device.out_of_service is None and (not wanted or device.name in wanted):
                lane = self._lanes.get(device.name)
                if lane is None or lane.abandoned:
                    lane = self._lanes[device.name] = _Lane(self, self._disk_of(device))
                lane.begin(self._datadirs)
                active.append(lane)
        return active


class _Lane:
    """The audit of one device."""

    def __init__(self, auditor: ObjectAuditor, disk: AsyncDisk) -> None:
        self.done = self.abandoned = False
        self._auditor = auditor
        self._report = auditor.report
        self._disk = disk
        self._device = disk.device
        settings = auditor.settings
        files = settings.zero_byte_files_per_second if auditor.quick else settings.files_per_second
        self._files = Pace(files)
        self._bytes = Pace(settings.bytes_per_second)
        self._datadirs: list[str] = []  # that are still to be done in this pass
        self._is_index_sound = False
        self._record = AuditRecord()
        self._places: Iterator[Cursor] | None = None
        self._lost: set[str] = set()  # hashes that are in the quarantine
        self._place: Cursor | None = None  # under way, with its audit
        self._audit: FolderAudit | None = None
        self._saved_at = 0.0  # by the loop's clock
        self._failures = 0  # in a row
        self._looked_at = self._bad = 0  # since the start

    def begin(self, datadirs: list[str]) -> None:
        self._datadirs = datadirs[::-1]
        self._places = None
        self._is_index_sound = self._auditor.quick  # for all that it cares
        self.done, self._failures = False, 0

    def close(self) -> None:
        if self._audit is not None:
            self._audit.close()
            self._audit = None

    async def run(self) -> None:
        """A second's worth."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_S
        try:
            while not self.done and loop.time() < until:
                if self._device.out_of_service is not None:
                    self._give_up("the device is out of service")
                elif self._places is None:
                    await self._next_datadir()
                else:
                    await self._next_step()
        except (EnvironmentTrouble, OSError) as error:
            self._give_up(str(error))
        except BaseException:
            self._abandon()  # a thread may still be at work for it
            raise

    async def _next_datadir(self) -> None:
        if not self._datadirs:
            self.done = True
            return
        name, datadir = self._auditor.name, self._datadirs[-1]
        environments = self._auditor.indexes.environments
        if not self._is_index_sound:
            run = self._device.threads.run
            await run(environments.use_blocking, self._device, Environment.check)
            self._is_index_sound = True  # or set aside, and made anew
        self._record = await environments.read(
            self._device, lambda reader: audit_record.load(reader, name, datadir)
        )
        if not self._record.current.began:
            self._record.current.began = self._auditor.clock.now()
        if self._record.last is not None:
            self._report.total = (self._report.total or 0) + self._record.last.files
        self._saved_at = asyncio.get_running_loop().time()
        self._lost = await self._disk.run_blocking(lost, datadir)
        self._places = await self._disk.run_blocking(
            places, datadir, self._record.cursor, self._complain
        )

    async def _next_step(self) -> None:
        if self._audit is None:
            await self._files.take()
        before = 0 if self._audit is None else self._audit.size
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                more = await self._disk.run_blocking(self._step)
        except TimeoutError:
            self._abandon()
            self._give_up("the device hangs")
            return
        except Corrupt as error:
            await self._found_bad(error)
            return
        except OSError as error:
            if self._audit is None:
                raise  # not of one object
            self._failed(str(error))
            return
        if self._audit is None:
            await self._end_datadir()
            return
        self._failures = 0
        size = self._audit.size - before
        self._report.bytes += size
        self._report.counters["bytes"] += size
        await self._bytes.take(size)
        if not more:
            await self._end_folder()

    def _step(self, disk: Disk) -> bool:
        """In the device's thread: a step of the folder that is under way, or the next one's first;
        with none left there is no audit afterwards.  Whether there is more to do in it."""
        try:
            if self._audit is None:
                self._audit = self._next_audit(disk)
            return self._audit is not None and self._audit.step()
        finally:
            if self.abandoned:
                self.close()

    def _next_audit(self, disk: Disk) -> FolderAudit | None:
        assert self._places is not None
        settings, passes = self._auditor.settings, self._record.passes
        for place in self._places:
            if not place.digest.endswith(place.suffix):
                self._report.counters["misplaced"] += 1
                log.error("misplaced", extra={"device": self._device.name, "place": place})
                continue
            self._place = place
            every = settings.etag_every
            return FolderAudit(
                disk,
                Location(
                    datadir=self._datadirs[-1],
                    partition=place.partition,
                    digest=place.digest,
                    name="",
                ),
                self._auditor.hash_path,
                whole=not self._auditor.quick,
                with_etag=bool(every) and (int(place.digest[:8], 16) + passes) % every == 0,
                was_lost=place.digest in self._lost,
            )
        return None

    async def _found_bad(self, error: Corrupt) -> None:
        log.error("audit", extra={"path": error.path, "reason": error.reason})
        self._bad += 1
        self._record.current.quarantined += 1
        self._report.counters["quarantined"] += 1
        is_there = await self._disk.run_blocking(lambda disk: disk.files.exists(error.path))
        self._failures = self._failures + 1 if is_there else 0
        await self._end_folder()
        if self._failures > FAILURES_MAX:
            self._give_up("what is bad cannot be put away")
        elif self._bad > BAD_MAX + BAD_SHARE_MAX * self._looked_at:
            self._give_up(f"{self._bad} of {self._looked_at} are bad: the device is, or we are")

    async def _end_folder(self) -> None:
        audit, self._audit = self._audit, None
        assert audit is not None
        audit.close()
        self._record.cursor = self._place
        self._looked_at += 1
        self._record.current.files += 1
        self._record.current.bytes += audit.size
        self._report.advance()
        self._report.counters["files"] += 1
        self._report.counters["etags"] += audit.etags
        now = asyncio.get_running_loop().time()
        if now - self._saved_at >= self._auditor.settings.save_interval_s:
            await self._save()

    async def _end_datadir(self) -> None:
        record = self._record
        record.current.ended = self._auditor.clock.now()
        record.last, record.current, record.cursor = record.current, Pass(), None
        record.passes += 1
        await self._save()
        self._datadirs.pop()
        self._places = None

    async def _save(self) -> None:
        name, datadir, record = self._auditor.name, self._datadirs[-1], self._record
        await self._auditor.indexes.environments.commit(
            self._device, lambda writer: audit_record.save(writer, name, datadir, record)
        )
        self._saved_at = asyncio.get_running_loop().time()

    # ---- what goes wrong -----------------------------------------------------------------------

    def _complain(self, relative: str, error: OSError) -> None:
        """A folder above the hash folders cannot be listed."""
        path = f"{self._device.path}/{relative}"
        log.error("cannot be listed", extra={"path": path, "reason": error.strerror})
        self._count_error(f"{path}: {error.strerror}")

    def _failed(self, why: str) -> None:
        """One hash folder could not be looked at, through no fault of its own."""
        log.warning("not audited", extra={"device": self._device.name, "reason": why})
        self._count_error(why)
        self.close()
        self._record.cursor = self._place
        self._failures += 1
        if self._failures > FAILURES_MAX:
            self._give_up(why)

    def _give_up(self, why: str) -> None:
        """Leave the device for the next pass."""
        log.error("audit stopped", extra={"device": self._device.name, "reason": why})
        self._count_error(why)
        self.done = True
        if not self.abandoned:
            self.close()

    def _abandon(self) -> None:
        """Never come back to this one: whatever a thread does with it still, it ends there."""
        self.done = self.abandoned = True

    def _count_error(self, why: str) -> None:
        self._record.current.errors += 1
        self._report.counters["errors"] += 1
        self._report.errors += 1
        self._report.last_error = f"{self._device.name}: {why}"
