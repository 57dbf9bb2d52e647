"""How good a placement is: how even (balance), how well spread (dispersion), how much it moved.

Both numbers mean what they mean in Swift, so that rings of either can be compared (reference 3):
balance is the largest deviation of a device from what its weight asks for, in percent; dispersion
is the share of replicas that stand in a failure domain with more of their partition's replicas
than need be, in percent.  A partition counts once, at the kind of tier where it is worst off.

Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swiftish.ring.device import Device, Tier
from swiftish.ring.errors import RingError
from swiftish.ring.table import NOWHERE, Indexes, Table, beyond, ranked, row_lengths, together
from swiftish.ring.tree import LEVELS

# What Swift says for a device without weight that holds partitions: as far off as can be.
BALANCE_WORST = 999.99


@dataclass(frozen=True, kw_only=True)
class TierSpread:
    """`counts[n]`: how many partitions have n replicas here; `allowed`: how many n may be."""

    tier: Tier
    allowed: int
    counts: tuple[int, ...]

    @property
    def at_risk(self) -> int:
        """Partitions with more replicas here than need be."""
        return sum(self.counts[self.allowed + 1 :])


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The dispersion in percent, and the spread over every tier: regions first, devices last."""

    dispersion: float
    tiers: tuple[TierSpread, ...]


def parts_of(table: Table | None, devices: int) -> Indexes:
    """How many replicas each device id holds."""
    if table is None:
        return np.zeros(devices, np.intp)
    counts = np.bincount((table + 1).ravel(), minlength=devices + 1)
    return counts[1:]  # 0 was NOWHERE


def balances(parts: Sequence[int], wanted: Sequence[float], ids: Iterable[int]) -> dict[int, float]:
    """By how many percent each device has more than it should; BALANCE_WORST for drained ones."""
    found = {}
    for number in ids:
        if wanted[number]:
            found[number] = 100.0 * parts[number] / wanted[number] - 100.0
        else:
            found[number] = BALANCE_WORST if parts[number] else 0.0
    return found


def allowed(devices: Iterable[Device | None], *, replicas: float) -> dict[Tier, int]:
    """How many replicas of one partition each tier has to hold at most, weights aside.

    Every tier passes its replicas on to its children in equal shares, rounded up.  Devices
    without weight hold none.
    """
    children: dict[Tier, set[Tier]] = defaultdict(set)
    for device in devices:
        if device is not None and device.weight > 0:
            above: Tier = ()
            for tier in device.tiers:
                children[above].add(tier)
                above = tier
    found: dict[Tier, int] = {}

    def share(tier: Tier, count: float) -> None:
        for child in children[tier]:
            found[child] = -int(-count // len(children[tier]))
            if len(child) == LEVELS:
                found[child] = min(found[child], 1)
            else:
                share(child, found[child])

    share((), replicas)
    return found


def dispersion(table: Table, devices: Sequence[Device | None], *, replicas: float) -> float:
    """The share of replicas that are too close to others of their partition, in percent.

    It counts the partitions that have all replicas, as Swift's does; with 2.25 replicas those are
    a quarter of them.
    """
    partitions = table.shape[1]
    worst = np.zeros(partitions, np.int8)
    for _, where, limits in _levels(table, devices, replicas=replicas):
        too_many = np.zeros(partitions, np.int8)
        for over in beyond(ranked(where), limits, where):
            too_many += over
        worst = np.maximum(worst, too_many)
    whole = row_lengths(replicas=replicas, partitions=partitions)[-1]
    at_risk = int(worst[:whole].sum())
    return float(100.0 * at_risk / (partitions * replicas))


def survey(table: Table, devices: Sequence[Device | None], *, replicas: float) -> Survey:
    """Measure the spread of a complete placement, over every tier."""
    rows, partitions = table.shape
    tiers: list[TierSpread] = []
    for names, where, limits in _levels(table, devices, replicas=replicas):
        # Each of n replicas that are together counts its partition: n times too often.
        keys = (where + 1) * np.int32(rows + 1) + together(where)
        counts = np.bincount(keys.ravel(), minlength=(len(names) + 1) * (rows + 1))
        counts = counts.reshape(-1, rows + 1)[1:] // np.maximum(np.arange(rows + 1), 1)
        counts[:, 0] = partitions - counts.sum(axis=1)
        tiers += [
            TierSpread(tier=name, allowed=int(limit), counts=tuple(map(int, row)))
            for name, limit, row in zip(names, limits, counts, strict=True)
        ]
    share = dispersion(table, devices, replicas=replicas)
    return Survey(dispersion=share, tiers=tuple(tiers))


def _levels(
    table: Table, devices: Sequence[Device | None], *, replicas: float
) -> Iterator[tuple[list[Tier], Table, npt.NDArray[np.int32]]]:
    """For each kind of tier: their names, which of them each replica is in, how many may be."""
    bounds = allowed(devices, replicas=replicas)
    for level in range(LEVELS):
        index: dict[Tier, int] = {}
        tier_of = [
            NOWHERE if d is None else index.setdefault(d.tiers[level], len(index)) for d in devices
        ]
        where = np.array([*tier_of, NOWHERE], np.int32).take(table)
        yield list(index), where, np.array([bounds.get(name, 0) for name in index], np.int32)


def moved(before: Table, after: Table) -> int:
    """How many replicas are on another device than before, or new."""
    count = int((after != NOWHERE).sum())
    rows = min(len(before), len(after))
    same = (before[:rows] == after[:rows]) & (after[:rows] != NOWHERE)
    return count - int(same.sum())


def validate(table: Table, devices: Sequence[Device | None], *, replicas: float) -> None:
    """Each replica is on a device that exists, and no two of a partition on one.

    Raises RingError that names the first partition that is not so.
    """
    partitions = table.shape[1]
    lengths = row_lengths(replicas=replicas, partitions=partitions)
    if len(lengths) != len(table):
        raise RingError(
            f"the builder has {len(table)} replicas of its partitions and wants {replicas:g}: "
            "it needs a rebalance"
        )
    exists = np.array([device is not None for device in devices] + [False])
    for row, length in enumerate(lengths):
        bad = (table[row, :length] >= len(devices)) | ~exists[table[row, :length] % len(exists)]
        if bad.any():
            raise RingError(f"partition {int(bad.argmax())}, replica {row}, has no device")
    twice = ((together(table) > 1) & (table != NOWHERE)).any(axis=0)
    if twice.any():
        raise RingError(f"partition {int(twice.argmax())} has two replicas on one device")
