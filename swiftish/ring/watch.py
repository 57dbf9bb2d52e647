"""A ring's file, and the ring that is in it now: servers take up a new one while they run.

Rings are replaced by renaming, so a look at the file's times, size and number is enough.  A new
file that is damaged, or for another cluster, is said once and left alone: the ring that was good is
used on.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from swiftish.ring import hash_id as hash_ids
from swiftish.ring.errors import BadRing, RingError
from swiftish.ring.format import decode
from swiftish.ring.ring import Ring
from swiftish.runtime.threads import DeviceThreads
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

INTERVAL_S = 15.0  # as often as Swift

_Stamp = tuple[int, int, int]  # when it was changed, how long it is, which file it is


def load_ring(path: Path, *, hash_id: str = "") -> Ring:
    """Read a ring, which must be for the cluster of `hash_id` if both say for which.

    Raises RingError with the full path: BadRing for a file that is no ring.
    """
    return _load(path, hash_id)[0]


class RingFile:
    """The ring in a file.  Raises RingError, as `load_ring`, when it can't be loaded at first."""

    def __init__(self, path: Path, *, hash_id: str = "") -> None:
        self.path = path.absolute()
        self._hash_id = hash_id
        self._ring, self._seen, self._md5 = _load(path, hash_id)

    @property
    def md5(self) -> str:
        """The MD5 (hex) of the file that the ring was read from: what Swift compares rings by."""
        return self._md5

    def current(self) -> Ring:
        """The last good ring."""
        return self._ring

    def reload_if_changed(self) -> bool:
        """Take up a new ring, if there is one; whether there was.  It reads a file, and blocks."""
        try:
            seen = _stamp(os.stat(self.path))
        except OSError:
            return False  # between two files, or away: what is loaded is good
        if seen == self._seen:
            return False
        self._seen = seen  # also when it is bad: it is looked at once
        try:
            self._ring, self._seen, self._md5 = _load(self.path, self._hash_id)
        except RingError as error:
            log.error("new ring refused: %s; the old one is used on", error)  # noqa: TRY400
            return False
        log.info("new ring loaded", extra={"path": self.path, "version": self._ring.version})
        return True


class RingWatcher:
    """The worker that looks at ring files every 15 seconds, in threads."""

    name = "ring-watcher"
    interval_s = INTERVAL_S

    def __init__(
        self,
        files: Sequence[RingFile],
        threads: DeviceThreads,
        *,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called when there is a new ring."""
        self.report = Report()
        self._files = files
        self._threads = threads
        self._changed = changed

    async def work(self) -> Progress:
        """Look at all of them once."""
        news = [await self._threads.run(each.reload_if_changed) for each in self._files]
        if any(news):
            self._changed()
        return Progress.IDLE


def _load(path: Path, hash_id: str) -> tuple[Ring, _Stamp, str]:
    full = path.absolute()
    try:
        with path.open("rb") as stream:
            seen = _stamp(os.fstat(stream.fileno()))
            data = stream.read()
    except FileNotFoundError:
        raise RingError(f"{full} does not exist") from None
    except OSError as error:
        raise RingError(f"{full} can't be read: {error.strerror or error}") from None
    try:
        ring = decode(data)
        if hash_id:
            hash_ids.check(ring, hash_id)
    except BadRing as error:
        raise BadRing(f"{full}: {error}") from None
    except RingError as error:
        raise RingError(f"{full}: {error}") from None
    return ring, seen, hashlib.md5(data, usedforsecurity=False).hexdigest()


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino
