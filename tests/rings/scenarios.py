"""Random lives of clusters: made, grown, shrunk, drained, with weights and replicas that change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Change = tuple[Any, ...]

REPLICAS = (1, 2, 3, 3, 3, 4, 5, 6, 1.5, 2.25, 2.5, 3.2, 3.75, 5.5)
KINDS = ("host", "zone", "lose", "weights", "drain", "replicas", "mixed", "lose host")


@dataclass(kw_only=True)
class Scenario:
    """`steps`: the changes before each rebalance; the first makes the cluster."""

    power: int
    replicas: float
    steps: Sequence[Sequence[Change]]


@dataclass(kw_only=True)
class _Cluster:
    """What is there while a scenario is made up."""

    chance: random.Random
    even: bool
    scale: float
    zones: list[tuple[int, int]]
    weights: dict[int, float] = field(default_factory=dict)
    hosts: dict[int, str] = field(default_factory=dict)
    next_id: int = 0

    def host(self, region: int, zone: int) -> list[Change]:
        """A new host with one to six disks."""
        chance = self.chance
        ip = f"10.{region}.{zone}.{chance.randint(1, 250)}"
        changes: list[Change] = []
        for _ in range(chance.choice([1, 1, 2, 3, 4, 6])):
            number, self.next_id = self.next_id, self.next_id + 1
            shares = [1, 1, 1, 2, 0.5, 1.5, chance.uniform(0.2, 3)]
            weight = 100.0 if self.even else float(self.scale * chance.choice(shares))
            self.weights[number], self.hosts[number] = weight, ip
            where = {"region": region, "zone": zone, "ip": ip, "port": 6200}
            changes.append(
                ("add", {"id": number, "device": f"d{number}", "weight": weight, **where})
            )
        return changes

    def lose(self, numbers: Sequence[int], *, replicas: float) -> list[Change]:
        if len(self.weights) - len(numbers) < max(replicas + 1, 3):
            return []
        for number in numbers:
            del self.weights[number]
        return [("remove", number) for number in numbers]

    def reweigh(self) -> list[Change]:
        chance = self.chance
        some = chance.sample(sorted(self.weights), min(len(self.weights), chance.choice([1, 2, 4])))
        for number in some:
            self.weights[number] *= chance.choice([0.5, 0.8, 1.1, 1.25, 2])
        return [("weight", number, self.weights[number]) for number in some]


def random_scenario(seed: int) -> Scenario:
    """Regions and zones of unequal size, unequal weights, one to six replicas and fractions."""
    chance = random.Random(seed)
    replicas = chance.choice(REPLICAS)
    zones = [
        (region, zone)
        for region in range(1, chance.choice([1, 1, 2, 2, 3]) + 1)
        for zone in range(1, chance.choice([1, 2, 3, 4]) + 1)
    ]
    cluster = _Cluster(
        chance=chance,
        even=chance.random() < 0.3,
        scale=chance.choice([1, 100, 4000]),
        zones=zones,
    )
    first: list[Change] = [("overload", chance.choice([0, 0, 0, 0.1, 0.25, 1.0]))]
    for zone in zones:
        for _ in range(chance.choice([1, 1, 2, 3, 4])):
            first += cluster.host(*zone)
    while len(cluster.weights) < max(3, replicas * 1.3 + 1):
        first += cluster.host(*chance.choice(zones))
    steps, now = [first], replicas
    for _ in range(chance.choice([2, 3, 4, 5])):
        changes, now = _changes(cluster, now)
        if changes:
            steps.append(changes)
    return Scenario(power=chance.choice([6, 7, 8, 8, 9]), replicas=replicas, steps=steps)


def _changes(cluster: _Cluster, replicas: float) -> tuple[list[Change], float]:
    """One step in a cluster's life, and how many replicas there are after it."""
    chance, kind = cluster.chance, cluster.chance.choice(KINDS)
    changes: list[Change] = []
    if kind in {"host", "mixed"}:
        changes += cluster.host(*chance.choice(cluster.zones))
    if kind == "zone":
        zone = chance.choice(cluster.zones)[0], chance.randint(1, 6)
        cluster.zones.append(zone)
        changes += cluster.host(*zone) + cluster.host(*zone)
    if kind in {"lose", "mixed"}:
        changes += cluster.lose([chance.choice(sorted(cluster.weights))], replicas=replicas)
    if kind in {"weights", "mixed"}:
        changes += cluster.reweigh()
    if kind == "lose host":
        ip = chance.choice(sorted({cluster.hosts[number] for number in cluster.weights}))
        there = [number for number in cluster.weights if cluster.hosts[number] == ip]
        changes += cluster.lose(there, replicas=replicas)
    if kind == "drain":
        gone = cluster.lose([chance.choice(sorted(cluster.weights))], replicas=replicas)
        changes += [("weight", number, 0.0) for _, number in gone]
    if kind == "replicas":
        wanted = replicas + chance.choice([1, -1, 0.5, -0.25])
        if 1 <= wanted <= 6 and wanted + 1 <= len(cluster.weights):
            return [("replicas", wanted)], wanted
    return changes, replicas
