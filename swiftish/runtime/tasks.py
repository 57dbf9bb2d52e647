"""The only place where tasks are born: every task has a parent that waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks that outlive the request that started them: stragglers, late container updates.

    Owned by the process: `aclose` waits for them at shutdown, up to a time.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> "asyncio.Task[Any]":
        """Start `work`; it must handle its own expected errors: others go to the loop's handler."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": f"background task {task.get_name()} failed", "exception": error}
            )

    def __len__(self) -> int:
        return len(self._tasks)

    async def aclose(self, *, timeout_s: float) -> None:
        """Wait for all tasks, also those that they start; then cancel what is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._tasks and (left_s := deadline - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
