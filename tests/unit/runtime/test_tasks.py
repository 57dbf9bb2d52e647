"""Background tasks: waited for at the end, also those that others start meanwhile."""

from __future__ import annotations

import asyncio

from swiftish.runtime.tasks import Background


def test_closing_waits_for_what_the_last_tasks_start() -> None:
    """A straggler that is stored during the drain still tells its container."""

    async def go() -> None:
        background = Background()
        done: list[str] = []

        async def second() -> None:
            await asyncio.sleep(0.01)
            done.append("second")

        async def first() -> None:
            await asyncio.sleep(0.01)
            background.start(second(), name="second")
            done.append("first")

        background.start(first(), name="first")
        await background.aclose(timeout_s=10)
        assert done == ["first", "second"]

    asyncio.run(go())


def test_closing_cancels_what_takes_too_long() -> None:
    """And nothing is left, not even what a cancelled task starts."""

    async def go() -> None:
        background = Background()

        async def slow() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                background.start(asyncio.Event().wait(), name="last words")

        background.start(slow(), name="slow")
        await background.aclose(timeout_s=0.01)
        assert len(background) == 0

    asyncio.run(go())
