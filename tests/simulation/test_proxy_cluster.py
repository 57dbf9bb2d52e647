"""A whole cluster in one process, in virtual time, with seeded faults.

Clients write, read and delete while nodes refuse, stall for an hour and die in the middle.  Then
all is healed and replicated, and what was acknowledged must be there.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from swiftish.cluster.downloader import DownloadBroken
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import KiB, Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.message import Body, Bytes, Request
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.ring import fixed
from swiftish.runtime.tasks import Background
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster, Faults

CLIENTS = 4
STEPS = 60


class Slow(Body):
    """A client's body, in pieces with pauses."""

    def __init__(self, data: bytes, chance: random.Random) -> None:
        self.length = len(data)
        self._data = data
        self._chance = chance

    async def read(self) -> bytes:
        await asyncio.sleep(self._chance.expovariate(10))
        size = self._chance.randrange(1, 100 * KiB)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


@dataclass
class History:
    """What one client did to one object: the state after each step, None for deleted."""

    states: list[bytes | None] = field(default_factory=lambda: [None])
    acknowledged: int = 0  # the last step that was


@dataclass
class Got:
    status: int
    headers: Mapping[str, str]
    data: bytes
    whole: bool


class World:
    """One proxy, five nodes, some clients."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = LoopClock()
        self.cluster = FakeCluster(devices=5, replicas=3, seed=seed)
        self.background = Background()
        self.seen: Counter[str] = Counter()
        ring = self.cluster.ring
        self.service = ProxyService(
            settings=ProxySettings(whole_body_size_max=64 * KiB),
            limits=Limits(),
            policies=PolicySet((Policy(index=0, name="gold", default=True, replicas=3),)),
            hash_path=HashPath(prefix=b"", suffix=b"s"),
            account_ring=fixed(ring),
            container_ring=fixed(ring),
            object_rings={0: fixed(ring)},
            transport=self.cluster,
            cache=MemoryCache(self.clock),
            clock=self.clock,
            background=self.background,
            tempauth=None,
        )

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Got:
        body = body or Bytes()
        response = await self.service.handler(
            Request(
                method=method,
                path=path,
                headers={"content-length": str(body.length), **(headers or {})},
                body=body,
                context=ProxyContext(),
            )
        )
        data, whole = b"", True
        async with response:
            try:
                while piece := await response.body.read():
                    data += piece
            except DownloadBroken:
                whole = False
        self.seen[f"{method} {response.status}{'' if whole else ' cut'}"] += 1
        return Got(response.status, response.headers, data, whole)

    def trouble(self) -> None:
        """Every node gets its own mixture of faults."""
        for node in self.cluster.nodes.values():
            worst = self.chance.choice([0.1, 0.5, 0.9])
            node.faults = Faults(
                refuse=worst * self.chance.random(),
                stall=worst * self.chance.random(),
                die=worst * self.chance.random(),
                delay_s=0.01,
            )

    async def client(self, number: int) -> tuple[str, History]:
        chance = random.Random(f"{self.chance.random()} {number}")
        path, history = f"/v1/a/c/o{number}", History()
        for step in range(1, STEPS):
            await asyncio.sleep(chance.expovariate(1))
            what = chance.choices(["put", "delete", "post", "get"], [4, 1, 1, 4])[0]
            if what == "get":
                newest = {"x-newest": "true"} if chance.random() < 0.3 else {}
                check_one_version(await self.ask("GET", path, newest), history)
            elif what == "post":
                await self.ask("POST", path, {"x-object-meta-step": str(step)})
            elif what == "delete":
                history.states.append(None)
                if (await self.ask("DELETE", path)).status in (204, 404):
                    history.acknowledged = len(history.states) - 1
            else:
                size = chance.choice([0, 10, 5_000, 300_000])
                data = (f"{path} {step} ".encode() * (size // 10 + 1))[: size + 16]
                history.states.append(data)
                expect = {"expect": "100-continue"} if chance.random() < 0.3 else {}
                put = await self.ask("PUT", path, expect, Slow(data, chance))
                assert put.status in (201, 503)
                if put.status == 201:
                    history.acknowledged = len(history.states) - 1
        return path, history


def check_one_version(got: Got, history: History) -> None:
    """I2: one GET is one version: these bytes, and the ETag of these bytes."""
    assert got.status in (200, 404, 503)
    if got.status != 200:
        return
    if got.whole:
        etag = hashlib.md5(got.data, usedforsecurity=False).hexdigest()
        assert got.headers["etag"] == etag
        assert got.data in history.states
    else:
        assert any(state is not None and state.startswith(got.data) for state in history.states)


async def scenario(seed: int) -> Counter[str]:
    world = World(seed)
    assert (await world.ask("PUT", "/v1/a/c")).status == 201
    world.trouble()
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(world.client(number)) for number in range(CLIENTS)]
    world.cluster.heal()
    await world.background.aclose(timeout_s=100_000)
    await world.cluster.settle()
    assert len(world.background) == 0
    # A quorum of copies was promised, so one disk may be lost before the replicators come.
    world.chance.choice(list(world.cluster.nodes.values())).names.clear()
    world.cluster.replicate()
    await asyncio.sleep(100)  # nodes are given another chance
    for path, history in (task.result() for task in clients):
        for newest in ({}, {"x-newest": "true"}):
            got = await world.ask("GET", path, newest)
            assert got.status in (200, 404)
            final = got.data if got.status == 200 else None
            # I1, I3: what was acknowledged last, or something that was tried after it.
            assert final in history.states[history.acknowledged :], path
    world.service.close()
    return world.seen


@pytest.mark.parametrize("number", range(20))
def test_acknowledged_changes_survive(number: int, seed: int) -> None:
    """I1: an acknowledged PUT stays readable.  I2: one GET is one version.  I3: newest wins."""
    seen = simulate(scenario(seed + number))
    assert seen["PUT 201"] + seen["PUT 503"] > STEPS


def test_the_same_seed_is_the_same_run() -> None:
    """What a seed shows can be shown again."""
    assert simulate(scenario(7)) == simulate(scenario(7))


def test_faults_do_happen() -> None:
    """Over some seeds every kind of trouble is met, or the others would prove nothing."""
    seen: Counter[str] = Counter()
    for seed in range(5):
        seen += simulate(scenario(seed))
    for what in ("PUT 201", "PUT 503", "GET 200", "GET 404", "GET 200 cut", "DELETE 204"):
        assert seen[what], seen
