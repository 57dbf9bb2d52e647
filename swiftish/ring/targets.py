"""How many partitions every device, host, zone and region should have.

Theory.  Everything is counted in replicas of a partition first ("2.4 of 3 replicas are in this
zone"), which does not depend on the number of partitions.

1. *By weight*: each device its share of the replicas, but never more than one of a partition.
2. *Dispersed*: from the root down, each tier shares its replicas among its children by weight,
   but no child gets fewer (more) than its equal share rounded down (up), as far as its number of
   devices goes.  That is the least deviation from the weights that keeps replicas apart.
3. The target is by weight, and moves towards dispersed as far as `overload` lets the device that
   gains most exceed its weight.

Whole partitions come last.  Targets are rounded down or up at every level at once, such that a
tier has what its children have and the largest relative deviation of a device from its weight is
as small as it can be; where either will do, a device keeps what it has.  Rounding each tier by
itself would lose or invent partitions; rounding from the root down, as it comes, may round down
where it hurts most.

Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from swiftish.ring.device import Device
from swiftish.ring.errors import RingError
from swiftish.ring.table import Mask, row_lengths
from swiftish.ring.tree import DEVICE, LEVELS, Counts, Floats, Numbers, Tree

Windows = tuple[list[Floats], list[Floats]]  # the least and the most, by level and tier

_REPLICAS_TOLERANCE = 1e-9  # what rounding errors of sums come to
_PARTS_TOLERANCE = 1e-5  # the same, times the 2**23 partitions that a large ring has


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Targets: `parts` for each device number of the tree, `ideal` ones by weight alone.

    For each tier of each level, in replicas of one partition: `least` and `most` are the target
    rounded down and up; more than `allowed` need not be in one tier, weights aside.
    """

    tree: Tree
    replicas: float
    parts: Counts
    ideal: Floats
    least: tuple[Numbers, ...]
    most: tuple[Numbers, ...]
    allowed: tuple[Numbers, ...]

    @property
    def crowded(self) -> bool:
        """Whether some tier has to hold more than is allowed: the weights want it so."""
        return any(
            bool((most > allowed).any())
            for most, allowed in zip(self.most, self.allowed, strict=True)
        )

    def at_least(self, kept: Counts) -> "Plan":
        """The same total, when each device keeps at least so many: who lacks most gets most."""
        wanted = np.maximum(self.parts, kept)
        excess = int(wanted.sum() - self.parts.sum())
        if not excess:
            return self
        return replace(self, parts=wanted - _shared(excess, room=wanted - kept, by=self.ideal))


def plan(
    devices: Sequence[Device | None],
    *,
    replicas: float,
    partitions: int,
    overload: float,
    held: Sequence[int],
) -> Plan:
    """The targets of a builder's devices.  `held`: how many parts each id has now.

    Raises RingError when there are fewer devices with a weight than replicas.
    """
    tree = Tree.grow(devices)
    by_weight = _by_weight(tree.weights, replicas=replicas)
    target = _overloaded(tree, by_weight, replicas=replicas, overload=overload)
    total = sum(row_lengths(replicas=replicas, partitions=partitions))
    ideal = tree.weights * (partitions * replicas / tree.weights.sum())
    allowed = _allowed(tree, replicas=replicas)
    parts = _whole(
        tree,
        [level * (total / replicas) for level in target],
        ideal=ideal,
        partitions=partitions,
        crowded=[t > a + _REPLICAS_TOLERANCE for t, a in zip(target, allowed, strict=True)],
        held=np.asarray(held, np.int64)[tree.ids],
        total=total,
    )
    return Plan(
        tree=tree,
        replicas=replicas,
        parts=parts,
        ideal=ideal,
        least=tuple(np.floor(t + _REPLICAS_TOLERANCE).astype(np.int32) for t in target),
        most=tuple(np.ceil(t - _REPLICAS_TOLERANCE).astype(np.int32) for t in target),
        allowed=allowed,
    )


