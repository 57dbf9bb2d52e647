"""The time.  The only caller of time.time(); tests hand in a clock of their own.

Changes are ordered by their timestamps, which processes on many machines give, and no two machines
have quite the same time.  So this is a hybrid logical clock: a timestamp is the machine's time, or
just after the newest that the process has heard of, whichever is later.  Who has seen a change
thus overwrites it, also where the machine's clock is behind (T27).

A timestamp that is too far ahead is no evidence of anything but a broken clock: it is not followed,
and storage servers refuse it, so that it can block no name for years.
"""

import time
from typing import Protocol

from swiftish.domain.timestamp import UNITS_PER_SECOND, Timestamp

# How far ahead of a machine's own clock a timestamp may be.  Clocks that nobody keeps differ by
# minutes; by an hour where somebody has mistaken local time for UTC, by half a day at the worst.
FUTURE_MAX_S = 86_400


class Clock(Protocol):
    """`now` in seconds since the epoch; `timestamp` never gives the same value twice."""

    def now(self) -> float: ...

    def timestamp(self) -> Timestamp: ...

    def observe(self, timestamp: Timestamp) -> None:
        """From now on `timestamp` gives only later ones, unless this one is too far ahead."""
        ...


class SystemClock:
    """The machine's clock.  Timestamps of one process strictly increase, also when the
    machine's clock steps back."""

    def __init__(self) -> None:
        self._last_raw = 0

    def now(self) -> float:
        return time.time()  # noqa: TID251  (here is where the clock is)

    def timestamp(self) -> Timestamp:
        raw = Timestamp.from_seconds(self.now()).raw
        self._last_raw = max(raw, self._last_raw + 1)
        return Timestamp(self._last_raw)

    def observe(self, timestamp: Timestamp) -> None:
        if timestamp.raw > self._last_raw and not too_far_ahead(timestamp, self.now()):
            self._last_raw = timestamp.raw


def too_far_ahead(timestamp: Timestamp, now: float) -> bool:
    """Whether no clock that is kept at all can have given it by now."""
    return timestamp.raw > (now + FUTURE_MAX_S) * UNITS_PER_SECOND
