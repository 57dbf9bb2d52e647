"""What must not fill a log."""

from swiftish.runtime.seldom import Seldom
from tests.fakes.clock import FakeClock


def test_once_in_a_while() -> None:
    clock = FakeClock()
    seldom = Seldom(clock, every_s=60.0)
    assert [seldom.may("a"), seldom.may("b"), seldom.may("a")] == [True, True, False]
    clock.move(61.0)
    assert seldom.may("a")
    clock.move(-3600.0)  # set back: no reason to be silent for an hour
    assert seldom.may("a")


def test_not_more_than_so_many_keys() -> None:
    """Whoever makes them up."""
    seldom = Seldom(FakeClock(), keys_max=3)
    assert sum(seldom.may(number) for number in range(100)) == 3
