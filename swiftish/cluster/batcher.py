"""Many small things to one place, in few requests.

What comes while nothing is under way to a place is sent at once, alone.  What comes meanwhile is
gathered, and goes together as soon as that has been answered.  So nobody waits for company, and the
busier a place is the larger are its batches.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from swiftish.runtime.tasks import Background

K = TypeVar("K", bound=Hashable)
I = TypeVar("I")  # noqa: E741  (an item)
R = TypeVar("R")

BATCH_MAX = 256


class Batcher(Generic[K, I, R]):
    """`send(key, items)` gives the results, in the order of the items.

    It is never under way twice to one place, and what it raises is raised to all that wait for it.
    """

    def __init__(
        self,
        send: Callable[[K, Sequence[I]], Awaitable[Sequence[R]]],
        background: Background,
        *,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self._send = send
        self._background = background
        self._batch_max = batch_max
        # Who waits, for each place to which something is under way.
        self._waiting: dict[K, list[tuple[I, asyncio.Future[R]]]] = {}

    async def put(self, key: K, item: I) -> R:
        """Send the item to the place; its result.

        Who gives up before the item has left is forgotten, and so is the item.
        """
        waiting = self._waiting.get(key)
        if waiting is not None:
            future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
            waiting.append((item, future))
            return await future
        self._waiting[key] = []
        try:
            return (await self._send(key, [item]))[0]
        finally:
            self._next(key)

    def _next(self, key: K) -> None:
        """The place is free: send what has been gathered."""
        waiting = [entry for entry in self._waiting[key] if not entry[1].done()]
        if not waiting:
            del self._waiting[key]
            return
        batch, self._waiting[key] = waiting[: self._batch_max], waiting[self._batch_max :]
        self._background.start(self._send_batch(key, batch), name=f"batch to {key}")

    async def _send_batch(self, key: K, batch: Sequence[tuple[I, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send(key, [item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except OSError as error:
            _fail(batch, error)
        except BaseException as error:  # our own fault, or the end of the process
            _fail(batch, error)
            raise
        finally:
            self._next(key)


def _fail(batch: Sequence[tuple[I, asyncio.Future[R]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
