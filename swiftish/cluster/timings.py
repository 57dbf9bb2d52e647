"""How long nodes take to answer reads, and what follows from it (T32, T34).

Theory of operation.  Of each node the usual time to the first byte of an answer is known, a moving
average by kind of service and verb.  A disk that has become slow is noticed in two ways:

- A read is *hedged*: when a node has not answered within HEDGE_FACTOR times its usual time (at
  least HEDGE_MIN_S, at most what the settings say) the next node is asked as well, and the first
  good answer wins.  A cluster that is slow altogether must not be asked twice as much on top:
  hedges are at most HEDGE_SHARE of the reads, but for HEDGES_AT_ONCE in a row.
- A node is *demoted* while its usual time is SLOW_FACTOR times that of the quickest other primary,
  and more than SLOW_MIN_S: reads ask it after the other primaries.  Every PROBE_S one read begins
  with it all the same (a hedged one, so it costs its client little), to see whether it is well.

What is known is forgotten after `expiry_s` without an answer.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swiftish.cluster.transport import Kind
from swiftish.ring.device import Device

WEIGHT = 0.3  # of a new answer in the average
SLOW_FACTOR = 5.0
SLOW_MIN_S = 0.02
PROBE_S = 10.0
HEDGE_FACTOR = 4.0
HEDGE_MIN_S = 0.05
HEDGE_SHARE = 0.1
HEDGES_AT_ONCE = 100.0

_Key = tuple[str, str, str, int, str]


@dataclass(slots=True)
class _Usual:
    seconds: float
    at: float  # when a node last answered, or was last given a chance to


class Timings:
    """What one process knows.  Moments are seconds of any clock that never steps back."""

    def __init__(self, *, expiry_s: float = 300.0) -> None:
        self._expiry_s = expiry_s
        self._usual: dict[_Key, _Usual] = {}
        self._suspects: set[_Key] = set()  # slower than SLOW_MIN_S: usually there are none
        self._hedges = HEDGES_AT_ONCE

    def took(self, kind: Kind, method: str, node: Device, seconds: float, *, now: float) -> None:
        """The node has answered."""
        key = _key(kind, method, node)
        usual = self._usual.get(key)
        if usual is None or now - usual.at > self._expiry_s:
            usual = self._usual[key] = _Usual(seconds, now)
        else:
            usual.seconds += WEIGHT * (seconds - usual.seconds)
            usual.at = now
        if usual.seconds > SLOW_MIN_S:
            self._suspects.add(key)
        elif self._suspects:
            self._suspects.discard(key)

    def outlasted(
        self, kind: Kind, method: str, node: Device, seconds: float, *, now: float
    ) -> None:
        """Nobody waited any longer for the node's answer: it would have taken more than this."""
        usual = self.usual_s(kind, method, node, now=now)
        if usual is None or seconds > usual:
            self.took(kind, method, node, seconds, now=now)

    def usual_s(self, kind: Kind, method: str, node: Device, *, now: float) -> float | None:
        """How long the node usually takes; None when that is not known."""
        usual = self._usual.get(_key(kind, method, node))
        if usual is None or now - usual.at > self._expiry_s:
            return None
        return usual.seconds

    def quickest_first(
        self, kind: Kind, method: str, nodes: Sequence[Device], *, now: float
    ) -> list[Device]:
        """In the order of their usual times; first those of which nothing is known."""
        return sorted(nodes, key=lambda node: self.usual_s(kind, method, node, now=now) or 0.0)

    def slow_last(
        self, kind: Kind, method: str, nodes: Sequence[Device], *, now: float
    ) -> Sequence[Device]:
        """The same order, but that nodes which are slow come last; one may be due for a probe."""
        if not self._suspects or len(nodes) < 2:
            return nodes
        times = [self.usual_s(kind, method, node, now=now) for node in nodes]
        quickest = min((seconds for seconds in times if seconds is not None), default=0.0)
        limit_s = max(SLOW_MIN_S, SLOW_FACTOR * quickest)
        slow = [seconds is not None and seconds > limit_s for seconds in times]
        if slow[0]:
            first = self._usual[_key(kind, method, nodes[0])]
            if now - first.at >= PROBE_S:
                first.at = now
                slow[0] = False
        return [
            *(node for node, is_slow in zip(nodes, slow, strict=True) if not is_slow),
            *(node for node, is_slow in zip(nodes, slow, strict=True) if is_slow),
        ]

    def hedge_after_s(
        self, kind: Kind, method: str, node: Device, *, at_most_s: float, now: float
    ) -> float:
        """When to ask another node too, counted from when this one was asked."""
        usual = self.usual_s(kind, method, node, now=now)
        if usual is None:
            return at_most_s
        return min(at_most_s, max(HEDGE_MIN_S, HEDGE_FACTOR * usual))

    def count_read(self) -> None:
        """A read has begun: it adds its share to what may be hedged."""
        self._hedges = min(HEDGES_AT_ONCE, self._hedges + HEDGE_SHARE)

    def may_hedge(self) -> bool:
        """Whether one more node may be asked now; if so it is counted."""
        if self._hedges < 1:
            return False
        self._hedges -= 1
        return True


def _key(kind: Kind, method: str, node: Device) -> _Key:
    return (kind, method, node.ip, node.port, node.device)
