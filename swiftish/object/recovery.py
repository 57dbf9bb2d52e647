"""Worker: after a crash, tell containers again what they may not have heard.

It walks the hash folders that changed since shortly before the crash (object/mark.py), and leaves
what it finds in them as pending updates, which object/updater.py sends.  Containers that heard
already merge the same row again.  It runs beside everything else: a start does not wait for it.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.container_update import Recipients, row_of_delete, row_of_post
from swiftish.object.disk import Disk
from swiftish.object.errors import BadMetadata, NoObject, ObjectError
from swiftish.object.index import Indexes, Update, pending_key
from swiftish.object.mark import LeftBehind, left_behind
from swiftish.object.metadata import decode
from swiftish.object.paths import Location
from swiftish.object.reader import encoded_metadata, find, read_current
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
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
        settings: ObjectSettings,
    ) -> None:
        self.interval_s = settings.recovery_interval_s
        self.report = Report()
        self._devices = devices
        self._disk_of = disk_of
        self._indexes = indexes
        self._policies = policies
        self._tour: Iterator[LocalDevice] = iter(devices)
        self._walk: _Walk | None = None

    async def work(self) -> Progress:
        if self._walk is not None:
            try:
                await self._step(self._walk)
            except (EnvironmentTrouble, OSError):
                self._walk = None  # the marks are still there, so the next pass begins again
                raise
            return Progress.BUSY
        device = next(self._tour, None)
        if device is None:
            self._tour = iter(self._devices)
            return Progress.IDLE
        if device.out_of_service is None:
            disk = self._disk_of(device)
            self._walk = await disk.run_blocking(_begin, self._policies, device)
        return Progress.BUSY

    async def _step(self, walk: _Walk) -> None:
        disk = self._disk_of(walk.device)
        if not walk.partitions:
            await disk.run_blocking(_forget, walk.marks)
            self._walk = None
            return
        partition = walk.partitions[-1]
        found = await disk.run_blocking(_rows, partition, walk.since_s)
        if found:
            log.info("told again", extra={"device": walk.device.name, "rows": len(found)})
            pending = await self._indexes.of(walk.device)
            await pending.settle(found)
        walk.partitions.pop()


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
                update = _row(disk, partition, digest)
            except (OSError, ObjectError, BadMetadata) as error:
                # Damaged, gone, or changing right now: no reason to stop for.
                log.warning("not told", extra={"path": folder, "reason": str(error)})
                continue
            if update is not None:
                rows[pending_key(digest, update)] = update
    return rows


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _row(disk: Disk, partition: _Partition, digest: str) -> Update | None:
    """What the listing should say of the object in a hash folder."""
    policy = partition.policy.index
    location = Location(
        datadir=partition.policy.datadir, partition=int(partition.name), digest=digest, name=""
    )
    state = find(disk, location)
    winner = state.data or state.tombstone
    if winner is None:
        return None
    descriptor = disk.files.open(disk.path(f"{location.folder}/{winner.text}"), os.O_RDONLY)
    try:
        metadata = decode(encoded_metadata(disk, descriptor)[0])
    finally:
        disk.files.close(descriptor)
    target = Target(*metadata.name[1:].split("/", 2))
    if state.data is None:
        return row_of_delete(target, policy, metadata.timestamp, Recipients())
    named = Location(
        datadir=location.datadir,
        partition=location.partition,
        digest=digest,
        name=metadata.name,
    )
    try:
        return row_of_post(target, policy, read_current(disk, named), Recipients())
    except NoObject:
        return None  # deleted in between, by somebody who tells the container
