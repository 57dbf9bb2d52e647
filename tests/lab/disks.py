"""Devices for the nodes of a lab: an XFS in a sparse file each, else a plain folder.

A device of its own can be full, and can be pulled out from under a running server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

SIZE_BYTES = 512 * 1024 * 1024  # the smallest XFS is 300 MB


class Disk:
    """One device, at `path` while it is plugged in."""

    def __init__(self, path: Path, image: Path | None) -> None:
        self.path = path
        self._image = image
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
            return
        self.unplug()
        with self._image.open("wb") as stream:
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

    def close(self) -> None:
        if self._image is not None:
            self.unplug()

    @property
    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.unplugged")


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
