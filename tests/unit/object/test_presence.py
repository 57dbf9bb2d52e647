"""When a device was in step, and since when it was away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from swiftish.object.index import Indexes
from swiftish.object.presence import Presence, Presences, in_step
from swiftish.runtime.devices import LocalDevice
from tests.fakes.clock import FakeClock

AGE_S = 200.0


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (None, 5, Presence(since=5, seen=5)),
        (Presence(since=5, seen=50), 149, Presence(since=5, seen=149)),
        (Presence(since=5, seen=50), 151, Presence(since=151, seen=151, away_from=50)),
        # It has come back twice, and the first time was not dealt with.
        (
            Presence(since=151, seen=160, away_from=50),
            300,
            Presence(since=300, seen=300, away_from=50),
        ),
        # A clock that was ahead, and has been put right.
        (Presence(since=5, seen=500), 60, Presence(since=5, seen=60)),
    ],
)
def test_in_step(before: Presence | None, now: float, after: Presence) -> None:
    """A gap longer than half the reclaim age is an absence."""
    assert in_step(before, now=now, reclaim_age_s=AGE_S) == after


def test_notes_last(device: Path) -> None:
    """They are read again by the next process, until they have been dealt with."""

    async def run() -> None:
        clock = FakeClock(1000.0)
        for seconds, expected in (
            (0, Presence(since=1000, seen=1000)),
            (90, Presence(since=1000, seen=1090)),
            (200, Presence(since=1290, seen=1290, away_from=1090)),
            (10, Presence(since=1290, seen=1300, away_from=1090)),
        ):
            clock.move(seconds)
            local, indexes = LocalDevice("sda", device), Indexes()
            presences = Presences(indexes.environments, clock, reclaim_age_s=AGE_S)
            assert await presences.in_step(local) == expected
            assert await presences.noted(local) == expected
            clock.seconds += 1
            assert await presences.in_step(local) == expected, "noted a moment ago"
            clock.seconds -= 1
            if expected.away_from:
                await presences.dealt_with(local, 17.0)
                assert await presences.noted(local) == expected, "another absence than this one"
            indexes.close()
            local.threads.close()
        local, indexes = LocalDevice("sda", device), Indexes()
        presences = Presences(indexes.environments, clock, reclaim_age_s=AGE_S)
        await presences.dealt_with(local, 1090.0)
        assert await presences.noted(local) == Presence(since=1290, seen=1300)
        indexes.close()
        local.threads.close()

    asyncio.run(run())
