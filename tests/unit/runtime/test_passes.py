"""A worker's passes: a unit at each step, IDLE once at the end of each."""

from __future__ import annotations

import asyncio

import pytest

from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report
from tests.fakes.clock import FakeClock

BUSY, IDLE = Progress.BUSY, Progress.IDLE


def test_steps() -> None:
    """Each pass walks from the beginning; an empty one is over at once."""
    seen: list[int] = []
    rounds = [[1, 2], [], [3]]

    async def units() -> Units:
        for number in rounds.pop(0):
            seen.append(number)
            yield

    async def main() -> None:
        report, clock = Report(), FakeClock()
        passes = Passes(units, report, clock)
        steps = []
        for _ in range(6):
            steps.append(await passes.step())
            clock.move(1)
        assert steps == [BUSY, BUSY, IDLE, IDLE, BUSY, IDLE]
        assert seen == [1, 2, 3]
        assert report.passes == 3
        assert report.last_pass_s == 1.0

    asyncio.run(main())


def test_what_a_unit_raises_ends_its_pass() -> None:
    """The next step begins another."""
    fails = [False, True, False, False]

    async def units() -> Units:
        for _ in range(2):
            if fails.pop(0):
                raise OSError("broken")
            yield

    async def main() -> None:
        passes = Passes(units, Report(), FakeClock())
        assert await passes.step() is BUSY
        with pytest.raises(OSError, match="broken"):
            await passes.step()
        assert [await passes.step() for _ in range(3)] == [BUSY, BUSY, IDLE]

    asyncio.run(main())
