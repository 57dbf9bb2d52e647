"""A placement's first guess: of each tier's loose replicas, its children are dealt what they want.

Theory.  A tier's replicas lie in a circle, those of one partition evenly apart, and the circle is
cut into as many pieces as the tier has children, each as long as that child wants.  A piece then
has of each partition its share, rounded down or up.

One circle for all partitions would make few pairs: what is half a circle apart is so for all of
them, and a lost device would be rebuilt from two others.  So the partitions are cut into many
*lots*; each lot is a circle with the children in an order of its own, and every child gets its
even share of every lot.  Within a lot chance orders the partitions, for each tier anew.

Which partitions share a lot is not left to chance alone.  The replicas of a lost device can only
go where their partitions have none yet.  If a device's partitions lacked one zone less often than
another, the former might not get its part of them, and other replicas would have to move for it.
So lots are made of partitions in the same *company*, that is, with replicas in the same tiers:
then each child gets its even share of each company, too.

Where partitions have different numbers of replicas in a tier, one child may get one more than
the plan's most.  Then all partitions' first replicas are put in a row, after them all their
second ones in the same order, and so on, those with most first: two replicas of one partition are
a whole round apart, and no placement is spread better, though it is less mixed (some children get
only what has most replicas in the tier).

Pure.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from swiftish.ring.table import Indexes, Mask, Table
from swiftish.ring.targets import Plan
from swiftish.ring.tree import Counts, Floats, Numbers

Few = npt.NDArray[np.int8]

_COMPANIES_MAX = 256  # that are told apart; more are as good as chance
_SUMS = 1024  # what the tiers of a company add up to, at most, in numbers drawn for them
_BINS_MAX = 1 << 18  # companies times tiers
# Lots of a tier, times children of the level.  More lots make more pairs of children, where
# there are pairs; companies need few.
_SHARES_FEW, _SHARES_MANY = 1 << 16, 1 << 19
_LOTS_FEW, _LOTS_MANY = 64, 1 << 10


@dataclass(kw_only=True)
class Dealer:
    """`rows` and `parts` are the loose replicas, in columns of partitions that have some.

    `company` is a number for each of these partitions, below `companies`.
    """

    plan: Plan
    rng: np.random.Generator
    rows: Indexes
    parts: Indexes
    company: Numbers = field(init=False)
    companies: int = 1

    def __post_init__(self) -> None:
        self.company = np.zeros(int(self.parts.max()) + 1, np.int32)

    def meet(self, where: Table, level: int) -> None:
        """Tell companies apart by the tiers of this level, too."""
        width = self.plan.tree.width(level)
        if width == self.plan.tree.width(level - 1):
            return
        drawn = np.append(self.rng.integers(0, _SUMS, width), 0).astype(np.int32)
        total = np.zeros(len(self.company), np.int32)
        for row in where:
            total += drawn.take(row)
        code = self.company * _SUMS + total % _SUMS
        there = np.bincount(code, minlength=1) > 0
        number = np.cumsum(there) - 1
        self.companies = min(int(number[-1]) + 1, _COMPANIES_MAX)
        number = number * self.companies // (int(number[-1]) + 1)
        self.company = number.astype(np.int32)[code]

    def deal(self, shape: tuple[int, ...], above: Numbers, *, level: int, wants: Counts) -> Numbers:
        """For each loose replica a child of its tier `above`, each child as often as it wants."""
        key, sizes = self._keys(shape, above, level=level, wants=wants)
        children, shares = _shares(sizes, self.plan.tree.parent[level], wants, self.rng)
        given = np.empty(len(above), np.int32)
        given[np.argsort(key)] = np.repeat(children, shares)
        return given

    def _keys(
        self, shape: tuple[int, ...], above: Numbers, *, level: int, wants: Counts
    ) -> tuple[Floats, Counts]:
        """Where in which lot each replica lies, as a number to sort by; the lots' sizes by tier."""
        width = self.plan.tree.width(level - 1)
        copy, copies, key = _copies(shape, self.rows, self.parts, above, self.rng)
        most = int(copies.max())
        kinds = _kinds(above, copies, width=width, most=most)
        rounds = np.flatnonzero(~_can_be_even(kinds, self.plan, level, wants)[above])
        lots = _lots(len(above), children=len(wants), several=most > 1)
        lot = self._lot(above, copies, key, kinds, lots)
        lot[rounds] = 0
        lot += above * np.int32(lots)
        key *= 1 << 16  # what is behind the point now has had no part in choosing the lot
        key %= 1.0
        if most > 1:
            in_rounds = (copy[rounds] + 1.0 - (copies[rounds] - key[rounds]) / most) / most
            key += np.divide(copy, copies, dtype=np.float32)
            key %= 1.0
            key[rounds] = in_rounds
        key *= 0.999
        key += lot
        return key, np.bincount(lot, minlength=width * lots).reshape(width, lots)

    def _lot(
        self, above: Numbers, copies: Few, chance: Floats, kinds: Counts, lots: int
    ) -> Numbers:
        """Which lot of its tier each replica's partition is in: by copies, company, and chance."""
        companies = max(1, min(self.companies, _BINS_MAX // kinds.size))
        company = self.company * companies // self.companies
        bins = above * np.intp(kinds.shape[1])
        bins += copies
        bins *= companies
        bins += company[self.parts]
        sizes = np.bincount(bins, minlength=kinds.size * companies).reshape(len(kinds), -1)
        scale = lots / np.maximum(sizes.sum(axis=1, keepdims=True), 1)
        start = (np.cumsum(sizes, axis=1) - sizes) * scale
        lot = (sizes * scale).astype(np.float32).take(bins)
        lot *= chance
        lot += start.astype(np.float32).take(bins)
        np.minimum(lot, lots - 1, out=lot)
        return np.asarray(lot.astype(np.int32))


def _copies(
    shape: tuple[int, ...], rows: Indexes, parts: Indexes, above: Numbers, rng: np.random.Generator
) -> tuple[Few, Few, Floats]:
    """For each loose replica: the how manieth of its partition in its tier it is, of how many.

    And a random number, the same one for all of a partition in a tier.
    """
    tiers = np.full(shape, -1, np.int32)
    tiers[rows, parts] = above
    copy, copies = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
    chance = rng.random(shape)
    for row in range(len(tiers)):
        same = tiers == tiers[row]
        copies += same
        copy[row + 1 :] += same[row + 1 :]
        np.copyto(chance[row + 1 :], chance[row], where=same[row + 1 :])
    return copy[rows, parts], copies[rows, parts], chance[rows, parts]


def _kinds(above: Numbers, copies: Few, *, width: int, most: int) -> Counts:
    """How many of each tier's loose replicas have so many copies in it (0 to most)."""
    kinds = np.bincount(above * np.intp(most + 1) + copies, minlength=width * (most + 1))
    return kinds.reshape(width, most + 1)


def _can_be_even(kinds: Counts, plan: Plan, level: int, wants: Counts) -> Mask:
    """In which tiers of the level above no child gets too many when copies are spread evenly."""
    parent = plan.tree.parent[level]
    fewest = (kinds > 0).argmax(axis=1)
    most = kinds.shape[1] - 1 - (kinds > 0)[:, ::-1].argmax(axis=1)
    share = wants / np.maximum(kinds.sum(axis=1), 1)[parent]
    too_many = np.ceil(share * most[parent] - 1e-9) > plan.most[level]
    too_few = np.floor(share * fewest[parent] + 1e-9) < plan.least[level]
    return np.asarray(np.bincount(parent[too_many | too_few], minlength=len(kinds)) == 0)


def _lots(replicas: int, *, children: int, several: bool) -> int:
    """How many lots each tier of a level has: a power of two."""
    if several:
        shares = min(max(_LOTS_MANY * children, _SHARES_FEW), _SHARES_MANY, replicas)
    else:
        shares = min(_LOTS_FEW * children, _SHARES_FEW)
    lots = shares // children
    return 1 << max(lots.bit_length() - 1, 0)


def _shares(
    sizes: Counts, parent: Numbers, wants: Counts, rng: np.random.Generator
) -> tuple[Numbers, Counts]:
    """Of every lot (sizes: by tier and lot), each child's even share, and all that it wants in all.

    Returns children and how many each gets, tier by tier and lot by lot, the children of each lot
    in an order of its own.  Lots are halved again and again: where a share of a half is not whole,
    it is rounded down or up, and the other half gets the rest.
    """
    order = np.lexsort((rng.random(len(parent)), parent)).astype(np.int32)
    tier = parent[order]
    first = np.searchsorted(tier, np.arange(len(sizes)))  # child of each tier
    shares = wants[order][:, None]
    while (pieces := shares.shape[1]) < sizes.shape[1]:
        halves = sizes.reshape(len(sizes), pieces, 2, -1).sum(axis=3)
        whole, left = np.maximum(halves.sum(axis=2), 1), halves[:, :, 0]
        # Put a tier's children in a row, each as long as its share times the left half's size, and
        # count the whole ones in each; where counting starts is up to chance.
        length = shares * left[tier]
        ends = np.cumsum(length, axis=0)
        zero = (ends - length)[first] - (rng.random(whole.shape) * whole).astype(np.int64)
        ends -= zero[tier]
        mine = ends // whole[tier] - (ends - length) // whole[tier]
        shares = np.stack([mine, shares - mine], axis=2).reshape(len(tier), -1)
    lots = sizes.shape[1]
    place = (tier * lots)[:, None] + np.arange(lots) + 0.999 * rng.random(shares.shape)
    mixed = np.argsort(place.ravel())
    return order[mixed // lots], shares.ravel()[mixed]
