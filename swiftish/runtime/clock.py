"""The time.  The only caller of time.time(); tests hand in a clock of their own."""

import time
from typing import Protocol

from swiftish.domain.timestamp import Timestamp


class Clock(Protocol):
    """`now` in seconds since the epoch; `timestamp` never gives the same value twice."""

    def now(self) -> float: ...

    def timestamp(self) -> Timestamp: ...


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
