"""The last faults of a placement, mended by moving replicas around in circles.

Theory.  What exchanging pairs could not mend may still be mended by three or four replicas that
each take the next one's place.  Think of the devices as the corners of a graph: from device x to
device y there is an edge for each replica on x that may move, and its length is what the
replica's partition is worse off by on y (less than 0: better off).  As only its own partition
changes, the lengths along a way add up, and a circle of length less than 0 makes the placement
better and leaves every device with as many replicas as before.  From each replica that is badly
placed, the shortest way back to its own device is looked for.

A replica that could stay where it is costs a little to move, and one that was loosened gains as
much by going back, so that another replica of its old device goes in its stead when that is
better and costs no more.

Each device takes part with a sample of its replicas: the graph of all of them would be large, and
one edge is as good as another.

Pure.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from swiftish.ring.gather import Placement
from swiftish.ring.table import CHUNK, NOWHERE, Indexes, Table, beyond, ranked
from swiftish.ring.targets import Plan
from swiftish.ring.tree import DEVICE, LEVELS

Lengths = npt.NDArray[np.int32]

# What is wrong, from bad to worse.  A circle has few edges, so sums keep this order.
_TOO_FEW = 1  # replicas in a tier, fewer than the plan's least
_MOVE = 100  # a replica that could have stayed
_MOVE_FOR_DISPERSION = 2  # the same, as long as there are few of them
_CROWDED = 30  # a replica in a tier that has more than dispersion allows
_TOO_MANY = 10_000  # replicas in a tier, more than the plan's most
_TWICE = 1_000_000  # on one device
_NO_WAY = 100_000_000

_EDGES_MAX = 1_000_000  # entries of the sample's matrix: replicas times devices
_STEPS_MAX = 5  # of a circle
_SEARCHES_MAX = 3_000  # each takes about a millisecond
# The graph has a place for each pair of devices; where there are more, few are in each other's way.
_DEVICES_MAX = 2_000
_WORK_MAX = 100_000_000  # edges looked at in one step of all searches
_MORE_MOVES = 0.05  # of those that are needed anyhow
_VAIN_MAX = 100  # searches without success, one after the other, until nothing is expected of more


def mend(placement: Placement, plan: Plan, table: Table) -> None:
    """Change `table` (device numbers) for the better, and `placement` with it."""
    faults = Faults(placement=placement, plan=plan, table=table)
    parts = np.arange(table.shape[1])
    if not plan.crowded:  # then only where something was placed can anything be wrong
        parts = parts[placement.loose.any(axis=0)]
    parts = faults.bad(parts)
    _turn_all(faults, parts, moves_max=table.size)
    # What keeps replicas apart is worth a few moves more.
    faults.move = _MOVE_FOR_DISPERSION
    parts = faults.bad(parts)
    _turn_all(faults, parts, moves_max=math.ceil(_MORE_MOVES * placement.loose.sum()))


def _turn_all(faults: "Faults", parts: Indexes, *, moves_max: int) -> None:
    """Look for a circle from the slots of bad partitions, until so many more replicas moved."""
    slots = faults.slots(parts)
    if not len(slots) or not moves_max or len(faults.plan.parts) > _DEVICES_MAX:
        return
    graph = _Graph(faults, slots)
    before = int(faults.placement.loose.sum())
    vain = 0
    for slot in slots[: graph.searches_max]:
        circle = graph.circle(slot)
        if circle:
            graph.turn(circle)
            if faults.placement.loose.sum() - before >= moves_max:
                return
        vain = 0 if circle else vain + 1
        if vain == _VAIN_MAX:
            return


@dataclass(kw_only=True)
class Faults:
    """What is wrong with where replicas are.  A replica's slot is row * partitions + partition."""

    placement: Placement
    plan: Plan
    table: Table
    move: int = _MOVE
    origin: Table = field(init=False)

    def __post_init__(self) -> None:
        self.origin = self.plan.tree.of[DEVICE][self.placement.table]

    def bad(self, parts: Indexes) -> Indexes:
        """Those of these partitions that are worse off than they need be, the worst first."""
        chunks = [parts[start : start + CHUNK] for start in range(0, len(parts), CHUNK)]
        cost = np.concatenate([self.cost(each) for each in chunks] or [np.zeros(0, np.int32)])
        wrong = np.flatnonzero(cost)
        return parts[wrong[np.argsort(-cost[wrong], kind="stable")]]

    def slots(self, parts: Indexes) -> Indexes:
        """The slots of these partitions that may move, in the order of the partitions."""
        rows, partitions = self.table.shape
        slots = (np.arange(rows)[None, :] * partitions + parts[:, None]).ravel()
        return np.asarray(slots[self.free(slots)])

    def cost(self, parts: Indexes) -> Lengths:
        """What is wrong with each of these partitions."""
        numbers = self.table[:, parts]
        cost = np.zeros(len(parts), np.int32)
        crowds = np.zeros(len(parts), np.int8)
        for level in range(LEVELS):
            where = self._tiers(level, numbers)
            rank = ranked(where)
            crowd = np.zeros(len(parts), np.int8)
            for over in beyond(rank, self.plan.allowed[level], where):
                crowd += over
            crowds = np.maximum(crowds, crowd)
            for over in beyond(rank, self.plan.most[level], where):
                cost += over * np.int32(self._too_many(level))
            for tier in np.flatnonzero(self.plan.least[level]):
                lack = np.full(len(parts), self.plan.least[level][tier], np.int32)
                for here in where == tier:
                    lack -= here
                cost += np.maximum(lack, 0) * _TOO_FEW
        return np.asarray(cost + crowds * self._crowded(parts))

    def free(self, slots: Indexes) -> npt.NDArray[np.bool_]:
        """Which may move: the loose ones, and others while nothing of their partition moves."""
        place, parts = self.placement, slots % self.table.shape[1]
        stays = place.may_move[parts] & ~place.touched[parts] & place.exists.ravel()[slots]
        return np.asarray(place.loose.ravel()[slots] | stays)

    def lengths(self, slots: Indexes) -> Lengths:
        """For each slot (row) and device number (column): how much worse its partition would be."""
        partitions = self.table.shape[1]
        parts, own = slots % partitions, slots // partitions
        tree, every = self.plan.tree, np.arange(len(slots))
        shape = len(slots), tree.width(DEVICE)
        found, crowds = np.zeros(shape, np.int32), np.zeros(shape, np.int8)
        for level in range(LEVELS):
            count, crowd = self._others(level, parts, own)
            plan = self.plan
            coming = (count >= plan.most[level]) * self._too_many(level)
            coming -= (count < plan.least[level]) * _TOO_FEW
            columns = tree.of[level][tree.ids]
            found += coming.astype(np.int32)[:, columns]
            more = crowd[:, None] + (count >= plan.allowed[level]).astype(np.int8)
            np.maximum(crowds, more.astype(np.int8)[:, columns], out=crowds)
        found += crowds.astype(np.int32) * self._crowded(parts)[:, None]
        origin = self.origin[own, parts]
        movable = origin >= 0
        found += np.where(movable, self.move, 0).astype(np.int32)[:, None]
        found[every[movable], origin[movable]] -= self.move
        return np.asarray(found - found[every, self.table[own, parts]][:, None])

    def _others(self, level: int, parts: Indexes, own: Indexes) -> tuple[Lengths, Lengths]:
        """What a slot's partition has without it: replicas by tier, and beyond those allowed."""
        where = self._tiers(level, self.table[:, parts])
        width = self.plan.tree.width(level)
        count = np.zeros((len(parts), width + 1), np.int32)  # the last tier is nowhere
        every = np.arange(len(parts))
        for row, here in enumerate(where):
            np.add.at(count, (every, here), (own != row).astype(np.int32))
        count = count[:, :width]
        return count, np.maximum(count - self.plan.allowed[level], 0).sum(axis=1)

    def _tiers(self, level: int, numbers: Table) -> Table:
        tree = self.plan.tree
        return np.append(tree.of[level][tree.ids], np.int32(-1)).take(numbers)

    def _crowded(self, parts: Indexes) -> Lengths:
        """What a crowded replica costs: nothing where dispersion does not look, see there."""
        return np.where(self.placement.exists[-1, parts], np.int32(_CROWDED), np.int32(0))

    @staticmethod
    def _too_many(level: int) -> int:
        return _TWICE if level == DEVICE else _TOO_MANY


