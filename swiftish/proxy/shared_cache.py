"""The cache that several workers of one machine share: an LMDB environment on a memory file system.

A lookup is one read transaction (a few microseconds, waiting for nobody); a store or a drop is one
short write transaction, run where it is called: a hop to a thread would cost more.  No worker keeps
a copy of its own, so what one drops is gone for all of them at once.

Theory of the generations.  Each drop takes the next generation and leaves it in its entry, so a
store that began before the drop brings an older one and is refused.  When room is needed, entries
go, and with them what they knew of drops; the *floor*, which is the generation of all keys that
have no entry, then rises to what was forgotten, and stores that began before are refused.

Room is made as a clock's hand goes round: a few entries at a time, those that have ended first.
"""

import struct
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from swiftish.domain.limits import KiB
from swiftish.proxy.cache import Entry
from swiftish.runtime.clock import Clock
from swiftish.runtime.environment import Environment, EnvironmentFull, Writer

ENTRIES, STATE = "cache", "cache-state"
TABLES = (ENTRIES, STATE)  # what the environment must have

VALUE_BYTES_MAX = 64 * KiB  # an info with all the metadata that there may be is a tenth of it
DROP_MEMORY_S = 600.0  # longer than anybody fetches what it is about to store
SWEEP = 64  # entries looked at, when there are too many
SWEEP_MIN = 2  # that go in any case: more than come
SWEEP_FULL = 1000  # that go at once when the file system is full

_KEY_BYTES = 16  # not to be chosen so that two names share one: a cryptographic hash
_HEAD = struct.Struct(">dQ?")  # when it ends, its generation, whether there is a value
_STATE = struct.Struct(f">QQQ{_KEY_BYTES}s")
_STATE_KEY = b"state"


class _State(NamedTuple):
    """`generation` is the last one that was given out, `hand` where the next sweep begins."""

    generation: int = 0
    floor: int = 0
    entries: int = 0
    hand: bytes = b""


class SharedCache:
    """A Cache for all processes that have the same `environment` open; the newest stay longest.

    The environment has the tables TABLES and need not be synced; make it anew at each start.
    """

    def __init__(
        self, environment: Environment, clock: Clock, *, entries_max: int = 100_000
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._entries_max = entries_max
        self._key = lru_cache(8192)(_hashed)

    async def look_up(self, key: str) -> Entry:
        with self._environment.read() as reader:
            found = reader.get(ENTRIES, self._key(key))
            if found is None:
                state = reader.get(STATE, _STATE_KEY)
                return Entry(None, _STATE.unpack(state)[1] if state else 0)
        expires, generation, has_value = _HEAD.unpack_from(found)
        if not has_value or expires <= self._clock.now():
            return Entry(None, generation)
        return Entry(found[_HEAD.size :], generation)

    async def store(self, key: str, value: bytes, *, ttl_s: float, generation: int) -> bool:
        if len(value) > VALUE_BYTES_MAX:
            return False
        now = self._clock.now()
        packed = _HEAD.pack(now + ttl_s, generation, True) + value
        hashed = self._key(key)

        def work(writer: Writer) -> bool:
            state = _state(writer)
            found = writer.get(ENTRIES, hashed)
            current = state.floor if found is None else _HEAD.unpack_from(found)[1]
            if current != generation:
                return False
            writer.require_room()
            self._put(writer, state, hashed, packed, is_new=found is None)
            return True

        try:
            return self._environment.write(work)
        except EnvironmentFull:
            self._environment.write(lambda writer: self._make_room(writer, least=SWEEP_FULL))
            return False

    async def drop(self, key: str) -> None:
        hashed = self._key(key)

        def work(writer: Writer) -> None:
            state = _state(writer)
            state = state._replace(generation=state.generation + 1)
            packed = _HEAD.pack(self._clock.now() + DROP_MEMORY_S, state.generation, False)
            is_new = writer.get(ENTRIES, hashed) is None
            self._put(writer, state, hashed, packed, is_new=is_new, state_changed=True)

        try:
            self._environment.write(work)
        except EnvironmentFull:
            # Even the reserve is used up.  To forget a drop would show what is no longer true.
            self._environment.write(lambda writer: self._make_room(writer, least=SWEEP_FULL))
            self._environment.write(work)

    def _put(
        self,
        writer: Writer,
        state: _State,
        hashed: bytes,
        packed: bytes,
        *,
        is_new: bool,
        state_changed: bool = False,
    ) -> None:
        writer.put(ENTRIES, hashed, packed)
        if is_new:
            state = state._replace(entries=state.entries + 1)
        if state.entries > self._entries_max:
            state = self._swept(writer, state, keep=hashed, least=SWEEP_MIN)
        if is_new or state_changed:
            writer.put(STATE, _STATE_KEY, _STATE.pack(*state))

    def _make_room(self, writer: Writer, *, least: int) -> None:
        state = self._swept(writer, _state(writer), keep=b"", least=least)
        writer.put(STATE, _STATE_KEY, _STATE.pack(*state))

    def _swept(self, writer: Writer, state: _State, *, keep: bytes, least: int) -> _State:
        """Remove what has ended of the next SWEEP entries, and `least` entries in any case."""
        now = self._clock.now()
        doomed: list[tuple[bytes, int]] = []
        spared: list[tuple[bytes, int]] = []
        hand = b""
        for seen, (hashed, packed) in enumerate(writer.scan(ENTRIES, start=state.hand)):
            if seen >= max(SWEEP, least):
                hand = hashed
                break
            if hashed == keep:
                continue
            expires, generation, _ = _HEAD.unpack_from(packed)
            (doomed if expires <= now else spared).append((hashed, generation))
        doomed += spared[: max(0, least - len(doomed))]
        for hashed, _ in doomed:
            writer.delete(ENTRIES, hashed)
        return state._replace(
            floor=max([state.floor, *(generation for _, generation in doomed)]),
            entries=state.entries - len(doomed),
            hand=hand,
        )


def _hashed(key: str) -> bytes:
    return blake2b(key.encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES).digest()


def _state(writer: Writer) -> _State:
    packed = writer.get(STATE, _STATE_KEY)
    return _State(*_STATE.unpack(packed)) if packed else _State()
