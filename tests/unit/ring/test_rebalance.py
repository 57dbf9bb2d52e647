"""What every rebalance keeps to, for any devices and any changes (Hypothesis)."""

from __future__ import annotations

import math
from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swiftish.ring import targets
from swiftish.ring.builder import Builder
from swiftish.ring.device import Device
from swiftish.ring.errors import DuplicateDevice, RingError
from swiftish.ring.table import NOWHERE

NOW = 1_700_000_000.0
HOUR_S = 3600


@st.composite
def devices(draw: st.DrawFn) -> list[Device]:
    """Two to fourteen, in up to two regions, six zones and more hosts."""
    count = draw(st.integers(2, 14))
    return [
        Device(
            id=number,
            device=f"d{number}",
            region=draw(st.integers(1, 2)),
            zone=draw(st.integers(1, 3)),
            ip=f"10.0.0.{draw(st.integers(1, 3))}",
            weight=draw(st.sampled_from([50.0, 100.0, 100.0, 100.0, 250.0])),
        )
        for number in range(count)
    ]


@st.composite
def builders(draw: st.DrawFn) -> Builder:
    """Not rebalanced yet, with a device or more for each replica."""
    listed = draw(devices())
    replicas = draw(st.sampled_from([1, 1.5, 2, 2.25, 3, 3, 4, 4.75]))
    builder = Builder.create(
        power=draw(st.integers(0, 6)),
        replicas=min(replicas, len(listed)),
        min_part_hours=draw(st.sampled_from([0, 1])),
    )
    for device in listed:
        builder.add(device)
    builder.set_overload(draw(st.sampled_from([0.0, 0.1, 10.0])))
    return builder


def change(draw: st.DataObject, builder: Builder) -> None:
    """Something that an operator does, as far as it leaves enough devices."""
    numbers = [d.id for d in builder.each() if d.weight and d.id not in builder.removed]
    kind = draw.draw(st.sampled_from(["add", "remove", "drain", "weight", "replicas", "move"]))
    number = draw.draw(st.sampled_from(numbers))
    if kind == "add":
        zone = draw.draw(st.integers(1, 4))
        builder.add(Device(id=-1, device="new", ip=f"10.1.0.{builder.version}", zone=zone))
    elif kind == "weight":
        builder.set_weight(number, draw.draw(st.sampled_from([20.0, 100.0, 400.0])))
    elif kind == "move":
        builder.change(number, zone=draw.draw(st.integers(1, 4)))
    elif kind == "replicas":
        builder.set_replicas(min(draw.draw(st.sampled_from([1, 2, 2.5, 3, 4])), len(numbers)))
    elif len(numbers) > math.ceil(builder.replicas):
        (builder.remove if kind == "remove" else lambda n: builder.set_weight(n, 0))(number)


def columns(builder: Builder) -> list[list[int]]:
    """The devices of each partition, row by row."""
    assert builder.assignment is not None
    return [list(column) for column in builder.assignment.T.tolist()]


def held(column: list[int]) -> list[int]:
    return [number for number in column if number != NOWHERE]


@given(st.data(), builders())
@settings(max_examples=150, deadline=None)
def test_every_replica_has_a_device_of_its_own(data: st.DataObject, builder: Builder) -> None:
    """After any changes: none missing, none of two on one device, none on one that is gone."""
    for step in range(3):
        builder.rebalance(seed=step, now=NOW + step * 2 * HOUR_S)
        fraction, whole = math.modf(builder.replicas)
        for partition, column in enumerate(columns(builder)):
            more = partition < int(builder.partitions * fraction)
            assert len(held(column)) == int(whole) + more
            assert len(set(held(column))) == len(held(column))
            assert all(builder.devices[number] is not None for number in held(column))
        change(data, builder)


