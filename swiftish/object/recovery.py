"""Worker: after a crash, tell containers again what they may not have heard.

It walks the hash folders that changed since shortly before the crash (object/mark.py), and leaves
what it finds in them as pending updates, which object/updater.py sends.  Containers that heard
already merge the same row again.  It runs beside everything else: a start does not wait for it.

What a change had made obsolete, and did not get to remove, is removed on the way: nobody else would
before the object is changed again, and it may be large.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.container_update import (
    UNSAID,
    Recipients,
    row_of_delete,
    row_of_expiry,
    row_of_post,
)
from swiftish.object.disk import Disk
from swiftish.object.errors import BadMetadata, NoObject, ObjectError
from swiftish.object.hashdir import State
from swiftish.object.index import Indexes, Update, pending_key
from swiftish.object.mark import LeftBehind, left_behind
from swiftish.object.paths import Location
from swiftish.object.reader import find, read_current, read_metadata
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Partition:
    policy: Policy
    name: str  # as the folder is called


@dataclass(slots=True)
class _Walk:
    """What is left to do on one device."""

    device: LocalDevice
    marks: list[LeftBehind]
    since_s: float
    partitions: list[_Partition]


class Recovery:
    """One unit is one partition of one device."""

    name = "object-recovery"

    def __init__(
        self,
        *,
        devices: Devices,
        disk_of: Callable[[LocalDevice], AsyncDisk],
        indexes: Indexes,
        policies: PolicySet,
        clock: Clock,
        settings: ObjectSettings,
    ) -> None:
        self.interval_s = settings.recovery_interval_s
        self.report = Report()
        self._devices = devices
        self._disk_of = disk_of
        self._indexes = indexes
        self._policies = policies
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        for device in self._devices:
            if device.out_of_service is not None:
                continue
            try:
                async for _ in self._device_units(device):
                    yield
            except (EnvironmentTrouble, OSError) as error:
                # The marks are still there, so the next pass begins again.
                self.report.counters["failures"] += 1
                log.warning("not told", extra={"device": device.name, "reason": str(error)})

    async def _device_units(self, device: LocalDevice) -> Units:
        disk = self._disk_of(device)
        walk = await disk.run_blocking(_begin, self._policies, device)
        if walk is None:
            return
        for partition in walk.partitions:
            found = await disk.run_blocking(_rows, partition, walk.since_s)
            if found:
                log.info("told again", extra={"device": device.name, "rows": len(found)})
                pending = await self._indexes.of(device)
                await pending.settle(found)
                self.report.counters["rows"] += len(found)
            self.report.advance()
            yield
        await disk.run_blocking(_forget, walk.marks)


def _begin(disk: Disk, policies: PolicySet, device: LocalDevice) -> _Walk | None:
    """What there is to do on a device, if anything."""
    marks = left_behind(disk)
    if not marks:
        return None
    partitions = []
    for policy in policies:
        try:
            names = disk.files.listdir(disk.path(policy.datadir))
        except FileNotFoundError:
            continue
        partitions += [_Partition(policy, name) for name in names if name.isdigit()]
    return _Walk(device, marks, min(mark.since_s for mark in marks), partitions)


def _forget(disk: Disk, marks: list[LeftBehind]) -> None:
    for mark in marks:
        disk.files.unlink(mark.path)


def _rows(disk: Disk, partition: _Partition, since_s: float) -> dict[bytes, Update | None]:
    """The rows of the objects in a partition that changed since then, by their keys."""
    rows: dict[bytes, Update | None] = {}
    top = disk.path(f"{partition.policy.datadir}/{partition.name}")
    for suffix in _folders(top):
        for digest in _folders(f"{top}/{suffix}"):
            folder = f"{top}/{suffix}/{digest}"
            try:
                if os.stat(folder).st_mtime < since_s:
                    continue
                found = _rows_of(disk, partition, digest)
            except (OSError, ObjectError, BadMetadata) as error:
                # Damaged, gone, or changing right now: no reason to stop for.
                log.warning("not told", extra={"path": folder, "reason": str(error)})
                continue
            rows.update((pending_key(digest, update), update) for update in found)
    return rows


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _rows_of(disk: Disk, partition: _Partition, digest: str) -> list[Update]:
    """What the listing should say of the object in a hash folder, and the queue of objects that
    are to expire.  (What that queue said before can't be known any more, and does no harm.)"""
    policy = partition.policy.index
    location = Location(
        datadir=partition.policy.datadir, partition=int(partition.name), digest=digest, name=""
    )
    state = find(disk, location)
    winner = state.data or state.tombstone
    if winner is None:
        return []
    metadata = read_metadata(disk, location, winner)
    _clear_away(disk, location, state)
    target = Target(*metadata.name[1:].split("/", 2))
    if state.data is None:
        return [row_of_delete(target, policy, metadata.timestamp, Recipients())]
    named = Location(
        datadir=location.datadir,
        partition=location.partition,
        digest=digest,
        name=metadata.name,
    )
    try:
        current = read_current(disk, named)
    except NoObject:
        return []  # deleted in between, by somebody who tells the container
    rows = [row_of_post(target, policy, current, Recipients())]
    if current.delete_at is not None:
        rows.append(row_of_expiry(target, digest, current, UNSAID))
    return rows


def _clear_away(disk: Disk, location: Location, state: State) -> None:
    """Remove what is obsolete, once what makes it so is durable."""
    if state.obsolete:
        disk.sync_folder(location.folder)
        for name in state.obsolete:
            with suppress(FileNotFoundError):
                disk.files.unlink(disk.path(f"{location.folder}/{name}"))
