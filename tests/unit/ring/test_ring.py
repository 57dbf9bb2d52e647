"""Rings: placement on one machine, primaries, handoffs (reference 2.10)."""

import hashlib
import random
from array import array
from itertools import chain

import pytest

from swiftish.ring.device import Device
from swiftish.ring.errors import RingError
from swiftish.ring.even import even_ring
from swiftish.ring.ring import NEAR, Ring

EIGHT = [Device(id=i, device=f"d{i + 1}", port=6200, zone=1 + i // 2) for i in range(8)]


def plain_handoffs(ring: Ring, partition: int) -> list[int]:
    """The stupid twin: as the reference words it, one thing after another."""
    found = [device.id for device in ring.primaries(partition)]
    primaries = len(found)
    held = {number for row in ring.rows for number in row}
    start = ring.partition(hashlib.md5(str(partition).encode(), usedforsecurity=False).digest())
    step = max(1, ring.partitions // 65536)
    first = range(start, ring.partitions, step)
    second = range(step - (ring.partitions - start) % step, start, step)
    tiers = {d.id: d.tiers for d in ring.devices if d is not None}
    for level in range(4):
        total = len({tiers[number][level] for number in held})
        seen = {tiers[number][level] for number in found}
        for part in chain(first, second):
            if len(seen) == total:
                break
            for row in ring.rows:
                if part < len(row) and tiers[row[part]][level] not in seen:
                    found.append(row[part])
                    seen.add(tiers[row[part]][level])
    return found[primaries:]


def random_ring(chance: random.Random, *, power: int, count: int) -> Ring:
    """Unequal in every way, and with one device that holds hardly anything."""
    devices = [
        Device(
            id=number,
            device=f"d{number}",
            region=chance.choice([1, 1, 1, 2]),
            zone=chance.randrange(3),
            ip=f"10.0.0.{chance.randrange(4)}",
        )
        for number in range(count)
    ]
    parts = 2**power
    lengths = [parts] * chance.randrange(1, 4) + [chance.randrange(1, parts + 1)]
    rows = [array("H", chance.choices(range(count - 2), k=length)) for length in lengths]
    rows[0][chance.randrange(parts)] = count - 2  # and the last device holds nothing
    return Ring(devices=devices, rows=rows, power=power)


@pytest.mark.parametrize(("count", "replicas"), [(1, 1), (3, 3), (8, 3), (5, 2), (7, 7)])
def test_even_ring_is_even_and_never_doubles(count: int, replicas: int) -> None:
    """Each device holds the same share to within one, and no partition twice."""
    ring = even_ring(EIGHT[:count], replicas=replicas)
    held = [0] * count
    for partition in range(ring.partitions):
        primaries = ring.primaries(partition)
        assert len({d.id for d in primaries}) == replicas
        for device in primaries:
            held[device.id] += 1
    assert max(held) - min(held) <= 1


def test_even_ring_needs_a_device_for_each_replica() -> None:
    with pytest.raises(ValueError, match="as many devices"):
        even_ring(EIGHT[:2], replicas=3)


def test_handoffs_are_all_other_devices_once() -> None:
    ring = even_ring(EIGHT, replicas=3)
    for partition in (0, 5, 77, 900, 1023):
        order = ring.primaries(partition) + list(ring.handoffs(partition))
        assert sorted(d.id for d in order) == list(range(8))


def test_handoffs_in_the_order_that_swift_gives() -> None:
    """Pinned from Swift 2.38.3's own Ring on this very ring in one zone."""
    flat = [Device(id=i, device=f"d{i + 1}", port=6200) for i in range(8)]
    ring = even_ring(flat, replicas=3)
    found = {p: [d.id for d in (*ring.primaries(p), *ring.handoffs(p))] for p in (5, 77, 900)}
    assert found == {
        5: [7, 0, 1, 2, 3, 4, 5, 6],
        77: [7, 0, 1, 2, 3, 4, 5, 6],
        900: [4, 5, 6, 1, 2, 3, 7, 0],
    }


def test_handoffs_reach_a_new_zone_first() -> None:
    ring = even_ring(EIGHT, replicas=2)
    primaries = ring.primaries(0)
    first = next(ring.handoffs(0))
    assert first.zone not in {d.zone for d in primaries}


@pytest.mark.parametrize("power", [0, 1, 5, 8, 11])
def test_handoffs_are_those_of_the_stupid_twin(power: int, chance: random.Random) -> None:
    """Whatever the ring: near the start of the walk, far from it, with a short last row."""
    for _ in range(10):
        ring = random_ring(chance, power=power, count=chance.randrange(3, 30))
        for partition in chance.sample(range(ring.partitions), min(5, ring.partitions)):
            found = [device.id for device in ring.handoffs(partition)]
            assert found == plain_handoffs(ring, partition)


def test_handoffs_of_a_large_ring_step_over_partitions(chance: random.Random) -> None:
    """Beyond 65,536 partitions the walk takes longer steps, and meets what it meets."""
    ring = random_ring(chance, power=18, count=12)
    assert ring.partitions // 65536 > 1
    for partition in chance.sample(range(ring.partitions), 3):
        found = [device.id for device in ring.handoffs(partition)]
        assert found == plain_handoffs(ring, partition)


def test_handoffs_come_lazily(chance: random.Random) -> None:
    """A proxy that wants two does not pay for all; two askers do not disturb each other."""
    ring = random_ring(chance, power=9, count=20)
    assert ring.partitions > NEAR
    one, two = ring.handoffs(7), ring.handoffs(7)
    assert [next(one), next(one)] == [next(two), next(two)]
    assert [*one] == [*two]


def test_a_partition_has_the_same_device_only_once() -> None:
    """A ring may give two replicas to one device, when there are too few."""
    ring = Ring(devices=EIGHT[:2], rows=[array("H", [1, 0]), array("H", [1, 1])], power=1)
    assert [d.id for d in ring.primaries(0)] == [1]
    assert [d.id for d in ring.primaries(1)] == [0, 1]
    assert [d.id for d in ring.handoffs(0)] == [0]


def test_a_row_may_be_short_and_a_device_gone() -> None:
    devices = [EIGHT[0], None, EIGHT[2]]
    ring = Ring(devices=devices, rows=[array("H", [0, 2, 0, 2]), array("H", [2, 0])], power=2)
    assert [d.id for d in ring.primaries(1)] == [2, 0]
    assert [d.id for d in ring.primaries(3)] == [2]


@pytest.mark.parametrize(("number", "complaint"), [(1, "device 1, which was removed"), (3, "3")])
def test_a_ring_names_only_devices_that_are_there(number: int, complaint: str) -> None:
    with pytest.raises(RingError, match=complaint):
        Ring(devices=[EIGHT[0], None, EIGHT[2]], rows=[array("H", [0, number])], power=1)


def test_ids_may_be_large() -> None:
    """Over 65,534 they take four bytes."""
    devices: list[Device | None] = [None] * 70_000
    for number in (3, 69_999):
        devices[number] = Device(id=number, device=f"d{number}")
    ring = Ring(devices=devices, rows=[array("I", [3, 3, 69_999, 3])], power=2)
    assert [d.id for d in ring.primaries(2)] == [69_999]
    assert [d.id for d in ring.handoffs(2)] == [3]


def test_find_knows_only_addresses_of_the_ring() -> None:
    ring = even_ring(EIGHT, replicas=1)
    assert ring.find(address="127.0.0.1:6200", device="d3") == EIGHT[2]
    assert ring.find(address="127.0.0.1:22", device="d3") is None