@given(st.data(), builders())
@settings(max_examples=150, deadline=None)
def test_one_replica_moves_at_a_time(data: st.DataObject, builder: Builder) -> None:
    """And none of a partition that moved within min_part_hours, but off removed devices."""
    builder.rebalance(seed=1, now=NOW)
    for step in range(3):
        change(data, builder)
        gone = set(builder.removed)
        before = columns(builder)
        assert builder.moved_hours_ago is not None
        passed = data.draw(st.sampled_from([0, 1]))
        now = NOW + step * HOUR_S + passed * HOUR_S
        frozen = deepcopy(builder)._hours_ago(now) < builder.min_part_hours
        builder.rebalance(seed=step, now=now)
        for partition, (old, new) in enumerate(zip(before, columns(builder), strict=True)):
            pairs = [(a, b) for a, b in zip(old, new, strict=False) if NOWHERE not in {a, b}]
            moved = [a for a, b in pairs if a != b and a not in gone]
            off_removed = any(a in gone for a, _ in pairs)
            assert len(moved) <= (0 if frozen[partition] or off_removed else 1)


@given(builders())
@settings(max_examples=150, deadline=None)
def test_a_new_ring_keeps_to_its_targets(builder: Builder) -> None:
    """Each device has its parts, and no tier more of a partition than its target rounded up."""
    builder.rebalance(seed=1, now=NOW)
    plan = targets.plan(
        builder.devices,
        replicas=builder.replicas,
        partitions=builder.partitions,
        overload=builder.overload,
        held=builder.parts(),
    )
    parts = builder.parts()
    assert [parts[number] for number in plan.tree.ids] == plan.parts.tolist()
    for level in range(4):
        for column in columns(builder):
            count = Counter(int(plan.tree.of[level][number]) for number in held(column))
            assert all(n <= plan.most[level][tier] for tier, n in count.items())


@given(builders())
@settings(max_examples=100, deadline=None)
def test_zones_and_hosts_are_used_when_overload_allows(builder: Builder) -> None:
    """With overload enough, no two replicas are together that could be apart."""
    try:
        builder.set_overload(builder.required_overload() + 0.01)
    except RingError:
        return
    builder.rebalance(seed=1, now=NOW)
    there = list(builder.each())
    zones = Counter((d.region, d.zone) for d in there)
    if len({d.region for d in there}) == 1 and len(zones) >= builder.replicas:
        for column in columns(builder):
            mine = [builder.device(number) for number in held(column)]
            assert len({(d.region, d.zone) for d in mine}) == len(mine)
    limited = (
        any(count < math.ceil(builder.replicas / len(zones)) for count in zones.values())
        or len({d.region for d in there}) > 1
    )
    if not limited and min(zones.values()) >= builder.replicas:
        assert all(each.at_risk == 0 for each in builder.survey().tiers if len(each.tier) <= 2)


@given(builders(), st.integers(0, 2**70))
@settings(max_examples=50, deadline=None)
def test_the_same_seed_makes_the_same_ring(builder: Builder, seed: int) -> None:
    again = deepcopy(builder)
    assert builder.rebalance(seed=seed, now=NOW) == again.rebalance(seed=str(seed), now=NOW)
    assert columns(builder) == columns(again)


@given(st.data(), builders())
@settings(max_examples=100, deadline=None)
def test_dispersion_is_what_a_simple_count_says(data: st.DataObject, builder: Builder) -> None:
    """The naive twin: every partition, every kind of tier, one after the other."""
    builder.rebalance(seed=1, now=NOW)
    change(data, builder)
    builder.rebalance(seed=2, now=NOW)
    survey = builder.survey()
    allowed = {each.tier: each.allowed for each in survey.tiers}
    whole = int(builder.partitions * math.modf(builder.replicas)[0]) or builder.partitions
    at_risk = 0
    spread: dict[tuple[object, ...], Counter[int]] = {tier: Counter() for tier in allowed}
    for partition, column in enumerate(columns(builder)):
        worst = 0
        for level in range(4):
            count = Counter(builder.device(number).tiers[level] for number in held(column))
            worst = max(worst, sum(max(0, n - allowed[tier]) for tier, n in count.items()))
            for tier, n in count.items():
                spread[tier][n] += 1
        at_risk += worst if partition < whole else 0
    assert survey.dispersion == pytest.approx(
        100 * at_risk / (builder.partitions * builder.replicas)
    )
    assert builder.dispersion == survey.dispersion
    for each in survey.tiers:
        assert {n: c for n, c in enumerate(each.counts) if n and c} == dict(spread[each.tier])


