"""A whole cluster in one process, in virtual time: real services on real (temporary) devices.

Every node is one device with an account, a container and an object service, the workers of all of
them, and a proxy of its own for what its workers ask of the cluster.  Clients have another proxy.
Only what is between them is not real: a request is a call, which a test can cut.

    async def scenario(cluster: WholeCluster) -> None:
        await cluster.ask("PUT", "/v1/a/c")
        cluster.cut("d1", "d2")
        assert (await cluster.ask("PUT", "/v1/a/c/o", b"x")).status == 503
        cluster.heal()
        await cluster.settle()

    run(device, scenario)
"""

from __future__ import annotations

import asyncio
import json
import shutil
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swiftish.account.app import AccountService
from swiftish.account.settings import AccountSettings
from swiftish.cluster.client import SwiftClient
from swiftish.cluster.direct import Direct
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind, Transport
from swiftish.container.app import ContainerService
from swiftish.container.settings import ContainerSettings
from swiftish.db.peers import Peers
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.errors import Bugs
from swiftish.http.message import Body, Bytes, Handler, Request, Response
from swiftish.http.replies import plain
from swiftish.object.app import ObjectService
from swiftish.object.settings import ObjectSettings
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring, RingSource, fixed
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import EPOCH_S, FakeClock
from tests.fakes.cluster_state import contents
from tests.fakes.inline_commits import inline_commits
from tests.fakes.loop import simulate

PARTITION_POWER = 3
HANGS_S = 3600.0
STEP_S = 61.0  # longer than anything is remembered: infos, failures of nodes
ROUNDS_MAX = 20


class NodeClock(FakeClock):
    """A node's clock: the cluster's, and how wrong it is."""

    def __init__(self, cluster: ClusterClock) -> None:
        super().__init__()
        self.seconds = 0.0  # ahead of the cluster's
        self._cluster = cluster

    def now(self) -> float:
        return self._cluster.now() + self.seconds


class ClusterClock(FakeClock):
    """The running loop's time, and however far it was moved."""

    def now(self) -> float:
        return self.seconds + asyncio.get_running_loop().time()


class UnsyncedFiles(Files):
    """The real calls, but that nothing is synced: no test of a whole cluster cuts the power."""

    @staticmethod
    def fsync(_: object) -> None:
        """Nothing."""

    @staticmethod
    def fdatasync(_: object) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What a test may choose of all nodes alike."""

    account: AccountSettings = field(default_factory=AccountSettings)
    container: ContainerSettings = field(default_factory=ContainerSettings)
    object: ObjectSettings = field(default_factory=ObjectSettings)
    proxy: ProxySettings = field(
        default_factory=lambda: ProxySettings(allow_account_management=True)
    )
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings as somebody in the cluster sees them."""

    account: RingSource
    container: RingSource
    objects: Mapping[int, RingSource]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  (whoever asked knows)
        return json.loads(self.body)


class _View:
    """The Transport of somebody in the cluster: who can be reached depends on who asks."""

    def __init__(self, cluster: WholeCluster, source: str) -> None:
        self._cluster = cluster
        self._source = source

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        cluster = self._cluster
        cluster.sent[kind, request.method] += 1
        if node.device in cluster.hanging and node.device != self._source:
            await asyncio.sleep(HANGS_S)
            return plain(503, "nobody has answered")
        if not cluster.reaches(self._source, node.device, kind):
            return plain(503, f"no way from {self._source} to {node.device}")
        return await cluster.nodes[node.device].handlers[kind](request)


class StorageNode:
    """One device and all that a node runs."""

    def __init__(self, cluster: WholeCluster, name: str, address: str) -> None:
        self.name = name
        self.address = address
        (cluster.root / name).mkdir(exist_ok=True)
        self.clock = NodeClock(cluster.clock)
        self.background = Background()
        self.devices = Devices(cluster.root, [name])
        settings, view, rings = cluster.settings, cluster.view(name), cluster.rings(name)
        self.here = here = Here({"account": [address], "container": [address], "object": [address]})
        self.proxy = cluster.proxy_for(name, self.clock, self.background)
        client = SwiftClient(self.proxy.internal, back_off_s=0.1)
        direct = cluster.direct_for(name)
        self.account = AccountService(
            devices=self.devices,
            policies=cluster.policies,
            clock=self.clock,
            limits=settings.limits,
            hash_path=cluster.hash_path,
            direct=direct,
            here=here,
            peers=Peers(kind="account", ring=rings.account, transport=view, here=here),
            settings=settings.account,
        )
        self.container = ContainerService(
            devices=self.devices,
            policies=cluster.policies,
            clock=self.clock,
            limits=settings.limits,
            account_ring=rings.account,
            transport=view,
            hash_path=cluster.hash_path,
            background=self.background,
            client=client,
            direct=direct,
            here=here,
            peers=Peers(kind="container", ring=rings.container, transport=view, here=here),
            settings=settings.container,
        )
        self.object = ObjectService(
            devices=self.devices,
            policies=cluster.policies,
            clock=self.clock,
            container_ring=rings.container,
            transport=view,
            hash_path=cluster.hash_path,
            background=self.background,
            settings=settings.object,
            files=cluster.files(name),
            object_rings=rings.objects,
            here=here,
            client=client,
            direct=direct,
        )
        self.handlers: dict[Kind, Handler] = {
            "account": Bugs(self.account.handler),
            "container": Bugs(self.container.handler),
            "object": Bugs(self.object.handler),
        }
        self.workers: Sequence[Worker] = [
            *self.account.workers,
            *self.container.workers,
            *self.object.workers,
        ]

    @property
    def device(self) -> LocalDevice:
        device = self.devices.get(self.name)
        assert device is not None
        return device

    def worker(self, name: str) -> Worker:
        return next(worker for worker in self.workers if worker.name == name)

    async def aclose(self) -> None:
        await self.background.aclose(timeout_s=2 * HANGS_S)
        self.account.close()
        self.container.close()
        self.object.close()
        self.proxy.close()
        self.devices.close()

    def __repr__(self) -> str:
        return f"<StorageNode {self.name}>"


