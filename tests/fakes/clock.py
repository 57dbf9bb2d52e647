"""Clocks for tests."""

from __future__ import annotations

import asyncio

from swiftish.domain.timestamp import Timestamp

EPOCH_S = 1_700_000_000.0


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: float = EPOCH_S) -> None:
        self.seconds = now
        self._last_raw = 0

    def now(self) -> float:
        return self.seconds

    def timestamp(self) -> Timestamp:
        self._last_raw = max(Timestamp.from_seconds(self.now()).raw, self._last_raw + 1)
        return Timestamp(self._last_raw)

    def move(self, seconds: float) -> None:
        self.seconds += seconds


class LoopClock(FakeClock):
    """The running loop's own time, which in a simulation is virtual."""

    def now(self) -> float:
        return self.seconds + asyncio.get_running_loop().time()
