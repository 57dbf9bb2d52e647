"""Several proxies over one cluster that is broken in places: clocks, networks, rings, nodes.

Everything in one process and in virtual time.  Reference part 5: container_failures,
object_handoff, stale_reads; faults T21, T26, T27, T28, B3.7, B3.9, B3.18.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.bodies import read_all
from swiftish.http.message import Bytes, Request, Response
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.runtime.tasks import Background
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster

T = TypeVar("T")
HASH_PATH = HashPath(prefix=b"", suffix=b"s")
HOUR = 3600.0


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


class Network:
    """What one proxy reaches of the cluster: all of it, but for some nodes or kinds of service."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self.down: set[tuple[Kind, str] | str] = set()

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        if node.device in self.down or (kind, node.device) in self.down:
            raise ConnectionRefusedError("nobody is there")
        return await self._cluster.send(kind, node, request)


class World:
    """A cluster of six devices, three replicas, and the rings as they are now."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(devices=6)
        self.ring = self.cluster.ring
        self.cache_clock = LoopClock()
        self.cache = MemoryCache(self.cache_clock)

    def proxy(self, *, ahead_s: float = 0.0) -> Proxy:
        return Proxy(self, ahead_s)

    def homes(self, kind: Kind, path: str) -> list[str]:
        """The primaries of a name, then the handoffs, by the ring as it is now."""
        partition = self.ring.partition(HASH_PATH(*path.split("/")))
        nodes = [*self.ring.primaries(partition), *self.ring.handoffs(partition)]
        return [node.device for node in nodes]

    def copies(self, path: str) -> list[bytes | None]:
        names = [node.names.get(("object", f"/{path}")) for node in self.cluster.nodes.values()]
        return [stored.data for stored in names if stored is not None]


class Proxy:
    """One proxy: its clock, its network, and a client of it."""

    def __init__(self, world: World, ahead_s: float) -> None:
        self.clock = LoopClock()
        self.clock.seconds += ahead_s
        self.network = Network(world.cluster)
        self.background = Background()

        def ring() -> Ring:
            return world.ring

        self.service = ProxyService(
            settings=ProxySettings(),
            limits=Limits(),
            policies=PolicySet((Policy(index=0, name="gold", default=True, replicas=3),)),
            hash_path=HASH_PATH,
            account_ring=ring,
            container_ring=ring,
            object_rings={0: ring},
            transport=self.network,
            cache=world.cache,
            clock=self.clock,
            background=self.background,
            tempauth=None,
        )

    async def ask(
        self, method: str, path: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        response = await self.service.handler(
            Request(
                method=method,
                path=f"/v1/{path}",
                headers={"content-length": str(len(data)), **(headers or {})},
                body=Bytes(data),
                context=ProxyContext(),
            )
        )
        found = await read_all(response.body, size_max=1 << 24)
        await response.body.aclose()
        return response.status, found

    async def status(self, method: str, path: str, data: bytes = b"") -> int:
        return (await self.ask(method, path, data))[0]

    async def newest(self, path: str) -> tuple[int, bytes]:
        return await self.ask("GET", path, headers={"x-newest": "true"})

    async def settle(self) -> None:
        await self.background.aclose(timeout_s=100_000)
        self.service.close()


# ---- clocks that are wrong -------------------------------------------------------------------


@pytest.mark.parametrize("expect", [{}, {"expect": "100-continue"}])
@pytest.mark.parametrize("number", range(4))
def test_t27_proxies_whose_clocks_differ_by_hours(
    number: int, expect: dict[str, str], seed: int
) -> None:
    """What a client does last counts, whichever proxies it uses: changes are ordered, and found at
    once; one node at a time may be down."""

    async def main() -> None:
        chance = random.Random(f"{seed} {number}")
        world = World()
        proxies = [world.proxy(ahead_s=each) for each in (0.0, HOUR, -HOUR)]
        assert await proxies[0].status("PUT", "a/c") == 201
        truth: bytes | None = None
        for step in range(60):
            down = chance.choice(list(world.cluster.nodes)) if chance.random() < 0.5 else ""
            proxy = chance.choice(proxies)
            proxy.network.down = {down}
            what = chance.choice(["PUT", "PUT", "POST", "DELETE"])
            if what == "PUT":
                truth = f"data of step {step}".encode()
                assert (await proxy.ask("PUT", "a/c/o", truth, expect))[0] == 201
            elif what == "POST":
                headers = {"x-object-meta-step": str(step)}
                status, _ = await proxy.ask("POST", "a/c/o", headers=headers)
                # One that missed a DELETE still has something: neither done nor nothing, 503.
                assert status in ((404, 503) if truth is None else (202,))
            else:
                assert await proxy.status("DELETE", "a/c/o") == (404 if truth is None else 204)
                truth = None
            proxy.network.down = set()
            await asyncio.sleep(chance.random())
            reader = chance.choice(proxies)
            assert await reader.newest("a/c/o") == ((200, truth) if truth else (404, ANY))
        world.cluster.replicate()
        assert set(world.copies("a/c/o")) == {truth}
        for proxy in proxies:
            await proxy.settle()

    run(main())


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY: Any = _Any()


def test_t27_access_rules_and_containers_of_proxies_whose_clocks_differ() -> None:
    """An ACL that is taken back is gone, and a container can be deleted and made again."""

    async def main() -> None:
        world = World()
        ahead, behind = world.proxy(ahead_s=HOUR), world.proxy(ahead_s=-HOUR)
        open_to_all = {"x-container-read": ".r:*"}
        assert (await ahead.ask("PUT", "a/c", headers=open_to_all))[0] == 201
        closed = {"x-container-read": ""}
        assert (await behind.ask("POST", "a/c", headers=closed))[0] == 204
        await behind.settle()
        for name in world.homes("container", "a/c")[:3]:
            stored = world.cluster.nodes[name].names["container", "/a/c"]
            assert stored.headers["x-container-read"] == ""
        for proxy in (behind, ahead, behind):
            assert await proxy.status("DELETE", "a/c") == 204
            assert await proxy.status("GET", "a/c") == 404
            assert await proxy.status("PUT", "a/c") == 201
            assert await proxy.status("GET", "a/c") == 204
        await ahead.settle()

    run(main())


# ---- a network that is split -------------------------------------------------------------------


@pytest.mark.parametrize("later", [0, 1])
def test_t26_both_sides_of_a_split_write_one_name(later: int) -> None:
    """Both are acknowledged; the newest is everywhere afterwards, and the other's bytes nowhere."""

    async def main() -> None:
        world = World()
        sides = [world.proxy(), world.proxy()]
        assert await sides[0].status("PUT", "a/c") == 201
        await sides[0].status("PUT", "a/c/o", b"before")
        homes = world.homes("object", "a/c/o")
        sides[0].network.down = {homes[2], homes[4], homes[5]}
        sides[1].network.down = {homes[0], homes[1], homes[3]}
        # What they know of the container they have asked before.
        for side in (sides[1 - later], sides[later]):
            assert await side.status("PUT", "a/c/o", b"side %d" % sides.index(side)) == 201
            await asyncio.sleep(1)
        for side in sides:
            assert (await side.newest("a/c/o"))[1] == b"side %d" % sides.index(side)
            side.network.down = set()
        world.cluster.replicate()
        await asyncio.sleep(100)
        assert set(world.copies("a/c/o")) == {b"side %d" % later}
        for side in sides:
            assert await side.ask("GET", "a/c/o") == (200, b"side %d" % later)
            await side.settle()

    run(main())


