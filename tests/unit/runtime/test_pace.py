"""Background work at so much a second."""

import asyncio

from swiftish.runtime.pace import Pace
from tests.fakes.loop import simulate


def test_so_many_a_second() -> None:
    """A hundred units at ten a second take ten seconds, less the second that the bucket holds."""

    async def go() -> float:
        loop = asyncio.get_running_loop()
        pace = Pace(10.0)
        begun = loop.time()
        for _ in range(100):
            await pace.take()
        return loop.time() - begun

    assert 8.8 < simulate(go()) < 10.1


def test_what_is_not_used_is_not_saved_for_more_than_a_second() -> None:
    pace = Pace(10.0)
    assert pace.delay_s(10, 1000.0) == 0.0
    assert pace.delay_s(1, 1000.0) == 0.0
    assert round(pace.delay_s(1, 1000.0), 6) == 0.1


def test_a_large_unit_is_paid_for_by_those_behind_it() -> None:
    pace = Pace(10.0)
    assert pace.delay_s(100, 5.0) == 0.0
    assert pace.delay_s(1, 5.0) == 9.0


def test_no_rate_is_no_limit() -> None:
    async def go() -> None:
        pace = Pace(0)
        for _ in range(1000):
            await pace.take(1e9)

    simulate(go())
