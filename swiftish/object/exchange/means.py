"""What both sides of an exchange work with: the devices here, the rings, the other nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swiftish.cluster.here import Here
from swiftish.domain.hashing import HashPath
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.exchange.sender import Sender
from swiftish.object.presence import Presences
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environments import Environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """`rings` by policy."""

    disk_of: Callable[[LocalDevice], AsyncDisk]
    index: Environments
    presences: Presences
    sender: Sender
    rings: Mapping[int, RingSource]
    here: Here
    hash_path: HashPath
    clock: Clock
    reclaim_age_s: float
