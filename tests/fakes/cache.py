"""A cache in memory that keeps what the shared one promises (tests/contracts/test_cache.py)."""

from __future__ import annotations

from swiftish.proxy.cache import Entry
from swiftish.runtime.clock import Clock


class MemoryCache:
    """A Cache of this process alone.  At most `entries_max`; the oldest go first."""

    def __init__(self, clock: Clock, *, entries_max: int = 100_000) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._entries: dict[str, tuple[float, int, bytes | None]] = {}
        self._generation = 0

    async def look_up(self, key: str) -> Entry:
        expires, generation, value = self._entries.get(key, (0.0, self._floor, None))
        if value is not None and expires <= self._clock.now():
            value = None
        return Entry(value, generation)

    async def store(self, key: str, value: bytes, *, ttl_s: float, generation: int) -> bool:
        if self._entries.get(key, (0.0, self._floor, None))[1] != generation:
            return False
        self._put(key, self._clock.now() + ttl_s, generation, value)
        return True

    async def drop(self, key: str) -> None:
        self._generation += 1
        self._put(key, 0.0, self._generation, None)

    _floor = 0  # the generation of keys that were never dropped, or whose drop was forgotten

    def _put(self, key: str, expires: float, generation: int, value: bytes | None) -> None:
        self._entries.pop(key, None)
        self._entries[key] = (expires, generation, value)
        if len(self._entries) > self._entries_max:
            # What is forgotten may have been a drop: nobody who looked before may store after.
            self._entries.pop(next(iter(self._entries)))
            self._generation += 1
            self._floor = self._generation
