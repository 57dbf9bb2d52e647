"""Look at a device's folder, and mark it.  Blocking."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from swiftish.runtime.device_mark import MARK, Identity, Seen, encode
from swiftish.runtime.files import Files, write_durably

MARK_BYTES_MAX = 4096


def look(path: Path) -> Seen:
    """What is there now.  Raises OSError, also when the folder is missing.

    The mark is read from the disk, where the file system can be made to: one that answers from
    memory only is not there.
    """
    here, above = os.stat(path), os.stat(path.parent)
    mark = None
    with suppress(FileNotFoundError):
        descriptor = os.open(path / MARK, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            mark = os.pread(descriptor, MARK_BYTES_MAX, 0)
        finally:
            os.close(descriptor)
    names = os.listdir(path) if mark is None else ()
    return Seen(is_mount=here.st_dev != above.st_dev, names=names, mark=mark)


def mark_device(path: Path, identity: Identity) -> None:
    """Say that this folder is that device, from now on, unless it is marked already: of several
    processes that do so at once one has done it.  Durable when this returns.  Raises OSError.
    """
    fresh = path / f"{MARK}.{secrets.token_hex(8)}.new"
    try:
        write_durably(fresh, encode(identity, secrets.token_hex(16)), mode=0o644)
        with suppress(FileExistsError):
            (path / MARK).hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
    Files().sync_folder(str(path))
