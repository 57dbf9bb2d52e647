"""Who gets what: the only place where the services of a node meet."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swiftish.account.app import AccountService
from swiftish.cli.node import Node, Unusable
from swiftish.cli.settings import Service
from swiftish.cluster.transport import Kind, LocalTransport, Transport
from swiftish.container.app import ContainerService
from swiftish.domain.hashing import HashPath
from swiftish.http.errors import Bugs
from swiftish.http.message import Context, Handler
from swiftish.http.server import HttpServer
from swiftish.object.app import ObjectService
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.shared_cache import TABLES, SharedCache
from swiftish.ring.watch import RingWatcher
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Environment
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
    devices: Devices
    threads: DeviceThreads
    handlers: Mapping[Kind, Handler]
    proxy: ProxyService
    workers: Sequence[Worker]
    _shared: Environment
    _parts: Sequence[AccountService | ContainerService | ObjectService]

    @classmethod
    def of(cls, node: Node) -> "Running":
        """The proxy, and the storage services that are here, over this node's devices."""
        settings = node.settings
        clock = SystemClock()
        background = Background()
        devices = Devices(node.devices_root, node.device_names())
        handlers: dict[Kind, Handler] = {}
        transport = LocalTransport(handlers)
        hash_path = HashPath(
            prefix=settings.cluster.hash_prefix.encode(),
            suffix=settings.cluster.hash_suffix.encode(),
        )
        shared = Environment(
            node.run / CACHE_FILE, names=TABLES, map_size_bytes=CACHE_MAP_BYTES, sync=False
        )
        proxy = ProxyService(
            settings=settings.proxy,
            limits=settings.limits,
            policies=node.policies,
            hash_path=hash_path,
            account_ring=node.rings.account.current,
            container_ring=node.rings.container.current,
            object_rings={index: file.current for index, file in node.rings.objects.items()},
            transport=transport,
            cache=SharedCache(shared, clock),
            clock=clock,
            background=background,
            tempauth=settings.auth.tempauth,
        )
        parts = _storage(node, devices, clock, background, transport, hash_path)
        handlers.update({kind: Bugs(part.handler) for kind, part in parts.items()})
        return cls(
            node=node,
            clock=clock,
            background=background,
            devices=devices,
            threads=DeviceThreads("node", size=NODE_THREADS),
            handlers=handlers,
            proxy=proxy,
            workers=[worker for part in parts.values() for worker in part.workers],
            _shared=shared,
            _parts=list(parts.values()),
        )

    def ring_watcher(self) -> RingWatcher:
        return RingWatcher(self.node.rings.files, self.threads)

    async def aclose(self) -> None:
        await self.background.aclose(timeout_s=self.node.settings.server.drain_timeout_s)
        for part in self._parts:
            part.close()
        self.devices.close()
        self.proxy.close()
        self._shared.close()
        self.threads.close()


def _storage(
    node: Node,
    devices: Devices,
    clock: SystemClock,
    background: Background,
    transport: Transport,
    hash_path: HashPath,
) -> dict[Kind, AccountService | ContainerService | ObjectService]:
    """The storage services that this node has."""
    settings = node.settings
    make: dict[Kind, Callable[[], AccountService | ContainerService | ObjectService]] = {
        "account": lambda: AccountService(
            devices=devices,
            policies=node.policies,
            clock=clock,
            limits=settings.limits,
            hash_path=hash_path,
        ),
        "container": lambda: ContainerService(
            devices=devices,
            policies=node.policies,
            clock=clock,
            limits=settings.limits,
            account_ring=node.rings.account.current,
            transport=transport,
            hash_path=hash_path,
            background=background,
            settings=settings.container,
        ),
        "object": lambda: ObjectService(
            devices=devices,
            policies=node.policies,
            clock=clock,
            container_ring=node.rings.container.current,
            transport=transport,
            hash_path=hash_path,
            background=background,
            settings=settings.object,
        ),
    }
    return {kind: made() for kind, made in make.items() if kind in node.listens}


def serving_child(node: Node, sockets: Mapping[Service, socket.socket]) -> Child:
    """A process that serves the node's services, each on its socket."""

    async def serve(life: Life) -> None:
        running = Running.of(node)
        servers = [_server(running, service, sock) for service, sock in sockets.items()]
        for server, sock in zip(servers, sockets.values(), strict=True):
            await server.start(sock)
        life.ready()
        await run_forever(running.ring_watcher(), stopping=life.stopping)
        timeout_s = node.settings.server.drain_timeout_s
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.drain(timeout_s))
        await running.aclose()

    return serve


def _server(running: Running, service: Service, sock: socket.socket) -> HttpServer:
    settings = running.node.settings
    handler: Handler = running.proxy.handler if service == "proxy" else running.handlers[service]
    return HttpServer(
        handler,
        context=ProxyContext if service == "proxy" else Context,
        clock=running.clock,
        limits=settings.limits,
        client_timeout_s=settings.proxy.client_timeout_s,
        access_log=settings.server.access_log,
    )


def workers_child(node: Node) -> Child:
    """A process that runs the node's background workers."""

    async def work(life: Life) -> None:
        running = Running.of(node)
        chosen = _chosen(running)
        status = WorkersStatus(chosen, node.run, running.clock, running.threads)
        life.ready()
        async with asyncio.TaskGroup() as group:
            for worker in (*chosen, running.ring_watcher(), status):
                group.create_task(run_forever(worker, stopping=life.stopping), name=worker.name)
        await running.aclose()

    return work


def _chosen(running: Running) -> list[Worker]:
    wanted = running.node.settings.services.workers
    return [worker for worker in running.workers if "all" in wanted or worker.name in wanted]


async def run_workers_once(node: Node, names: Sequence[str]) -> list[dict[str, Any]]:
    """One pass of each of these workers, one after another, in this process; their reports.

    Raises Unusable for one that is not here, and what a pass raises.
    """
    node.run.mkdir(mode=0o700, exist_ok=True)
    running = Running.of(node)
    try:
        by_name = {worker.name: worker for worker in running.workers}
        for name in names:
            if name not in by_name:
                raise Unusable(f"there is no worker {name!r} here; there are {', '.join(by_name)}")
        for name in names:
            await run_once(by_name[name])
        return [worker_document(by_name[name], running.clock.now()) for name in names]
    finally:
        await running.aclose()