def required_overload(devices: Iterable[Device], *, replicas: float) -> float:
    """The least overload that lets the ring be dispersed fully.  Raises RingError."""
    listed: list[Device | None] = list(devices)
    size = max((d.id for d in listed if d is not None), default=-1) + 1
    by_id: list[Device | None] = [None] * size
    for device in listed:
        assert device is not None
        by_id[device.id] = device
    tree = Tree.grow(by_id)
    by_weight = _by_weight(tree.weights, replicas=replicas)
    return _gain_max(by_weight, _dispersed(tree, by_weight, replicas=replicas))


# ---- replicas ------------------------------------------------------------------------------------


def _by_weight(weights: Floats, *, replicas: float) -> Floats:
    """The replicas of each device: in proportion to weight, at most 1."""
    having = int(np.count_nonzero(weights))
    if having < replicas:
        raise RingError(
            f"{replicas:g} replicas need as many devices with a weight; there are {having}"
        )
    return _proportional(
        weights, total=replicas, low=np.zeros(len(weights)), high=(weights > 0).astype(np.float64)
    )


def _proportional(weights: Floats, *, total: float, low: Floats, high: Floats) -> Floats:
    """`weights` times the one factor with which, kept between low and high, they add up to total.

    This is the division whose largest relative gain, and whose largest loss, are the least.
    """
    simple = weights * (total / weights.sum())
    if (low <= simple).all() and (simple <= high).all():
        return np.asarray(simple)
    having = weights > 0
    turns = np.concatenate([low[having] / weights[having], high[having] / weights[having], [0.0]])
    turns.sort()
    # Between two turns the sum is linear in the factor: find the turns, then go straight.
    first, last = 0, len(turns) - 1
    while last - first > 1:
        middle = (first + last) // 2
        below = np.clip(weights * turns[middle], low, high).sum() <= total
        first, last = (middle, last) if below else (first, middle)
    less, more = (np.clip(weights * turns[at], low, high) for at in (first, last))
    gap = more.sum() - less.sum()
    part = min(max((total - less.sum()) / gap, 0.0), 1.0) if gap > 0 else 0.0
    return np.asarray(less + (more - less) * part)


def _dispersed(tree: Tree, by_weight: Floats, *, replicas: float) -> list[Floats]:
    """The replicas of every tier at every level when keeping them apart comes first."""
    weight = tree.upwards(by_weight)
    devices = tree.upwards((tree.weights > 0).astype(np.int64))
    found = [np.zeros(tree.width(level)) for level in range(LEVELS)]
    above = [(0, replicas, replicas)]  # tier, its replicas, its equal share
    for level in range(LEVELS):
        below = []
        for tier, amount, share in above:
            children = tree.children(tier, level=level)
            children = children[weight[level][children] > 0]
            equal = share / max(len(children), 1)
            low = np.minimum(np.floor(equal), devices[level][children])
            high = np.minimum(np.ceil(equal), devices[level][children])
            if high.sum() < amount - _REPLICAS_TOLERANCE:
                low, high = high, devices[level][children]  # all are full, and then some
            if low.sum() > amount + _REPLICAS_TOLERANCE:
                low = np.zeros(len(children))
            amounts = _proportional(weight[level][children], total=amount, low=low, high=high)
            found[level][children] = amounts
            below += [(int(c), float(a), equal) for c, a in zip(children, amounts, strict=True)]
        above = below
    return found


def _allowed(tree: Tree, *, replicas: float) -> tuple[Numbers, ...]:
    """How many replicas of a partition every tier at every level holds at most when all share
    alike; none where nothing has a weight."""
    having = tree.upwards((tree.weights > 0).astype(np.int64))
    above = np.array([replicas])
    found = []
    for level in range(LEVELS):
        siblings = tree.sums((having[level] > 0).astype(np.int64), level=level)
        share = np.ceil(above / np.maximum(siblings, 1))[tree.parent[level]]
        above = np.where(having[level] > 0, share, 0)
        found.append(above.astype(np.int32))
    found[DEVICE] = np.minimum(found[DEVICE], 1)
    return tuple(found)


