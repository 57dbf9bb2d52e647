"""A ring says which cluster it is for."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.ring.device import Device
from swiftish.ring.errors import RingError
from swiftish.ring.hash_id import check, hash_id
from swiftish.ring.ring import Ring


@given(*[st.binary(max_size=4)] * 4)
def test_each_prefix_and_suffix_has_its_own(a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    """Also when put together they are the same."""
    assert (hash_id(a, b) == hash_id(c, d)) == ((a, b) == (c, d))


def test_it_does_not_change() -> None:
    """Rings on disk have it.  It is sixteen digits, and says where the suffix begins."""
    assert hash_id(b"changeme", b"") == "51ad5731a55be0b9"
    assert len({hash_id(b"ab", b"c"), hash_id(b"a", b"bc"), hash_id(b"abc", b"")}) == 3


@pytest.mark.parametrize("named", ["", "0123456789abcdef"])
def test_a_ring_for_this_cluster_or_for_any_passes(named: str) -> None:
    check(ring(named), "0123456789abcdef")


def test_a_ring_for_another_cluster_does_not() -> None:
    with pytest.raises(RingError, match=r"another hash prefix or suffix \(ffff, not 0123\)"):
        check(ring("ffff"), "0123")


def ring(named: str) -> Ring:
    devices = [Device(id=0, device="d0")]
    return Ring(devices=devices, rows=[array("H", [0])], power=0, hash_id=named)
