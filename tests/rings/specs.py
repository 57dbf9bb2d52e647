"""Random builders: what both builders are told to do, step by step."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swiftish.ring.builder import Builder
from swiftish.ring.device import from_document

Step = tuple[Any, ...]

LARGE_ID = 65_600  # of two bytes no more


class Oracle(Protocol):
    """Swift's code; an error there is an AssertionError here."""

    def __call__(self, what: str, **arguments: object) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Spec:
    power: int
    replicas: float
    min_part_hours: int
    steps: Sequence[Step]

    def document(self) -> dict[str, Any]:
        return vars(self)


def random_spec(chance: random.Random, *, large_ids: bool = False) -> Spec:
    """Uneven in every way: regions, zones, hosts, weights, replicas; rebalanced a few times."""
    power = chance.choice([4, 5, 5, 6, 6, 7, 7, 8, 9])
    replicas = chance.choice([1, 2, 3, 3, 3, 4, 5, 6, chance.randrange(8, 24) / 8])
    count = math.ceil(replicas) + chance.randrange(2, 18)
    numbers = list(range(count))
    if large_ids:
        numbers = sorted(chance.sample(range(LARGE_ID), count // 2)) + [
            LARGE_ID + number for number in range(count - count // 2)
        ]
    steps: list[Step] = [("add", _device(chance, number)) for number in numbers]
    steps += [("overload", chance.choice([0, 0, 0.1, 0.5])), ("rebalance", 1)]
    steps += _changes(chance, numbers, math.ceil(replicas))
    steps += chance.choice([[], [], [], POWER_STEPS[:1], POWER_STEPS[:2], POWER_STEPS, CANCEL])
    hours = chance.choice([0, 1, 24])
    return Spec(power=power, replicas=replicas, min_part_hours=hours, steps=steps)


POWER_STEPS: list[Step] = [("prepare",), ("increase",), ("finish",)]
CANCEL: list[Step] = [("prepare",), ("cancel",)]


def _device(chance: random.Random, number: int) -> dict[str, Any]:
    region, zone = chance.choice([1, 1, 2, 3]), chance.choice([1, 1, 2, 7])
    host = f"10.{region}.{zone}.{chance.choice([1, 1, 2, 3])}"
    return {
        "id": number,
        "region": region,
        "zone": zone,
        "ip": host,
        "port": 6200,
        "device": f"d{number}",
        "weight": chance.choice([100.0, 100.0, 50.0, 0.5, chance.uniform(1, 300)]),
        "meta": chance.choice(["", "", "rack 7", "Gehäuse"]),
        "replication_ip": chance.choice([host, "10.9.9.9"]),
        "replication_port": chance.choice([6200, 6300]),
    }


def _changes(chance: random.Random, numbers: list[int], needed: int) -> list[Step]:
    """Removals, weights and more rebalances; as many devices as replicas always stay."""
    steps: list[Step] = []
    left = list(numbers)
    chance.shuffle(left)
    for seed in range(2, 2 + chance.choice([0, 0, 1, 2, 3])):
        if len(left) > needed and chance.random() < 0.7:
            steps.append(("remove", left.pop()))
        if len(left) > needed and chance.random() < 0.3:
            steps.append(("weight", left.pop(), chance.choice([0.0, 500.0])))
        if chance.random() < 0.7:
            steps.append(("pretend",))
        steps.append(("rebalance", seed))
    return steps


def built_by_us(spec: Spec) -> Builder:
    """Does with our builder what the steps say."""
    builder = Builder.create(
        power=spec.power, replicas=spec.replicas, min_part_hours=spec.min_part_hours
    )
    steps: dict[str, Callable[..., object]] = {
        "add": lambda document: builder.add(from_document(document)),
        "remove": builder.remove,
        "weight": builder.set_weight,
        "replicas": builder.set_replicas,
        "overload": builder.set_overload,
        "rebalance": lambda seed: builder.rebalance(seed=seed, now=1_700_000_000.0),
        "pretend": builder.pretend_min_part_hours_passed,
        "prepare": builder.prepare_power_increase,
        "increase": builder.increase_power,
        "cancel": builder.cancel_power_increase,
        "finish": builder.finish_power_increase,
    }
    for name, *arguments in spec.steps:
        steps[name](*arguments)
    return builder
