"""Devices for the nodes of a lab: an XFS in a sparse file each, else a plain folder.

A device of its own can be full, and can be pulled out from under a running server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from swiftish.ring.hash_id import hash_id
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import Identity
from tests.lab.topology import HASH_PREFIX, HASH_SUFFIX

# Of the lab's hash prefix and suffix: a folder that is no mount point must be marked as a device.
CLUSTER = hash_id(HASH_PREFIX.encode(), HASH_SUFFIX.encode())
BLKIO = Path("/sys/fs/cgroup/blkio")
SIZE_BYTES = 512 * 1024 * 1024  # the smallest XFS is 300 MB


class CannotHang(RuntimeError):
    """This machine cannot make a device slow."""


class Disk:
    """One device, at `path` while it is plugged in."""

    def __init__(self, path: Path, image: Path | None) -> None:
        self.path = path
        self._image = image
        self._throttled: str | None = None
        self._group = BLKIO / f"swiftish-lab-{os.getpid()}-{path.parent.parent.name}-{path.name}"
        path.mkdir(parents=True, exist_ok=True)
        if image is not None:
            image.parent.mkdir(parents=True, exist_ok=True)
        self.format()

    @property
    def is_mounted(self) -> bool:
        """Whether it is a file system of its own."""
        return self._image is not None

    def format(self) -> None:
        """A new, empty disk in the same slot."""
        if self._image is None:
            shutil.rmtree(self.path)
            self.path.mkdir()
            mark_device(self.path, Identity(cluster=CLUSTER, device=self.path.name))
            return
        self.unplug()
        self._image.unlink(missing_ok=True)  # whoever still has the old one open writes to that
        with self._image.open("xb") as stream:
            stream.truncate(SIZE_BYTES)
        _run("mkfs.xfs", "-q", "-f", str(self._image))
        self.plug()

    def unplug(self) -> None:
        """Gone at once, whoever has files open there; below the mount point is an empty folder."""
        if self._image is None:
            if self.path.exists():
                self.path.rename(self._aside)
            return
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("umount", "-l", str(self.path))

    def plug(self) -> None:
        """Back, with what was on it."""
        if self._image is None:
            if self._aside.exists():
                self._aside.rename(self.path)
            return
        _run("mount", "-o", "loop,noatime", str(self._image), str(self.path))

    @property
    def is_out(self) -> bool:
        """Whether somebody has unplugged it."""
        return self._aside.exists() if self._image is None else not self.path.is_mount()

    # ---- slowness -------------------------------------------------------------------------------

    def hang(self, pids: Iterable[int]) -> None:
        """From now on these processes, and what they fork, wait for ever for what they read here
        and is not in memory.  Raises CannotHang."""
        self.slow_down(pids, reads_per_second=1, bytes_per_second=1)

    def slow_down(
        self, pids: Iterable[int], *, reads_per_second: int, bytes_per_second: int = 1 << 40
    ) -> None:
        """They may read so often and so much.  Raises CannotHang."""
        if self._image is None or not (BLKIO / "blkio.throttle.read_bps_device").exists():
            raise CannotHang
        device = self.path.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        self._group.mkdir(exist_ok=True)
        for name, limit in (("iops", reads_per_second), ("bps", bytes_per_second)):
            (self._group / f"blkio.throttle.read_{name}_device").write_text(f"{number} {limit}")
        for pid in pids:
            (self._group / "cgroup.procs").write_text(str(pid))
        self._throttled = number

    def release(self) -> None:
        """As quick as before, for those who wait too."""
        if self._throttled is None:
            return
        for name in ("iops", "bps"):
            limit = self._group / f"blkio.throttle.read_{name}_device"
            limit.write_text(f"{self._throttled} 0")
        for pid in (self._group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                (BLKIO / "cgroup.procs").write_text(pid)
        self._throttled = None
        with contextlib.suppress(OSError):  # somebody is just ending in it
            self._group.rmdir()

    def close(self) -> None:
        if self._image is not None:
            self.unplug()

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.unplugged")


def share(folder: Path) -> None:
    """From now on what is mounted below this folder, and what is not any more, is so for processes
    in other namespaces too."""
    _run("mount", "--bind", str(folder), str(folder))
    _run("mount", "--make-shared", str(folder))


def unshare(folder: Path) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        _run("umount", "-l", str(folder))


def xfs_works(folder: Path) -> bool:
    """Tried out: whether this machine can make an XFS in a file and mount it."""
    if os.getuid() != 0 or shutil.which("mkfs.xfs") is None:
        return False
    try:
        Disk(folder / "try" / "mount", folder / "try" / "image").close()
    except subprocess.CalledProcessError:
        return False
    finally:
        shutil.rmtree(folder / "try", ignore_errors=True)
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
