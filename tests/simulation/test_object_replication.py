"""Object replicators through histories of chance: nodes down and cut off, rings that change and
differ, copies cut short.  Afterwards every object is what the newest change of each kind made it,
at its primaries, to the byte, and nowhere else."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from swiftish.http.message import Request
from swiftish.object.hashdir import judge
from swiftish.ring.ring import Ring
from tests.fakes.object_cluster import BreakingBody, ObjectCluster, in_cluster

NODES = 6
STEPS = 120
NAMES = [f"o{n}" for n in range(5)]


def some_ring(ring: Ring, chance: random.Random) -> Ring:
    """Three or two devices for each partition, most of them those of the ring."""
    rows = [list(row) for row in ring.rows]
    for partition in range(ring.partitions):
        if chance.random() < 0.5:
            taken = {row[partition] for row in rows}
            free = [number for number in range(NODES) if number not in taken]
            chance.choice(rows)[partition] = chance.choice(free)
    return replace(ring, rows=[array("H", row) for row in rows], version=ring.version + 1)


class History:
    """What happens to a cluster, and what must have come of it in the end."""

    def __init__(self, cluster: ObjectCluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.chance = chance
        self.written: dict[str, set[str]] = {name: set() for name in NAMES}
        self.moment = 0

    async def change(self) -> None:
        """A change of an object reaches some of the nodes that it may reach."""
        cluster, chance = self.cluster, self.chance
        name = chance.choice(NAMES)
        up = [n for n in (*cluster.homes(name), *cluster.others(name)) if self.is_up(n)]
        method = chance.choice(["PUT", "PUT", "PUT", "POST", "DELETE"])
        self.moment += chance.choice([0, 1, 1, 1])  # clocks of proxies may agree
        at = (self.moment + chance.choice([0, 0, -3])) / 10
        body = chance.randbytes(chance.choice([0, 10, 5000, 400_000])) if method == "PUT" else b""
        headers = {"content_type": chance.choice(["a/b", "c/d"])} if chance.random() < 0.5 else {}
        for number in chance.sample(up, min(len(up), chance.choice([1, 2, 3]))):
            before = set(cluster.files(number, name))
            await cluster.ask(number, method, name, body, at=at, **headers)
            self.written[name] |= before | set(cluster.files(number, name))

    def is_up(self, number: int) -> bool:
        return number not in self.cluster.network.down

    async def step(self) -> None:
        cluster, chance, network = self.cluster, self.chance, self.cluster.network
        what = chance.random()
        if what < 0.5:
            await self.change()
        elif what < 0.75:
            await cluster.replicate(chance.randrange(NODES))
        elif what < 0.8:
            network.down = set(chance.sample(range(NODES), chance.choice([0, 0, 1, 2])))
        elif what < 0.85:
            pairs = [(a, b) for a in range(NODES) for b in range(NODES)]
            network.cut = set(chance.sample(pairs, chance.choice([0, 0, 3, 12])))
        elif what < 0.9:
            device = cluster.nodes[chance.randrange(NODES)].device
            device.suspend("pulled out") if chance.random() < 0.5 else device.resume()
        elif what < 0.95:
            ring = some_ring(cluster.ring, chance)
            some = chance.sample(range(NODES), chance.randrange(NODES))
            cluster.use(ring, on=some if chance.random() < 0.5 else None)
        else:
            network.meddle = self.cut_short if chance.random() < 0.5 else None

    def cut_short(self, _source: int, _target: int, request: Request) -> Request:
        if self.chance.random() < 0.3 and request.path.endswith(("/file", "/files", "/offer")):
            length = request.body.length or 0
            after = self.chance.randrange(length + 1)
            return request.replace(body=BreakingBody(request.body, after=after))
        return request

    async def heal(self) -> None:
        network = self.cluster.network
        network.down, network.cut, network.meddle = set(), set(), None
        for node in self.cluster.nodes:
            node.device.resume()
        self.cluster.use(self.cluster.ring)
        for _ in range(4):
            await self.cluster.replicate()

    def check(self) -> None:
        cluster = self.cluster
        for name in NAMES:
            homes = cluster.homes(name)
            copies = [cluster.files(number, name) for number in homes]
            state = judge(self.written[name])
            expected = sorted(file.text for file in state.winners)
            assert [sorted(copy) for copy in copies] == [expected] * len(homes), name
            assert all(copy == copies[0] for copy in copies), name
            assert cluster.where(name) == (sorted(homes) if expected else []), name
        for node in cluster.nodes:
            assert not cluster.quarantined(node.number)
            worker = node.replicator
            assert worker.safety is not None
            assert (worker.safety.objects_below, worker.safety.partitions_unheard) == (0, 0)


@pytest.mark.parametrize("number", range(10))
def test_any_history(device: Path, seed: int, number: int) -> None:
    """T21, T26, T30, T35, I3, I5, together."""

    async def scenario(cluster: ObjectCluster) -> None:
        history = History(cluster, random.Random(seed + number))
        for _ in range(STEPS):
            await history.step()
        await history.heal()
        history.check()

    in_cluster(device, scenario, nodes=NODES)
