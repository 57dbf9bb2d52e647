"""Who shares partitions with whom: a lost device is rebuilt from as many others as there can be."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.device import Device

NOW = 1_700_000_000.0
DAY_S = 86_400.0


def made(*, power: int, replicas: int, zones: int, hosts: int, disks: int, seed: int) -> Builder:
    """Equal devices, `hosts` in each zone and `disks` in each host, and a first rebalance."""
    builder = Builder.create(power=power, replicas=replicas, min_part_hours=1)
    for number in range(zones * hosts * disks):
        zone, host = number % zones, number // zones % hosts
        ip = f"10.0.{zone}.{host}"
        builder.add(Device(id=-1, device=f"d{number}", zone=zone, ip=ip, weight=100.0))
    builder.rebalance(seed=seed, now=NOW)
    return builder


def columns(builder: Builder) -> list[list[int]]:
    assert builder.assignment is not None
    return [list(column) for column in builder.assignment.T.tolist()]


def partners(builder: Builder) -> dict[int, set[int]]:
    """The others with which each device shares partitions."""
    found: dict[int, set[int]] = {device.id: set() for device in builder.each()}
    for column in columns(builder):
        for number in column:
            found[number].update(column)
    return {number: others - {number} for number, others in found.items()}


def by_chance(builder: Builder, possible: int) -> float:
    """How many partners a device has when each replica's are any of those possible."""
    devices = len(list(builder.each()))
    others = builder.partitions * builder.replicas / devices * (builder.replicas - 1)
    return possible * (1 - math.exp(-others / possible))


@pytest.mark.parametrize(
    ("zones", "hosts", "disks", "possible"),
    [
        pytest.param(3, 10, 3, 60, id="those of other zones"),
        pytest.param(1, 30, 3, 87, id="those of other hosts"),
        pytest.param(1, 1, 90, 89, id="all others"),
        pytest.param(5, 9, 2, 72, id="some zones' hosts"),
    ],
)
def test_a_device_has_as_many_partners_as_chance_gives(
    zones: int, hosts: int, disks: int, possible: int
) -> None:
    """When it is new, and after losses and growth."""
    builder = made(power=10, replicas=3, zones=zones, hosts=hosts, disks=disks, seed=1)
    expected = by_chance(builder, possible)
    for step in range(3):
        found = [len(others) for others in partners(builder).values()]
        assert statistics.median(found) > 0.9 * expected
        assert min(found) > 0.6 * expected
        builder.remove(7 + step)
        for number in range(2):
            device = f"new{step}.{number}"
            builder.add(Device(id=-1, device=device, zone=step % zones, ip="10.1.0.0"))
        builder.rebalance(seed=step, now=NOW + (step + 1) * DAY_S)


@pytest.mark.parametrize("seed", range(5))
def test_the_partitions_of_a_device_lack_each_zone_as_often(seed: int) -> None:
    """Those of a lost device can only go where they are not, and each zone wants its part."""
    builder = made(power=9, replicas=3, zones=4, hosts=2, disks=3, seed=seed)
    lacking = {device.id: Counter[int]() for device in builder.each()}
    for column in columns(builder):
        zones = {builder.device(number).zone for number in column}
        for number in column:
            lacking[number].update({0, 1, 2, 3} - zones)
    for number, count in lacking.items():
        others = [count[zone] for zone in range(4) if zone != builder.device(number).zone]
        assert max(others) - min(others) <= 8
        assert sum(others) == 64


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lost", [0, 5, 13])
def test_losing_any_moves_what_it_held(seed: int, lost: int) -> None:
    builder = made(power=9, replicas=3, zones=4, hosts=2, disks=3, seed=seed)
    held = builder.parts()[lost]
    builder.remove(lost)
    done = builder.rebalance(seed=seed, now=NOW + DAY_S)
    assert (done.moved, done.dispersion) == (held, 0)
    parts = [builder.parts()[device.id] for device in builder.each()]
    assert max(parts) - min(parts) <= 1


@pytest.mark.parametrize("replicas", [13, 14])
@pytest.mark.parametrize("power", [8, 12])
def test_a_loss_where_nearly_all_devices_hold_every_partition(power: int, replicas: int) -> None:
    """All get their part of what was lost: any two devices lack partitions the other one has."""
    builder = made(power=power, replicas=replicas, zones=1, hosts=16, disks=1, seed=0)
    held = builder.parts()[3]
    builder.remove(3)
    done = builder.rebalance(seed=1, now=NOW + DAY_S)
    assert done.moved <= 1.02 * held
    parts = [builder.parts()[device.id] for device in builder.each()]
    assert max(parts) - min(parts) <= 1
