"""An immutable ring: the partition of a name, its primaries, its handoffs in order.

Pure.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from swiftish.domain.hashing import partition_of
from swiftish.ring.device import Device
from swiftish.ring.errors import RingError

_Ids = npt.NDArray[np.unsignedinteger]

WALKED_AT_MOST = 65_536  # a walk for handoffs looks at so many partitions, evenly spaced
NEAR = 128  # partitions that a walk looks at one by one: nearly always enough
FAR = 8_192  # beyond, it looks at so many at once


@dataclass(frozen=True, slots=True)
class _Tier:
    """A kind of failure domain: the domain of each device, and how many hold any partition."""

    domain_of: list[int]  # by the device's id
    domains: npt.NDArray[np.intp]  # the same
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """`rows[r][p]` is the id of the device that holds replica r of partition p.

    The last row may be shorter than the others (a fractional number of replicas).
    `devices[id]` is None where a device was removed.  `next_power` is set while the number of
    partitions is being doubled, and `hash_id` names the cluster's hash prefix and suffix (empty:
    unknown).  Raises RingError when a row names a device that is not there.
    """

    devices: Sequence[Device | None]
    rows: "Sequence[array[int]]"  # of "H", or of "I" for ids over 65,534
    power: int
    version: int = 0
    next_power: int | None = None
    hash_id: str = ""
    # Made when they are first asked for: not every process asks, and loading should be quick.
    _by_place: dict[tuple[str, str], Device] = field(init=False, repr=False, compare=False)
    _tiers: tuple[_Tier, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.rows, "a ring has at least one replica"
        assert all(len(row) == self.partitions for row in (self.rows[0], *self.rows[:-1]))
        assert 0 < len(self.rows[-1]) <= self.partitions
        object.__setattr__(self, "devices", tuple(self.devices))
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "_by_place", {})
        object.__setattr__(self, "_tiers", ())
        self._check_devices()

    @property
    def replicas(self) -> int:
        """How many devices a partition has, at most."""
        return len(self.rows)

    @property
    def partitions(self) -> int:
        return 1 << self.power

    def partition(self, digest: bytes) -> int:
        return partition_of(digest, power=self.power)

    def primaries(self, partition: int) -> list[Device]:
        """The devices that hold the partition, in replica order, none twice."""
        devices = self.devices
        # The constructor has looked: all are there.
        return [devices[number] for number in self._ids(partition)]  # type: ignore[misc]

    def handoffs(self, partition: int) -> Iterator[Device]:
        """Every other device that holds anything, the farthest from the primaries first.

        In exactly the order of Swift (reference 2.10), so that nodes of both find each other's
        handoffs.  Four passes over the partitions: devices of regions not yet used, then of zones,
        then of hosts, then all that are left.
        """
        tiers = self._tiers or self._find_tiers()
        seen = [{tier.domain_of[number] for number in self._ids(partition)} for tier in tiers]
        for tier, known in zip(tiers, seen, strict=True):
            if len(known) == tier.total:
                continue
            for number in self._walk(partition, tier, known):
                for each, domains in zip(tiers, seen, strict=True):
                    domains.add(each.domain_of[number])
                device = self.devices[number]
                assert device is not None
                yield device
                if len(known) == tier.total:
                    break

    def find(self, *, address: str, device: str) -> Device | None:
        """The device at an address, if the ring has it: nodes talk to nobody else."""
        if not self._by_place:
            places = {(d.address, d.device): d for d in self.devices if d is not None}
            object.__setattr__(self, "_by_place", places)
        return self._by_place.get((address, device))

    def _ids(self, partition: int) -> dict[int, None]:
        """The ids of the primaries, in order."""
        rows = self.rows
        if partition >= len(rows[-1]):
            rows = rows[:-1]
        return dict.fromkeys([row[partition] for row in rows])

    def _walk(self, partition: int, tier: _Tier, known: set[int]) -> Iterator[int]:
        """Ids of devices whose domain is not (or no longer) in `known`, as the walk meets them.

        It begins anywhere and goes once around; the step is more than 1 in a large ring.  The way
        round leaves out partition 0 where the step would meet it, as Swift does.
        """
        parts, step = self.partitions, max(1, self.partitions // WALKED_AT_MOST)
        digest = hashlib.md5(b"%d" % partition, usedforsecurity=False).digest()
        start = self.partition(digest)
        runs = range(start, parts, step), range(step - (parts - start) % step, start, step)
        rows, short, domain_of = self.rows, len(self.rows[-1]), tier.domain_of
        for here in islice(chain(*runs), NEAR):
            for row in rows if here < short else rows[:-1]:
                if domain_of[row[here]] not in known:
                    yield row[here]
        views = [np.frombuffer(row, f"u{row.itemsize}") for row in rows]
        done = NEAR
        for run in runs:
            for begin in range(done, len(run), FAR):
                for number in _met(views, run[begin : begin + FAR], tier, known):
                    if domain_of[number] not in known:
                        yield number
            done = max(0, done - len(run))

    def _find_tiers(self) -> tuple[_Tier, ...]:
        """What only matters for handoffs.  Domains where nothing is held do not count."""
        held = np.zeros(len(self.devices), np.bool_)
        for row in self.rows:
            held[np.frombuffer(row, f"u{row.itemsize}")] = True
        found = []
        tiers = [(None,) * 4 if d is None else d.tiers for d in self.devices]
        for names in zip(*tiers, strict=True):
            numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
            domains = np.array([numbers[name] for name in names], np.intp)
            total = len(set(domains[held].tolist()))
            found.append(_Tier(domains.tolist(), domains, total))
        object.__setattr__(self, "_tiers", tuple(found))
        return self._tiers

    def _check_devices(self) -> None:
        there = np.array([d is not None for d in self.devices], np.bool_)
        for row in self.rows:
            ids = np.frombuffer(row, f"u{row.itemsize}")
            highest = int(ids.max())
            if highest >= len(there):
                raise RingError(f"the ring's table names device {highest}, which is not described")
            if not there.all() and not (found := there.take(ids)).all():
                missing = int(ids[int(np.argmin(found))])
                raise RingError(f"the ring's table names device {missing}, which was removed")


# A ring changes while servers run: whoever keeps one asks for the newest each time.
RingSource: TypeAlias = Callable[[], Ring]


def fixed(ring: Ring) -> RingSource:
    """A source that always gives the same ring."""
    return lambda: ring


def _met(views: Sequence[_Ids], run: range, tier: _Tier, known: set[int]) -> list[int]:
    """The ids at the partitions of `run`, row by row at each, whose domain is not in `known`."""
    table = np.full((len(run), len(views)), -1, np.int64)
    for column, view in enumerate(views):
        ids = view[run.start : run.stop : run.step]
        table[: len(ids), column] = ids
    met = table[table >= 0]
    fresh = np.ones(len(tier.domains), np.bool_)
    fresh[list(known)] = False
    found: list[int] = met[fresh[tier.domains[met]]].tolist()
    return found
