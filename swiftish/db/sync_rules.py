"""Where the replicas of a database belong, and what follows from who has confirmed (2.7, T30).

A device *confirms* a database when it says that it holds all of ours, up to the last change.

Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from swiftish.ring.device import Device
from swiftish.ring.ring import Ring

Where: TypeAlias = tuple[str, str]  # address and device: what a ring's change leaves as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """`primaries` but for this device, which may be one (`is_home`); so many of them come `ahead`
    of it in the ring, and all of them where it is none."""

    partition: int
    primaries: tuple[Device, ...]
    is_home: bool
    ahead: int

    @property
    def replicas(self) -> int:
        """How many devices should have the database."""
        return len(self.primaries) + self.is_home


def place(ring: Ring, partition: int, is_own: Callable[[Device], bool]) -> Placement:
    """Where a partition belongs; `is_own` says which of the ring's devices is the one that asks."""
    devices = ring.primaries(partition)
    others = tuple(device for device in devices if not is_own(device))
    own = (number for number, device in enumerate(devices) if is_own(device))
    return Placement(
        partition=partition,
        primaries=others,
        is_home=len(others) < len(devices),
        ahead=next(own, len(devices)),
    )


def stand_ins(ring: Ring, partition: int, is_own: Callable[[Device], bool]) -> Iterator[Device]:
    """Who is given a database in the place of a primary that has no room or no disk (507)."""
    return (device for device in ring.handoffs(partition) if not is_own(device))


def where(device: Device) -> Where:
    return device.address, device.device


class Confirmation(NamedTuple):
    """A device holds all changes up to `number`; `is_primary` by its own ring."""

    number: int
    is_primary: bool


Confirmations: TypeAlias = Mapping[Where, Confirmation]


def is_in_sync(placement: Placement, confirmed: Confirmations, number: int) -> bool:
    """Whether all other primaries hold all of a database whose last change has this number."""
    return all(_holds(confirmed, device, number) for device in placement.primaries)


def is_removable(placement: Placement, confirmed: Confirmations, number: int) -> bool:
    """Whether this device, which is no primary, may let the database go.

    Every primary of this node's ring holds all of it, and takes itself for one by its own ring:
    where the rings of two nodes differ, nobody removes what the other may be about to (T30).
    """
    if placement.is_home or not placement.primaries:
        return False
    return is_in_sync(placement, confirmed, number) and all(
        confirmed[where(device)].is_primary for device in placement.primaries
    )


def lacking(placement: Placement, confirmed: Confirmations, number: int) -> int:
    """How many replicas are not known to exist, wherever they may be; this device has one."""
    known = 1 + sum(confirmation.number >= number for confirmation in confirmed.values())
    return max(0, placement.replicas - known)


def is_ours_to_count(placement: Placement, confirmed: Confirmations, number: int) -> bool:
    """Whether this device says of a database that replicas are lacking: it is the first primary
    that holds all of it, or none does.  So each is counted once."""
    first = placement.primaries[: placement.ahead]
    return not any(_holds(confirmed, device, number) for device in first)


def _holds(confirmed: Confirmations, device: Device, number: int) -> bool:
    found = confirmed.get(where(device))
    return found is not None and found.number >= number
