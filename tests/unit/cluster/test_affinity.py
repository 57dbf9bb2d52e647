"""Which nodes are near, and how many there may be."""

from __future__ import annotations

import pytest

from swiftish.cluster.affinity import BadAffinity, ReadAffinity, WriteAffinity
from swiftish.cluster.node_options import NodeCount
from swiftish.ring.device import Device


def device(region: int, zone: int) -> Device:
    return Device(id=0, device="d", region=region, zone=zone)


def test_a_zone_counts_before_its_region() -> None:
    """And what is not named is farthest."""
    affinity = ReadAffinity.parse(" r1z1=100, r1 = 200,r2=300, ")
    found = [affinity.distance(device(*where)) for where in ((1, 1), (1, 2), (2, 1), (3, 1))]
    assert found == [100, 200, 300, float("inf")]
    assert not ReadAffinity.parse("")


def test_local_places() -> None:
    """A region, or one of its zones."""
    affinity = WriteAffinity.parse("r1, r2z1")
    found = [affinity.is_local(device(*where)) for where in ((1, 1), (1, 7), (2, 1), (2, 2))]
    assert found == [True, True, True, False]
    assert not WriteAffinity.parse(" , ")


@pytest.mark.parametrize(
    "text", ["r1", "z1=5", "r1=", "r1=-5", "r=5", "r1z=5", "r1=5 r2=6", "r1=٣"]
)
def test_a_read_affinity_that_says_nothing(text: str) -> None:
    """The sentence quotes what is wrong."""
    with pytest.raises(BadAffinity, match=r"no place|is not a place"):
        ReadAffinity.parse(text)


@pytest.mark.parametrize("text", ["1", "r1=100", "r1z2z3", "R1", "r" + "1" * 4000])
def test_a_write_affinity_that_says_nothing(text: str) -> None:
    """The sentence says what would be right."""
    with pytest.raises(BadAffinity, match="name a region"):
        WriteAffinity.parse(text)


@pytest.mark.parametrize(("text", "of_three"), [("2 * replicas", 6), ("2*REPLICAS", 6), ("5", 5)])
def test_a_number_of_nodes(text: str, of_three: int) -> None:
    """So many, or so many times the replicas."""
    assert NodeCount.parse(text).of(3) == of_three


@pytest.mark.parametrize("text", ["", "0", "-1", "2 *", "two", "2 * nodes", "* replicas", "9" * 99])
def test_no_number_of_nodes(text: str) -> None:
    with pytest.raises(ValueError, match="no number of nodes"):
        NodeCount.parse(text)