def _distinct(some: Indexes, others: Indexes) -> Indexes:
    """All of these, sorted, each once.  (`np.unique` would import a fifth of NumPy first.)"""
    both = np.sort(np.concatenate([some, others]))
    return both[np.concatenate([[True], both[1:] != both[:-1]])] if len(both) else both


class _Graph:
    """A sample of the slots that may move, by the device that they are on."""

    def __init__(self, faults: Faults, bad: Indexes) -> None:
        self._faults = faults
        table, rng = faults.table, faults.placement.rng
        devices = faults.plan.tree.width(DEVICE)
        each = max(2, min(200, _EDGES_MAX // devices**2))
        some = rng.integers(0, table.size, min(table.size, 4 * each * devices))
        slots = _distinct(some, np.flatnonzero(faults.placement.loose)[: 4 * each * devices])
        slots = slots[faults.free(slots)]
        loose = faults.placement.loose.ravel()[slots]
        order = np.lexsort((rng.random(len(slots)) - loose, table.ravel()[slots]))
        slots = slots[order]
        number = table.ravel()[slots]
        starts = np.searchsorted(number, np.arange(devices))
        chosen = slots[np.arange(len(slots)) - starts[number] < each]
        self._slots = _distinct(chosen, bad[: each * devices])
        self.searches_max = min(_SEARCHES_MAX, max(_VAIN_MAX, _WORK_MAX // devices**2))
        self._lengths = faults.lengths(self._slots)
        self._shortest = np.full((devices, devices), _NO_WAY, np.int32)
        self._by = np.zeros((devices, devices), np.int32)
        for device in range(devices):
            self._refresh(device)

    def circle(self, slot: int) -> list[tuple[int, int]] | None:
        """Moves (slot, device number) that together make things better; None: none were found."""
        faults, partitions = self._faults, self._faults.table.shape[1]
        index = np.array([slot])
        if not faults.free(index)[0]:
            return None
        home = int(faults.table.ravel()[slot])
        ways = [faults.lengths(index)[0]]
        ways[0][home] = _NO_WAY
        for _ in range(1, _STEPS_MAX):
            onwards = ways[-1][:, None] + self._shortest
            before = onwards.argmin(axis=0)
            ways.append(onwards[before, np.arange(len(before))])
            if ways[-1][home] < 0:
                moves = self._back(ways, slot, home)
                parts = {each % partitions for each, _ in moves}
                if len(parts) == len(moves):
                    return moves
            ways[-1][home] = _NO_WAY
        return None

    def _back(self, ways: list[Lengths], slot: int, home: int) -> list[tuple[int, int]]:
        """The moves of a way that was found, from its end."""
        moves, to = [], home
        for way in ways[-2::-1]:
            onwards = way + self._shortest[:, to]
            there = int(onwards.argmin())
            moves.append((int(self._slots[self._by[there, to]]), to))
            to = there
        return [*moves, (slot, to)]

    def turn(self, moves: list[tuple[int, int]]) -> None:
        """Make these moves."""
        faults = self._faults
        table, place = faults.table.ravel(), faults.placement
        partitions = faults.table.shape[1]
        changed = set()
        for slot, device in moves:
            row, part = divmod(slot, partitions)
            changed |= {int(table[slot]), device}
            table[slot] = device
            if faults.origin[row, part] >= 0 and place.may_move[part]:
                home = device == faults.origin[row, part]
                place.loose[row, part] = not home
                place.touched[part] = not home
        parts = np.array([slot % partitions for slot, _ in moves])
        again = np.flatnonzero(np.isin(self._slots % partitions, parts))
        self._lengths[again] = faults.lengths(self._slots[again])
        changed |= set(table[self._slots[again]].tolist()) - {NOWHERE}
        for device in changed:
            self._refresh(device)

    def _refresh(self, device: int) -> None:
        """Find anew the shortest edge from a device to every other."""
        here = np.flatnonzero(self._faults.table.ravel()[self._slots] == device)
        here = here[self._faults.free(self._slots[here])]
        if not len(here):
            self._shortest[device] = _NO_WAY
            return
        lengths = self._lengths[here]
        best = lengths.argmin(axis=0)
        self._shortest[device] = lengths[best, np.arange(len(best))]
        self._by[device] = here[best]
        self._shortest[device, device] = _NO_WAY