def _gain_max(by_weight: Floats, dispersed: list[Floats]) -> float:
    having = by_weight > 0
    gains = dispersed[DEVICE][having] / by_weight[having] - 1.0
    return max(float(gains.max(initial=0.0)), 0.0)


def _overloaded(tree: Tree, by_weight: Floats, *, replicas: float, overload: float) -> list[Floats]:
    """The replicas that every tier at every level should have of a partition, on average."""
    weighted = tree.upwards(by_weight)
    dispersed = _dispersed(tree, by_weight, replicas=replicas)
    required = _gain_max(by_weight, dispersed)
    if required <= _REPLICAS_TOLERANCE:
        return dispersed
    way = min(overload / required, 1.0)
    return [w + (d - w) * way for w, d in zip(weighted, dispersed, strict=True)]


# ---- whole partitions ----------------------------------------------------------------------------


def _whole(
    tree: Tree,
    target: list[Floats],
    *,
    ideal: Floats,
    partitions: int,
    crowded: list[Mask],
    held: Counts,
    total: int,
) -> Counts:
    """Round the targets of all levels, in parts, such that they add up.

    `crowded`: which tiers are to hold more replicas than dispersion allows.
    """
    low = [np.floor(level + _PARTS_TOLERANCE) for level in target]
    high = [np.ceil(level - _PARTS_TOLERANCE) for level in target]
    scale = np.where(ideal > 0, ideal, 1.0)
    costs = np.abs(np.concatenate([low[-1] - ideal, high[-1] - ideal])) / np.tile(scale, 2)
    costs.sort()
    first, last = 0, len(costs) - 1  # the answer is in costs[first..last]
    while first < last:
        middle = (first + last) // 2
        if _within(tree, low, high, ideal=ideal, cost=float(costs[middle]), total=total):
            last = middle
        else:
            first = middle + 1
    found = _within(tree, low, high, ideal=ideal, cost=float(costs[first]), total=total)
    assert found is not None, "laminar targets can always be rounded"
    if any(level.any() for level in crowded):
        limit = float(costs[first]) * ideal
        found = _eased(tree, found, target, crowded, limit=(ideal, limit), partitions=partitions)
    return _chosen(tree, found, target, crowded=crowded, held=held, total=total)


def _within(
    tree: Tree, low: list[Floats], high: list[Floats], *, ideal: Floats, cost: float, total: int
) -> Windows | None:
    """What each tier can have while no device deviates more than `cost`; None: it can't be."""
    limit = cost * np.where(ideal > 0, ideal, 1.0) * (1 + 1e-12)
    least = np.where(ideal - low[-1] <= limit, low[-1], high[-1])
    most = np.where(high[-1] - ideal <= limit, high[-1], low[-1])
    if (least > most).any() or (np.abs([least - ideal, most - ideal]) > limit).any():
        return None
    return _upwards(tree, [*low[:-1], least], [*high[:-1], most], total=total)


def _upwards(tree: Tree, low: list[Floats], high: list[Floats], *, total: int) -> Windows | None:
    """Narrow each tier's window to what its children can make up; None: one is left with none."""
    lows, highs = [low[-1]], [high[-1]]
    for level in range(LEVELS - 1, 0, -1):
        lows.append(np.maximum(low[level - 1], tree.sums(lows[-1], level=level)))
        highs.append(np.minimum(high[level - 1], tree.sums(highs[-1], level=level)))
    if any((least > most).any() for least, most in zip(lows, highs, strict=True)):
        return None
    return (lows[::-1], highs[::-1]) if lows[-1].sum() <= total <= highs[-1].sum() else None


