"""A ring at a glance: what each place holds and wants, who is at risk, and how that is said."""

import json
from array import array

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.device import Device
from swiftish.ring.overview import State, overview, overview_of_ring, state_of, to_json
from swiftish.ring.ring import Ring
from swiftish.ring.words import counted, histogram, number, percent, range_of, verdicts


def device(number: int, *, zone: int = 1, ip: str = "10.0.0.1", weight: float = 100.0) -> Device:
    return Device(id=number, device=f"d{number}", ip=ip, port=6200, zone=zone, weight=weight)


def ring(devices: list[Device | None], rows: list[list[int]]) -> Ring:
    power = len(rows[0]).bit_length() - 1
    return Ring(devices=devices, rows=[array("H", row) for row in rows], power=power, version=3)


# Two replicas in two zones, one of them with two hosts; partition 3 has both in zone 1.
SMALL = ring(
    [
        device(0, zone=1),
        device(1, zone=1, ip="10.0.0.2"),
        device(2, zone=2, ip="10.0.0.3", weight=200),
    ],
    [[0, 1, 0, 0], [2, 2, 2, 1]],
)


def test_places_hold_what_their_devices_do() -> None:
    seen = overview_of_ring(SMALL)
    (region,) = seen.regions
    assert [zone.name for zone in region.inner] == ["r1z1", "r1z2"]
    assert [(zone.held, zone.wanted) for zone in seen.zones] == [(5, 4.0), (3, 4.0)]
    assert [host.tier[2] for host in seen.hosts] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert [(disk.name, disk.held, disk.wanted) for disk in seen.disks] == [
        ("d0", 3, 2.0),
        ("d1", 2, 2.0),
        ("d2", 3, 4.0),
    ]
    assert seen.balance == 50.0
    assert (seen.held, seen.weight, seen.replicas, seen.partitions) == (8, 400, 2, 4)
    assert (seen.zones[0].replicas, seen.zones[0].replicas_wanted) == (1.25, 1.0)


def test_risk_is_counted_by_place_and_by_level() -> None:
    """Partition 3 is the only one, and only its zone is to blame."""
    seen = overview_of_ring(SMALL)
    assert [(zone.allowed, zone.counts, zone.at_risk) for zone in seen.zones] == [
        (1, (0, 3, 1), 1),
        (1, (1, 3, 0), 0),
    ]
    assert [(level.name, level.count, level.at_risk) for level in seen.levels] == [
        ("region", 1, 0),
        ("zone", 2, 1),
        ("host", 3, 0),
        ("device", 3, 0),
    ]
    assert [level.alone for level in seen.levels] == [0, 3, 4, 4]
    assert seen.levels[1].apart == (0, 1, 3)


def test_what_is_said_of_it() -> None:
    assert [(verdict.good, verdict.text) for verdict in verdicts(overview_of_ring(SMALL))] == [
        (True, "there is one region, with all 2 replicas"),
        (False, "1 partition (25.0 %) has 2 replicas in zone r1z1"),
        (True, "every partition has its 2 replicas on 2 hosts"),
        (True, "every partition has its 2 replicas on 2 devices"),
    ]


def test_more_replicas_than_zones() -> None:
    """Three replicas in two zones can't do better than two in one."""
    devices: list[Device | None] = [device(n, zone=1 + n % 2, ip=f"h{n}") for n in range(4)]
    seen = overview_of_ring(ring(devices, [[0, 1], [1, 2], [2, 3]]))
    assert verdicts(seen)[1].text == (
        "every partition is in 2 zones, at most 2 of its 3 replicas in one"
    )


