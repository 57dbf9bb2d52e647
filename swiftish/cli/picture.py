"""The picture of a node: what any of its serving processes answers at /metrics and /recon/…

The process that is asked adds what the others count (runtime/metrics_files.py), what the workers
say (runtime/status.py), and looks at the devices.  A device that hangs holds up nobody: it is
waited for for a moment, and while a look is under way no other is taken.
"""

import asyncio
import dataclasses
import hashlib
import json
import logging
import os
import time
from asyncio import Task
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from swiftish import __version__
from swiftish.cli import machine
from swiftish.cli.fact_metrics import fact_metrics
from swiftish.cli.facts import DeviceFacts, NodeFacts, RingFacts
from swiftish.cli.node import KINDS, Node
from swiftish.cli.recon_documents import DOCUMENTS
from swiftish.cluster.named_nodes import NamedNodes
from swiftish.http.peers import Peers
from swiftish.http.replies import Refusal
from swiftish.http.server import HttpServer
from swiftish.proxy.app import ProxyService
from swiftish.ring.hash_id import hash_id
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.metrics import Registry, Snapshot, rendered, samples, summed
from swiftish.runtime.metrics_files import MetricsFiles
from swiftish.runtime.quarantine import counts
from swiftish.runtime.status import SERVING_FILE, WORKERS_FILE, read_status
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads

log = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 2.0
OUT_OF_SERVICE = "swiftish_device_out_of_service"

# What the kernel says: at /recon/<name>.
_MACHINE: Mapping[str, Callable[[], object]] = {
    "load": machine.load,
    "mem": machine.memory,
    "mounted": machine.mounted,
    "sockstat": machine.sockets,
}


class Part(Protocol):
    """A storage service, as far as it is asked here."""

    async def gauges(self, device: LocalDevice) -> Mapping[str, float]:
        """How it is on a device.  Raises Refusal, EnvironmentTrouble, OSError."""
        ...


class NodePicture:
    """Asked by http/health.py.  `parts` are the services of this process; `registry` is its own."""

    def __init__(
        self,
        *,
        node: Node,
        clock: Clock,
        background: Background,
        devices: Devices,
        threads: DeviceThreads,
        registry: Registry,
        parts: Sequence[Part],
    ) -> None:
        self.files = MetricsFiles(node.run)
        self.registry = registry
        self._node = node
        self._clock = clock
        self._background = background
        self._devices = devices
        self._threads = threads
        self._parts = parts
        self._settings = settings_digest(node)
        self._looks: dict[str, Task[DeviceFacts]] = {}
        _count_process(registry)
        registry.before_snapshot(partial(_say_troubles, registry, devices))

    async def metrics(self) -> str:
        """See http/health.py."""
        everything = await self._counted()
        facts = await self._facts(everything)
        return rendered(summed([everything, fact_metrics(facts)]))

    async def document(self, what: str) -> object:
        """See http/health.py."""
        if what in _MACHINE:
            return await self._threads.run(_MACHINE[what])
        if what == "time":
            return self._clock.now()
        return DOCUMENTS[what](await self._facts(await self._counted()))

    async def _counted(self) -> Snapshot:
        """The metrics of all processes."""
        own = self.registry.snapshot()
        return summed([own, await self._threads.run(self.files.others)])

    async def _facts(self, counted: Snapshot) -> NodeFacts:
        run = self._threads.run
        workers: dict[str, Any] = await run(read_status, self._node.run / WORKERS_FILE) or {}
        serving: dict[str, Any] = await run(read_status, self._node.run / SERVING_FILE) or {}
        # A sync that failed is known to the process where it did.
        troubles = {s["device"]: s["reason"] for s, value in samples(counted, OUT_OF_SERVICE)}
        kinds: dict[str, set[str]] = {}
        for kind, device in self._node.devices():
            if self._node.here.has(kind, device):
                kinds.setdefault(device.device, set()).add(kind)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._device(device, kinds.get(device.name, ()), troubles.get(device.name))
                )
                for device in self._devices
            ]
        return NodeFacts(
            id=serving.get("id", ""),
            at=self._clock.now(),
            version=__version__,
            services=list(self._node.listens),
            rings=ring_facts(self._node),
            settings=self._settings,
            devices=[task.result() for task in tasks],
            workers=workers.get("workers", ()),
            workers_at=workers.get("at"),
        )

    async def _device(
        self, device: LocalDevice, kinds: Sequence[str] | set[str], trouble: str | None
    ) -> DeviceFacts:
        about = partial(
            DeviceFacts,
            name=device.name,
            path=str(device.path),
            kinds=[kind for kind in KINDS if kind in kinds],
        )
        if trouble is not None:
            return about(trouble=trouble)
        look = self._looks.get(device.name)
        if look is None:
            look = self._looks[device.name] = self._background.start(
                self._look(device, about), name=f"picture of device {device.name}"
            )
        done, _ = await asyncio.wait({look}, timeout=LOOK_TIMEOUT_S)
        return look.result() if done else about(trouble="it does not answer")

    async def _look(self, device: LocalDevice, about: Callable[..., DeviceFacts]) -> DeviceFacts:
        try:
            disk = await device.threads.run(_disk, device.path)
            gauges: dict[str, float] = {}
            for part in self._parts:
                gauges.update(await part.gauges(device))
            return about(**disk, gauges=gauges)
        except (Refusal, EnvironmentTrouble, OSError) as error:
            log.warning("no picture", extra={"device": device.name, "reason": str(error)})
            return about(trouble=str(error))
        finally:
            del self._looks[device.name]


