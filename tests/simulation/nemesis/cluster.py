"""A whole cluster whose nodes can be killed, and the proxies that clients use, which can too."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from swiftish.cluster.client import UnexpectedStatus
from swiftish.cluster.transport import Transport
from swiftish.http.message import Body, Bytes, Handler, Request, Response
from swiftish.http.replies import Refusal
from swiftish.object.errors import ObjectError
from swiftish.ring.builder import Builder
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.whole_cluster import (
    PARTITION_POWER,
    ClusterSettings,
    NodeClock,
    Rings,
    StorageNode,
    WholeCluster,
)
from tests.simulation.nemesis.disks import Disk, FaultyFiles, Threads
from tests.simulation.nemesis.network import Call, Network, View

T = TypeVar("T")

# What faults make of requests, and workers let through (runtime/worker.py answers for them).
_EXPECTED = (OSError, Refusal, ObjectError, EnvironmentTrouble, UnexpectedStatus)


class NemesisNode(StorageNode):
    """A node that may die at any moment: its tasks are cancelled, its connections break."""

    def __init__(self, cluster: NemesisCluster, name: str, address: str) -> None:
        super().__init__(cluster, name, address)
        self.dead = False
        self.calls: set[Call] = set()
        self.disk = cluster.disks[cluster.root / name]
        self.device.threads = Threads(name, self.disk)
        self._serving: set[asyncio.Task[Any]] = set()
        self._working: list[asyncio.Task[None]] = []

    def serve(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Something for somebody else, as a task of this node."""
        task = asyncio.get_running_loop().create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task

    def begin_work(self, run: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
        """Start the workers, each in a task of its own."""
        loop = asyncio.get_running_loop()
        self._working = [loop.create_task(run(worker)) for worker in self.workers]

    async def end_work(self) -> None:
        """Wait for the workers, which have been told to stop."""
        if self._working:
            await asyncio.wait(self._working)

    async def die(self) -> None:
        """As by kill -9."""
        self.dead = True
        for call in list(self.calls):
            call.end()
        self.disk.die()
        while tasks := self._tasks():
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self.object._objects._clean = False  # it has not said that it ends
        self.account.close()
        self.container.close()
        self.object.close()
        self.proxy.close()
        self.devices.close()

    def _tasks(self) -> list[asyncio.Task[Any]]:
        running = [*self._working, *self._serving, *self.background._tasks]
        return [task for task in running if not task.done()]


class Gate:
    """A proxy that clients use."""

    def __init__(self, cluster: NemesisCluster, name: str) -> None:
        self.name = name
        self.clock = NodeClock(cluster.clock)
        self.background = Background()
        self.service = cluster.proxy_for(name, self.clock, self.background)
        self.dead = False
        self._serving: set[asyncio.Task[Any]] = set()

    async def ask(self, request: Request) -> Response:
        """A client's request.  Raises ConnectionResetError when the proxy dies meanwhile."""
        response = await self._run(_answer(self.service.handler, request))
        if isinstance(response.body, Bytes):
            return response
        return response.replace(body=_Served(self, response.body))

    async def read(self, body: Body) -> bytes:
        """The next piece of an answer."""
        return await self._run(_piece(body))

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self.dead:
            work.close()
            raise ConnectionRefusedError(f"{self.name} is down")
        task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work)
        self._serving.add(task)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._serving.discard(task)
        if task.cancelled():
            raise ConnectionResetError(f"{self.name} has died")
        return task.result()

    async def die(self) -> None:
        """As by kill -9."""
        self.dead = True
        running = [*self._serving, *self.background._tasks]
        while tasks := [task for task in running if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            running = [*self._serving, *self.background._tasks]
        self.service.close()

    async def aclose(self) -> None:
        await self.background.aclose(timeout_s=3600)
        self.service.close()


async def _answer(handler: Handler, request: Request) -> Response:
    return await handler(request)


async def _piece(body: Body) -> bytes:
    return await body.read()


class _Served(Body):
    """The body of an answer, which breaks when its proxy dies."""

    def __init__(self, gate: Gate, source: Body) -> None:
        self.length = source.length
        self._gate = gate
        self._source = source

    async def read(self) -> bytes:
        return await self._gate.read(self._source)

    async def aclose(self) -> None:
        await self._source.aclose()


class NemesisCluster(WholeCluster):
    """Nodes d0, d1, …: some of them are not in the ring at first.

    `intervals` are those of the workers, in seconds, by name.
    """

    nodes: dict[str, NemesisNode]  # type: ignore[assignment]

    def __init__(
        self,
        root: Path,
        *,
        devices: int,
        spare: int,
        gates: int,
        policies: int,
        chance: random.Random,
        settings: ClusterSettings,
        intervals: Mapping[str, float],
    ) -> None:
        self.chance = chance
        self.network = Network(random.Random(chance.random()))
        self.disks: dict[Path, Disk] = {}
        self.intervals = intervals
        self.unexpected: list[str] = []
        self._stopping = asyncio.Event()
        self._stopping.set()
        self.gates: dict[str, Gate] = {}
        self.old_rings: dict[str, Ring] = {}  # of nodes that have not got the newest
        self._disk_chance = random.Random(chance.random())
        super().__init__(root, devices=devices + spare, policies=policies, settings=settings)
        self.builder = Builder.create(power=PARTITION_POWER, replicas=3, min_part_hours=1)
        self.spare = [self._device(number) for number in range(devices, devices + spare)]
        for number in range(devices):
            self.builder.add(self._device(number))
        self.rebalance()
        self.object_rings = {index: lambda: self.ring for index in self.object_rings}
        self.account_ring = self.container_ring = lambda: self.ring
        self.gates = {f"p{number}": Gate(self, f"p{number}") for number in range(gates)}

    def _device(self, number: int) -> Device:
        device = self.ring.devices[number]
        assert device is not None
        return device

    def rebalance(self) -> None:
        """Make the ring that the builder wants."""
        self.builder.rebalance(seed=self.builder.version, now=self.clock.seconds + self._passed())
        self.ring = self.builder.ring()

    def _passed(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- what nodes are made of --------------------------------------------------------------

    def made_node(self, name: str, address: str) -> NemesisNode:
        return NemesisNode(self, name, address)

    def view(self, source: str) -> Transport:
        return View(self, source)

    def rings(self, source: str) -> Rings:
        newest = partial(self._ring_of, source)
        return Rings(newest, newest, dict.fromkeys((p.index for p in self.policies), newest))

    def _ring_of(self, source: str) -> Ring:
        return self.old_rings.get(source, self.ring)

    def files(self, source: str) -> Files:
        path = self.root / source
        old = self.disks.get(path)
        disk = self.disks[path] = Disk(self._disk_chance)
        if old is not None:
            disk.full = old.full
        return FaultyFiles(disk, partial(self._clock_of, source))

    def _clock_of(self, source: str) -> float:
        return self.nodes[source].clock.now()

    # ---- life and death ----------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """The node's processes are gone, until `start`."""
        if not self.nodes[name].dead:
            await self.nodes[name].die()

    def start(self, name: str) -> None:
        """Start a node that was killed."""
        old = self.nodes[name]
        assert old.dead
        fresh = self.nodes[name] = self.made_node(name, old.address)
        fresh.clock.seconds = old.clock.seconds
        if not self._stopping.is_set():
            fresh.begin_work(self._work_for_ever)

    async def restart_gate(self, name: str) -> None:
        """Kill a proxy, and start it again."""
        old = self.gates[name]
        await old.die()
        self.gates[name] = Gate(self, name)
        self.gates[name].clock.seconds = old.clock.seconds

    def wipe(self, name: str) -> None:
        """Put an empty disk in place of a dead node's."""
        assert self.nodes[name].dead
        shutil.rmtree(self.root / name)
        (self.root / name).mkdir()

    # ---- workers -----------------------------------------------------------------------------

    def begin_work(self) -> None:
        self._stopping.clear()
        for node in self.nodes.values():
            if not node.dead:
                node.begin_work(self._work_for_ever)

    async def end_work(self) -> None:
        """Wait until all workers have ended what they do."""
        self._stopping.set()
        for node in list(self.nodes.values()):
            await node.end_work()

    async def _work_for_ever(self, worker: Worker) -> None:
        interval_s = self.intervals.get(worker.name, self.intervals[""])
        share = self.chance.random()
        while not await self._stops_within(interval_s * share):
            await self.pass_of(worker)
            share = 0.5 + self.chance.random()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    async def pass_of(self, worker: Worker) -> None:
        """A pass; a worker that fails begins another one later."""
        try:
            await run_once(worker)
        except Exception as error:  # noqa: BLE001  (as run_forever does)
            self.worker_failed(worker, error)

    def worker_failed(self, worker: Worker, error: Exception) -> None:
        """What a worker raises: of interest only when it is nothing that faults explain."""
        if not is_expected(error):
            self.unexpected.append(f"{worker.name}: {error!r}")

    async def aclose(self) -> None:
        self.network.clear()
        for disk in self.disks.values():
            disk.answer()
        await self.end_work()
        for gate in self.gates.values():
            await gate.aclose()
        for name, node in self.nodes.items():
            if node.dead:
                self.start(name)
        await super().aclose()


def is_expected(error: BaseException) -> bool:
    """Whether faults of nodes and disks explain an exception."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_expected(each) for each in error.exceptions)
    return isinstance(error, _EXPECTED)
