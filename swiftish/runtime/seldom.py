"""What must not fill a log: each thing is said once in a while, however often it happens."""

from collections.abc import Hashable

from swiftish.runtime.clock import Clock

EVERY_S = 60.0
KEYS_MAX = 1000  # in that time, whoever makes them up


class Seldom:
    """Lets each key through once in `every_s` seconds, and not more than `keys_max` keys."""

    def __init__(self, clock: Clock, *, every_s: float = EVERY_S, keys_max: int = KEYS_MAX) -> None:
        self._clock = clock
        self._every_s = every_s
        self._keys_max = keys_max
        self._since = 0.0  # when what is in `_said` began
        self._said: set[Hashable] = set()

    def may(self, key: Hashable) -> bool:
        """Whether to say it now."""
        now = self._clock.now()
        if not 0 <= now - self._since < self._every_s:
            self._since = now
            self._said.clear()
        if key in self._said or len(self._said) >= self._keys_max:
            return False
        self._said.add(key)
        return True
