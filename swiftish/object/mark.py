"""How a process says that it changes a device's objects, so that its death is noticed.  Blocking.

Between the commit of an object and the moment when its container has acknowledged the row, or the
row is pending, a killed process leaves an object that no listing shows (T55).  Writing each row
down beforehand would cost every change another sync.  Instead each process has a mark, a locked
file in `serving/`, touched every few seconds while objects change, and removed when the process
ends as it should.  A mark that nobody locks is of a process that was killed, or of a machine that
lost its power; object/recovery.py then tells the containers again of everything that changed since
shortly before the mark was last touched.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from swiftish.object.disk import Disk
from swiftish.object.paths import SERVING
from swiftish.runtime.files import Files

TOUCH_INTERVAL_S = 10.0

# A change can take this long from the touch to its acknowledgement, if disks and containers are
# slow; what is told twice does no harm.
MARGIN_S = 300.0
assert MARGIN_S > 2 * TOUCH_INTERVAL_S


class Mark:
    """One process's mark on one device.  Any thread may use it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = Lock()
        self._path: str | None = None
        self._descriptor = -1
        self._fresh_until = 0.0
        self._generation = disk.device.generation

    def touch(self) -> None:
        """Called before each change; does something once in ten seconds.

        Raises OSError, SyncFailed.
        """
        generation = self._disk.device.generation
        if time.monotonic() < self._fresh_until and generation == self._generation:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._fresh_until and generation == self._generation:
                return
            if generation != self._generation and self._path is not None:
                self._disk.files.close(self._descriptor)  # it is on another disk
                self._path = None
            self._generation = generation
            if self._path is None:
                self._make()
            else:
                os.utime(self._descriptor)
            self._fresh_until = now + TOUCH_INTERVAL_S

    def close(self, *, clean: bool) -> None:
        """Remove the mark, or leave it behind when something may have gone untold."""
        with self._lock:
            path, self._path = self._path, None
            if path is None:
                return
            if clean:
                with suppress(OSError):
                    self._disk.files.unlink(path)
            self._disk.files.close(self._descriptor)
            self._fresh_until = 0.0

    def _make(self) -> None:
        files = self._disk.files
        self._disk.make_folder(SERVING)
        path = self._disk.path(f"{SERVING}/{os.urandom(16).hex()}")
        descriptor = files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            files.lock(descriptor)  # or the worker was quicker, and tells again what never was
            self._disk.sync(descriptor)
            self._disk.sync_folder(SERVING)
            self._disk.sync_folder("")
        except BaseException:
            files.close(descriptor)
            with suppress(OSError):
                files.unlink(path)
            raise
        self._path, self._descriptor = path, descriptor


def leave_mark(device: Path) -> None:
    """Have the containers told again of everything on a device, as after a death that was never
    noticed.  Durable when this returns.  Raises OSError.
    """
    folder = device / SERVING
    folder.mkdir(exist_ok=True)
    mark = folder / os.urandom(16).hex()
    descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.utime(descriptor, (0, 0))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for path in (folder, device):
        Files().sync_folder(str(path))


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """The mark of a dead process: its path, and since when its changes may have gone untold."""

    path: str
    since_s: float


def left_behind(disk: Disk) -> list[LeftBehind]:
    """The marks that nobody locks.  Raises OSError."""
    found = []
    try:
        names = disk.files.listdir(disk.path(SERVING))
    except FileNotFoundError:
        return []
    for name in names:
        path = disk.path(f"{SERVING}/{name}")
        try:
            descriptor = disk.files.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            if disk.files.lock(descriptor):
                changed = disk.files.fstat(descriptor).st_mtime
                found.append(LeftBehind(path, changed - MARGIN_S))
        finally:
            disk.files.close(descriptor)
    return found
