"""A ring in the making: devices, settings, which partition is where, and when it last moved.

Every operator's command is a method here; what it takes and refuses is decided here, and nothing
is read or written.  `rebalance` hands the numbers to `targets` (how many partitions should each
device have?), `gather` (which replicas have to go?) and `place` (where to?).

Pure.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from swiftish.ring import dispersion, rebalance, targets
from swiftish.ring.device import ID_MAX, Device
from swiftish.ring.dispersion import Survey
from swiftish.ring.errors import DuplicateDevice, RingError, UnknownDevice
from swiftish.ring.ring import Ring
from swiftish.ring.table import Table, TableOfHours, empty_table, rows_of

POWER_MAX = 32
HOURS_MAX = 255  # one byte for each partition says how long ago it moved
HOUR_S = 3600
REPLICAS_MAX = 127  # far more than anybody keeps; counts of them are signed bytes
OVERLOAD_MAX = 1e6  # any device takes whatever dispersion asks for long before
# Between these, sums and ratios of weights are exact enough to share out whole partitions.
WEIGHT_MIN, WEIGHT_MAX = 1e-6, 1e12


@dataclass(frozen=True, kw_only=True)
class Rebalanced:
    """What a rebalance came to.  `moved` counts replicas of partitions that changed device."""

    moved: int
    balance: float
    dispersion: float
    removed: int


@dataclass(kw_only=True)
class Builder:
    """`assignment[r, p]` is the id of the device with replica r of partition p, or NOWHERE.

    `devices[id]` is None where there is none.  Those in `removed` are there until the next
    rebalance takes their partitions.  `moved_hours_ago[p]` counts from `moved_epoch` (seconds).
    """

    power: int
    replicas: float
    min_part_hours: int
    next_power: int | None = None
    overload: float = 0.0
    version: int = 0
    id: str = ""
    hash_id: str = ""
    devices: list[Device | None] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    devices_changed: bool = False
    assignment: Table | None = None
    moved_hours_ago: TableOfHours | None = None
    moved_epoch: int = 0
    dispersion: float | None = None

    # ---- making and changing ----------------------------------------------------------------

    @classmethod
    def create(cls, *, power: int, replicas: float, min_part_hours: int) -> "Builder":
        """An empty builder.  Raises RingError for numbers that make no ring."""
        if not 0 <= power <= POWER_MAX:
            raise RingError(f"the partition power must be between 0 and {POWER_MAX}, not {power}")
        _check_replicas(replicas)
        _check_hours(min_part_hours)
        return cls(power=power, replicas=replicas, min_part_hours=min_part_hours)

    def add(self, device: Device) -> int:
        """Add a device; `device.id` < 0 asks for the first free id.  Returns its id.

        Raises DuplicateDevice when the id is taken, or the same disk is there at that address.
        """
        _check_weight(device.weight)
        same = (d for d in self.each() if (d.ip, d.port, d.device) == _place(device))
        for there in same:
            if there.id not in self.removed:
                raise DuplicateDevice(f"{device} is in the builder already, as device {there.id}")
        number = device.id if device.id >= 0 else self._free_id()
        if number > ID_MAX:
            raise RingError(f"device id {number} is above {ID_MAX}")
        if number < len(self.devices) and self.devices[number] is not None:
            raise DuplicateDevice(f"there is a device {number} already: {self.devices[number]}")
        self.devices += [None] * (number + 1 - len(self.devices))
        self.devices[number] = replace(device, id=number)
        self._changed()
        return number

    def remove(self, number: int) -> None:
        """Let the device go: it has no weight from now on, and leaves at the next rebalance."""
        self.devices[number] = replace(self.device(number), weight=0.0)
        self.removed.add(number)
        self._changed()

    def set_weight(self, number: int, weight: float) -> None:
        """The next rebalance moves partitions to or from the device.  Raises RingError."""
        _check_weight(weight)
        if number in self.removed:
            raise RingError(f"can't set the weight of device {number}: it is being removed")
        self.devices[number] = replace(self.device(number), weight=float(weight))
        self._changed()

    def change(self, number: int, **fields: object) -> Device:
        """Change what is written about a device: region, zone, ip, port, device, meta, ….

        Returns the device as it is now.  Raises RingError when another device is there that is
        not being removed.
        """
        assert not {"id", "weight"} & fields.keys()
        if number in self.removed and {"region", "zone"} & fields.keys():
            raise RingError(f"can't move device {number} elsewhere: it is being removed")
        changed = replace(self.device(number), **fields)  # type: ignore[arg-type]
        for other in self.each():
            if other.id in self.removed | {number}:
                continue
            if _place(other) == _place(changed):
                raise DuplicateDevice(f"{changed} is in the builder already, as device {other.id}")
        self.devices[number] = changed
        self._changed()
        return changed

    def set_replicas(self, replicas: float) -> None:
        """Takes effect at the next rebalance.  Raises RingError."""
        _check_replicas(replicas)
        if self._slots(self.replicas) != self._slots(replicas):
            self.devices_changed = True
        self.replicas = replicas

    def set_overload(self, overload: float) -> None:
        """0.1: a device may take 10 % more than its weight says where dispersion gains by it."""
        if not 0 <= overload <= OVERLOAD_MAX:
            raise RingError(f"the overload must be between 0 and {OVERLOAD_MAX:g}, not {overload}")
        self.overload = overload

    def set_min_part_hours(self, hours: int) -> None:
        _check_hours(hours)
        self.min_part_hours = hours

    def pretend_min_part_hours_passed(self) -> None:
        """Let every partition move at the next rebalance."""
        self.moved_epoch = 0
        if self.moved_hours_ago is not None:
            self.moved_hours_ago[:] = HOURS_MAX

    # ---- the partition power (reference 2.10) -----------------------------------------------

    def prepare_power_increase(self) -> bool:
        """Writes are linked into their new partition from now on.  False: under way already."""
        if self.next_power is not None:
            return False
        if self.power >= POWER_MAX:
            raise RingError(f"the partition power is {POWER_MAX} already, and can't be more")
        self.next_power = self.power + 1
        self.version += 1
        return True

    def increase_power(self) -> bool:
        """Partition p becomes 2p and 2p+1, on the same devices.  False: not prepared."""
        if self.next_power != self.power + 1:
            return False
        if self.assignment is not None:
            self.assignment = np.repeat(self.assignment, 2, axis=1)
        if self.moved_hours_ago is not None:
            self.moved_hours_ago = np.repeat(self.moved_hours_ago, 2)
        self.power = self.next_power
        self.version += 1
        return True

    def cancel_power_increase(self) -> bool:
        """Back out before the increase; `finish` follows.  False: there is nothing to cancel."""
        if self.next_power != self.power + 1:
            return False
        self.next_power = self.power
        self.version += 1
        return True

    def finish_power_increase(self) -> bool:
        """All links of old places are gone.  False: nothing was increased or cancelled."""
        if self.next_power is None or self.next_power != self.power:
            return False
        self.next_power = None
        self.version += 1
        return True

    # ---- asking -----------------------------------------------------------------------------

    @property
    def partitions(self) -> int:
        return 1 << self.power

    @property
    def rebalanced(self) -> bool:
        """Whether it ever was."""
        return self.assignment is not None

    def each(self) -> Iterator[Device]:
        """Every device, also those that are being removed, in the order of their ids."""
        return (device for device in self.devices if device is not None)

    def device(self, number: int) -> Device:
        """Raises UnknownDevice."""
        found = self.devices[number] if 0 <= number < len(self.devices) else None
        if found is None:
            raise UnknownDevice(f"there is no device {number}")
        return found

    def parts(self) -> list[int]:
        """How many replicas of partitions each device holds, by its id."""
        counts = dispersion.parts_of(self.assignment, len(self.devices))
        return [int(count) for count in counts]

    def wanted(self) -> list[float]:
        """How many its weight asks for, by its id."""
        weights = [0.0 if d is None else d.weight for d in self.devices]
        total = math.fsum(weights)
        share = self.partitions * self.replicas / total if total else 0.0
        return [weight * share for weight in weights]

    def balances(self) -> dict[int, float]:
        """By how many percent each device has more (or less) than its weight asks for."""
        return dispersion.balances(self.parts(), self.wanted(), [d.id for d in self.each()])

    def balance(self) -> float:
        """The largest of `balances`, without its sign.  0 without devices."""
        return max(map(abs, self.balances().values()), default=0.0)

    def min_part_seconds_left(self, *, now: float) -> int:
        """How long until what was just moved may move again."""
        return max(self.min_part_hours * HOUR_S - int(now - self.moved_epoch), 0)

    def required_overload(self) -> float:
        """The least overload with which the ring could be dispersed fully.  Raises RingError."""
        return targets.required_overload(self.each(), replicas=self.replicas)

    def survey(self) -> Survey:
        """How well the replicas are spread, tier by tier.  Raises RingError when there are none."""
        if self.assignment is None:
            raise RingError("the builder has no partitions yet: it needs a rebalance")
        return dispersion.survey(self.assignment, self.devices, replicas=self.replicas)

    def ring(self) -> Ring:
        """The ring as it stands.  Raises RingError when it was never rebalanced."""
        if self.assignment is None:
            raise RingError("the builder has no partitions yet: it needs a rebalance")
        return Ring(
            devices=tuple(self.devices),
            rows=rows_of(self.assignment),
            power=self.power,
            next_power=self.next_power,
            version=self.version,
            hash_id=self.hash_id,
        )

    def validate(self) -> None:
        """Every replica on a device that exists, and no two of a partition on one.

        Raises RingError.
        """
        if self.assignment is None:
            raise RingError("the builder has no partitions yet: it needs a rebalance")
        dispersion.validate(self.assignment, self.devices, replicas=self.replicas)

    # ---- rebalance --------------------------------------------------------------------------

    def rebalance(
        self,
        *,
        seed: str | int,
        now: float,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Rebalanced:
        """Bring the partitions where weights, replicas and failure domains want them.

        The same builder and seed give the same ring.  A partition moves at most one of its
        replicas, and none when one moved within `min_part_hours`, except off removed devices.
        Raises RingError, and changes nothing, when there are fewer devices than replicas.
        """
        if self.next_power is not None:
            raise RingError("a partition power increase is under way: finish it first")
        progress("targets")
        plan = targets.plan(
            self.devices,
            replicas=self.replicas,
            partitions=self.partitions,
            overload=self.overload,
            held=self.parts(),
        )
        before = self.assignment
        if before is None:
            before = empty_table(replicas=0.0, partitions=self.partitions)
        hours = self._hours_ago(now)
        after, touched = rebalance.rebalance(
            before,
            plan,
            removed=frozenset(self.removed),
            may_move=hours >= self.min_part_hours,
            seed=seed,
            progress=progress,
        )
        hours[touched if self.rebalanced else slice(None)] = 0
        removed, self.removed = self.removed, set()
        for number in removed:
            self.devices[number] = None
        self.assignment, self.moved_hours_ago = after, hours
        self.devices_changed = False
        self.version += 1
        self.dispersion = dispersion.dispersion(after, self.devices, replicas=self.replicas)
        return Rebalanced(
            moved=dispersion.moved(before, after),
            balance=self.balance(),
            dispersion=self.dispersion,
            removed=len(removed),
        )

    def _hours_ago(self, now: float) -> TableOfHours:
        """How long ago each partition moved, as of now; the epoch is moved along."""
        if self.moved_hours_ago is None:
            self.moved_epoch = int(now)
            return np.full(self.partitions, HOURS_MAX, np.uint8)
        passed = max(0, int(now - self.moved_epoch) // HOUR_S)
        if passed:
            self.moved_epoch = int(now)
        return np.minimum(self.moved_hours_ago.astype(np.int64) + passed, HOURS_MAX).astype(
            np.uint8
        )

    def _free_id(self) -> int:
        try:
            return self.devices.index(None)
        except ValueError:
            return len(self.devices)

    def _slots(self, replicas: float) -> int:
        return int(self.partitions * replicas)

    def _changed(self) -> None:
        self.devices_changed = True
        self.version += 1


def _place(device: Device) -> tuple[str, int, str]:
    return device.ip, device.port, device.device


def _check_replicas(replicas: float) -> None:
    if not 1 <= replicas <= REPLICAS_MAX:
        raise RingError(f"the number of replicas must be between 1 and {REPLICAS_MAX}")


def _check_hours(hours: int) -> None:
    if not 0 <= hours <= HOURS_MAX:
        raise RingError(f"min_part_hours must be between 0 and {HOURS_MAX}, not {hours}")


def _check_weight(weight: float) -> None:
    if not (weight == 0 or WEIGHT_MIN <= weight <= WEIGHT_MAX):
        raise RingError(
            f"a weight must be 0, or between {WEIGHT_MIN:g} and {WEIGHT_MAX:g}, not {weight}"
        )
