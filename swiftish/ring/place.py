"""Where the replicas go that need a device.

Theory.  Level by level, regions first, each loose replica is given to one of the tiers below the
one that it was given to before, and every tier gets exactly what it wants (see `deal`).

Replicas that stay where they are disturb that.  What is then wrong (more replicas of a partition
in a tier than the plan's most, or fewer than its least) is mended by exchanging pairs of loose
replicas, which changes no tier's number, as long as some exchange makes things better.

Pure.
"""

from dataclasses import dataclass

import numpy as np

from swiftish.ring import cycles
from swiftish.ring.deal import Dealer
from swiftish.ring.gather import Placement
from swiftish.ring.table import CHUNK, NOWHERE, Indexes, Mask, Table, together
from swiftish.ring.targets import Plan
from swiftish.ring.tree import DEVICE, LEVELS, Numbers

_TRIES = 8  # partners that each replica in a bad place looks at in the first round
_LOOKS_MAX = 100_000  # of all in one round; most are well placed soon, the rest look further
_ROUNDS_IN_VAIN = 4


def place(placement: Placement, plan: Plan) -> Table:
    """The table with a device for every loose replica."""
    if not placement.loose.any():
        return placement.table
    columns = np.flatnonzero(placement.loose.any(axis=0))
    rows, parts = np.nonzero(placement.loose[:, columns])
    kept = placement.kept(plan)
    wanted = (plan.at_least(kept).parts - kept).astype(np.int64)
    assert wanted.sum() == len(rows)
    wants = plan.tree.upwards(wanted)
    given = np.zeros(len(rows), np.int32)
    table = np.where(placement.loose, NOWHERE, placement.table)
    dealer = Dealer(plan=plan, rng=placement.rng, rows=rows, parts=parts)
    for level in range(LEVELS):
        where = plan.tree.of[level][table[:, columns]]
        wanted = np.rint(wants[level]).astype(np.int64)
        given = dealer.deal(where.shape, given, level=level, wants=wanted)
        where[rows, parts] = given
        mend(where, rows, parts, plan.tree.parent[level][given], plan, level, placement.rng)
        given = where[rows, parts]
        if level < DEVICE:
            dealer.meet(where, level)
    numbers = plan.tree.of[DEVICE].take(table)
    numbers[rows, columns[parts]] = given
    cycles.mend(placement, plan, numbers)
    _separate(placement, plan, numbers)
    table = np.append(plan.tree.ids, np.int32(NOWHERE)).take(numbers)
    _shuffle(table, placement.loose, placement.rng)
    return table


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is wrong with n replicas of a partition in a tier: how many too many, or too few."""

    least: Numbers
    most: Numbers

    def wrong(self, tiers: Numbers, count: Numbers) -> Numbers:
        over, under = count - self.most[tiers], self.least[tiers] - count
        return np.asarray(np.maximum(over, 0) + np.maximum(under, 0))

    def leaving(self, tiers: Numbers, count: Numbers) -> Numbers:
        """What becomes worse when one leaves."""
        return self.wrong(tiers, count - 1) - self.wrong(tiers, count)

    def coming(self, tiers: Numbers, count: Numbers) -> Numbers:
        return self.wrong(tiers, count + 1) - self.wrong(tiers, count)


def mend(
    where: Table,
    rows: Indexes,
    parts: Indexes,
    group: Numbers,
    plan: Plan,
    level: int,
    rng: np.random.Generator,
) -> None:
    """Exchange loose replicas within their groups while that brings `where` nearer to the plan."""
    rules = _Rules(plan.least[level], plan.most[level])
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(int(group.max()) + 2))
    vain, tries = 0, _TRIES
    while vain < _ROUNDS_IN_VAIN:
        bad = _bad(where, rows, parts, rules)
        if not len(bad):
            return
        first, size = starts[group[bad]], starts[group[bad] + 1] - starts[group[bad]]
        draw = rng.random((tries, len(bad)))
        partner = order[first + (draw * size).astype(np.intp)]
        gain = _gain(where, rules, (rows[bad], parts[bad]), (rows[partner], parts[partner]))
        best = gain.argmax(axis=0)
        every = np.arange(len(bad))
        better = gain[best, every] > 0
        one, two = bad[better], partner[best, every][better]
        once = _once(parts[one], parts[two])
        one, two = one[once], two[once]
        _swap(where, (rows[one], parts[one]), (rows[two], parts[two]))
        vain = 0 if len(one) else vain + 1
        tries = min(4 * tries, max(_TRIES, _LOOKS_MAX // len(bad)))


def _bad(where: Table, rows: Indexes, parts: Indexes, rules: _Rules) -> Indexes:
    """Loose replicas whose partition has too many in their tier, or too few in another one."""
    here = where[rows, parts]
    count = _count(where, parts, here)
    bad = count > rules.most[here]
    for tier in np.flatnonzero(rules.least):
        lacks = (where == tier).sum(axis=0) < rules.least[tier]
        bad |= lacks[parts] & (count > rules.least[here])
    return np.flatnonzero(bad)


def _count(where: Table, parts: Indexes, tiers: Numbers) -> Numbers:
    """How many replicas of each of these partitions are in this tier."""
    count = np.zeros(parts.shape, np.int32)
    for row in where:
        count += row[parts] == tiers
    return count


def _gain(
    where: Table, rules: _Rules, one: tuple[Indexes, Indexes], two: tuple[Indexes, Indexes]
) -> Numbers:
    """How much less is wrong when these replicas change places (0: not possible)."""
    here, there = where[one], where[two]
    here = np.broadcast_to(here, there.shape)
    parts, others = np.broadcast_to(one[1], there.shape), two[1]
    worse = (
        rules.leaving(here, _count(where, parts, here))
        + rules.coming(there, _count(where, parts, there))
        + rules.leaving(there, _count(where, others, there))
        + rules.coming(here, _count(where, others, here))
    )
    return np.where((here == there) | (parts == others), 0, -worse)


def _once(parts: Indexes, others: Indexes) -> Mask:
    """Which pairs can be exchanged together: no partition is in two of them."""
    both = np.stack([parts, others], axis=1).ravel()
    order = np.argsort(both, kind="stable")
    first = np.ones(len(both), np.bool_)
    first[order[1:]] = both[order[1:]] != both[order[:-1]]
    return np.asarray(first.reshape(-1, 2).all(axis=1))


def _swap(where: Table, one: tuple[Indexes, Indexes], two: tuple[Indexes, Indexes]) -> None:
    where[one], where[two] = where[two], where[one]


def _separate(placement: Placement, plan: Plan, where: Table) -> None:
    """Let no device keep two replicas of a partition, whatever that does to balance.

    It takes few devices and partitions that may not move for any to be left by now.
    """
    twice = ((together(where) > 1) & (where != NOWHERE)).any(axis=0)
    held = np.bincount(where[where != NOWHERE], minlength=len(plan.parts))
    for part in np.flatnonzero(twice):
        lack = np.where(plan.ideal > 0, (plan.parts - held) / np.maximum(plan.ideal, 1), -np.inf)
        column = where[:, part]
        # Of two on one device the one goes that would move anyhow.
        for row in np.argsort(~placement.loose[:, part], kind="stable"):
            others = np.delete(column, row)
            if column[row] != NOWHERE and column[row] in others:
                free = lack.copy()
                free[others[others != NOWHERE]] = -np.inf
                held[column[row]] -= 1
                column[row] = free.argmax()
                held[column[row]] += 1
                placement.loose[row, part] = placement.touched[part] = True


def _shuffle(table: Table, loose: Mask, rng: np.random.Generator) -> None:
    """Let chance say which of a partition's new replicas is the first.

    Else the first replicas of all partitions would be in the same tiers.
    """
    several = np.flatnonzero(loose.sum(axis=0, dtype=np.int8) > 1)
    for start in range(0, len(several), CHUNK):
        columns = several[start : start + CHUNK]
        mine, these = loose[:, columns], table[:, columns]
        draw = np.where(mine, rng.random(mine.shape), np.inf)
        target = np.argsort(~mine, axis=0, kind="stable")
        ordered = np.take_along_axis(these, np.argsort(draw, axis=0), axis=0)
        inside = np.take_along_axis(mine, target, axis=0)
        each = np.broadcast_to(np.arange(len(columns)), mine.shape)
        these[target[inside], each[inside]] = ordered[inside]
        table[:, columns] = these
