"""The file of an LMDB environment: who may replace it, whether it can be trusted.  Blocking.

Several processes have an environment open, and any of them may find that its file is corrupt, or
gone.  What becomes of the file is decided under a lock, the guard: opening it, making it, setting
it aside.  A file that is set aside goes to the device's quarantine, whole, with the reason beside
it; the next who opens makes a fresh one.  Its lock file goes with it, for LMDB keeps the numbers of
transactions there: an old and a new environment must not share one.  The other processes notice
that the file at the path is another one (`identity`).

A process that is killed, perhaps by LMDB itself when it met a bad page, leaves a mark behind, a
file that nobody locks.  Whoever opens the environment then looks at all of its pages first
(runtime/pages.py), so that one bad page does not kill one process after the other.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from swiftish.runtime import pages
from swiftish.runtime.quarantine import new_place

log = logging.getLogger(__name__)

PAGE_BYTES = os.sysconf("SC_PAGESIZE")

Identity = tuple[int, int]  # a file's device and number


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Be the only process that opens, makes or moves the environment of that path."""
    descriptor = os.open(f"{path}-guard", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def identity(path: Path) -> Identity | None:
    """Which file is there; None when there is none.  Raises OSError."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def lock_file(path: Path) -> Path:
    """LMDB's own."""
    return path.with_name(f"{path.name}-lock")


class OpenMark:
    """Says that this process has an environment open, until `close` or its end."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.{os.getpid()}.open")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # nobody has it: our number is our own

    def close(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def left_open(path: Path) -> list[Path]:
    """The marks of processes that ended without closing the environment; for the guard's holder."""
    found = []
    for mark in path.parent.glob(f"{path.name}.*.open"):
        with suppress(FileNotFoundError):
            descriptor = os.open(mark, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.append(mark)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
    return found


def check_metas(path: Path) -> list[pages.Meta]:
    """Both meta pages, the one that counts first.  Without this LMDB cannot be asked anything; and
    it would take a file without bytes for a new one, and forget all that was in it.

    Raises BadPages, OtherVersion, OSError.
    """
    with path.open("rb") as file:
        found = pages.metas(partial(_read, file.fileno()), PAGE_BYTES)
        count = os.fstat(file.fileno()).st_size // PAGE_BYTES
    if not (pages.is_within(found[0].main, count) and pages.is_within(found[0].free, count)):
        raise pages.BadPages("the file ends before its tables do")
    return found


def check_pages(path: Path, meta: pages.Meta) -> None:
    """Look at all pages in use, which takes some seconds for a gigabyte.

    Raises BadPages, and OSError for what the disk cannot read (LMDB, which maps the file, would be
    killed by it).
    """
    with path.open("rb") as file:
        count = os.fstat(file.fileno()).st_size // PAGE_BYTES
        read = partial(_read, file.fileno())
        pages.check(read, meta, page_bytes=PAGE_BYTES, pages=count)


def set_aside(path: Path, reason: str, *, only: Identity | None) -> Path | None:
    """Move the file to the quarantine of the folder it is in, if it is the one named `only`.

    Where it is now; None when somebody else was quicker.  Raises OSError.
    """
    with guarded(path):
        if only is None or identity(path) != only:
            return None
        place = new_place(path.parent, path.stem, path.name, reason)
        path.rename(place / path.name)
        lock_file(path).unlink(missing_ok=True)
        for folder in (place, path.parent):
            sync_folder(folder)
    log.error("set aside", extra={"path": str(path), "reason": reason, "to": str(place)})
    return place


def remove_leavings(path: Path) -> None:
    """Before a file is made: what is left of one that is gone, and of attempts that were cut off.

    For the guard's holder.
    """
    lock_file(path).unlink(missing_ok=True)
    for left in path.parent.glob(f"{path.name}.*.new*"):
        if not _is_alive(int(left.name.removeprefix(f"{path.name}.").partition(".")[0])):
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(descriptor: int, first: int, count: int) -> bytes:
    data = os.pread(descriptor, count * PAGE_BYTES, first * PAGE_BYTES)
    while len(data) < count * PAGE_BYTES:
        more = os.pread(descriptor, count * PAGE_BYTES - len(data), first * PAGE_BYTES + len(data))
        if not more:
            break
        data += more
    return data


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