class WholeCluster:
    """Nodes d0, d1, …, each of them one device; made by `run`.

    In the rings, replica r of partition p is on device (p + r) mod `devices`, in each further
    policy one device on.  `sent` counts the requests between nodes.
    """

    def __init__(
        self,
        root: Path,
        *,
        devices: int = 4,
        replicas: int = 3,
        policies: int = 2,
        settings: ClusterSettings | None = None,
    ) -> None:
        self.root = root
        self.settings = settings or ClusterSettings()
        self.clock = ClusterClock(EPOCH_S)
        self.hash_path = HashPath(prefix=b"", suffix=b"whole")
        self.policies = PolicySet(
            tuple(
                Policy(index=i, name=f"policy-{i}", default=i == 0, replicas=replicas)
                for i in range(policies)
            )
        )
        self.ring = _ring(devices, replicas)
        self.account_ring: RingSource = fixed(self.ring)
        self.container_ring: RingSource = fixed(self.ring)
        self.object_rings: Mapping[int, RingSource] = {
            i: fixed(_ring(devices, replicas, shift=i)) for i in range(policies)
        }
        self.sent: Counter[tuple[Kind, str]] = Counter()
        self.hanging: set[str] = set()
        self._cut: set[str] = set()
        self._stopped: set[tuple[str, Kind]] = set()
        self._parted: set[frozenset[str]] = set()
        self.nodes: dict[str, StorageNode] = {}
        for device in self.ring.devices:
            assert device is not None
            self.nodes[device.device] = self.made_node(device.device, device.address)
        self.background = Background()
        self.proxy = self.proxy_for("clients", self.clock, self.background)
        self.client = SwiftClient(self.proxy.internal, back_off_s=0.1)
        self.direct = self.direct_for("clients")

    def made_node(self, name: str, address: str) -> StorageNode:
        """A node whose processes have just begun."""
        return StorageNode(self, name, address)

    def view(self, source: str) -> Transport:
        """The network as it is from somewhere in the cluster."""
        return _View(self, source)

    def rings(self, source: str) -> Rings:
        """The rings that somebody in the cluster has."""
        return Rings(self.account_ring, self.container_ring, self.object_rings)

    def files(self, source: str) -> Files:
        """The system calls of a node's object service."""
        return UnsyncedFiles()

    def proxy_for(self, name: str, clock: FakeClock, background: Background) -> ProxyService:
        rings = self.rings(name)
        return ProxyService(
            settings=self.settings.proxy,
            limits=self.settings.limits,
            policies=self.policies,
            hash_path=self.hash_path,
            account_ring=rings.account,
            container_ring=rings.container,
            object_rings=rings.objects,
            transport=self.view(name),
            cache=MemoryCache(clock),
            clock=clock,
            background=background,
            tempauth=None,
        )

    def direct_for(self, name: str) -> Direct:
        rings = self.rings(name)
        return Direct(
            transport=self.view(name),
            account_ring=rings.account,
            container_ring=rings.container,
            object_rings=rings.objects,
            hash_path=self.hash_path,
        )

    async def aclose(self) -> None:
        self.heal()
        await self.background.aclose(timeout_s=2 * HANGS_S)
        for node in self.nodes.values():
            await node.aclose()
        self.proxy.close()

    # ---- clients ---------------------------------------------------------------------------

    async def ask(
        self,
        method: str,
        path: str,
        body: Body | bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        query: str = "",
    ) -> Answer:
        """A client's request, and the whole answer."""
        body = body if isinstance(body, Body) else Bytes(body)
        sent = {"content-length": str(body.length)} if method in ("PUT", "POST") else {}
        request = Request(
            method=method,
            path=path,
            query=query,
            headers={**sent, **(headers or {})},
            body=body,
            context=ProxyContext(),
        )
        async with await self.proxy.handler(request) as response:
            pieces = []
            while piece := await response.body.read():
                pieces.append(piece)
        return Answer(response.status, response.headers, b"".join(pieces))

    async def names(self, path: str) -> list[str]:
        """What a listing shows."""
        answer = await self.ask("GET", path, query="format=json")
        assert answer.status == 200, answer
        return [row["name"] for row in answer.json]

    # ---- trouble ---------------------------------------------------------------------------

    def cut(self, *names: str) -> None:
        """Nobody reaches these nodes, and they reach nobody else."""
        self._cut.update(names)

    def stop(self, kind: Kind, *names: str) -> None:
        """That service of these nodes answers nobody, but itself."""
        self._stopped.update((name, kind) for name in names)

    def part(self, some: Iterable[str], others: Iterable[str]) -> None:
        """These do not reach those, nor the other way round; `clients` is where clients are."""
        theirs = list(others)
        self._parted.update(frozenset((a, b)) for a in some for b in theirs)

    def hang(self, *names: str) -> None:
        """These nodes take requests and do not answer."""
        self.hanging.update(names)

    def heal(self, *names: str) -> None:
        """All is well again, with these nodes or with all."""
        healed = set(names) or set(self.nodes)
        self._cut -= healed
        self.hanging -= healed
        self._stopped = {service for service in self._stopped if service[0] not in healed}
        if not names:
            self._parted.clear()

    async def restart(self, name: str, *, lost: str = "") -> None:
        """End a node's processes and start them again; meanwhile what matches `lost` has gone."""
        old = self.nodes[name]
        await old.aclose()
        for path in old.device.path.glob(lost) if lost else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.nodes[name] = self.made_node(name, old.address)
        self.nodes[name].clock.move(old.clock.seconds)

    def reaches(self, source: str, target: str, kind: Kind) -> bool:
        """Whether a request gets there."""
        if source == target:
            return True
        if source in self._cut or target in self._cut or (target, kind) in self._stopped:
            return False
        return frozenset((source, target)) not in self._parted

    def primaries(self, path: str, *, policy: int | None = None) -> list[str]:
        """The nodes of `/account[/container[/object]]`: of its object's in a policy, where one is
        given."""
        ring = self.ring if policy is None else self.object_rings[policy]()
        names = path.removeprefix("/").split("/", 2)
        return [d.device for d in ring.primaries(ring.partition(self.hash_path(*names)))]

    def handoffs(self, path: str, *, policy: int | None = None) -> list[str]:
        """The other nodes."""
        mine = self.primaries(path, policy=policy)
        return [name for name in self.nodes if name not in mine]

    # ---- time and work ---------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        await asyncio.sleep(seconds)

    async def quiet(self) -> None:
        """Wait until nothing is going on by itself any more."""
        for background in (self.background, *(node.background for node in self.nodes.values())):
            await background.aclose(timeout_s=2 * HANGS_S)

    async def run(self, *names: str, on: Iterable[str] | None = None) -> None:
        """One pass of each of these workers, on all nodes or on some."""
        for name in names:
            for node in on or self.nodes:
                await run_once(self.nodes[node].worker(name))
        await self.quiet()

    async def settle(self, *, without: Iterable[str] = ()) -> None:
        """Passes of all workers on all nodes, until nothing changes any more."""
        left_out = set(without)
        before: object = None
        for _ in range(ROUNDS_MAX):
            await self.advance(STEP_S)
            for node in self.nodes.values():
                for worker in node.workers:
                    if worker.name not in left_out:
                        await run_once(worker)
            await self.quiet()
            after = await contents(self)
            if after == before:
                return
            before = after
        raise AssertionError(f"the cluster does not settle in {ROUNDS_MAX} rounds")


def run(
    root: Path,
    scenario: Callable[[WholeCluster], Awaitable[None]],
    *,
    devices: int = 4,
    replicas: int = 3,
    policies: int = 2,
    settings: ClusterSettings | None = None,
) -> None:
    """Run `scenario` on a fresh cluster below `root`, in virtual time."""

    async def main() -> None:
        cluster = WholeCluster(
            root, devices=devices, replicas=replicas, policies=policies, settings=settings
        )
        try:
            await scenario(cluster)
        finally:
            await cluster.aclose()

    with inline_commits():
        simulate(main())


def _ring(devices: int, replicas: int, *, shift: int = 0) -> Ring:
    partitions = range(1 << PARTITION_POWER)
    return Ring(
        devices=[Device(id=n, device=f"d{n}", port=6200 + n, zone=n) for n in range(devices)],
        rows=[array("H", ((p + r + shift) % devices for p in partitions)) for r in range(replicas)],
        power=PARTITION_POWER,
    )
