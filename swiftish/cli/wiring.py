"""Who gets what: the only place where the services of a node meet."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from swiftish.account.app import AccountService
from swiftish.cli.node import Node, Unusable, parse_address
from swiftish.cli.picture import NodePicture, count_backends, count_named, count_server
from swiftish.cli.settings import Service
from swiftish.cluster.client import SwiftClient
from swiftish.cluster.direct import Direct
from swiftish.cluster.here import Here
from swiftish.cluster.measured import MeasuredTransport
from swiftish.cluster.remote import NodeTransport
from swiftish.cluster.transport import Kind, LocalTransport, Transport
from swiftish.container.app import ContainerService
from swiftish.db.peers import Peers as DatabasePeers
from swiftish.domain.hashing import HashPath
from swiftish.http.client import HttpClient
from swiftish.http.errors import Bugs
from swiftish.http.health import HealthCheck, Monitoring, everybody, nobody, only_from
from swiftish.http.message import Context, Handler, Request
from swiftish.http.observe import RequestMetrics
from swiftish.http.peers import Peers
from swiftish.http.server import HttpServer
from swiftish.object.app import ObjectService
from swiftish.proxy.app import ProxyService
from swiftish.proxy.memcache import MemcacheCache
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.shared_cache import TABLES, SharedCache
from swiftish.ring.ring import RingSource
from swiftish.ring.watch import RingWatcher
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.device_watcher import DeviceWatcher
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Environment
from swiftish.runtime.metrics import Registry
from swiftish.runtime.metrics_files import MetricsWriter
from swiftish.runtime.process import Child, Life
from swiftish.runtime.status import WorkersStatus, worker_document
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads
from swiftish.runtime.worker import Worker, run_forever, run_once

CACHE_FILE = "cache.mdb"
CACHE_MAP_BYTES = 256 * 1024 * 1024
NODE_THREADS = 2  # for what belongs to no device: ring files, status files


@dataclass(kw_only=True)
class Running:
    """What one process of a node consists of.  Made after forking, closed once."""

    node: Node
    clock: SystemClock
    background: Background
    client: HttpClient
    devices: Devices
    threads: DeviceThreads
    handlers: Mapping[Kind, Handler]
    proxy: ProxyService
    workers: Sequence[Worker]
    metrics: Registry
    _cache: SharedCache | MemcacheCache
    _shared: Environment
    _parts: Sequence[AccountService | ContainerService | ObjectService]

    @classmethod
    def of(cls, node: Node) -> "Running":
        """The proxy, and the storage services that are here, over this node's devices."""
        settings = node.settings
        clock = SystemClock()
        background = Background()
        devices = Devices(
            node.devices_root,
            node.device_names(),
            cluster=node.hash_id,
            mount_check=node.mount_check,
        )
        handlers: dict[Kind, Handler] = {}
        registry = Registry()
        client = _http_client(node)
        transport = MeasuredTransport(NodeTransport(handlers, node.here, client), registry)
        shared = Environment(
            node.run / CACHE_FILE, names=TABLES, map_size_bytes=CACHE_MAP_BYTES, sync=False
        )
        cache = _cache(node, shared, clock, background)
        proxy = ProxyService(
            settings=settings.proxy,
            limits=settings.limits,
            policies=node.policies,
            hash_path=hash_path_of(node),
            account_ring=node.rings.account.current,
            container_ring=node.rings.container.current,
            object_rings=node.rings.object_sources,
            transport=transport,
            cache=cache,
            clock=clock,
            background=background,
            tempauth=settings.auth.tempauth,
        )
        count_backends(registry, proxy)
        common = Common(
            node=node,
            devices=devices,
            clock=clock,
            background=background,
            transport=transport,
            client=SwiftClient(proxy.internal),
        )
        parts = common.storage()
        for kind, part in parts.items():
            if isinstance(part, ContainerService | ObjectService):
                count_named(registry, kind, part.named)
        handlers.update({kind: Bugs(part.handler) for kind, part in parts.items()})
        return cls(
            node=node,
            clock=clock,
            background=background,
            client=client,
            devices=devices,
            threads=DeviceThreads("node", size=NODE_THREADS),
            handlers=handlers,
            proxy=proxy,
            workers=[worker for part in parts.values() for worker in part.workers],
            metrics=registry,
            _cache=cache,
            _shared=shared,
            _parts=list(parts.values()),
        )

    async def watchers(self) -> list[Worker]:
        """What every process has: is each device there, has a ring changed?  The devices have been
        looked at once when this returns."""
        node = self.node
        devices = DeviceWatcher(
            devices=self.devices,
            clock=self.clock,
            background=self.background,
            settings=node.settings.devices,
        )
        await run_once(devices)

        def changed() -> None:
            self.devices.admit(node.device_names())

        return [devices, RingWatcher(node.rings.files, self.threads, changed=changed)]

    def picture(self) -> NodePicture:
        return NodePicture(
            node=self.node,
            clock=self.clock,
            background=self.background,
            devices=self.devices,
            threads=self.threads,
            registry=self.metrics,
            parts=self._parts,
        )

    async def aclose(self) -> None:
        if isinstance(self._cache, MemcacheCache):
            self._cache.close()
        await self.background.aclose(timeout_s=self.node.settings.server.drain_timeout_s)
        for part in self._parts:
            part.close()
        self.devices.close()
        self.proxy.close()
        self._shared.close()
        self.threads.close()
        await self.client.aclose()


