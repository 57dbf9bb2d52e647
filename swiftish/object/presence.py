"""When a device was last in step with the others, and whether it has been away for too long.

Theory of operation.  A tombstone is kept for the reclaim age, and then removed by replicas that are
sure that all of them have it.  A device that is taken out of the ring, and comes back later than
that, brings objects back that have been deleted, for nobody remembers (T25).  So each device has a
durable note of when it was last *in step*: somebody else's replicator has asked it, or its own has
heard from somebody, or there was nobody to hear from.  The note is renewed once a minute.  When the
last one is older than half the reclaim age (the other half is for a pass, in which it would hear of
what has not been reclaimed yet), the device has been *away*, and until the replicator has
been through all of it once, objects from before the absence are taken for deleted when every other
primary answers, none of them has the object or anything newer, and at least one of them has been in
step all that time (object/replication_plan.py).  They go to the quarantine, where a person finds
them.  One who has been away as well proves nothing: after a cluster was turned off for a month,
all its devices come back, and nobody can have deleted anything.

The first note of a device says that it has been in step since then: there is nothing to compare.
So it is after its index was lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from swiftish.domain.rows import VERSION, packed, unpacked
from swiftish.object.index import PRESENCE
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import Environment, Reader, Writer
from swiftish.runtime.environments import Environments

NOTE_INTERVAL_S = 60.0
_KEY = b"presence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """In step from `since` to `seen`, without a gap; seconds since the epoch.

    `away_from`: when the absence before `since` began, as long as it has not been dealt with.
    """

    since: float
    seen: float
    away_from: float | None = None

    def is_fresh(self, now: float) -> bool:
        return 0 <= now - self.seen < NOTE_INTERVAL_S


def in_step(before: Presence | None, *, now: float, reclaim_age_s: float) -> Presence:
    """What is true of a device that is in step now."""
    if before is None:
        return Presence(since=now, seen=now)
    if now - before.seen <= reclaim_age_s / 2:
        return replace(before, seen=now)
    away_from = before.seen if before.away_from is None else before.away_from
    return Presence(since=now, seen=now, away_from=away_from)


class Presences:
    """The notes of this process's devices."""

    def __init__(self, index: Environments, clock: Clock, *, reclaim_age_s: float) -> None:
        self._index = index
        self._clock = clock
        self._reclaim_age_s = reclaim_age_s
        self._known: dict[str, tuple[int, Presence]] = {}  # and the device's generation

    async def in_step(self, device: LocalDevice) -> Presence:
        """Note that the device is in step now, if that was not noted a moment ago.

        Raises EnvironmentTrouble, OSError.
        """
        now = self._clock.now()
        generation, known = self._known.get(device.name, (-1, None))
        if known is not None and generation == device.generation and known.is_fresh(now):
            return known

        def change(before: Presence | None) -> Presence:
            return in_step(before, now=now, reclaim_age_s=self._reclaim_age_s)

        return await self._note(device, change)

    async def noted(self, device: LocalDevice) -> Presence | None:
        """The last note, as it is.  Raises EnvironmentTrouble, OSError."""
        return await self._index.read(device, _noted)

    async def dealt_with(self, device: LocalDevice, away_from: float) -> None:
        """Note that the absence which began then is over.  Raises EnvironmentTrouble, OSError."""
        now = self._clock.now()

        def change(before: Presence | None) -> Presence:
            presence = in_step(before, now=now, reclaim_age_s=self._reclaim_age_s)
            is_same = presence.away_from == away_from
            return replace(presence, away_from=None) if is_same else presence

        await self._note(device, change)

    async def _note(
        self, device: LocalDevice, change: Callable[[Presence | None], Presence]
    ) -> Presence:
        def write(environment: Environment) -> Presence:
            return environment.write(partial(_changed, change))

        generation = device.generation
        presence = await device.threads.run(self._index.use_blocking, device, write)
        self._known[device.name] = generation, presence
        return presence


def _noted(reader: Reader) -> Presence | None:
    data = reader.get(PRESENCE, _KEY)
    if data is None:
        return None
    _, since, seen, away_from = unpacked(data)
    return Presence(since=since, seen=seen, away_from=away_from)


def _changed(change: Callable[[Presence | None], Presence], writer: Writer) -> Presence:
    presence = change(_noted(writer))
    fields = [VERSION, presence.since, presence.seen, presence.away_from]
    writer.put(PRESENCE, _KEY, packed(fields))
    return presence
