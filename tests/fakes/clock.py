"""Clocks for tests."""

from __future__ import annotations

import asyncio

from swiftish.runtime.clock import SystemClock

EPOCH_S = 1_700_000_000.0


class FakeClock(SystemClock):
    """A clock that stands still until it is told to move."""

    def __init__(self, now: float = EPOCH_S) -> None:
        super().__init__()
        self.seconds = now

    def now(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


class LoopClock(FakeClock):
    """The running loop's own time, which in a simulation is virtual."""

    def now(self) -> float:
        return self.seconds + asyncio.get_running_loop().time()
