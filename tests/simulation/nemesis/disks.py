"""Disks that are full, or hang: what their threads do, and what LMDB does on them.

A disk that hangs keeps the work that it was given.  What a thread had begun is done when the disk
comes back, whether or not anybody still waits for it; the rest is not, if nobody does.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from swiftish.runtime.environment import Environment, EnvironmentFull, Writer
from swiftish.runtime.threads import THREADS_PER_DEVICE, DeviceThreads
from tests.fakes.whole_cluster import UnsyncedFiles

P = ParamSpec("P")
T = TypeVar("T")

FULL_CALLS = 0.6  # of the calls that need room, so many find none


class Disk:
    """The faults of one device's disk, as long as the process lives."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.full = False
        self.hanging = False
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []

    async def do(self, work: Callable[[], T]) -> T:
        """Work on the disk, now or when it answers again."""
        if not self.hanging:
            return work()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        return await future

    def hang(self) -> None:
        self.hanging = True

    def answer(self) -> None:
        """Hang no more."""
        self.hanging = False
        waiting, self._waiting = self._waiting, []
        for number, (work, future) in enumerate(waiting):
            if future.cancelled() and number >= THREADS_PER_DEVICE:
                continue
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  (as a thread would hand it over)
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

    def die(self) -> None:
        """The process is gone, with all that its threads had to do."""
        self._waiting.clear()

    def require_room(self) -> None:
        if self.full and self.chance.random() < FULL_CALLS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Threads(DeviceThreads):
    """A device's threads, which do all at once, unless the disk hangs."""

    def __init__(self, device: str, disk: Disk) -> None:
        super().__init__(device)
        self._disk = disk

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._disk.do(lambda: work(*args, **kwargs))


class FaultyFiles(UnsyncedFiles):
    """The calls that need room may find none; folders are dated by the node's clock, in seconds."""

    def __init__(self, disk: Disk, clock: Callable[[], float]) -> None:
        self._disk = disk
        self._clock = clock

    def stamp_ns(self) -> int:
        return int(self._clock() * 1e9)

    def utime(self, path: str) -> None:  # type: ignore[override]
        os.utime(path, ns=(self.stamp_ns(), self.stamp_ns()))

    def write(self, descriptor: int, data: bytes | memoryview) -> int:  # type: ignore[override]
        self._disk.require_room()
        return os.write(descriptor, data)

    def writev(self, descriptor: int, pieces: Any) -> int:  # noqa: ANN401
        self._disk.require_room()
        return os.writev(descriptor, pieces)

    def mkdir(self, path: str, mode: int = 0o777) -> None:  # type: ignore[override]
        self._disk.require_room()
        os.mkdir(path, mode)
        self.utime(os.path.dirname(path))

    def rmdir(self, path: str) -> None:  # type: ignore[override]
        os.rmdir(path)
        self.utime(os.path.dirname(path))

    def setxattr(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._disk.require_room()
        os.setxattr(*args, **kwargs)

    def link(self, descriptor: int, name: str, *, folder: int) -> None:
        self._disk.require_room()
        super().link(descriptor, name, folder=folder)


@contextmanager
def commits_on(disks: dict[Path, Disk]) -> Iterator[None]:
    """While this lasts, LMDB commits where it is asked to, on `disks` by the device's path."""

    async def commit(self: Environment, work: Callable[[Writer], T]) -> T:
        disk = disks.get(self.path.parent)
        if disk is None:
            return self.write(work)
        if disk.full and disk.chance.random() < FULL_CALLS:
            raise EnvironmentFull(self.path, "the nemesis has filled the disk")
        return await disk.do(lambda: self.write(work))

    threaded = Environment.commit
    Environment.commit = commit  # type: ignore[method-assign]
    try:
        yield
    finally:
        Environment.commit = threaded  # type: ignore[method-assign]


@contextmanager
def virtual_monotonic() -> Iterator[None]:
    """While this lasts, what processes measure by their own clock is the loop's time, too."""
    real = time.monotonic
    time.monotonic = lambda: asyncio.get_running_loop().time()
    try:
        yield
    finally:
        time.monotonic = real
