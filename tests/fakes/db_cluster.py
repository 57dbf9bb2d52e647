"""Some nodes with account and container servers, real ones, that reach each other by calls.

Each node has a device of its own.  A node may be down, its device gone (507), or two nodes cut off
from each other; each may have another ring than the others.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from swiftish.account.app import AccountService
from swiftish.account.replicator import AccountReplicator
from swiftish.account.schema import SCHEMA as ACCOUNT_SCHEMA
from swiftish.account.settings import AccountSettings
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind
from swiftish.container import broker
from swiftish.container.app import ContainerService
from swiftish.container.broker import RowChange
from swiftish.container.replicator import ContainerReplicator
from swiftish.container.schema import SCHEMA as CONTAINER_SCHEMA
from swiftish.container.settings import ContainerSettings
from swiftish.container.updater import ContainerUpdater
from swiftish.db import heads, row_table
from swiftish.db.heads import HEADS, Head
from swiftish.db.peers import Peers
from swiftish.db.schema import Schema
from swiftish.db.settings import ReplicatorSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.rows import ObjectRow
from swiftish.domain.timestamp import Timestamp
from swiftish.http.errors import Bugs
from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.clock import FakeClock

HASH_PATH = HashPath(prefix=b"p", suffix=b"s")
POLICIES = PolicySet(
    (Policy(index=0, name="gold", default=True), Policy(index=2, name="silver", replicas=2))
)
# Small, so that little is enough to make several of each.
SETTINGS = ReplicatorSettings(batch=3, databases_per_second=0, rows_per_second=0)


class Kept(NamedTuple):
    """A database, without what is each environment's own."""

    head: Head
    by_policy: Mapping[int, Sequence[int]]
    rows: Mapping[tuple[int, bytes], Any]


def ring_of(devices: Sequence[Device | None], rows: Sequence[Sequence[int]]) -> Ring:
    power = len(rows[0]).bit_length() - 1
    return Ring(devices=devices, rows=[array("H", row) for row in rows], power=power)


