"""One device: its folders, its syncs, its free space.  Blocking.

Theory of durability.  A name is durable when the folder that holds it has been synced, and so has
the entry of that folder in its parent, up to the device.  Another request, or another process,
may have made a folder a moment ago and not have synced it yet, so finding a folder proves nothing:
before a change is acknowledged, every entry from the device down to the file has been synced by
this process at least once since it was seen to exist.  For hash folders that is done every time
(a sync that finds nothing to do costs less than a microsecond on XFS), for the folders above it is
remembered, for ten minutes.  So a suffix's or partition's folder may be removed once it has been
empty for longer than that: then no process remembers it, and whoever makes it anew also syncs it
anew (`remove_empty`; what is made in a folder, or removed from it, dates the folder).

Theory of dates.  What makes a file count, or no longer, dates the folders of its suffix and of its
partition before it is acknowledged (`date`).  So one look at a partition's folder tells whether
anything in it has changed (object/suffix_hashes.py).
"""

import errno
import logging
import os
import time

from swiftish.object.errors import BelowReserve, RaceLost, SyncFailed
from swiftish.object.paths import TEMPORARY, Location
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.files import Files

log = logging.getLogger(__name__)

FOLDER_MODE = 0o755
RACES_MAX = 5  # somebody else's rmdir or replacement can't go on winning for ever
SPACE_CHECK_INTERVAL_S = 1.0
DURABLE_MAX = 100_000  # suffix folders to remember, some 10 MB
DURABLE_S = 600.0
# Twice as long: the one is counted from a sync, the other from the last change before it.
EMPTY_NS = int(2 * DURABLE_S * 1e9)


