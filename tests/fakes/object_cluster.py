"""Several object services, each on a device of its own, and a network between them that can fail.

Node n has the device `d<n>`, at port 6200 + n of the ring; a clock and a ring of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from swiftish.cluster.documents import packed
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.object.app import ObjectService
from swiftish.object.replicator import EVERYWHERE, ObjectReplicator, Scope
from swiftish.object.settings import ObjectSettings
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring, fixed
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import run_once
from tests.fakes.clock import EPOCH_S, FakeClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import small_ring

HASH_PATH = HashPath(prefix=b"", suffix=b"test")
PORT = 6200


class BreakingBody(Body):
    """A body whose sender is gone after so many bytes."""

    def __init__(self, source: Body, *, after: int) -> None:
        self.length = source.length
        self._source = source
        self._left = after

    async def read(self) -> bytes:
        piece = await self._source.read()
        if len(piece) > self._left:
            raise ConnectionResetError("the sender was killed")
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        await self._source.aclose()


@dataclass
class Network:
    """What goes wrong between nodes.  `cut` are pairs (from, to); `down` nodes answer nobody.

    `hanging` nodes never answer; `meddle` may change a request on its way, or answer it.  `asked`
    are all that arrived.
    """

    nodes: list[ClusterNode] = field(default_factory=list)
    cut: set[tuple[int, int]] = field(default_factory=set)
    down: set[int] = field(default_factory=set)
    hanging: set[int] = field(default_factory=set)
    meddle: Callable[[int, int, Request], Request | Response] | None = None
    asked: list[tuple[int, int, str]] = field(default_factory=list)

    async def send(self, source: int, kind: Kind, device: Device, request: Request) -> Response:
        if kind != "object":
            return plain(201, "")
        target = device.port - PORT
        if target in self.down or source in self.down or (source, target) in self.cut:
            raise ConnectionRefusedError(f"{source} cannot reach {target}")
        if self.meddle is not None:
            meddled = self.meddle(source, target, request)
            if isinstance(meddled, Response):
                return meddled
            request = meddled
        if target in self.hanging:
            await asyncio.Event().wait()
        self.asked.append((source, target, request.path.rpartition("/")[2]))
        return await self.nodes[target].service.handler(request)


@dataclass(frozen=True)
class Way:
    """The transport of one node."""

    network: Network
    number: int

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        return await self.network.send(self.number, kind, node, request)


class ClusterNode:
    """One node with one device."""

    def __init__(
        self,
        root: Path,
        number: int,
        network: Network,
        ring: Ring,
        *,
        settings: ObjectSettings,
        files: Files | None = None,
    ) -> None:
        self.number = number
        self.name = f"d{number}"
        self.ring = ring
        self.clock = FakeClock()
        self.path = root / f"n{number}" / self.name
        self.path.mkdir(parents=True, exist_ok=True)
        self.devices = Devices(self.path.parent, [self.name])
        self.background = Background()
        self.service = ObjectService(
            devices=self.devices,
            policies=PolicySet((Policy(index=0, name="gold", replicas=3, default=True),)),
            clock=self.clock,
            container_ring=fixed(ring),
            transport=Way(network, number),
            hash_path=HASH_PATH,
            background=self.background,
            settings=settings,
            files=files,
            object_rings={0: lambda: self.ring},
            here=Here({"object": [f"127.0.0.1:{PORT + number}"]}),
        )

    @property
    def device(self) -> LocalDevice:
        device = self.devices.get(self.name)
        assert device is not None
        return device

    @property
    def replicator(self) -> ObjectReplicator:
        """The one that runs all the time."""
        workers = self.service.workers
        return next(worker for worker in workers if isinstance(worker, ObjectReplicator))

    async def aclose(self) -> None:
        await self.background.aclose(timeout_s=10)
        self.service.close()
        self.devices.close()

    def __repr__(self) -> str:
        return f"<ClusterNode {self.name}>"


class ObjectCluster:
    """Nodes, and the words to say what happens to them."""

    def __init__(
        self,
        root: Path,
        *,
        nodes: int = 4,
        replicas: int = 3,
        power: int = 3,
        settings: ObjectSettings | None = None,
        files: Mapping[int, Files] | None = None,
    ) -> None:
        self.root = root
        self.ring = small_ring(devices=nodes, replicas=replicas, power=power)
        self.network = Network()
        self.settings = settings or ObjectSettings()
        self._files = files or {}
        for number in range(nodes):
            self.network.nodes.append(self._node(number))

    def _node(self, number: int) -> ClusterNode:
        return ClusterNode(
            self.root,
            number,
            self.network,
            self.ring,
            settings=self.settings,
            files=self._files.get(number),
        )

    @property
    def nodes(self) -> list[ClusterNode]:
        return self.network.nodes

    async def restart(self, number: int, *, clock_s: float | None = None) -> None:
        """The process ends, and another one begins."""
        old = self.nodes[number]
        await old.aclose()
        fresh = self.nodes[number] = self._node(number)
        fresh.ring = old.ring
        fresh.clock.seconds = old.clock.seconds if clock_s is None else clock_s

    def use(self, ring: Ring, *, on: list[int] | None = None) -> None:
        """All nodes, or some, get another ring."""
        for node in self.nodes:
            if on is None or node.number in on:
                node.ring = ring
        if on is None:
            self.ring = ring

    def move(self, seconds: float) -> None:
        for node in self.nodes:
            node.clock.move(seconds)

    # ---- objects ---------------------------------------------------------------------------------

    def partition(self, name: str = "o") -> int:
        return self.ring.partition(HASH_PATH("a", "c", name))

    def homes(self, name: str = "o") -> list[int]:
        """The nodes with the primaries, by the cluster's ring."""
        return [device.port - PORT for device in self.ring.primaries(self.partition(name))]

    def others(self, name: str = "o") -> list[int]:
        """The nodes with the handoffs, in order."""
        return [device.port - PORT for device in self.ring.handoffs(self.partition(name))]

    async def ask(
        self,
        number: int,
        method: str,
        name: str = "o",
        body: bytes = b"",
        *,
        at: float = 0.0,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Ask one node for /a/c/<name>, `at` seconds after the epoch of tests."""
        node = self.nodes[number]
        spelled = {key.replace("_", "-"): value for key, value in headers.items()}
        spelled["x-timestamp"] = Timestamp.from_seconds(EPOCH_S + at).internal
        path = f"/{node.name}/{self.partition(name)}/a/c/{name}"
        request = Request(method=method, path=path, headers=spelled, body=Bytes(body))
        async with await node.service.handler(request) as response:
            pieces = []
            while piece := await response.body.read():
                pieces.append(piece)
        return response.status, b"".join(pieces)

    async def put(
        self, where: list[int], name: str = "o", body: bytes = b"", *, at: float = 0.0, **more: str
    ) -> None:
        for number in where:
            status, text = await self.ask(number, "PUT", name, body, at=at, **more)
            assert status == 201, text

    async def tell(
        self,
        number: int,
        what: str,
        document: object = None,
        *,
        partition: int | None = None,
        policy: int = 0,
    ) -> tuple[int, bytes]:
        """Ask a node to REPLICATE, as somebody who sends what they like."""
        node = self.nodes[number]
        data = document if isinstance(document, bytes) else packed(document)
        path = f"/{node.name}/{self.partition() if partition is None else partition}/{what}"
        headers = {"x-backend-storage-policy-index": str(policy)}
        request = Request(method="REPLICATE", path=path, headers=headers, body=Bytes(data))
        async with await node.service.handler(request) as response:
            return response.status, await response.body.read()

    # ---- what is there ---------------------------------------------------------------------------

    def folder(self, number: int, name: str = "o") -> Path:
        digest = HASH_PATH("a", "c", name).hex()
        partition = str(self.partition(name))
        return self.nodes[number].path / "objects" / partition / digest[-3:] / digest

    def files(self, number: int, name: str = "o") -> dict[str, tuple[bytes, bytes]]:
        """The files of an object on a node: bytes and attributes by name."""
        folder = self.folder(number, name)
        if not folder.exists():
            return {}
        return {path.name: _all_of(path) for path in sorted(folder.iterdir())}

    def where(self, name: str = "o") -> list[int]:
        """The nodes that have any file of an object."""
        return [node.number for node in self.nodes if self.files(node.number, name)]

    def short(self, number: int, name: str = "o") -> list[str]:
        """The names of the files, without the seconds of the epoch: `+5.data`."""
        return [
            f"+{int(text.partition('.')[0]) - int(EPOCH_S)}.{text.rpartition('.')[2]}"
            for text in self.files(number, name)
        ]

    def quarantined(self, number: int) -> list[str]:
        folder = self.nodes[number].path / "quarantined"
        return sorted(path.name for path in folder.rglob("*") if path.is_file())

    # ---- workers ---------------------------------------------------------------------------------

    async def replicate(self, *numbers: int, scope: Scope = EVERYWHERE) -> None:
        """A pass of these nodes' replicators, or of all that are up, one after another."""
        for number in numbers or [n.number for n in self.nodes]:
            if number not in self.network.down:
                node = self.nodes[number]
                is_usual = scope == EVERYWHERE
                worker = node.replicator if is_usual else node.service.replication.replicator(scope)
                await run_once(worker)

    async def aclose(self) -> None:
        for node in self.nodes:
            await node.aclose()


def _all_of(path: Path) -> tuple[bytes, bytes]:
    names = [name for name in sorted(os.listxattr(path)) if name.startswith("user.")]
    return path.read_bytes(), b"".join(os.getxattr(path, name) for name in names)


def in_cluster(
    root: Path,
    scenario: Callable[[ObjectCluster], Awaitable[None]],
    *,
    nodes: int = 4,
    replicas: int = 3,
    settings: ObjectSettings | None = None,
    files: Mapping[int, Files] | None = None,
    real_threads: bool = False,
) -> None:
    """Run `scenario` in virtual time, where threads' work is done at once; or as it would be."""

    async def run() -> None:
        cluster = ObjectCluster(
            root, nodes=nodes, replicas=replicas, settings=settings, files=files
        )
        try:
            await scenario(cluster)
        finally:
            await cluster.aclose()

    if real_threads:
        asyncio.run(run())
    else:
        simulate(run())


def without(ring: Ring, *gone: int) -> Ring:
    """The ring with each place of these devices given to others, new to the partition."""
    rows = [list(row) for row in ring.rows]
    left = [device.id for device in ring.devices if device is not None and device.id not in gone]
    for partition in range(ring.partitions):
        for row in rows:
            if row[partition] in gone:
                taken = {other[partition] for other in rows}
                row[partition] = next(number for number in left if number not in taken)
    arrays = [type(ring.rows[0])(ring.rows[0].typecode, row) for row in rows]
    return replace(ring, rows=arrays, version=ring.version + 1)


def with_replicas(ring: Ring, count: int) -> Ring:
    """The ring with fewer replicas."""
    return replace(ring, rows=ring.rows[:count], version=ring.version + 1)