def hash_path_of(node: Node) -> HashPath:
    """How this cluster finds the partition of a name."""
    cluster = node.settings.cluster
    return HashPath(prefix=cluster.hash_prefix.encode(), suffix=cluster.hash_suffix.encode())


@asynccontextmanager
async def asking(node: Node) -> AsyncIterator[Transport]:
    """To all devices of a cluster, for commands: over HTTP, signed; where the rings have no ports,
    as on a cluster of one machine, in this process, beside the server that may run."""
    if all(device.port for _, device in node.devices()):
        client = _http_client(node)
        try:
            yield NodeTransport({}, Here({}), client)
        finally:
            await client.aclose()
    else:
        node.run.mkdir(mode=0o700, exist_ok=True)
        running = Running.of(node)
        try:
            yield LocalTransport(running.handlers)
        finally:
            await running.aclose()


def _http_client(node: Node) -> HttpClient:
    settings = node.settings
    return HttpClient(
        key=settings.cluster.key.encode(), connect_timeout_s=settings.proxy.conn_timeout_s
    )


def _cache(
    node: Node, shared: Environment, clock: SystemClock, background: Background
) -> SharedCache | MemcacheCache:
    """What the proxies remember together: all of a cluster's, or only this machine's."""
    settings = node.settings
    if not settings.memcache.servers:
        return SharedCache(shared, clock)
    secret = settings.cluster.key or settings.cluster.hash_prefix + settings.cluster.hash_suffix
    return MemcacheCache(
        settings.memcache, secret=secret.encode(), clock=clock, background=background
    )


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all storage services of a process are given."""

    node: Node
    devices: Devices
    clock: SystemClock
    background: Background
    transport: Transport
    client: SwiftClient

    def storage(self) -> dict[Kind, AccountService | ContainerService | ObjectService]:
        """The storage services that this node has."""
        make: dict[Kind, Callable[[], AccountService | ContainerService | ObjectService]] = {
            "account": self._account,
            "container": self._container,
            "object": self._object,
        }
        return {kind: made() for kind, made in make.items() if kind in self.node.listens}

    def _account(self) -> AccountService:
        node, settings = self.node, self.node.settings
        return AccountService(
            devices=self.devices,
            policies=node.policies,
            clock=self.clock,
            limits=settings.limits,
            hash_path=hash_path_of(node),
            direct=self._direct(),
            here=node.here,
            peers=self._peers("account", node.rings.account.current),
            settings=settings.account,
        )

    def _container(self) -> ContainerService:
        node, settings = self.node, self.node.settings
        return ContainerService(
            devices=self.devices,
            policies=node.policies,
            clock=self.clock,
            limits=settings.limits,
            account_ring=node.rings.account.current,
            transport=self.transport,
            hash_path=hash_path_of(node),
            background=self.background,
            client=self.client,
            direct=self._direct(),
            here=node.here,
            peers=self._peers("container", node.rings.container.current),
            settings=settings.container,
        )

    def _object(self) -> ObjectService:
        node, settings = self.node, self.node.settings
        return ObjectService(
            devices=self.devices,
            policies=node.policies,
            clock=self.clock,
            container_ring=node.rings.container.current,
            transport=self.transport,
            hash_path=hash_path_of(node),
            background=self.background,
            settings=settings.object,
            object_rings=node.rings.object_sources,
            here=node.here,
            client=self.client,
            direct=self._direct(),
        )

    def _direct(self) -> Direct:
        rings = self.node.rings
        return Direct(
            transport=self.transport,
            account_ring=rings.account.current,
            container_ring=rings.container.current,
            object_rings=rings.object_sources,
            hash_path=hash_path_of(self.node),
        )

    def _peers(self, kind: Kind, ring: RingSource) -> DatabasePeers:
        return DatabasePeers(kind=kind, ring=ring, transport=self.transport, here=self.node.here)


def serving_child(node: Node, sockets: Mapping[Service, socket.socket]) -> Child:
    """A process that serves the node's services, each on its socket."""

    async def serve(life: Life) -> None:
        running = Running.of(node)
        picture = running.picture()
        metrics = MetricsWriter(running.metrics, picture.files, running.threads)
        watchers = await running.watchers()
        servers = [_server(running, picture, service) for service in sockets]
        for server, sock in zip(servers, sockets.values(), strict=True):
            await server.start(sock)
        life.ready()
        async with asyncio.TaskGroup() as group:
            for worker in (*watchers, metrics):
                group.create_task(run_forever(worker, stopping=life.stopping), name=worker.name)
        timeout_s = node.settings.server.drain_timeout_s
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.drain(timeout_s))
        with suppress(OSError):
            await metrics.work()  # what was counted while it drained
        await running.aclose()

    return serve


