"""Builders and rings on disk: each change is whole, durable, and has its copy in `backups`.

A file is replaced by renaming a new one over it, so an error or a crash never leaves half of one.
Errors are sentences with the file's full path.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from swiftish.ring.builder import Builder
from swiftish.ring.builder_format import decode_builder, encode_builder
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.format import encode
from swiftish.ring.ring import Ring
from swiftish.runtime.files import Files, write_durably

BACKUPS = "backups"  # the folder beside the file
LOCK = ".lock"
LOCK_TIMEOUT_S = 15.0
LOCK_PATIENCE_S = 1.0  # a second is not worth a word
LOCK_POLL_S = 0.05
MODE = 0o644  # servers read rings as another user than the operator


def load_builder(path: Path) -> Builder:
    """Raises RingError: BadBuilder for a file that is no builder."""
    with _explained(path, "read"):
        data = path.read_bytes()
    try:
        return decode_builder(data)
    except BadBuilder as error:
        raise BadBuilder(f"{path.absolute()}: {error}") from None


def save_builder(path: Path, builder: Builder, *, now: float) -> None:
    """Write the builder and a copy of it in `backups`; a builder without an id gets one.

    Raises RingError, and the file is as it was.
    """
    unnamed = not builder.id
    try:
        if unnamed:
            builder.id = os.urandom(16).hex()
        _save(path, encode_builder(builder), now=now)
    except RingError:
        if unnamed:
            builder.id = ""
        raise


def save_ring(path: Path, ring: Ring, *, version: int, now: float) -> None:
    """Write the ring in that version of the format, and a copy of it in `backups`.

    Raises RingError, and the file is as it was.
    """
    _save(path, encode(ring, version=version), now=now)


def backup(folder: Path, name: str, data: bytes, *, now: float) -> Path:
    """Write `<seconds>.<name>` into the folder, which is made if it is missing.

    A second copy within a second gets `.1` after its name, and so on.  Raises RingError.
    """
    for number in count():
        path = folder / (f"{int(now)}.{name}" + (f".{number}" if number else ""))
        with _explained(path, "written"):
            folder.mkdir(exist_ok=True)
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
            except FileExistsError:
                continue
            _fill(path, handle, data)
            return path
    raise AssertionError("unreachable")


@contextmanager
def locked(
    folder: Path,
    *,
    timeout_s: float = LOCK_TIMEOUT_S,
    waiting: Callable[[Path], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the folder's lock: of all that change its builders and rings, one at a time does.

    `waiting` is told the lock's path, once, when that takes more than a moment.  Raises RingError
    when another process holds it for longer than `timeout_s`.
    """
    path = folder / LOCK
    with _explained(path, "opened"):
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        start, told = time.monotonic(), False
        while not Files().lock(held):
            waited = time.monotonic() - start
            if waited >= LOCK_PATIENCE_S and not told:
                told = True
                waiting(path.absolute())
            if waited >= timeout_s:
                raise RingError(
                    f"{path.absolute()} has been held by another process for {timeout_s:g} seconds"
                )
            time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(held)


def _save(path: Path, data: bytes, *, now: float) -> None:
    if not path.parent.is_dir():
        raise RingError(f"{path.parent.absolute()} does not exist")
    if path.is_dir():
        raise RingError(f"{path.absolute()} can't be written: it is a folder")
    with _explained(path, "written"):
        copy = backup(path.parent / BACKUPS, path.name, data, now=now)
        try:
            # What a link leads to is replaced, not the link.
            write_durably(path.resolve(), data, mode=MODE)
        except OSError:
            copy.unlink(missing_ok=True)  # of what never was
            raise


def _fill(path: Path, handle: int, data: bytes) -> None:
    try:
        with open(handle, "wb") as stream:
            os.fchmod(handle, MODE)
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        Files().sync_folder(str(path.parent))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _explained(path: Path, verb: str) -> Iterator[None]:
    """Turn what the system refuses into a sentence with the path."""
    try:
        yield
    except FileNotFoundError:
        missing = path if verb == "read" else path.parent
        raise RingError(f"{missing.absolute()} does not exist") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise RingError(f"{path.absolute()} can't be {verb}: {reason}") from None
