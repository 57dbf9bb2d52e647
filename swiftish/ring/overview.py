"""A ring at a glance: regions, zones, hosts and devices with what they hold and what they should.

A picture, a page or a document of a ring is made from this and from nothing else, so that all of
them say the same of a builder that is being worked on and of a ring file that is in use.

Pure.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from swiftish.ring import dispersion
from swiftish.ring.builder import Builder
from swiftish.ring.device import Device, Tier
from swiftish.ring.ring import Ring
from swiftish.ring.table import NOWHERE, Table, table_of

LEVELS = ("region", "zone", "host", "device")

# A device is called overfull or underfull when it is off by more than this, and by a partition
# at least: a small device that wants 2.4 partitions can't have them.
OFF_PERCENT = 5.0
OFF_PARTS = 1.0


class State(Enum):
    """What there is to say about a device."""

    EVEN = "as its weight asks"
    OVERFULL = "overfull"
    UNDERFULL = "underfull"
    EMPTY = "empty"
    DRAINING = "draining"
    WEIGHTLESS = "without weight"
    REMOVED = "being removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A device, and how many replicas of partitions it holds and wants; `balance` in percent."""

    device: Device
    held: int
    wanted: float
    balance: float
    removed: bool = False

    @property
    def name(self) -> str:
        return f"d{self.device.id}"

    @property
    def draining(self) -> bool:
        """Partitions only leave it."""
        return self.held > 0 and (self.removed or self.device.weight == 0)

    @property
    def state(self) -> State:
        if self.removed:
            return State.REMOVED
        if self.device.weight == 0:
            return State.DRAINING if self.held else State.WEIGHTLESS
        return State.EMPTY if self.held == 0 else state_of(self.held, self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A region, zone or host: everything that may fail at once.

    `counts[n]` partitions have n replicas here; `allowed` are no more than have to be.  Both are
    empty before the first rebalance.  `replicas` of each partition are here on average,
    `replicas_wanted` by weight.
    """

    tier: Tier
    weight: float
    held: int
    wanted: float
    balance: float
    replicas: float
    replicas_wanted: float
    allowed: int
    counts: tuple[int, ...]
    inner: "tuple[Place, ...]"
    disks: tuple[Disk, ...]

    @property
    def level(self) -> str:
        return LEVELS[len(self.tier) - 1]

    @property
    def name(self) -> str:
        return name_of(self.tier)

    @property
    def at_risk(self) -> int:
        """How many partitions have more replicas here than need be."""
        return sum(self.counts[self.allowed + 1 :])

    @property
    def state(self) -> State:
        if self.weight == 0:
            removed = all(disk.removed for disk in self.disks)
            emptied = State.DRAINING if self.held else State.WEIGHTLESS
            return State.REMOVED if removed else emptied
        return State.EMPTY if self.held == 0 else state_of(self.held, self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many partitions have so many replicas in one tier, which are more than allowed."""

    tier: Tier
    replicas: int
    allowed: int
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """All regions, zones, hosts or devices together: how far apart replicas are there.

    `apart[n]` partitions have replicas in n different ones, those of `alone` have none together.
    The crowd with the most partitions is first.
    """

    name: str
    count: int
    at_risk: int
    alone: int
    apart: tuple[int, ...]
    allowed_max: int
    crowds: tuple[Crowd, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole ring.  `dispersion` is None as long as there was no rebalance.

    `min_part_hours` and `overload` are None for a ring file, which does not know them.
    """

    power: int
    next_power: int | None
    replicas: float
    version: int
    weight: float
    held: int
    balance: float
    dispersion: float | None
    regions: tuple[Place, ...]
    levels: tuple[Level, ...]
    disks: tuple[Disk, ...]
    min_part_hours: int | None = None
    overload: float | None = None
    needs_rebalance: bool = False

    @property
    def partitions(self) -> int:
        return 1 << self.power

    @property
    def zones(self) -> tuple[Place, ...]:
        return tuple(zone for region in self.regions for zone in region.inner)

    @property
    def hosts(self) -> tuple[Place, ...]:
        return tuple(host for zone in self.zones for host in zone.inner)

    def places(self, level: str) -> tuple[Place, ...]:
        """The regions, zones or hosts."""
        return {"region": self.regions, "zone": self.zones, "host": self.hosts}[level]


def overview(builder: Builder) -> Overview:
    """The builder as it stands, before or after its first rebalance."""
    return _Survey(
        devices=builder.devices,
        removed=builder.removed,
        table=builder.assignment,
        power=builder.power,
        replicas=builder.replicas,
    ).overview(
        next_power=builder.next_power,
        version=builder.version,
        min_part_hours=builder.min_part_hours,
        overload=builder.overload,
        needs_rebalance=builder.devices_changed or not builder.rebalanced,
    )


def overview_of_ring(ring: Ring) -> Overview:
    """A ring file, without its builder."""
    rows = list(ring.rows)
    return _Survey(
        devices=ring.devices,
        removed=(),
        table=table_of(rows, partitions=ring.partitions),
        power=ring.power,
        replicas=sum(map(len, rows)) / ring.partitions,
    ).overview(next_power=ring.next_power, version=ring.version)


def name_of(tier: Tier) -> str:
    """r1, r1z2, r1z2-10.0.0.1, or d7: as an operator would search for it."""
    match tier:
        case (region,):
            return f"r{region}"
        case (region, zone):
            return f"r{region}z{zone}"
        case (region, zone, ip):
            return f"r{region}z{zone}-{ip}"
        case _:
            return f"d{tier[-1]}"


def state_of(held: float, wanted: float) -> State:
    """Whether what is held is about what is wanted."""
    off = held - wanted
    if abs(off) < OFF_PARTS or abs(off) * 100 <= OFF_PERCENT * wanted:
        return State.EVEN
    return State.OVERFULL if off > 0 else State.UNDERFULL


def to_json(overview: Overview) -> dict[str, object]:
    """The overview as plain lists, dictionaries, numbers and strings."""
    dispersed = overview.dispersion
    return {
        "partitions": overview.partitions,
        "power": overview.power,
        "next_power": overview.next_power,
        "replicas": overview.replicas,
        "version": overview.version,
        "weight": overview.weight,
        "parts": overview.held,
        "balance": round(overview.balance, 4),
        "dispersion": None if dispersed is None else round(dispersed, 4),
        "min_part_hours": overview.min_part_hours,
        "overload": overview.overload,
        "needs_rebalance": overview.needs_rebalance,
        "levels": [_level_to_json(level, overview.partitions) for level in overview.levels],
        "regions": [_place_to_json(region, overview.partitions) for region in overview.regions],
    }


def _level_to_json(level: Level, partitions: int) -> dict[str, object]:
    return {
        "level": level.name,
        "count": level.count,
        "at_risk": level.at_risk,
        "at_risk_percent": round(100 * level.at_risk / partitions, 4),
        "alone": level.alone,
        "apart": list(level.apart),
        "crowds": [
            {
                level.name: name_of(crowd.tier),
                "replicas": crowd.replicas,
                "replicas_allowed": crowd.allowed,
                "partitions": crowd.partitions,
            }
            for crowd in level.crowds
        ],
    }


def _place_to_json(place: Place, partitions: int) -> dict[str, object]:
    document: dict[str, object] = {
        "name": place.name,
        place.level: place.tier[-1],
        "weight": place.weight,
        "parts": place.held,
        "parts_wanted": round(place.wanted, 4),
        "balance": round(place.balance, 4),
        "state": place.state.name.lower(),
        "replicas": round(place.replicas, 4),
        "replicas_wanted": round(place.replicas_wanted, 4),
        "replicas_allowed": place.allowed,
        "partitions_by_replicas": list(place.counts),
        "at_risk": place.at_risk,
        "at_risk_percent": round(100 * place.at_risk / partitions, 4),
    }
    if place.level == "host":
        return {**document, "devices": [_disk_to_json(disk) for disk in place.disks]}
    inner = [_place_to_json(each, partitions) for each in place.inner]
    return {**document, {"region": "zones", "zone": "hosts"}[place.level]: inner}


def _disk_to_json(disk: Disk) -> dict[str, object]:
    device = disk.device
    return {
        "id": device.id,
        "device": device.device,
        "ip": device.ip,
        "port": device.port,
        "meta": device.meta,
        "weight": device.weight,
        "parts": disk.held,
        "parts_wanted": round(disk.wanted, 4),
        "balance": round(disk.balance, 4),
        "state": disk.state.name.lower(),
        "removed": disk.removed,
        "draining": disk.draining,
    }


@dataclass(kw_only=True)
class _Survey:
    """What both kinds of ring are made of, on the way to an Overview."""

    devices: Sequence[Device | None]
    removed: Collection[int]
    table: Table | None
    power: int
    replicas: float

    def __post_init__(self) -> None:
        # region, zone, host, id: neighbours in a picture are neighbours in the building
        there = [device for device in self.devices if device is not None]
        self.disks = self._disks(sorted(there, key=_order))
        self.spreads: Mapping[Tier, dispersion.TierSpread] = {}
        self.dispersion: float | None = None
        if self.table is not None and there:
            found = dispersion.survey(self.table, list(self.devices), replicas=self.replicas)
            self.spreads = {spread.tier: spread for spread in found.tiers}
            self.dispersion = found.dispersion

    def overview(
        self,
        *,
        next_power: int | None,
        version: int,
        min_part_hours: int | None = None,
        overload: float | None = None,
        needs_rebalance: bool = False,
    ) -> Overview:
        levels = tuple(self._level(depth) for depth in range(len(LEVELS)))
        return Overview(
            power=self.power,
            next_power=next_power,
            replicas=self.replicas,
            version=version,
            weight=math.fsum(disk.device.weight for disk in self.disks),
            held=sum(disk.held for disk in self.disks),
            balance=max((abs(disk.balance) for disk in self.disks), default=0.0),
            dispersion=self.dispersion,
            regions=self._places(1, self.disks),
            levels=levels,
            disks=self.disks,
            min_part_hours=min_part_hours,
            overload=overload,
            needs_rebalance=needs_rebalance,
        )

    def _disks(self, devices: Sequence[Device]) -> tuple[Disk, ...]:
        count = len(self.devices)
        parts = dispersion.parts_of(self.table, count).tolist()
        total = math.fsum(device.weight for device in devices)
        share = (self.replicas * (1 << self.power) / total) if total else 0.0
        wanted = [0.0] * count
        for device in devices:
            wanted[device.id] = device.weight * share
        balances = dispersion.balances(parts, wanted, [device.id for device in devices])
        return tuple(
            Disk(
                device=device,
                held=parts[device.id],
                wanted=wanted[device.id],
                balance=balances[device.id],
                removed=device.id in self.removed,
            )
            for device in devices
        )

    def _places(self, depth: int, disks: Sequence[Disk]) -> tuple[Place, ...]:
        """The tiers of this depth that these devices are in."""
        groups: dict[Tier, list[Disk]] = {}
        for disk in disks:
            groups.setdefault(disk.device.tiers[depth - 1], []).append(disk)
        return tuple(self._place(tier, group) for tier, group in groups.items())

    def _place(self, tier: Tier, disks: Sequence[Disk]) -> Place:
        partitions = 1 << self.power
        spread = self.spreads.get(tier)
        held = sum(disk.held for disk in disks)
        wanted = math.fsum(disk.wanted for disk in disks)
        return Place(
            tier=tier,
            weight=math.fsum(disk.device.weight for disk in disks),
            held=held,
            wanted=wanted,
            balance=dispersion.balances([held], [wanted], [0])[0],
            replicas=held / partitions,
            replicas_wanted=wanted / partitions,
            allowed=spread.allowed if spread else 0,
            counts=spread.counts if spread else (),
            inner=() if len(tier) == 3 else self._places(len(tier) + 1, disks),
            disks=tuple(disks),
        )

    def _level(self, depth: int) -> Level:
        """How far apart the replicas of each partition are, counted over the whole table."""
        tiers = list(dict.fromkeys(disk.device.tiers[depth] for disk in self.disks))
        spreads = [spread for tier in tiers if (spread := self.spreads.get(tier))]
        crowds = [
            Crowd(tier=spread.tier, replicas=replicas, allowed=spread.allowed, partitions=count)
            for spread in spreads
            for replicas, count in enumerate(spread.counts)
            if replicas > spread.allowed and count
        ]
        allowed = [spread.allowed for spread in spreads]
        at_risk, alone, apart = self._apart(depth, tiers, allowed)
        return Level(
            name=LEVELS[depth],
            count=len(tiers),
            at_risk=at_risk,
            alone=alone,
            apart=apart,
            allowed_max=max(allowed, default=0),
            crowds=tuple(sorted(crowds, key=lambda crowd: (-crowd.partitions, -crowd.replicas))),
        )

    def _apart(
        self, depth: int, tiers: Sequence[Tier], allowed: Sequence[int]
    ) -> tuple[int, int, tuple[int, ...]]:
        """(partitions at risk, partitions with no two replicas together, partitions by spread)."""
        if self.table is None or not tiers:
            return 0, 0, ()
        number_of = {tier: number for number, tier in enumerate(tiers)}
        # One more than there are devices: NOWHERE is -1, and finds itself at the end.
        numbers = np.full(len(self.devices) + 1, NOWHERE, np.int32)
        for disk in self.disks:
            numbers[disk.device.id] = number_of[disk.device.tiers[depth]]
        limits = np.array([*allowed, 256])
        where = numbers[self.table]
        distinct = np.zeros(where.shape[1], np.int64)
        crowded = np.zeros(where.shape[1], bool)
        for row, here in enumerate(where):
            together = np.zeros(here.shape, np.int64)
            first = here != NOWHERE
            for other_row, there in enumerate(where):
                same = here == there
                together += same
                if other_row < row:
                    first &= ~same
            distinct += first
            crowded |= together > limits[here]
        replicas = (where != NOWHERE).sum(axis=0)
        apart = np.bincount(distinct).tolist()
        return int(crowded.sum()), int((distinct == replicas).sum()), tuple(apart)


def _order(device: Device) -> tuple[int, int, tuple[str | int, ...], int]:
    """By region, zone, address and id, with 10.0.0.9 before 10.0.0.10."""
    pieces = device.ip.split(".")
    by_number = tuple(f"{piece:>6}" if piece.isdigit() else piece for piece in pieces)
    return device.region, device.zone, by_number, device.id