def _server(running: Running, picture: NodePicture, service: Service) -> HttpServer:
    settings = running.node.settings
    if service == "proxy":
        handler, may_ask, peers = running.proxy.handler, _may_ask(running.node), None
    else:
        handler, may_ask = HealthCheck(running.handlers[service]), everybody
        peers = Peers(settings.cluster.key.encode(), clock=running.clock)
    server = HttpServer(
        Monitoring(handler, picture, may_ask=may_ask),
        context=ProxyContext if service == "proxy" else Context,
        clock=running.clock,
        limits=settings.limits,
        client_timeout_s=settings.proxy.client_timeout_s,
        access_log=settings.server.access_log,
        observe=RequestMetrics(running.metrics, service),
        peers=peers,
    )
    count_server(running.metrics, service, server, peers)
    return server


def _may_ask(node: Node) -> Callable[[Request], bool]:
    """Who may see a proxy's metrics, at the port that clients reach."""
    match node.settings.server.expose_metrics:
        case "always":
            return everybody
        case "never":
            return nobody
        case "local":
            host, _ = parse_address(node.listens["proxy"], setting="services.proxy")
            return only_from(frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1", host}))


def workers_child(node: Node) -> Child:
    """A process that runs the node's background workers."""

    async def work(life: Life) -> None:
        running = Running.of(node)
        chosen = _chosen(running)
        watchers = await running.watchers()
        status = WorkersStatus(chosen, node.run, running.clock, running.threads)
        metrics = MetricsWriter(running.metrics, running.picture().files, running.threads)
        life.ready()
        async with asyncio.TaskGroup() as group:
            for worker in (*chosen, *watchers, status, metrics):
                group.create_task(run_forever(worker, stopping=life.stopping), name=worker.name)
        await running.aclose()

    return work


def _chosen(running: Running) -> list[Worker]:
    wanted = running.node.settings.services.workers
    return [worker for worker in running.workers if "all" in wanted or worker.name in wanted]


def _thorough(node: Node) -> Node:
    """The same node, for passes that somebody waits for: they look at everything."""
    settings = node.settings
    thorough = replace(settings.object, replicator_thorough_every=1)
    return replace(node, settings=replace(settings, object=thorough))


async def run_workers_once(node: Node, names: Sequence[str]) -> list[dict[str, Any]]:
    """One pass of each of these workers, one after another, in this process; their reports.

    Raises Unusable for one that is not here, and what a pass raises.
    """
    node.run.mkdir(mode=0o700, exist_ok=True)
    running = Running.of(_thorough(node))
    try:
        by_name = {worker.name: worker for worker in running.workers}
        for name in names:
            if name not in by_name:
                raise Unusable(f"there is no worker {name!r} here; there are {', '.join(by_name)}")
        await running.watchers()
        for name in names:
            await run_once(by_name[name])
        return [worker_document(by_name[name], running.clock.now()) for name in names]
    finally:
        await running.aclose()