class Node:
    """The servers of one node, and its device's folder, which outlives them."""

    def __init__(self, cluster: Cluster, device: Device) -> None:
        self.device = device
        self.name = device.device
        self.is_down = False
        self.is_gone = False  # its device: 507
        self.ring = cluster.ring
        self.requests: list[tuple[Kind, Request]] = []
        self.folder = cluster.root / self.name / self.name
        self.folder.mkdir(parents=True)
        self._cluster = cluster
        self.start()

    def start(self) -> None:
        cluster, clock = self._cluster, self._cluster.clock
        self.devices = Devices(self.folder.parent, [self.name])
        self.background = Background()
        here = Here({"account": [self.device.address], "container": [self.device.address]})

        def peers(kind: Kind) -> Peers:
            return Peers(kind=kind, ring=lambda: self.ring, here=here, transport=self)

        self.account = AccountService(
            devices=self.devices,
            policies=POLICIES,
            clock=clock,
            limits=Limits(),
            hash_path=HASH_PATH,
            here=here,
            peers=peers("account"),
            settings=AccountSettings(replicator=cluster.settings),
        )
        self.container = ContainerService(
            devices=self.devices,
            policies=POLICIES,
            clock=clock,
            limits=Limits(),
            account_ring=lambda: self.ring,
            transport=self,
            hash_path=HASH_PATH,
            background=self.background,
            here=here,
            peers=peers("container"),
            settings=ContainerSettings(replicator=cluster.settings),
        )
        self.handlers: dict[Kind, Handler] = {
            "account": Bugs(self.account.handler),
            "container": Bugs(self.container.handler),
        }

    @property
    def local(self) -> LocalDevice:
        (device,) = self.devices
        return device

    def worker(self, kind: type[Worker]) -> Any:  # noqa: ANN401  (one of three)
        workers = (*self.account.workers, *self.container.workers)
        return next(worker for worker in workers if isinstance(worker, kind))

    async def stop(self) -> None:
        await self.background.aclose(timeout_s=1)
        self.account.close()
        self.container.close()
        self.devices.close()

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """The transport of this node."""
        other = self._cluster.nodes.get(node.device)
        if other is None or other.is_down or {self.name, other.name} in self._cluster.cuts:
            return plain(503, "no answer")
        return await other.answer(kind, request)

    async def answer(self, kind: Kind, request: Request) -> Response:
        if self.is_gone:
            return plain(507, "no device")
        self.requests.append((kind, request))
        return await self.handlers[kind](request)

    async def ask(self, kind: Kind, method: str, path: str, **headers: str) -> Response:
        """A request past all proxies, for the device of this node."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, path=f"/{self.name}/0/{path}", headers=named)
        return await self.answer(kind, request)

    async def put_row(self, path: str, at: str, size: int = 1, policy: int = 0) -> int:
        headers = {"x_size": str(size), "x_etag": "e", "x_content_type": "text/plain"}
        headers["x_backend_storage_policy_index"] = str(policy)
        return (await self.ask("container", "PUT", path, x_timestamp=at, **headers)).status

    async def names(self, kind: Kind, path: str) -> list[str] | int:
        """The listing, or the status of what is no listing."""
        response = await self.ask(kind, "GET", path)
        if response.status != 200:
            return response.status
        assert isinstance(response.body, Bytes)
        return [entry["name"] for entry in json.loads(response.body.take())]

    async def fill(self, account: str, container: str, names: Sequence[bytes]) -> None:
        """Many rows at once."""
        digest, at = HASH_PATH(account, container), Timestamp.from_seconds(20)
        row = ObjectRow(at, 1, "e", False, "text/plain", at, at)

        def work(writer: Writer) -> None:
            for name in names:
                change = RowChange(digest=digest, name=name, policy_index=0, row=row)
                broker.merge_row(writer, change)

        await self.container._pool.commit(self.local, work)

    async def kept(self, kind: Kind) -> dict[str, Kept]:
        """All databases, with their rows and tombstones."""
        service = self.account if kind == "account" else self.container
        schema: Schema[Any] = ACCOUNT_SCHEMA if kind == "account" else CONTAINER_SCHEMA
        pool = service._pool
        return await pool.read(self.local, lambda reader: dict(kept_of(reader, schema)))


def kept_of(reader: Reader, schema: Schema[Any]) -> Iterator[tuple[str, Kept]]:
    for digest, _ in reader.scan(HEADS):
        head = heads.find(reader, digest)
        assert head is not None
        totals = heads.find_totals(reader, head.id)
        rows = {}
        sums: dict[int, list[int]] = {}
        for number, policy, name, stored in row_table.changes_since(reader, head.id, 0):
            rows[policy, name], known = schema.decode(stored)
            assert number == known <= totals.sequence
            if counted := schema.counts(rows[policy, name], policy):
                index, amounts = counted
                sums[index] = [
                    a + b for a, b in zip(sums.get(index, [0] * 3), amounts, strict=False)
                ]
        by_policy = {policy: each for policy, each in totals.by_policy.items() if any(each)}
        assert by_policy == {policy: each for policy, each in sums.items() if any(each)}
        head.id = 0
        yield f"{head.account}/{head.container}".rstrip("/"), Kept(head, by_policy, rows)


class Cluster:
    """`replicas` of each partition on `size` nodes; partition p begins at node p mod `size`."""

    def __init__(
        self, root: Path, *, size: int, replicas: int, power: int, settings: ReplicatorSettings
    ) -> None:
        self.root = root
        self.settings = settings
        self.clock = FakeClock(10_000.0)  # so that small timestamps are not old
        self.devices = [Device(id=n, device=f"d{n}", port=6000 + n, zone=n) for n in range(size)]
        self.power = power
        self.ring = self.ring_with(replicas)
        self.cuts: list[set[str]] = []
        self.nodes = {device.device: Node(self, device) for device in self.devices}

    def ring_with(self, replicas: int, *, first: int = 0) -> Ring:
        """Another ring of the same devices: partition p begins at node p + `first`."""
        size = len(self.devices)
        parts = range(1 << self.power)
        rows = [[(p + r + first) % size for p in parts] for r in range(replicas)]
        return ring_of(self.devices, rows)

    def use(self, ring: Ring) -> None:
        """All nodes have it from now on."""
        self.ring = ring
        for node in self.nodes.values():
            node.ring = ring

    def primaries(self, account: str, container: str | None = None) -> list[Node]:
        digest = HASH_PATH(account, container)
        return [
            self.nodes[device.device] for device in self.ring.primaries(self.ring.partition(digest))
        ]

    def handoffs(self, account: str, container: str | None = None) -> list[Node]:
        primaries = self.primaries(account, container)
        return [node for node in self.nodes.values() if node not in primaries]

    async def make(
        self, path: str, at: str = "10", *, on: Sequence[Node] | None = None, policy: int = 0
    ) -> None:
        """Make an account or a container, on its primaries or elsewhere."""
        account, _, container = path.partition("/")
        kind: Kind = "container" if container else "account"
        headers = {"x_timestamp": at}
        if container:
            headers["x_backend_storage_policy_index"] = str(policy)
        for node in self.primaries(account, container or None) if on is None else on:
            assert (await node.ask(kind, "PUT", path, **headers)).status in (201, 202)

    async def run(self, *kinds: type[Worker], on: Sequence[Node] | None = None) -> None:
        """One pass of workers, all of those that are up one after the other."""
        for kind in kinds or (AccountReplicator, ContainerReplicator):
            for node in on or self.nodes.values():
                if not (node.is_down or node.is_gone):
                    await run_once(node.worker(kind))

    async def heal(self) -> None:
        """Everybody is up; replicators, updaters and replicators run once (reference part 5)."""
        self.cuts.clear()
        for node in self.nodes.values():
            node.is_down = node.is_gone = False
        await self.run()
        await self.run(ContainerUpdater)
        await self.run()

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.stop()


@asynccontextmanager
async def cluster_on(
    root: Path,
    *,
    size: int = 4,
    replicas: int = 3,
    power: int = 2,
    settings: ReplicatorSettings = SETTINGS,
) -> AsyncIterator[Cluster]:
    cluster = Cluster(root, size=size, replicas=replicas, power=power, settings=settings)
    try:
        yield cluster
    finally:
        await cluster.close()


async def snapshot(node: Node, target: Path) -> None:
    """Copy a node's device while it is stopped."""
    await node.stop()
    shutil.copytree(node.folder, target)
    node.start()


async def restore(node: Node, source: Path) -> None:
    """Put an older copy in the place of a node's device."""
    await node.stop()
    shutil.rmtree(node.folder)
    shutil.copytree(source, node.folder)
    node.start()


async def wipe(node: Node) -> None:
    """Put an empty device in the place of a node's."""
    await node.stop()
    shutil.rmtree(node.folder)
    node.folder.mkdir()
    node.start()


def play(root: Path, script: Any, **options: Any) -> None:  # noqa: ANN401
    """Run a script on a cluster of its own."""

    async def main() -> None:
        async with cluster_on(root, **options) as cluster:
            await script(cluster)

    asyncio.run(main())
