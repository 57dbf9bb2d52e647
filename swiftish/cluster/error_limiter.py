"""Which nodes to leave alone for a while (reference 2.2, error limiting).

A node is limited when it has failed more than `errors_max` times without a pause of
`interval_s` between two failures, and at once when it says 507: its disk is gone or full.
"""

from collections import Counter

from swiftish.cluster.transport import Kind
from swiftish.ring.device import Device
from swiftish.runtime.clock import Clock

_Key = tuple[Kind, str, int, str]


class ErrorLimiter:
    """Counts of failures by kind of service and device; one per process.

    `interval_s` 0 switches limiting off.  `failures` counts what was held against nodes, by kind.
    """

    def __init__(self, clock: Clock, *, errors_max: int = 10, interval_s: float = 60.0) -> None:
        self._clock = clock
        self._errors_max = errors_max
        self._interval_s = interval_s
        self.failures: Counter[Kind] = Counter()
        self._errors: dict[_Key, tuple[int, float]] = {}  # count, and when the last one was

    def failed(self, kind: Kind, node: Device) -> None:
        """The node timed out, broke, or answered 5xx."""
        key = _key(kind, node)
        now = self._clock.now()
        count, last = self._errors.get(key, (0, now))
        if self._is_over(last, now):
            count = 0
        self._errors[key] = (count + 1, now)
        self.failures[kind] += 1

    def limit(self, kind: Kind, node: Device) -> None:
        """The node has said itself that it is of no use."""
        self._errors[_key(kind, node)] = (self._errors_max + 1, self._clock.now())
        self.failures[kind] += 1

    def limited(self, kind: Kind, node: Device) -> bool:
        """Whether to leave the node alone now."""
        if not self._errors:
            return False
        key = _key(kind, node)
        entry = self._errors.get(key)
        if entry is None:
            return False
        count, last = entry
        if self._is_over(last, self._clock.now()):
            del self._errors[key]
            return False
        return count > self._errors_max

    def limited_now(self) -> Counter[Kind]:
        """How many nodes are left alone now, by kind."""
        now = self._clock.now()
        return Counter(
            key[0]
            for key, (count, last) in self._errors.items()
            if count > self._errors_max and not self._is_over(last, now)
        )

    def _is_over(self, last: float, now: float) -> bool:
        """Also when the machine's clock has been set back since."""
        return abs(now - last) >= self._interval_s


def _key(kind: Kind, node: Device) -> _Key:
    return (kind, node.ip, node.port, node.device)
