"""Who gets what: the only place where the services of a node meet."""

import asyncio
import hashlib
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swiftish.account.app import AccountService
from swiftish.cli.onenode import Node
from swiftish.cluster.transport import Kind, LocalTransport
from swiftish.container.app import ContainerService
from swiftish.domain.hashing import HashPath
from swiftish.http.errors import Bugs
from swiftish.http.message import Handler
from swiftish.http.server import HttpServer
from swiftish.object.app import ObjectService
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.shared_cache import TABLES, SharedCache
from swiftish.ring.ring import fixed
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Environment
from swiftish.runtime.process import Child, Life
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker, run_forever

CACHE_MAP_BYTES = 256 * 1024 * 1024


@dataclass(kw_only=True)
class Services:
    """The storage services of one process, made after forking."""

    clock: SystemClock
    background: Background
    devices: Devices
    transport: LocalTransport
    workers: Sequence[Worker]
    hash_path: HashPath
    _parts: Sequence[AccountService | ContainerService | ObjectService]

    async def aclose(self, *, timeout_s: float) -> None:
        await self.background.aclose(timeout_s=timeout_s)
        for part in self._parts:
            part.close()
        self.devices.close()


def storage_services(node: Node) -> Services:
    """Account, container and object services over this node's devices."""
    settings = node.settings
    clock = SystemClock()
    background = Background()
    devices = Devices(node.devices_root, node.device_names)
    handlers: dict[Kind, Handler] = {}
    transport = LocalTransport(handlers)
    hash_path = HashPath(
        prefix=settings.cluster.hash_prefix.encode(), suffix=settings.cluster.hash_suffix.encode()
    )
    account = AccountService(
        devices=devices,
        policies=node.policies,
        clock=clock,
        limits=settings.limits,
        hash_path=hash_path,
    )
    container = ContainerService(
        devices=devices,
        policies=node.policies,
        clock=clock,
        limits=settings.limits,
        account_ring=fixed(node.rings.account),
        transport=transport,
        hash_path=hash_path,
        background=background,
    )
    objects = ObjectService(
        devices=devices,
        policies=node.policies,
        clock=clock,
        container_ring=fixed(node.rings.container),
        transport=transport,
        hash_path=hash_path,
        background=background,
        settings=settings.object,
    )
    handlers["account"] = Bugs(account.handler)
    handlers["container"] = Bugs(container.handler)
    handlers["object"] = Bugs(objects.handler)
    return Services(
        clock=clock,
        background=background,
        devices=devices,
        transport=transport,
        workers=[*account.workers, *container.workers, *objects.workers],
        hash_path=hash_path,
        _parts=[account, container, objects],
    )


def proxy_child(node: Node, sock: socket.socket, *, cache_path: Path) -> Child:
    """A process that serves clients; `cache_path` is what they share, and who comes after them."""

    async def serve(life: Life) -> None:
        services = storage_services(node)
        shared = Environment(cache_path, names=TABLES, map_size_bytes=CACHE_MAP_BYTES, sync=False)
        proxy = ProxyService(
            settings=node.settings.proxy,
            limits=node.settings.limits,
            policies=node.policies,
            hash_path=services.hash_path,
            account_ring=fixed(node.rings.account),
            container_ring=fixed(node.rings.container),
            object_rings={i: fixed(ring) for i, ring in node.rings.objects.items()},
            transport=services.transport,
            cache=SharedCache(shared, services.clock),
            clock=services.clock,
            background=services.background,
            tempauth=node.settings.auth.tempauth,
        )
        server = HttpServer(
            proxy.handler,
            context=ProxyContext,
            clock=services.clock,
            limits=node.settings.limits,
            client_timeout_s=node.settings.proxy.client_timeout_s,
            access_log=node.settings.server.access_log,
        )
        await server.start(sock)
        life.ready()
        await life.stopping.wait()
        timeout_s = node.settings.server.drain_timeout_s
        await server.drain(timeout_s)
        await services.aclose(timeout_s=timeout_s)
        proxy.close()
        shared.close()

    return serve


def workers_child(node: Node) -> Child:
    """A process that runs all background workers."""

    async def work(life: Life) -> None:
        services = storage_services(node)
        life.ready()
        async with asyncio.TaskGroup() as group:
            for worker in services.workers:
                group.create_task(run_forever(worker, stopping=life.stopping), name=worker.name)
        await services.aclose(timeout_s=node.settings.server.drain_timeout_s)

    return work


def fresh_cache_path(data: Path) -> Path:
    """An empty place on a memory file system for what this folder's processes share."""
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    memory = Path("/dev/shm")  # noqa: S108  (the name is ours, the folder 0700)
    root = memory if os.access(memory, os.W_OK) else data
    folder = root / f"swiftish-{os.getuid()}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder / "cache.mdb"