# ---- rings that change ---------------------------------------------------------------------------


def moved(ring: Ring, chance: random.Random) -> Ring:
    """A ring in which one replica of each partition is elsewhere, as a rebalance has it."""
    rows = [array("H", row) for row in ring.rows]
    for partition in range(ring.partitions):
        row = chance.randrange(len(rows))
        others = {each[partition] for each in rows}
        rows[row][partition] = chance.choice([n for n in range(6) if n not in others])
    return Ring(devices=ring.devices, rows=rows, power=ring.power, version=ring.version + 1)


@pytest.mark.parametrize("number", range(3))
def test_t28_rings_change_under_load(number: int, seed: int) -> None:
    """No read fails, and no change: what was written by the old ring is found by the new one."""

    async def main() -> None:
        chance = random.Random(f"{seed} {number}")
        world = World()
        proxies = [world.proxy() for _ in range(2)]
        assert await proxies[0].status("PUT", "a/c") == 201
        stop = asyncio.Event()

        async def client(name: str) -> int:
            truth: bytes | None = None
            steps = 0
            while not stop.is_set():
                proxy = chance.choice(proxies)
                if chance.random() < 0.3:
                    truth = f"{name} {steps}".encode() * chance.choice([1, 100])
                    assert await proxy.status("PUT", f"a/c/{name}", truth) == 201
                elif chance.random() < 0.1:
                    assert await proxy.status("DELETE", f"a/c/{name}") in (204, 404)
                    truth = None
                found = await chance.choice(proxies).ask("GET", f"a/c/{name}")
                assert found == ((200, truth) if truth is not None else (404, ANY))
                steps += 1
                await asyncio.sleep(chance.random())
            return steps

        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(client(f"o{n}")) for n in range(5)]
            for _ in range(10):
                await asyncio.sleep(10)
                world.cluster.replicate()  # one rebalance is digested before the next
                world.ring = moved(world.ring, chance)
            stop.set()
        assert sum(task.result() for task in clients) > 500
        for proxy in proxies:
            await proxy.settle()

    run(main())


# ---- nodes that are down (reference part 5) --------------------------------------------------


