"""Composite rings: what fits together, what was changed, and the document that remembers it."""

import json

import pytest

from swiftish.ring.builder import HOUR_S, Builder
from swiftish.ring.composite import (
    Component,
    Composite,
    compose,
    decode_composite,
    encode_composite,
    may_move,
    to_document,
)
from swiftish.ring.device import Device
from swiftish.ring.errors import BadBuilder, RingError


def built(name: str, *, region: int, replicas: float = 2, power: int = 3) -> Builder:
    builder = Builder.create(power=power, replicas=replicas, min_part_hours=1)
    for n in range(4):
        builder.add(Device(id=-1, device="sda", ip=f"10.{region}.0.{n}", port=6200, region=region))
    builder.rebalance(seed=1, now=0)
    builder.id = name
    return builder


def test_replicas_follow_each_other_and_ids_go_on() -> None:
    """Rows in the order of the components; a hole stays a hole."""
    one, other = built("a", region=1), built("b", region=2, replicas=1)
    one.remove(1)
    one.rebalance(seed=1, now=0)
    ring, composite = compose([one, other], None, force=False, files=["/a", "/b"])
    assert [list(row) for row in ring.rows] == [
        *(list(row) for row in one.ring().rows),
        *([n + 4 for n in row] for row in other.ring().rows),
    ]
    assert [d and d.id for d in ring.devices] == [0, None, 2, 3, 4, 5, 6, 7]
    assert {d.region for d in ring.primaries(5)[2:]} == {2}
    assert composite == Composite(
        version=1,
        components=(
            Component(id="a", version=one.version, replicas=2, file="/a"),
            Component(id="b", version=other.version, replicas=1, file="/b"),
        ),
    )
    assert ring.version == 1


def test_composed_again_when_something_is_newer() -> None:
    one, other = built("a", region=1), built("b", region=2)
    _, first = compose([one, other], None, force=False, files=["/a", "/b"])
    with pytest.raises(RingError, match=r"no component was modified since the .* version 1"):
        compose([one, other], first, force=False)
    other.rebalance(seed=2, now=0)
    ring, second = compose([one, other], first, force=False)
    assert second.version == ring.version == 2
    assert [each.file for each in second.components] == ["/a", "/b"]  # as known


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("order", "component 0 was builder a and is builder b; component 1 was builder b"),
        ("replicas", "component 0 had 2 replicas and has 1"),
        ("older", "component 1 is older than the composite: its version is 1, and was"),
        ("less", "there were 3 components and are 2"),
        ("more", "there were 2 components and are 3"),
    ],
)
def test_what_must_not_change_unless_forced(change: str, problem: str) -> None:
    one, other, third = (built(name, region=n) for n, name in enumerate("abc", 1))
    three = change == "less"
    _, first = compose([one, other, third] if three else [one, other], None, force=False)
    components = {
        "order": [other, one],
        "replicas": [built("a", region=1, replicas=1), other],
        "more": [one, other, third],
    }.get(change, [one, other])
    if change == "older":
        other.version = 1
    one.version += 1
    with pytest.raises(RingError, match=problem):
        compose(components, first, force=False)
    _, second = compose(components, first, force=True)
    assert second.version == 2
    assert [each.id for each in second.components] == [each.id for each in components]


def test_what_never_fits() -> None:
    """Force does not make a ring of what is none; all that is wrong is said at once."""
    one = built("a", region=1)
    misfits = {
        "needs two components": [one],
        "are the same builder, a": [one, built("a", region=2)],
        "component 1 has no id": [one, built("", region=2)],
        "component 0 has 3, component 1 has 4": [one, built("b", region=2, power=4)],
        "component 1 has 2.5 replicas": [one, built("b", region=2, replicas=2.5)],
        "share region 1; .* share device 10.1.0.0:6200/sda and 3 more": [one, built("b", region=1)],
    }
    for problem, components in misfits.items():
        with pytest.raises(RingError, match=problem):
            compose(components, None, force=True)


def test_components_are_rebalanced_first() -> None:
    one, other = built("a", region=1), built("b", region=2)
    other.set_weight(0, 1)
    with pytest.raises(RingError, match="component 1 needs a rebalance"):
        compose([one, other], None, force=True)
    fresh = Builder.create(power=3, replicas=2, min_part_hours=1)
    fresh.id = "c"
    with pytest.raises(RingError, match="component 1 needs a rebalance"):
        compose([one, fresh], None, force=True)


def test_a_power_increase_is_every_components() -> None:
    """Else the objects of some regions would not be found where the ring says."""
    one, other = built("a", region=1), built("b", region=2)
    one.prepare_power_increase()
    with pytest.raises(RingError, match="under way in some components"):
        compose([one, other], None, force=True)
    other.prepare_power_increase()
    ring, _ = compose([one, other], None, force=False)
    assert ring.next_power == 4


def test_components_are_of_one_cluster() -> None:
    one, other = built("a", region=1), built("b", region=2)
    other.hash_id = "x"
    assert compose([one, other], None, force=False)[0].hash_id == "x"
    one.hash_id = "y"
    with pytest.raises(RingError, match="different hash prefixes"):
        compose([one, other], None, force=True)


def test_a_partition_that_moved_elsewhere_stays() -> None:
    """As long as the component that moved it asks; one that never placed any asks nothing."""
    other, fresh = built("b", region=2), Builder.create(power=3, replicas=1, min_part_hours=1)
    assert other.moved_hours_ago is not None
    other.moved_hours_ago[:] = [0, 1, 2, 255, 0, 1, 2, 255]
    other.min_part_hours, other.moved_epoch = 2, 100
    now = 100.0
    assert may_move([fresh], now=now).all()
    assert may_move([other, fresh], now=now).tolist() == [False, False, True, True] * 2
    assert may_move([other], now=now + HOUR_S).tolist() == [False, True, True, True] * 2
    assert other.moved_epoch == 100  # nothing was changed by asking


COMPOSITE = Composite(
    version=4,
    components=(
        Component(id="8e56", version=3, replicas=1, file="/etc/swift/region1.builder"),
        Component(id="9608", version=5, replicas=2.0, file="/etc/swift/region2.builder"),
    ),
)


def test_document_comes_back() -> None:
    data = encode_composite(COMPOSITE, saved_path="/etc/swift/multi.composite")
    assert decode_composite(data) == COMPOSITE
    document = json.loads(data)
    assert document["saved_path"] == "/etc/swift/multi.composite"
    assert document["serialization_version"] == 1
    assert to_document(COMPOSITE).items() <= document.items()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a composite builder"),
        (b"\xff\x00", "not a composite builder"),
        (b"[]", "not a composite builder"),
        (b"null", "not a composite builder"),
        (b"{}", "it lacks component_builder_files"),
        (b"[" * 100_000, "not a composite builder"),
        (b'{"serialization_version": 2}', "version 2 can't be read"),
        (b'{"component_builder_files": {}, "components": [{"id": 1}], "version": 1}', "it lacks"),
        (b'{"component_builder_files": {}, "components": 7, "version": 1}', "not a composite"),
        (b'{"component_builder_files": {}, "components": [], "version": "x"}', "not a composite"),
    ],
)
def test_what_is_no_composite(data: bytes, problem: str) -> None:
    with pytest.raises(BadBuilder, match=problem):
        decode_composite(data)