@pytest.mark.parametrize("replicas", [2.999999, 3.0000001, 1.0001, 100.999])
def test_replicas_that_are_nearly_whole(replicas: float) -> None:
    """What rounding makes of them still adds up."""
    builder = Builder.create(power=4, replicas=replicas, min_part_hours=1)
    for number in range(102):
        builder.add(Device(id=-1, device=f"d{number}", zone=number % 5))
    builder.rebalance(seed=1, now=NOW)
    builder.validate()
    assert sum(builder.parts()) == sum(len(held(column)) for column in columns(builder))


def test_the_first_placement_counts_as_a_move() -> None:
    """Data need their time to settle, too: nothing moves within min_part_hours of it."""
    builder = Builder.create(power=5, replicas=2, min_part_hours=2)
    for number in range(4):
        builder.add(Device(id=-1, device=f"d{number}"))
    builder.rebalance(seed=1, now=NOW)
    builder.add(Device(id=-1, device="new"))
    assert builder.rebalance(seed=1, now=NOW + HOUR_S).moved == 0
    assert builder.rebalance(seed=1, now=NOW + 2 * HOUR_S).moved > 0


def test_losing_one_of_many_moves_what_it_held() -> None:
    """And nothing else: 24 equal devices, of which one is removed."""
    builder = Builder.create(power=9, replicas=3, min_part_hours=1)
    for number in range(24):
        builder.add(Device(id=-1, device=f"d{number}", zone=number % 4, ip=f"10.0.0.{number % 8}"))
    builder.rebalance(seed=1, now=NOW)
    lost = builder.parts()[5]
    builder.remove(5)
    done = builder.rebalance(seed=1, now=NOW + 2 * HOUR_S)
    assert (done.moved, done.removed, done.dispersion) == (lost, 1, 0)


@pytest.mark.parametrize("min_part_hours", [0, 24])
def test_of_two_replicas_on_one_device_one_goes_at_once(min_part_hours: int) -> None:
    """As an imported table may have them; nothing else moves, and min_part_hours do not count."""
    builder = Builder.create(power=4, replicas=3, min_part_hours=min_part_hours)
    for number in range(5):
        builder.add(Device(id=-1, device=f"d{number}", ip=f"10.0.0.{number}"))
    builder.rebalance(seed=1, now=NOW)
    assert builder.assignment is not None
    builder.assignment[1, 0] = builder.assignment[0, 0]
    builder.assignment[2, 5] = builder.assignment[1, 5]
    before = columns(builder)
    done = builder.rebalance(seed=2, now=NOW + 60)
    builder.validate()
    assert all(len(set(column)) == 3 for column in columns(builder))
    doubled = [old != new for old, new in zip(before, columns(builder), strict=True)]
    assert doubled[0]
    assert doubled[5]
    if min_part_hours:
        assert done.moved == 2


def test_the_place_of_a_removed_device_can_be_taken() -> None:
    """By a new device or another one, at once; not that of one that stays."""
    builder = Builder.create(power=4, replicas=2, min_part_hours=1)
    for number in range(4):
        builder.add(Device(id=-1, device=f"d{number}"))
    with pytest.raises(DuplicateDevice, match="as device 0"):
        builder.change(1, device="d0")
    builder.remove(0)
    builder.remove(2)
    assert builder.change(1, device="d0").device == "d0"
    assert builder.add(Device(id=-1, device="d2")) == 4


@pytest.mark.parametrize(
    ("weight", "fine"),
    [
        (0, True),
        (1e-6, True),
        (1e12, True),
        (-1, False),
        (1e-300, False),
        (math.inf, False),
        (math.nan, False),
    ],
)
def test_weights_that_can_be_shared_out(weight: float, fine: bool) -> None:
    builder = Builder.create(power=4, replicas=1, min_part_hours=1)
    device = Device(id=-1, device="d", weight=weight)
    if fine:
        assert builder.add(device) == 0
    else:
        with pytest.raises(RingError, match="a weight must be 0, or between"):
            builder.add(device)
