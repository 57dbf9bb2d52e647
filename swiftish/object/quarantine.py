"""Move what cannot be trusted out of the way, and remember why.  Blocking.

The files are moved one by one, by name, and never the hash folder as a whole: an upload may be
giving a good new file its name in that folder right now, and would go with it.  The quarantine's
folder is made first, by which a reader that finds no object learns that there was one.  Then older
files go, and the winner after them, so that at no moment an older state is the object again.  Each
of the three steps is durable before the next, or a crash could undo one and keep the other.
"""

import logging
import os
from contextlib import suppress
from typing import NoReturn

from swiftish.object.disk import FOLDER_MODE, Disk
from swiftish.object.errors import Corrupt, SyncFailed
from swiftish.object.filenames import parse
from swiftish.object.hashdir import judge
from swiftish.object.paths import QUARANTINE, Location
from swiftish.runtime.errnos import UNREADABLE
from swiftish.runtime.quarantine import COPIES_MAX, REASON

log = logging.getLogger(__name__)


def quarantine(disk: Disk, location: Location, reason: str, *, file: str | None = None) -> NoReturn:
    """Move all files of a hash folder to the quarantine, and raise Corrupt.

    With `file`, the one that was read: only if it is still what counts there.
    """
    path = disk.path(location.folder)
    try:
        try:
            names = disk.files.listdir(path)
        except FileNotFoundError:
            names = []
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            _move_folder(disk, location, reason)
        else:
            state = judge(names)
            winners = [file.text for file in state.winners]
            if names and (file is None or file in winners):
                _move_files(disk, location, names, reason)
    except (OSError, SyncFailed) as error:  # the disk is in trouble; but nothing is served
        log.exception("cannot quarantine", extra={"path": path, "reason": str(error)})
    else:
        log.error("quarantined", extra={"path": path, "reason": reason})
    raise Corrupt(path, reason)


def is_lost(disk: Disk, location: Location) -> bool:
    """Whether a hash folder without an object had one that is in the quarantine now.

    One of which a tombstone is there was deleted, however bad the tombstone's content is.
    """
    try:
        names = disk.files.listdir(disk.path(f"{location.quarantine_folder}/{location.digest}"))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return True
    state = judge(names)
    return state.data is not None or state.tombstone is None


def lost(disk: Disk, datadir: str) -> set[str]:
    """The hashes of all of which `is_lost` may be true.  Raises OSError."""
    try:
        return set(disk.files.listdir(disk.path(f"{QUARANTINE}/{datadir}")))
    except FileNotFoundError:
        return set()


def is_back(disk: Disk, location: Location) -> None:
    """Note that there is a sound object again, or that it is deleted: what is in the quarantine is
    kept there under another name, and missed no longer.  Raises OSError, SyncFailed."""
    stem = f"{location.quarantine_folder}/{location.digest}"
    for count in range(1, COPIES_MAX):
        target = disk.path(f"{stem}-{count}")
        if not disk.files.exists(target):
            disk.files.rename(disk.path(stem), target)
            disk.sync_folder(location.quarantine_folder)
            return


def _move_files(disk: Disk, location: Location, names: list[str], reason: str) -> None:
    source = location.folder
    target = _make_target(disk, location, reason)
    # Fixed-width timestamps come first in the names, so these are in the order of their age.
    aged = sorted(name for name in names if (file := parse(name)) and file.kind != "meta")
    for step in (aged[:-1], aged[-1:], set(names).difference(aged)):
        for name in step:
            with suppress(FileNotFoundError):
                disk.files.rename(disk.path(f"{source}/{name}"), disk.path(f"{target}/{name}"))
        if step:
            disk.sync_folder(target)
            disk.sync_folder(source)
    disk.date(location)
    with suppress(OSError):  # not empty: something new has arrived
        disk.files.rmdir(disk.path(source))


def _move_folder(disk: Disk, location: Location, reason: str) -> None:
    """The hash folder cannot even be listed, or is none: nothing can be written in it either."""
    target = _make_target(disk, location, reason)
    disk.files.rename(disk.path(location.folder), disk.path(f"{target}/{location.digest}"))
    disk.date(location)
    disk.sync_folder(target)
    disk.sync_folder(location.suffix_folder)


def _make_target(disk: Disk, location: Location, reason: str) -> str:
    """A new folder in the quarantine, durable, with the reason in it."""
    disk.make_folder(QUARANTINE)
    disk.make_folder(location.quarantine_folder)
    stem = f"{location.quarantine_folder}/{location.digest}"
    for count in range(COPIES_MAX):
        target = f"{stem}-{count}" if count else stem
        try:
            disk.files.mkdir(disk.path(target), FOLDER_MODE)
        except FileExistsError:
            continue
        _write_reason(disk, target, reason)
        for folder in (target, location.quarantine_folder, QUARANTINE, ""):
            disk.sync_folder(folder)
        return target
    raise FileExistsError(f"{stem} has been quarantined {COPIES_MAX} times")


def _write_reason(disk: Disk, target: str, reason: str) -> None:
    path = disk.path(f"{target}/{REASON}")
    descriptor = disk.files.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        disk.files.write_all(descriptor, [f"{reason}\n".encode("utf-8", "replace")])
        disk.sync(descriptor)
    finally:
        disk.files.close(descriptor)
