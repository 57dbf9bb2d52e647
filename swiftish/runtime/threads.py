"""A bounded pool of threads per device: blocking code enters threads here and nowhere else.

A device that hangs exhausts its own pool and nobody else's.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS_PER_DEVICE = 8


class DeviceThreads:
    """The threads of one device in this process.  Made after forking."""

    def __init__(self, device: str, *, size: int = THREADS_PER_DEVICE) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=f"device-{device}")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking `work` in one of the device's threads.

        When the caller is cancelled, work that has begun goes on to its end unseen: what it
        opened must be closed by whoever wrote it (object/async_disk.py shows how).
        """
        loop = asyncio.get_running_loop()
        if kwargs:
            return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))
        return await loop.run_in_executor(self._pool, work, *args)

    def close(self) -> None:
        """Wait for what is under way, then end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
