"""A worker's passes, written as what they are: one long walk that pauses after each unit."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

from swiftish.runtime.clock import Clock
from swiftish.runtime.worker import Progress, Report

# Yields after each unit of work; ends with the pass.
Units: TypeAlias = AsyncGenerator[None, None]


class Passes:
    """Steps through one pass after another, each of them a new walk of `units`.

    What a unit raises ends its pass; the next step begins another.
    """

    def __init__(self, units: Callable[[], Units], report: Report, clock: Clock) -> None:
        self._units = units
        self._report = report
        self._clock = clock
        self._under_way: Units | None = None

    async def step(self) -> Progress:
        """One unit; IDLE once at the end of each pass."""
        units, self._under_way = self._under_way, None
        if units is None:
            self._report.begin_pass(self._clock.now())
            units = self._units()
        try:
            await anext(units)
        except StopAsyncIteration:
            self._report.end_pass(self._clock.now())
            return Progress.IDLE
        self._under_way = units
        return Progress.BUSY
