"""Move what cannot be trusted out of the way, and remember why.  Blocking.

The files are moved one by one, by name, and never the hash folder as a whole: an upload may be
giving a good new file its name in that folder right now, and would go with it.  Older files go
first and the winner after them, so that at no moment an older state is the object again; before
that the quarantine's folder is made, by which a reader that finds no object learns that there was
one.
"""

import logging
import os
from contextlib import suppress
from typing import NoReturn

from swiftish.object.disk import Disk
from swiftish.object.errors import Corrupt
from swiftish.object.filenames import FileName, parse
from swiftish.object.hashdir import judge
from swiftish.object.paths import QUARANTINE, Location

log = logging.getLogger(__name__)

REASON = "reason"  # the file that says why
COPIES_MAX = 1000


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
        except OSError:
            _move_folder(disk, location, reason)
        else:
            state = judge(names)
            winners = [f.text for f in (state.data, state.meta, state.content_type_meta) if f]
            if names and (file is None or file in winners):
                _move_files(disk, location, names, reason)
    except OSError as error:  # the disk is in trouble; what matters is that nothing is served
        log.exception("cannot quarantine", extra={"path": path, "reason": str(error)})
    else:
        log.error("quarantined", extra={"path": path, "reason": reason})
    raise Corrupt(path, reason)


def is_lost(disk: Disk, location: Location) -> bool:
    """Whether a hash folder without an object had one that is in the quarantine now."""
    return disk.files.exists(disk.path(f"{location.quarantine_folder}/{location.digest}"))


def _move_files(disk: Disk, location: Location, names: list[str], reason: str) -> None:
    source = disk.path(location.folder)
    target = _make_target(disk, location)
    _write_reason(disk, target, reason)
    for name in sorted(names, key=_order):
        with suppress(FileNotFoundError):
            disk.files.rename(f"{source}/{name}", f"{target}/{name}")
    disk.files.sync_folder(target)
    disk.files.sync_folder(source)
    with suppress(OSError):  # not empty: something new has arrived
        disk.files.rmdir(source)


def _move_folder(disk: Disk, location: Location, reason: str) -> None:
    """The hash folder cannot even be listed, or is none: nothing can be written in it either."""
    target = _make_target(disk, location)
    _write_reason(disk, target, reason)
    disk.files.rename(disk.path(location.folder), f"{target}/{location.digest}")
    disk.files.sync_folder(target)
    disk.files.sync_folder(disk.path(location.suffix_folder))


def _make_target(disk: Disk, location: Location) -> str:
    disk.make_folder(QUARANTINE)
    disk.make_folder(location.quarantine_folder)
    stem = disk.path(f"{location.quarantine_folder}/{location.digest}")
    for count in range(COPIES_MAX):
        target = f"{stem}-{count}" if count else stem
        try:
            disk.files.mkdir(target, 0o755)
        except FileExistsError:
            continue
        return target
    raise FileExistsError(f"{stem} has been quarantined {COPIES_MAX} times")


def _write_reason(disk: Disk, target: str, reason: str) -> None:
    descriptor = disk.files.open(f"{target}/{REASON}", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        disk.files.write_all(descriptor, [f"{reason}\n".encode("utf-8", "replace")])
    finally:
        disk.files.close(descriptor)


def _order(name: str) -> tuple[int, str]:
    """Data and tombstones from old to new, then `.meta`, then what is not ours."""
    file: FileName | None = parse(name)
    if file is None:
        return 2, name
    return (1 if file.kind == "meta" else 0), name
