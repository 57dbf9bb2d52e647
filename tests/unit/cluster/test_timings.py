"""What is known of how long nodes take, and what follows from it."""

from __future__ import annotations

from swiftish.cluster.timings import HEDGE_MIN_S, HEDGES_AT_ONCE, PROBE_S, Timings
from swiftish.ring.device import Device

QUICK, SLOW, NEW = (Device(id=n, device=f"d{n}") for n in range(3))


def known(*, quick: float = 0.001, slow: float = 0.1) -> Timings:
    timings = Timings()
    timings.took("object", "GET", QUICK, quick, now=0)
    timings.took("object", "GET", SLOW, slow, now=0)
    return timings


def order(timings: Timings, *nodes: Device, now: float = 1) -> list[Device]:
    return list(timings.slow_last("object", "GET", nodes, now=now))


def test_t34_a_slow_node_comes_last() -> None:
    """A hundred times as slow as the quickest of those that could be asked."""
    assert order(known(), SLOW, QUICK, NEW) == [QUICK, NEW, SLOW]
    assert order(known(), QUICK, SLOW) == [QUICK, SLOW]


def test_nobody_is_slow_alone() -> None:
    """Where all take as long, or nothing is known of the others; what is quick enough is."""
    assert order(known(), SLOW, NEW) == [SLOW, NEW]
    assert order(known(quick=0.05), SLOW, QUICK) == [SLOW, QUICK]
    assert order(known(slow=0.01), SLOW, QUICK) == [SLOW, QUICK]


def test_kinds_and_verbs_are_apart() -> None:
    """A listing takes longer than a HEAD; a device may be slow for one and not for the other."""
    timings = known()
    assert list(timings.slow_last("object", "HEAD", [SLOW, QUICK], now=1)) == [SLOW, QUICK]
    assert list(timings.slow_last("container", "GET", [SLOW, QUICK], now=1)) == [SLOW, QUICK]


def test_a_node_that_is_well_again_is_noticed() -> None:
    """By one probe after the other; then it has its turn again."""
    timings, now, probes = known(), 0.0, 0
    while order(timings, SLOW, QUICK, now=now) == [QUICK, SLOW] or probes == 0:
        now += PROBE_S
        if order(timings, SLOW, QUICK, now=now)[0] is SLOW:
            timings.took("object", "GET", SLOW, 0.001, now=now)
            probes += 1
        timings.took("object", "GET", QUICK, 0.001, now=now)
    assert probes < 15


def test_what_is_old_is_forgotten() -> None:
    """After five minutes without an answer nobody knows."""
    timings = known()
    assert timings.usual_s("object", "GET", SLOW, now=300) is not None
    assert timings.usual_s("object", "GET", SLOW, now=301) is None
    timings.took("object", "GET", SLOW, 0.002, now=301)
    assert timings.usual_s("object", "GET", SLOW, now=301) == 0.002


def test_nobody_waited_for_it() -> None:
    """That it takes longer than this says something only if this is longer than usual."""
    timings = known()
    timings.outlasted("object", "GET", SLOW, 0.05, now=1)
    assert timings.usual_s("object", "GET", SLOW, now=1) == 0.1
    timings.outlasted("object", "GET", QUICK, 0.05, now=1)
    usual = timings.usual_s("object", "GET", QUICK, now=1)
    assert usual is not None
    assert usual > 0.01


def test_when_to_ask_another() -> None:
    """After four times the usual; not at once, nor later than the settings say."""

    def after(node: Device) -> float:
        return known().hedge_after_s("object", "GET", node, at_most_s=0.5, now=1)

    assert (after(QUICK), after(SLOW), after(NEW)) == (HEDGE_MIN_S, 0.4, 0.5)


def test_a_slow_cluster_is_not_asked_twice_as_much() -> None:
    """A tenth of the reads may be hedged, and a burst of them."""
    timings = Timings()
    assert sum(timings.may_hedge() for _ in range(1000)) == HEDGES_AT_ONCE
    for _ in range(500):
        timings.count_read()
    assert sum(timings.may_hedge() for _ in range(1000)) in (49, 50)