def _eased(
    tree: Tree,
    windows: Windows,
    target: list[Floats],
    crowded: list[Mask],
    *,
    limit: tuple[Floats, Floats],
    partitions: int,
) -> Windows:
    """Wider windows: devices in crowded tiers may have one part less, and others one more.

    As long as they stay within the deviation that is there anyhow: `limit` is the ideal, and by
    how much a device may be off.
    """
    low, high = list(windows[0]), list(windows[1])
    ideal, off = limit
    below = np.zeros(len(tree.ids), np.bool_)
    for level, mask in enumerate(crowded):
        below |= mask[tree.of[level][tree.ids]]
    fewer = np.maximum(low[DEVICE] - 1, np.ceil(ideal - off))
    more = np.minimum(np.minimum(high[DEVICE] + 1, np.floor(ideal + off)), partitions)
    low[DEVICE] = np.where(below, np.minimum(fewer, low[DEVICE]), low[DEVICE])
    high[DEVICE] = np.where(below, high[DEVICE], np.maximum(more, high[DEVICE]))
    for level in range(DEVICE):
        replicas = target[level] / partitions
        least = np.floor(replicas + _REPLICAS_TOLERANCE) * partitions
        most = np.ceil(replicas - _REPLICAS_TOLERANCE) * partitions
        low[level] = np.where(crowded[level], np.minimum(least, low[level]), low[level])
        high[level] = np.where(crowded[level], high[level], np.maximum(most, high[level]))
    total = round(sum(target[0]))
    return _upwards(tree, low, high, total=total) or windows


def _chosen(
    tree: Tree,
    windows: Windows,
    target: list[Floats],
    *,
    crowded: list[Mask],
    held: Counts,
    total: int,
) -> Counts:
    """One number in each window: the least where it is crowded, else what is held if that will
    do, else the nearest to the target.
    """
    low, high = windows
    liked = [np.clip(held.astype(np.float64), low[-1], high[-1])]
    for level in range(LEVELS - 1, 0, -1):
        sums = tree.sums(liked[-1], level=level)
        liked.append(np.clip(sums, low[level - 1], high[level - 1]))
    liked.reverse()
    liked = [np.where(c, least, like) for c, least, like in zip(crowded, low, liked, strict=True)]
    above = np.array([float(total)])
    for level in range(LEVELS):
        here, parent = liked[level], tree.parent[level]
        lack = above - tree.sums(here, level=level)
        up = lack[parent] > 0
        room = np.where(up, high[level] - here, here - low[level])
        wish = np.where(up, target[level] - here, here - target[level])
        order = np.lexsort((-wish, np.where(up, crowded[level], ~crowded[level]), parent))
        before = np.cumsum(room[order]) - room[order]
        starts = np.searchsorted(parent[order], np.arange(len(above)))
        offset = before[np.minimum(starts, len(order) - 1)]
        before -= offset[parent[order]]
        taken = np.clip(np.abs(lack)[parent[order]] - before, 0, room[order])
        change = np.zeros(len(here))
        change[order] = taken
        above = here + np.where(up, change, -change)
    return np.asarray(np.rint(above), np.int64)


def _shared(amount: int, *, room: Counts, by: Floats) -> Counts:
    """Divide `amount` in proportion to `by`, no more to anyone than its room; all of it fits."""
    assert amount <= room.sum()
    scale = np.where(by > 0, by, 1.0)
    low, high = 0.0, float((room / scale).max()) + 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.minimum(room, np.floor(scale * middle)).sum() > amount:
            high = middle
        else:
            low = middle
    shares = np.minimum(room, np.floor(scale * low)).astype(np.int64)
    order = np.argsort(shares / scale, kind="stable")
    order = order[(room - shares)[order] > 0]
    while (left := int(amount - shares.sum())) > 0:
        shares[order[:left]] += 1
        order = order[(room - shares)[order] > 0]
    return shares