class Disk:
    """The parts of the object store that concern a whole device.  Any thread may use it."""

    def __init__(
        self, device: LocalDevice, *, files: Files | None = None, settings: ObjectSettings
    ) -> None:
        self.device = device
        self.files = files or Files()
        self.settings = settings
        self.root = str(device.path)
        self._durable: dict[str, float] = {}  # until when it is remembered, monotonic
        self._generation = device.generation
        self._spare_bytes = 0
        self._spare_until = 0.0

    def path(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def open_folder(self, location: Location) -> tuple[int, bool]:
        """A descriptor of the object's hash folder, and whether it had to be made.

        Never makes the device's own folder: a device that is not mounted is not written to.
        """
        path = self.path(location.folder)
        for _ in range(RACES_MAX):
            made = True
            try:
                self.files.mkdir(path, FOLDER_MODE)
            except FileExistsError:
                made = False
            except FileNotFoundError:
                self._make_parents(location)
                continue
            try:
                return self.files.open(path, os.O_RDONLY | os.O_DIRECTORY), made
            except FileNotFoundError:
                continue  # removed by somebody who found it empty
        raise RaceLost(f"{path} is made and removed again all the time")

    def make_folder(self, relative: str) -> None:
        """Make a folder that may be there, right below one that is.

        Raises OSError, also when what is mounted is not this device: where a disk is missing, so
        are its folders, and nothing is written below its mount point without coming by here (T33).
        """
        if self.files.exists(self.path(relative)):
            return
        if "/" not in relative:
            self.device.verify()
        else:  # below a folder that is there: of this device, or of what is in its place
            self.device.verify_lately()
        try:
            self.files.mkdir(self.path(relative), FOLDER_MODE)
        except FileExistsError:
            return

    def require_space(self, size: int) -> None:
        """Raise BelowReserve when an upload of `size` bytes would use what is kept for deletes.

        The file system is asked once in a second at most (on a busy XFS the answer takes 30
        microseconds), and when what was written since might have used what was free.
        """
        now = time.monotonic()
        spare = self._spare_bytes - size
        if now >= self._spare_until or spare <= 0:
            disk = self.files.statvfs(self.root)
            reserve = disk.f_blocks * self.settings.free_space_reserve
            self._spare_until = now + SPACE_CHECK_INTERVAL_S
            spare = int((disk.f_bavail - reserve) * disk.f_frsize) - size
            if spare <= 0:
                self._spare_bytes = 0
                raise BelowReserve
        self._spare_bytes = spare

    def sync(self, descriptor: int) -> None:
        """Sync an open file or folder.  Raises SyncFailed, and never tries again: what the kernel
        then holds in memory can no longer be told from what is on disk."""
        try:
            self.files.fsync(descriptor)
        except OSError as error:
            self._sync_failed(error)

    def sync_data(self, descriptor: int) -> None:
        """As `sync`, for the bytes only."""
        try:
            self.files.fdatasync(descriptor)
        except OSError as error:
            self._sync_failed(error)

    def sync_parents(self, location: Location) -> None:
        """Make the way to the hash folder durable (see above).  Raises SyncFailed."""
        suffix, partition = location.suffix_folder, location.partition_folder
        now = time.monotonic()
        self.sync_folder(suffix)
        if self._generation != self.device.generation:
            self._generation = self.device.generation
            self._durable.clear()
        if self._durable.get(suffix, now) > now:
            return
        self.sync_folder(partition)
        if len(self._durable) > DURABLE_MAX:
            self._durable.clear()
        if self._durable.get(partition, now) <= now:
            self.sync_folder(location.datadir)
            self.sync_folder("")
            self._durable[partition] = now + DURABLE_S
        self._durable[suffix] = now + DURABLE_S

    def date(self, location: Location) -> None:
        """Say that something in the object's hash folder has changed.  Raises OSError."""
        self.files.utime(self.path(location.suffix_folder))
        self.files.utime(self.path(location.partition_folder))

    def remove_empty(self, relative: str) -> bool:
        """Remove a folder that has been empty long enough (see above); whether it is gone."""
        path = self.path(relative)
        try:
            if self.files.stat(path).st_mtime_ns > self.files.stamp_ns() - EMPTY_NS:
                return False
            self.files.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _make_parents(self, location: Location) -> None:
        self.make_folder(location.datadir)
        self.make_folder(location.partition_folder)
        self.make_folder(location.suffix_folder)

    def sync_folder(self, relative: str) -> None:
        """Make the entries of a folder durable.  Raises SyncFailed, OSError."""
        descriptor = self.files.open(self.path(relative), os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sync(descriptor)
        finally:
            self.files.close(descriptor)

    def _sync_failed(self, error: OSError) -> None:
        self.device.fail(f"a sync failed: {error}")
        raise SyncFailed(str(error)) from error

    # ---- temporary files, where there is no O_TMPFILE --------------------------------------------

    def open_temporary(self) -> tuple[int, str]:
        """A new file in `tmp/`, locked for as long as it is open, and its path."""
        self.make_folder(TEMPORARY)
        for _ in range(RACES_MAX):
            path = self.path(f"{TEMPORARY}/{os.urandom(16).hex()}")
            descriptor = self.files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                locked = self.files.lock(descriptor)
            except OSError:
                self.files.close(descriptor)
                raise
            if locked:
                return descriptor, path
            self.files.close(descriptor)  # the sweeper was quicker, and removes it
        raise RaceLost("temporary files are swept away all the time")

    def sweep(self, *, limit: int) -> int:
        """Remove up to `limit` temporary files that no process is writing; how many there were.

        A process that is killed leaves its files behind, but no locks.
        """
        try:
            names = self.files.listdir(self.path(TEMPORARY))
        except FileNotFoundError:
            return 0
        removed = 0
        for name in names:
            if removed == limit:
                break
            path = self.path(f"{TEMPORARY}/{name}")
            try:
                descriptor = self.files.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if self.files.lock(descriptor):
                    self.files.unlink(path)
                    removed += 1
            except FileNotFoundError:
                continue
            finally:
                self.files.close(descriptor)
        return removed
