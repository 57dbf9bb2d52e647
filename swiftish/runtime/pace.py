"""How fast background work may go: so many files, or bytes, in a second.

A bucket holds one second's worth, so that what was saved while there was little to do can't be
spent at once.  A rate of 0 is no limit.
"""

import asyncio


class Pace:
    """At most `per_second` units on average; `take` waits when it is too early."""

    def __init__(self, per_second: float) -> None:
        assert per_second >= 0
        self.per_second = per_second
        self._free_at = 0.0  # by the loop's clock: when all that was taken has been paid for

    async def take(self, units: float = 1.0) -> None:
        """Take so many units; returns when they may be spent.

        More than a second's worth is given too: then whoever comes next waits the longer.
        """
        if self.per_second:
            loop = asyncio.get_running_loop()
            if (wait_s := self.delay_s(units, loop.time())) > 0:
                await asyncio.sleep(wait_s)

    def delay_s(self, units: float, now: float) -> float:
        """Book `units` at the time `now`, and say how long to wait for them, in seconds."""
        begins = max(self._free_at, now - 1.0)
        self._free_at = begins + units / self.per_second
        return max(0.0, begins - now)
