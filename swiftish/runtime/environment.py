"""LMDB environments: the only import of lmdb.

Theory of operation.  An environment is one file (and its lock file) with named tables of sorted
keys, shared by all processes of a node.  Readers see the state of one moment and wait for nobody.
There is one writer at a time in all processes, and a durable commit costs two syncs whatever is in
it, so writers share commits: `commit` hands its work to the environment's own thread, which takes
all that has gathered while the last commit was under way, runs it in one transaction, syncs, and
only then answers everybody.  (A write transaction belongs to one operating system thread; a pool
of writing threads would only queue for the same lock.)

What is stored is always synced; `sync=False` is for what may be lost, such as a cache.  An
environment must not cross a fork and must not be open twice in a process (closing one would drop
the other's file locks), so both are refused.

What can befall the file, and who may replace it, is in runtime/environment_file.py; who opens it
anew when that has happened, in runtime/environments.py.
"""

import asyncio
import errno
import os
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import lmdb

from swiftish.domain.limits import MiB
from swiftish.domain.listing import after_prefix
from swiftish.runtime import pages
from swiftish.runtime.environment_file import (
    PAGE_BYTES,
    OpenMark,
    check_metas,
    check_pages,
    guarded,
    identity,
    left_open,
    lock_file,
    remove_leavings,
    sync_folder,
)
from swiftish.runtime.errnos import EXHAUSTED

T = TypeVar("T")

KEY_BYTES_MAX = 511  # LMDB's own limit

# An address space holds 128 TiB; all maps of a process stay below half of that.  Each takes one
# part in 64 of what is left: 1 TiB for the first, 60 GiB for the 180th (60 disks, three each).
MAPS_BYTES_MAX = 64 * 1024 * 1024 * MiB
MAP_SHARE = 64

# What stays free for deletes, which need fresh pages too (copy on write).
RESERVE_BYTES_MAX = 256 * MiB
RESERVE_SHARE = 50  # of the map, when that is less

BATCH_MAX = 1000  # so that no write transaction lasts longer than some milliseconds
READERS_MAX = 1024
COMMITS_PER_READER_CHECK = 1000


class EnvironmentTrouble(Exception):
    """The environment could not do what was asked; `path` says which one.  Nothing was written."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


class EnvironmentFull(EnvironmentTrouble):
    """The map or the file system is full."""


class EnvironmentBusy(EnvironmentTrouble):
    """Too many readers, no descriptors or memory left, a lock was not to be had; try again."""


class EnvironmentClosed(EnvironmentBusy):
    """It has been closed since; perhaps it is open again."""


class EnvironmentReplaced(EnvironmentTrouble):
    """The file is no longer the one at its path; what was written to it does not count."""


class EnvironmentCorrupt(EnvironmentTrouble):
    """The file is not what was written, or not LMDB's at all."""


class EnvironmentForeign(EnvironmentTrouble):
    """The file may well be sound, but another version wrote it: it has to be left alone."""


class EnvironmentFailed(EnvironmentTrouble):
    """The disk failed, a sync perhaps: nothing more must be written there."""


_FULL = (lmdb.MapFullError, lmdb.MapResizedError)
_BUSY = (lmdb.ReadersFullError, lmdb.LockError, lmdb.TlsFullError, lmdb.TxnFullError)
_CORRUPT = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError)
_FOREIGN = (lmdb.VersionMismatchError, lmdb.IncompatibleError)
# We have asked for what cannot be: the disk has no part in it.
_OURS = (lmdb.BadValsizeError, lmdb.BadTxnError, lmdb.BadDbiError, lmdb.InvalidParameterError)


def _translated(error: lmdb.Error, path: Path) -> EnvironmentTrouble:
    if isinstance(error, _FULL) or error.code in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFull(path, str(error))
    if isinstance(error, _BUSY) or error.code in EXHAUSTED:
        return EnvironmentBusy(path, str(error))
    if isinstance(error, _CORRUPT):
        return EnvironmentCorrupt(path, str(error))
    if isinstance(error, _FOREIGN):
        return EnvironmentForeign(path, str(error))
    if isinstance(error, _OURS):
        return EnvironmentTrouble(path, str(error))
    return EnvironmentFailed(path, str(error))


@contextmanager
def _translating(path: Path) -> Iterator[None]:
    """What LMDB raises, or is wrong with the file, as an EnvironmentTrouble."""
    try:
        yield
    except lmdb.Error as error:
        raise _translated(error, path) from error
    except pages.BadPages as error:
        raise EnvironmentCorrupt(path, str(error)) from error
    except pages.OtherVersion as error:
        raise EnvironmentForeign(path, str(error)) from error