def test_several_crowds_are_named_the_worst_first() -> None:
    devices: list[Device | None] = [device(n, zone=1 + n // 2, ip=f"h{n}") for n in range(10)]
    rows = [[0, 0, 0, 2, 2, 4, 6, 8], [1, 1, 1, 3, 3, 5, 7, 9]]
    text = verdicts(overview_of_ring(ring(devices, rows)))[1].text
    assert text == (
        "8 partitions of 8 (100 %) are at risk: 3 partitions (37.5 %) have 2 replicas in zone "
        "r1z1, 2 partitions (25.0 %) have 2 replicas in zone r1z2, 1 partition (12.5 %) has 2 "
        "replicas in zone r1z3, and 2 more such places"
    )


def test_a_fraction_of_a_replica() -> None:
    """The half row counts, and where it ends nothing is missed."""
    devices: list[Device | None] = [device(n, zone=n, ip=f"h{n}") for n in range(3)]
    seen = overview_of_ring(ring(devices, [[0, 1, 2, 0], [1, 2]]))
    assert (seen.replicas, seen.held) == (1.5, 6)
    assert verdicts(seen)[1].text == "every partition has its 1 or 2 replicas in as many zones"


def test_one_replica_says_it_once() -> None:
    seen = overview_of_ring(ring([device(0)], [[0, 0]]))
    assert [verdict.text for verdict in verdicts(seen)] == ["every partition has one replica only"]


def test_a_builder_before_its_first_rebalance() -> None:
    """There is nothing to judge yet; every device lacks all that it wants."""
    builder = Builder.create(power=4, replicas=2, min_part_hours=1)
    assert verdicts(overview(builder)) == []
    for n in range(3):
        builder.add(device(n, zone=n))
    seen = overview(builder)
    assert (seen.dispersion, seen.held, seen.needs_rebalance) == (None, 0, True)
    assert {disk.state for disk in seen.disks} == {State.EMPTY}
    assert verdicts(seen) == []
    assert histogram(seen) == []


def test_a_builder_at_work() -> None:
    """Removed, drained and useless devices are told apart."""
    builder = Builder.create(power=6, replicas=2, min_part_hours=1)
    for n in range(5):
        builder.add(device(n, zone=n))
    builder.rebalance(seed=1, now=0)
    builder.remove(0)
    builder.set_weight(1, 0)
    builder.add(device(7, zone=7, weight=0))
    seen = overview(builder)
    states = {disk.device.id: disk.state for disk in seen.disks}
    assert (states[0], states[1], states[7]) == (State.REMOVED, State.DRAINING, State.WEIGHTLESS)
    assert [disk.draining for disk in seen.disks] == [True, True, False, False, False, False]
    assert seen.zones[0].state is State.REMOVED
    assert seen.needs_rebalance
    assert seen.min_part_hours == 1
    assert "which is without weight" in verdicts(seen)[3].text


def test_ring_and_builder_are_seen_alike() -> None:
    builder = Builder.create(power=6, replicas=3, min_part_hours=1)
    for n in range(6):
        builder.add(device(n, zone=n % 3, ip=f"h{n}"))
    builder.rebalance(seed=1, now=0)
    mine, ours = overview(builder), overview_of_ring(builder.ring())
    assert (mine.regions, mine.levels, mine.disks) == (ours.regions, ours.levels, ours.disks)
    assert mine.dispersion == ours.dispersion == builder.dispersion
    assert mine.balance == ours.balance == builder.balance()


def test_hosts_are_in_the_order_of_their_addresses() -> None:
    devices: list[Device | None] = [device(n, ip=f"10.0.0.{9 + n}") for n in range(3)]
    seen = overview_of_ring(ring(devices[::-1], [[0, 1]]))
    assert [host.tier[2] for host in seen.hosts] == ["10.0.0.9", "10.0.0.10", "10.0.0.11"]


@pytest.mark.parametrize(
    ("held", "wanted", "state"),
    [
        (100, 100.4, State.EVEN),
        (105, 100, State.EVEN),
        (106, 100, State.OVERFULL),
        (94, 100, State.UNDERFULL),
        (3, 2.4, State.EVEN),  # 25 % too much, and there is no better
        (4, 2.4, State.OVERFULL),
    ],
)
def test_state(held: int, wanted: float, state: State) -> None:
    assert state_of(held, wanted) is state


def test_document() -> None:
    """It is JSON, and has the numbers where they are looked for."""
    document = json.loads(json.dumps(to_json(overview_of_ring(SMALL))))
    assert (document["partitions"], document["balance"]) == (4, 50.0)
    zone = document["regions"][0]["zones"][0]
    assert (zone["name"], zone["zone"], zone["parts"], zone["at_risk"]) == ("r1z1", 1, 5, 1)
    disk = zone["hosts"][0]["devices"][0]
    assert (disk["id"], disk["parts"], disk["parts_wanted"]) == (0, 3, 2.0)
    assert disk["state"] == "overfull"
    assert document["levels"][1]["crowds"] == [
        {"zone": "r1z1", "replicas": 2, "replicas_allowed": 1, "partitions": 1}
    ]


def test_histogram_counts_every_device_with_weight_once() -> None:
    bins = histogram(overview_of_ring(SMALL))
    assert sum(each.count for each in bins) == 3
    assert bins[0].low <= -25 <= bins[0].high
    assert bins[-1].low <= 50 <= bins[-1].high
    assert range_of(bins[-1]) == "+50 … +70 %"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (percent(1, 5000), "under 0.1 %"),
        (percent(4999, 5000), "over 99.9 %"),
        (percent(0, 5), "0 %"),
        (percent(1, 3), "33.3 %"),
        (counted(1, "zone"), "1 zone"),
        (counted(1024, "zone"), "1,024 zones"),
        (number(3.0), "3"),
        (number(2.5), "2.5"),
        (number(1700.001), "1,700"),
    ],
)
def test_figures(said: str, text: str) -> None:
    assert said == text
