"""Clocks that are wrong, and timestamps that are in order all the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import Timestamp
from swiftish.runtime.clock import FUTURE_MAX_S, too_far_ahead
from tests.fakes.clock import EPOCH_S, FakeClock


def at(seconds: float) -> Timestamp:
    return Timestamp.from_seconds(EPOCH_S + seconds)


def test_t27_what_has_been_seen_is_older_than_what_comes() -> None:
    """A clock an hour behind gives timestamps after those that it has heard of."""
    clock = FakeClock()
    clock.observe(at(3600))
    assert clock.timestamp() == Timestamp(at(3600).raw + 1)
    assert clock.timestamp() == Timestamp(at(3600).raw + 2)
    clock.move(4000)
    assert clock.timestamp() == at(4000)


def test_t27_the_future_is_bounded() -> None:
    """One broken clock does not take the others along."""
    clock = FakeClock()
    clock.observe(at(FUTURE_MAX_S + 1))
    assert clock.timestamp() == at(0)
    assert not too_far_ahead(at(FUTURE_MAX_S), clock.now())
    assert too_far_ahead(at(FUTURE_MAX_S + 0.001), clock.now())


@given(st.lists(st.one_of(st.none(), st.floats(-1e5, 1e5)), max_size=30), st.data())
def test_t27_timestamps_only_increase(steps: list[float | None], data: st.DataObject) -> None:
    """Whatever the machine's clock does, and whatever is heard."""
    clock, last = FakeClock(), Timestamp(0)
    for step in steps:
        if step is None:
            found = clock.timestamp()
            assert found > last
            last = found
        elif data.draw(st.booleans()):
            clock.seconds = EPOCH_S + step
        else:
            clock.observe(at(step))