class Reader:
    """One moment's state of an environment.  Belongs to one thread, and to a short `with`."""

    __slots__ = ("_environment", "_tables", "_transaction")

    def __init__(self, environment: "Environment", transaction: "lmdb.Transaction[bytes]") -> None:
        self._environment = environment
        self._tables = environment._tables
        self._transaction = transaction

    def get(self, name: str, key: bytes) -> bytes | None:
        try:
            return self._transaction.get(key, db=self._tables[name])
        except lmdb.Error as error:
            raise _translated(error, self._environment.path) from error

    def scan(
        self, name: str, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < stop in byte order, or backwards.

        Finding the first costs a microsecond wherever it is: to seek is to scan again.
        """
        try:
            cursor = self._transaction.cursor(self._tables[name])
            if reverse:
                if stop is None or not cursor.set_range(stop):
                    found = cursor.last()
                else:
                    found = cursor.prev()
                if found:
                    for item in cursor.iterprev():
                        if item[0] < start:
                            return
                        yield item
            elif cursor.set_range(start):
                if stop is None:
                    yield from cursor.iternext()
                else:
                    for item in cursor.iternext():
                        if item[0] >= stop:
                            return
                        yield item
        except lmdb.Error as error:
            raise _translated(error, self._environment.path) from error

    def last(self, name: str, prefix: bytes = b"") -> tuple[bytes, bytes] | None:
        """The greatest key that begins with `prefix`, and its value."""
        for item in self.scan(name, start=prefix, stop=after_prefix(prefix), reverse=True):
            return item
        return None

    def count(self, name: str) -> int:
        """How many keys the table has; LMDB keeps count."""
        with _translating(self._environment.path):
            entries: int = self._transaction.stat(self._tables[name])["entries"]
            return entries

    @property
    def number(self) -> int:
        """That of the last transaction before this moment."""
        number: int = self._transaction.id()
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transaction.abort()
        self._environment._reader_ended()


class Writer(Reader):
    """A write transaction: sees its own changes; others see them once all are on disk."""

    __slots__ = ("_room", "changes")

    def __init__(self, environment: "Environment", transaction: "lmdb.Transaction[bytes]") -> None:
        super().__init__(environment, transaction)
        self.changes = 0  # begun, whether or not they succeeded
        self._room: bool | None = None

    def put(self, name: str, key: bytes, value: bytes) -> None:
        self.changes += 1
        try:
            self._transaction.put(key, value, db=self._tables[name])
        except lmdb.Error as error:
            raise _translated(error, self._environment.path) from error

    def delete(self, name: str, key: bytes) -> bool:
        """Remove a key; False when there was none."""
        self.changes += 1
        try:
            return self._transaction.delete(key, db=self._tables[name])
        except lmdb.Error as error:
            raise _translated(error, self._environment.path) from error

    def require_room(self) -> None:
        """Asked by work that makes the environment grow, before it writes.

        Raises EnvironmentFull when only the reserve is left, which is for deletes.
        """
        if self._room is None:
            self._room = self._environment._has_room(self._transaction)
        if not self._room:
            raise EnvironmentFull(self._environment.path, "only the reserve for deletes is left")


@dataclass(slots=True)
class _Pending:
    """Work that waits for a commit; afterwards, what came of it."""

    work: Callable[[Writer], Any]
    future: "asyncio.Future[Any]"
    value: Any = None
    error: BaseException | None = None


class Environment:
    """One LMDB environment: a file and its lock file, shared by several processes.

    `names` are its tables; `map_size_bytes` is how large it may grow (default: as large as the
    file system); `reserve_bytes` is kept for deletes.  With `check` all pages are looked at first,
    as they are also when a process ended without closing it.  Raises EnvironmentTrouble, OSError.
    """

    _open: dict[Path, int] = {}  # noqa: RUF012  (of the whole process: path -> bytes mapped)

    def __init__(
        self,
        path: Path,
        *,
        names: Sequence[str],
        map_size_bytes: int | None = None,
        sync: bool = True,
        reserve_bytes: int | None = None,
        check: bool = False,
    ) -> None:
        self.path = path.resolve()
        if self.path in self._open:
            raise RuntimeError(f"{self.path} is open already in this process")
        size = _map_size(self.path.parent, map_size_bytes, taken=sum(self._open.values()))
        self._reserve = (
            min(size // RESERVE_SHARE, RESERVE_BYTES_MAX)
            if reserve_bytes is None
            else reserve_bytes
        )
        self._mark: OpenMark | None = None
        with guarded(self.path):
            try:
                self._open_file(names, size, sync=sync, check=check)
            except BaseException:
                if self._mark is not None:
                    self._mark.close()
                raise
            self.identity = identity(self.path)
        self.map_size_bytes: int = self._environment.info()["map_size"]
        self._open[self.path] = self.map_size_bytes
        self._pid = os.getpid()
        self._commits = 0
        self._reading = 0
        self._closed = False
        self._changed = threading.Condition()  # guards the two above
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._commit_for_ever, name=f"commit-{path.name}", daemon=True
        )
        self._thread.start()

    def _open_file(self, names: Sequence[str], size: int, *, sync: bool, check: bool) -> None:
        """Make the file if there is none, and look at it before LMDB does."""
        path, left = self.path, left_open(self.path) if sync else []
        with _translating(path):
            if not path.exists():
                _make(path, names, size, sync=sync)
            meta = check_metas(path)[0]
            if check or left:
                check_pages(path, meta)
            for mark in left:
                mark.unlink(missing_ok=True)
            if sync:
                self._mark = OpenMark(path)
                sync_folder(path.parent)  # whoever made the file may not have come so far
            self._environment = lmdb.Environment(
                str(path),
                map_size=size,
                subdir=False,
                sync=sync,
                mode=0o640,
                max_readers=READERS_MAX,
                max_dbs=len(names),
                max_spare_txns=16,
            )
            try:
                self._environment.reader_check()  # a killed process leaves its slots behind
                self._tables = {name: self._environment.open_db(name.encode()) for name in names}
                self._check_length()
            except BaseException:
                self._environment.close()
                raise

    def read(self) -> Reader:
        """Begin a read; use it in a `with`, in this thread, and not for long."""
        assert os.getpid() == self._pid, "an environment must not be used after a fork"
        with self._changed:
            self._refuse_closed()
            self._reading += 1
        try:
            return Reader(self, self._environment.begin())
        except lmdb.Error as error:
            self._reader_ended()
            raise _translated(error, self.path) from error

    def write(self, work: Callable[[Writer], T]) -> T:
        """Run `work` in a transaction of its own, blocking; on disk when this returns.

        What `work` raises is raised, and nothing is written.
        """
        assert os.getpid() == self._pid, "an environment must not be used after a fork"
        self._refuse_closed()
        pending: list[T] = []
        self._in_transaction(lambda writer: pending.append(work(writer)))
        return pending[0]

    async def commit(self, work: Callable[[Writer], T]) -> T:
        """Run `work` in the next shared transaction; on disk when this returns.

        `work` runs in the environment's thread, without waiting for anything, and perhaps twice:
        when other work fails half-way, the transaction is given up and each is run by itself.
        What `work` raises before it has written anything concerns nobody else.  A cancelled
        caller's work may be committed all the same.
        """
        assert os.getpid() == self._pid, "an environment must not be used after a fork"
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._refuse_closed()
            self._queue.put(_Pending(work, future))
        return await future

    def close(self) -> None:
        """Commit what is queued, wait for the readers, then close.  May be called twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
            self._changed.wait_for(lambda: not self._reading)
        self._thread.join()
        self._environment.close()
        if self._mark is not None:
            self._mark.close()
        del self._open[self.path]

    def is_in_place(self) -> bool:
        """Whether the file at the path is still this one.  Blocking.  Raises OSError."""
        return identity(self.path) == self.identity

    def check(self) -> None:
        """Look at the form of all pages in use; blocking, some seconds for a gigabyte.

        Raises EnvironmentCorrupt, and OSError for what the disk cannot read.
        """
        with _translating(self.path):
            while True:
                with self.read() as reader:  # while it reads, its pages are not used anew
                    found = [m for m in check_metas(self.path) if m.transaction == reader.number]
                    if found:
                        check_pages(self.path, found[0])
                        return

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EnvironmentClosed(self.path, "closed")

    def _reader_ended(self) -> None:
        with self._changed:
            self._reading -= 1
            if self._closed:
                self._changed.notify_all()

    def __repr__(self) -> str:
        return f"<Environment {self.path}: {self._commits} commits>"

    # ---- the environment's own thread ----------------------------------------------------------

    def _commit_for_ever(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            closing = False
            while len(batch) < BATCH_MAX and not self._queue.empty():
                if (pending := self._queue.get()) is None:
                    closing = True
                    break
                batch.append(pending)
            self._commit_batch(batch)
            _answer(batch)
            if closing:
                return
            self._commits += 1
            if self._commits % COMMITS_PER_READER_CHECK == 0:
                with suppress(lmdb.Error):
                    self._environment.reader_check()

    def _commit_batch(self, batch: Sequence[_Pending]) -> None:
        """All in one transaction; when one spoils it, each in its own."""
        try:
            self._in_transaction(partial(_run_all, batch))
        except (EnvironmentFailed, EnvironmentCorrupt, EnvironmentReplaced) as error:
            for pending in batch:  # a failed sync is never tried again
                pending.error = error
        except BaseException as error:  # noqa: BLE001  (it goes to whoever asked for the work)
            if len(batch) == 1:
                batch[0].error = error
                return
            for pending in batch:
                pending.value = pending.error = None
                self._commit_batch([pending])

    def _in_transaction(self, work: Callable[[Writer], object]) -> None:
        with _translating(self.path):
            transaction = self._environment.begin(write=True)
            try:
                work(Writer(self, transaction))
                transaction.commit()
            except BaseException:
                transaction.abort()
                raise
        if not self.is_in_place():
            raise EnvironmentReplaced(self.path, "the file has been replaced")

    def _has_room(self, transaction: "lmdb.Transaction[bytes]") -> bool:
        disk = os.statvfs(self.path.parent)
        if disk.f_bavail * disk.f_frsize < self._reserve:
            return False
        info = self._environment.info()
        if self.map_size_bytes - info["last_pgno"] * PAGE_BYTES >= self._reserve:
            return True
        # The file has been that long once; count the pages that are in use now.
        return self.map_size_bytes - self._pages_in_use(transaction) * PAGE_BYTES >= self._reserve

    def _pages_in_use(self, transaction: "lmdb.Transaction[bytes]") -> int:
        count = pages.META_PAGES
        for table in (None, *self._tables.values()):
            stat = transaction.stat(table) if table is not None else transaction.stat()
            count += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return count

    def _check_length(self) -> None:
        """Refuse a file that was cut off: to touch a page beyond its end would be SIGBUS, the end
        of this process and of all that are started in its place.

        The number of the last page says nothing: LMDB does not write a page that is taken and
        freed in one transaction, though it may be the last.  Raises EnvironmentCorrupt.
        """
        with self._environment.begin() as transaction:
            count = self.path.stat().st_size // PAGE_BYTES
            for name in self._tables:
                record = transaction.get(name.encode())
                if record is None or not pages.is_within(record, count):
                    raise EnvironmentCorrupt(self.path, f"the file ends before the table {name}")
            if self._pages_in_use(transaction) > count:
                raise EnvironmentCorrupt(self.path, "the file ends before its data do")


def _run_all(batch: Sequence[_Pending], writer: Writer) -> None:
    for pending in batch:
        changes = writer.changes
        try:
            pending.value = pending.work(writer)
        except Exception as error:
            if writer.changes != changes:
                raise  # half-done: the whole transaction has to go
            pending.error = error


def _answer(batch: Sequence[_Pending]) -> None:
    """Tell each event loop once; a loop that has ended has nobody waiting."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Pending]] = defaultdict(list)
    for pending in batch:
        by_loop[pending.future.get_loop()].append(pending)
    for loop, ours in by_loop.items():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, ours)


def _resolve(batch: Sequence[_Pending]) -> None:
    for pending in batch:
        if pending.future.done():
            continue  # its caller has been cancelled
        if pending.error is not None:
            pending.future.set_exception(pending.error)
        else:
            pending.future.set_result(pending.value)


def _map_size(folder: Path, wanted: int | None, *, taken: int) -> int:
    share = (MAPS_BYTES_MAX - taken) // MAP_SHARE
    if wanted is None:
        disk = os.statvfs(folder)
        wanted = disk.f_blocks * disk.f_frsize
    return max(16 * PAGE_BYTES, min(wanted, share)) // PAGE_BYTES * PAGE_BYTES


def _make(path: Path, names: Sequence[str], map_size_bytes: int, *, sync: bool) -> None:
    """Give `path` an environment that was made whole, and synced, under another name.

    LMDB writes its first pages in place: a crash in the middle of that would leave a file that
    can never be opened again.
    """
    remove_leavings(path)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)  # of a process of this number that was killed
    try:
        with lmdb.Environment(
            str(fresh),
            map_size=map_size_bytes,
            subdir=False,
            sync=sync,
            mode=0o640,
            max_dbs=len(names),
        ) as environment:
            for name in names:
                environment.open_db(name.encode())
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
        lock_file(fresh).unlink(missing_ok=True)
