"""Which replicas have to leave their devices.

In order: what has no device (new replicas, removed devices); then one replica of each partition
that has more of them in some tier than the plan allows; then, from devices that have more than
their target, as many as they have too many.  A partition gives up at most one replica that could
stay, and none when it moved lately.

The last step is a matching of devices with partitions.  It is made in rounds: every partition
offers its best replica, every device takes the best offers up to its surplus, and what is left
goes into the next round.  Best is what the tiers that have to shrink can spare, so that moving it
makes no partition worse off; then what the device with the fewest other choices needs.

Pure.
"""

from dataclasses import dataclass, field

import numpy as np

from swiftish.ring.table import NOWHERE, Indexes, Mask, Table, beyond, ranked, together
from swiftish.ring.targets import Plan
from swiftish.ring.tree import DEVICE, LEVELS, Counts, Floats, Numbers

_SCARCE = 0.6  # surplus for each partition that can move: beyond, some will have to wait


@dataclass(kw_only=True)
class Placement:
    """A placement that is being changed; `loose` says which replicas need a device.

    `table` has the device they were on, or NOWHERE; `may_move` and `touched` are by partition.
    """

    table: Table
    exists: Mask
    loose: Mask
    may_move: Mask
    touched: Mask
    rng: np.random.Generator
    held: Indexes = field(init=False)

    def __post_init__(self) -> None:
        self.held = np.bincount((self.table + 1).ravel())  # by id + 1

    def kept(self, plan: Plan) -> Counts:
        """How many replicas every device number has, without the loose ones."""
        size = int(plan.tree.ids.max()) + 2
        left = np.bincount(self.table[self.loose] + 1, minlength=size)
        held = np.pad(self.held, (0, max(0, len(left) - len(self.held))))
        return (held - np.pad(left, (0, len(held) - len(left))))[plan.tree.ids + 1]

    def take(self, rows: Indexes, parts: Indexes) -> None:
        """Loosen these replicas, one of a partition."""
        self.loose[rows, parts] = True
        self.touched[parts] = True


def for_dispersion(placement: Placement, plan: Plan) -> None:
    """Loosen one replica of each partition that has too many in some tier.

    From devices that have a surplus as long as there are some, for those lose replicas anyhow.
    """
    table = np.where(placement.loose, NOWHERE, placement.table)
    crowded = np.zeros(table.shape[1], np.bool_)
    for level in range(LEVELS):
        where = plan.tree.of[level].take(table)
        for row in beyond(ranked(where), plan.most[level], where):
            crowded |= row
    parts = np.flatnonzero(crowded & placement.may_move & ~placement.touched)
    if not len(parts):
        return
    table = table[:, parts]
    excess = np.zeros(table.shape, np.int8)  # at how many levels
    for level in range(LEVELS):
        where = plan.tree.of[level][table]
        excess += beyond(together(where), plan.most[level], where)
    numbers = plan.tree.of[DEVICE][table]
    worst = excess.max(axis=0)
    surplus = placement.kept(plan) - plan.parts
    _match(placement, plan, parts, numbers, offered=excess == worst, harm=None, surplus=surplus)
    left = ~placement.touched[parts]
    parts, excess, numbers, worst = parts[left], excess[:, left], numbers[:, left], worst[left]
    wish = surplus[numbers] / np.maximum(plan.ideal[numbers], 1.0)
    wish = wish + 0.01 * placement.rng.random(wish.shape)
    wish[excess < worst] = -np.inf
    placement.take(wish.argmax(axis=0), parts)


def for_balance(placement: Placement, plan: Plan) -> None:
    """Loosen what devices have too many, as far as partitions may move."""
    surplus = placement.kept(plan) - plan.parts
    numbers = plan.tree.of[DEVICE].take(placement.table)
    offered = (surplus > 0).take(numbers) & (numbers >= 0) & ~placement.loose
    offered &= placement.may_move & ~placement.touched
    parts = np.flatnonzero(offered.any(axis=0))
    _match(
        placement,
        plan,
        parts,
        numbers[:, parts],
        offered=offered[:, parts],
        harm=_harm(placement, plan, parts),
        surplus=surplus,
    )


def _match(
    placement: Placement,
    plan: Plan,
    parts: Indexes,
    numbers: Table,
    *,
    offered: Mask,
    harm: Floats | None,
    surplus: Counts,
) -> None:
    """Loosen offered replicas, one of a partition, up to each device's surplus.

    All but `surplus`, which is brought up to date, is by row and by index into `parts`.
    """
    offered = offered & (surplus[numbers] > 0)
    harm = np.zeros(numbers.shape) if harm is None else harm
    while len(parts):
        # A device that needs all that is offered takes what it gets.  When not all surplus can
        # go at once, who has most, for its size, goes first, step by step.
        scarce = np.maximum(surplus, 0).sum() > _SCARCE * len(parts)
        short = _short(offered, numbers, surplus)
        need = (
            np.maximum(short, np.clip(surplus / np.maximum(plan.ideal, 1.0), 0, 1))
            if scarce
            else short
        )
        rank = harm * (1.0 - short)[numbers] + 1.0 - need[numbers]
        rank += (0.05 if scarce else 0.25) * placement.rng.random(numbers.shape)
        rank[~offered] = np.inf
        best = rank.argmin(axis=0)
        every = np.arange(len(parts))
        takes = -(-np.maximum(surplus, 0) // 8) if scarce else surplus
        chosen = _taken(numbers[best, every], rank[best, every], takes)
        if not len(chosen):
            break
        placement.take(best[chosen], parts[chosen])
        surplus -= np.bincount(numbers[best[chosen], chosen], minlength=len(surplus))
        offered = offered & (surplus[numbers] > 0)
        left = np.asarray(offered.any(axis=0))
        left[chosen] = False
        parts, numbers = parts[left], numbers[:, left]
        offered, harm = offered[:, left], harm[:, left]


def _short(offered: Mask, numbers: Table, surplus: Counts) -> Floats:
    """How much of what is offered to it each device needs to be rid of its surplus, at most 1."""
    offers = np.bincount(numbers[offered], minlength=len(surplus))
    return np.clip(surplus / np.maximum(offers, 1), 0, 1)


def _harm(placement: Placement, plan: Plan, parts: Indexes) -> Floats:
    """How bad it would be to move each replica: 2 to the level at which a tier can't spare it.

    A tier that has to shrink should lose replicas of partitions that have more there than the
    plan's least; one that keeps its size gets another replica of some partition back.
    """
    outflow = plan.tree.upwards((placement.kept(plan) - plan.parts).astype(np.float64))
    table = np.where(placement.loose, NOWHERE, placement.table)[:, parts]
    harm = np.zeros(table.shape)
    for level in range(LEVELS - 1):
        where = plan.tree.of[level][table]
        spare = together(where) > plan.least[level][where]
        harm += 2.0 ** (LEVELS - level) * (~spare & (outflow[level][where] > 0))
    return harm


def _taken(devices: Numbers, rank: Floats, takes: Counts) -> Indexes:
    """Indexes of the best offers, for each device as many as it takes."""
    order = np.lexsort((rank, devices))
    ordered = devices[order]
    starts = np.searchsorted(ordered, np.arange(len(takes)))
    place = np.arange(len(order)) - starts[ordered]
    return order[(place < takes[ordered]) & np.isfinite(rank[order])]
