"""Rings: placement on one machine, handoffs, files (reference 2.10)."""

from array import array

import pytest

from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.format import BadRing, decode, encode
from swiftish.ring.ring import Ring

EIGHT = [Device(id=i, device=f"d{i + 1}", port=6200, zone=1 + i // 2) for i in range(8)]


def lists(ring: Ring) -> list[list[int]]:
    return [list(row) for row in ring.rows]


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


def test_files_round_trip_and_are_equal_for_equal_rings() -> None:
    ring = even_ring(EIGHT, replicas=3, power=6)
    data = encode(ring)
    again = decode(data)
    assert lists(again) == lists(ring)
    assert list(again.devices)[3] == Device(
        id=3, device="d4", port=6200, zone=2, replication_ip="127.0.0.1", replication_port=6200
    )
    assert encode(ring) == data


def test_a_removed_device_and_a_short_last_row_survive() -> None:
    ring = Ring(
        devices=[EIGHT[0], None, EIGHT[2]],
        rows=[array("H", [0, 2, 0, 2]), array("H", [2, 0])],
        power=2,
    )
    again = decode(encode(ring))
    assert lists(again) == lists(ring)
    assert again.devices[1] is None
    assert [d.id for d in again.primaries(3)] == [2]


def test_damaged_files_are_refused_whatever_the_damage() -> None:
    """Truncated anywhere or with any byte changed, a ring file never loads as another ring."""
    ring = even_ring(EIGHT, replicas=3, power=4)
    data = encode(ring)
    for size in range(len(data)):
        with pytest.raises(BadRing):
            decode(data[:size])
    refused = 0
    for at in range(10, len(data)):  # the first ten are gzip's own header
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        try:
            assert lists(decode(bytes(damaged))) == lists(ring)  # a bit that gzip does not use
        except BadRing:
            refused += 1
    assert refused > len(data) - 15


def test_find_knows_only_addresses_of_the_ring() -> None:
    ring = even_ring(EIGHT, replicas=1)
    assert ring.find(address="127.0.0.1:6200", device="d3") == EIGHT[2]
    assert ring.find(address="127.0.0.1:22", device="d3") is None
