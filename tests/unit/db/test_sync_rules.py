"""Where databases belong, and when one may go: tables."""

import pytest

from swiftish.db.sync_rules import (
    Confirmation,
    Placement,
    is_in_sync,
    is_ours_to_count,
    is_removable,
    lacking,
    place,
    stand_ins,
    where,
)
from swiftish.ring.device import Device
from tests.fakes.nodes import small_ring

RING = small_ring(devices=5, replicas=3)
D0, D1, D2, D3, D4 = (device for device in RING.devices if device is not None)

yes, other_ring, behind = Confirmation(9, True), Confirmation(9, False), Confirmation(8, True)


def own(name: str) -> Placement:
    return place(RING, 0, lambda device: device.device == name)


def test_place() -> None:
    """The primaries but for oneself; in the place of one that has no disk, the next handoff."""
    assert own("d1") == Placement(partition=0, primaries=(D0, D2), is_home=True, ahead=1)
    assert own("d4") == Placement(partition=0, primaries=(D0, D1, D2), is_home=False, ahead=3)
    assert own("d1").replicas == own("d4").replicas == 3
    spares = list(stand_ins(RING, 0, lambda device: device is D3))
    assert D4 in spares
    assert not {D0, D1, D2, D3}.intersection(spares)


@pytest.mark.parametrize(
    ("name", "said", "in_sync", "removable", "lacks"),
    [
        # a primary: never lets go
        ("d1", {}, False, False, 2),
        ("d1", {D0: yes}, False, False, 1),
        ("d1", {D0: yes, D2: yes}, True, False, 0),
        ("d1", {D0: yes, D2: behind}, False, False, 1),
        ("d1", {D0: yes, D3: other_ring}, False, False, 0),  # three there are, one not at home
        ("d1", {D0: yes, D2: other_ring}, True, False, 0),
        # a handoff
        ("d4", {}, False, False, 2),
        ("d4", {D0: yes, D1: yes}, False, False, 0),
        ("d4", {D0: yes, D1: yes, D3: yes}, False, False, 0),
        ("d4", {D0: yes, D1: yes, D2: behind}, False, False, 0),
        ("d4", {D0: yes, D1: yes, D2: yes}, True, True, 0),
        # T30: one of them does not take itself for a primary
        ("d4", {D0: yes, D1: yes, D2: other_ring}, True, False, 0),
    ],
)
def test_t30_what_follows(
    name: str, said: dict[Device, Confirmation], in_sync: bool, removable: bool, lacks: int
) -> None:
    """T30: only a handoff lets go, and only when all primaries, by their own rings, have it all."""
    placement, confirmed = own(name), {where(device): each for device, each in said.items()}
    assert is_in_sync(placement, confirmed, 9) is in_sync
    assert is_removable(placement, confirmed, 9) is removable
    assert lacking(placement, confirmed, 9) == lacks


@pytest.mark.parametrize(
    ("name", "said", "ours"),
    [
        ("d0", {D1: yes}, True),
        ("d1", {}, True),
        ("d1", {D2: yes}, True),
        ("d1", {D0: yes}, False),
        ("d1", {D0: behind}, True),  # it does not know of what is lacking
        ("d4", {D3: yes}, True),
        ("d4", {D2: yes}, False),
    ],
)
def test_what_is_lacking_is_counted_once(
    name: str, said: dict[Device, Confirmation], ours: bool
) -> None:
    """By the first primary that holds all of it; by others only when none does."""
    confirmed = {where(device): each for device, each in said.items()}
    assert is_ours_to_count(own(name), confirmed, 9) is ours


def test_one_replica() -> None:
    """Where there is one replica its device is always in sync, and nobody else is asked."""
    ring = small_ring(devices=2, replicas=1)
    alone = place(ring, 0, lambda device: device.device == "d0")
    assert is_in_sync(alone, {}, 9)
    assert not is_removable(alone, {}, 9)
    assert lacking(alone, {}, 9) == 0