def test_container_failures_all_nodes_fail() -> None:
    """B3.18.  While what is known of the container is remembered, objects can be stored in it; a
    change of the container that fails makes it forgotten, and then nothing can."""

    async def main() -> None:
        world = World()
        proxy = world.proxy()
        assert await proxy.status("PUT", "a/c") == 201
        assert await proxy.status("PUT", "a/c/first", b"x") == 201
        proxy.network.down = {("container", name) for name in world.cluster.nodes}
        assert await proxy.status("GET", "a/c") == 503
        assert await proxy.status("PUT", "a/c/second", b"x") == 201
        assert await proxy.status("POST", "a/c") == 503
        assert await proxy.status("PUT", "a/c/third", b"x") == 503
        proxy.network.down = set()
        await asyncio.sleep(100)
        assert await proxy.status("PUT", "a/c/fourth", b"x") == 201
        await proxy.settle()

    run(main())


def test_container_failures_one_node_fails() -> None:
    """A container that was deleted while one of its nodes was down comes back with the next PUT,
    everywhere."""

    async def main() -> None:
        world = World()
        proxy = world.proxy()
        assert await proxy.status("PUT", "a/c") == 201
        homes = world.homes("container", "a/c")
        proxy.network.down = {homes[0], *homes[3:]}
        assert await proxy.status("DELETE", "a/c") == 204
        proxy.network.down = set()
        await asyncio.sleep(100)
        assert await proxy.status("PUT", "a/c") == 202  # one has heard of no deletion
        assert await proxy.status("PUT", "a/c/o", b"x") == 201
        await proxy.settle()
        world.cluster.replicate()
        assert await proxy.ask("GET", "a/c") == (200, b"o\n")

    run(main())


def test_t21_object_handoff() -> None:
    """Written past a primary that is down, read from the handoff alone, brought home; deleted past
    it, and not there again when it comes back with the old data."""

    async def main() -> None:
        world = World()
        proxy = world.proxy()
        assert await proxy.status("PUT", "a/c") == 201
        homes = world.homes("object", "a/c/o")
        proxy.network.down = {homes[0]}
        assert await proxy.status("PUT", "a/c/o", b"one") == 201
        assert ("object", "/a/c/o") in world.cluster.nodes[homes[3]].names
        # The services of the container are asked elsewhere: only the object's nodes are down.
        proxy.network.down = {("object", name) for name in homes[:3]}
        assert await proxy.ask("GET", "a/c/o") == (200, b"one")
        world.cluster.replicate()
        proxy.network.down = {("object", homes[0])}
        await asyncio.sleep(100)
        assert await proxy.status("DELETE", "a/c/o") == 204
        proxy.network.down = set()
        await asyncio.sleep(100)
        assert (await proxy.newest("a/c/o"))[0] == 404
        world.cluster.replicate()
        assert await proxy.status("GET", "a/c/o") == 404
        assert await proxy.status("PUT", "a/c/o", b"two") == 201
        assert await proxy.ask("GET", "a/c/o") == (200, b"two")
        await proxy.settle()

    run(main())


def test_stale_reads() -> None:
    """B3.9, T24.  A primary that missed a change may be read from, but not by who wants the newest;
    what is known to be deleted is not served from anywhere."""

    async def main() -> None:
        world = World()
        proxy = world.proxy()
        assert await proxy.status("PUT", "a/c") == 201
        assert await proxy.status("PUT", "a/c/o", b"old") == 201
        homes = world.homes("object", "a/c/o")
        proxy.network.down = {homes[0]}
        assert await proxy.status("PUT", "a/c/o", b"new") == 201
        proxy.network.down = set()
        await asyncio.sleep(100)
        found = {await proxy.ask("GET", "a/c/o") for _ in range(6)}
        assert found == {(200, b"old"), (200, b"new")}
        assert {await proxy.newest("a/c/o") for _ in range(3)} == {(200, b"new")}
        proxy.network.down = {homes[0]}
        assert await proxy.status("DELETE", "a/c/o") == 204
        proxy.network.down = set()
        await asyncio.sleep(100)
        assert (await proxy.newest("a/c/o"))[0] == 404
        await proxy.settle()

    run(main())


def test_t23_missing_primaries() -> None:
    """B3.7.  Primaries that do not answer are no evidence: 503.  Those that say that there is
    nothing are, when they are a majority."""

    async def main() -> None:
        world = World()
        proxy = world.proxy()
        assert await proxy.status("PUT", "a/c") == 201
        homes = world.homes("object", "a/c/o")
        expected = {1: 404, 2: 503, 3: 503}
        for count, status in expected.items():
            proxy.network.down = {("object", name) for name in homes[:count]}
            assert await proxy.status("GET", "a/c/o") == status
            await asyncio.sleep(100)
        await proxy.settle()

    run(main())