def settings_digest(node: Node) -> str:
    """A digest of what must be the same on all nodes of a cluster: policies, limits, the hash
    prefix and suffix."""
    cluster = node.settings.cluster
    same = {
        "policies": [
            (each.index, each.name, sorted(each.aliases), each.default, each.deprecated, each.type)
            for each in node.policies
        ],
        "limits": dataclasses.asdict(node.settings.limits),
        "hash": hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode()),
    }
    text = json.dumps(same, sort_keys=True, default=list)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ring_facts(node: Node) -> list[RingFacts]:
    found = []
    for file in node.rings.files:
        ring = file.current()
        found.append(
            RingFacts(
                path=str(file.path), version=ring.version, md5=file.md5, replicas=ring.replicas
            )
        )
    return found


def _disk(path: Path) -> dict[str, Any]:
    """What a device's file system says.  Blocking.  Raises OSError."""
    disk = os.statvfs(path)
    block = disk.f_frsize
    return {
        "size": block * disk.f_blocks,
        "used": block * (disk.f_blocks - disk.f_bavail),
        "free": block * disk.f_bavail,
        "inodes": disk.f_files,
        "inodes_free": disk.f_favail,
        "quarantined": counts(path),
        "files": {file.name: file.stat().st_size for file in sorted(path.glob("*.mdb"))},
    }


def _say_troubles(registry: Registry, devices: Devices) -> None:
    family = registry.gauge(
        OUT_OF_SERVICE,
        "A device that a process has taken out of service, and why.",
        ("device", "reason"),
        rule="max",
    )
    family.clear()
    for device in devices:
        if device.out_of_service is not None:
            family.of(device.name, device.out_of_service).value = 1


# ---- what the parts of a process count themselves ----------------------------------------------


def _count_process(registry: Registry) -> None:
    alive = registry.gauge("swiftish_processes", "Processes of the node.").of()
    memory = registry.gauge("swiftish_resident_bytes", "Memory of its processes in use.").of()
    cpu = registry.counter("swiftish_cpu_seconds_total", "CPU time of its processes.").of()

    def ask() -> None:
        alive.value = 1
        memory.value = machine.resident_bytes()
        cpu.value = time.process_time()

    registry.before_snapshot(ask)


def count_backends(registry: Registry, proxy: ProxyService) -> None:
    """What a proxy knows of the storage nodes."""
    labels = ("service",)
    failures = registry.counter(
        "swiftish_backend_failures_total", "Answers that were held against their node.", labels
    )
    timeouts = registry.counter(
        "swiftish_backend_timeouts_total", "Requests without an answer in time.", labels
    )
    limited = registry.gauge(
        "swiftish_limited_devices",
        "Devices that a process leaves alone since they have failed; of the process with the most.",
        labels,
        rule="max",
    )

    def ask() -> None:
        now = proxy.limiter.limited_now()
        for kind in KINDS:
            failures.of(kind).value = proxy.limiter.failures[kind]
            timeouts.of(kind).value = proxy.calls.timeouts[kind]
            limited.of(kind).value = now[kind]

    registry.before_snapshot(ask)


def count_named(registry: Registry, server: str, named: NamedNodes) -> None:
    """What a storage service was told to tell, and did not."""
    foreign = registry.counter(
        "swiftish_foreign_nodes_total",
        "Nodes named in requests that are in no ring: they are never contacted.",
        ("server",),
    )

    def ask() -> None:
        foreign.of(server).value = named.unknown

    registry.before_snapshot(ask)


def count_server(registry: Registry, name: str, server: HttpServer, peers: Peers | None) -> None:
    """What a server knows of those who ask; `name` is its service."""
    connections = registry.gauge("swiftish_connections", "Connections that are open.", ("server",))
    refused = registry.counter(
        "swiftish_refused_peers_total",
        "Requests to a port for nodes that were not signed as they must be.",
        ("server", "reason"),
    )

    def ask() -> None:
        connections.of(name).value = len(server.connections)
        for reason, count in peers.refused.items() if peers is not None else ():
            refused.of(name, reason).value = count

    registry.before_snapshot(ask)
