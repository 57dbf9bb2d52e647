"""An immutable ring: the partition of a name, its primaries, its handoffs in order.

Pure.
"""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swiftish.domain.hashing import partition_of
from swiftish.ring.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """`rows[r][p]` is the id of the device that holds replica r of partition p.

    The last row may be shorter than the others (a fractional number of replicas).
    `devices[id]` is None where a device was removed.
    """

    devices: Sequence[Device | None]
    rows: "Sequence[array[int]]"
    power: int
    version: int = 0
    _by_place: dict[tuple[str, str], Device] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.rows, "a ring has at least one replica"
        assert all(len(row) == 2**self.power for row in self.rows[:-1])
        places = {(d.address, d.device): d for d in self.devices if d is not None}
        object.__setattr__(self, "_by_place", places)

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
        ids = dict.fromkeys(row[partition] for row in self.rows if partition < len(row))
        return [device for each in ids if (device := self.devices[each]) is not None]

    def handoffs(self, partition: int) -> Iterator[Device]:
        """Every other device, the farthest from the primaries first (reference 2.10).

        Four passes over the partitions: devices of regions not yet used, then of zones, then of
        hosts, then all that are left.
        """
        primaries = self.primaries(partition)
        used = {d.id for d in primaries}
        regions = {d.region for d in primaries}
        zones = {(d.region, d.zone) for d in primaries}
        hosts = {(d.region, d.zone, d.ip) for d in primaries}
        walk = self._walk(partition)
        for tier in range(4):
            for device in walk:
                region, zone = device.region, (device.region, device.zone)
                host = (device.region, device.zone, device.ip)
                fresh = (region not in regions, zone not in zones, host not in hosts, True)[tier]
                if fresh and device.id not in used:
                    used.add(device.id)
                    regions.add(region)
                    zones.add(zone)
                    hosts.add(host)
                    yield device

    def find(self, *, address: str, device: str) -> Device | None:
        """The device at an address, if the ring has it: nodes talk to nobody else."""
        return self._by_place.get((address, device))

    def _walk(self, partition: int) -> list[Device]:
        """All devices, in the order in which the walk over partitions first meets them."""
        digest = hashlib.md5(str(partition).encode(), usedforsecurity=False).digest()
        start, step = self.partition(digest), max(1, self.partitions // 65536)
        total = sum(1 for d in self.devices if d is not None)
        met: dict[int, Device] = {}
        for offset in range(0, self.partitions, step):
            here = (start + offset) % self.partitions
            for row in self.rows:
                if here < len(row) and (device := self.devices[row[here]]) is not None:
                    met.setdefault(device.id, device)
            if len(met) == total:
                break
        return list(met.values())
