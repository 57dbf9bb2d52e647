"""A cluster of real processes: made, started, harmed, looked at, taken down."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.functional.server import ROOT, SWIFTISH, Program
from tests.lab.disks import Disk, share, unshare, xfs_works
from tests.lab.network import Network, best_network
from tests.lab.passes import Pass, Passes
from tests.lab.topology import (
    PROXY_PORT,
    RingFolder,
    Settings,
    Topology,
    node_settings,
    with_settings,
)

LABS_MAX = 100


class LabNode(Program):
    """One `swiftish serve --config`, with its devices."""

    def __init__(
        self, number: int, name: str, address: str, config: Path, network: Network
    ) -> None:
        self.number = number
        self.name = name
        self.address = address
        self.config = config
        self.namespace = network.namespace(number)
        self.disks: list[Disk] = []
        self._settings = ""  # those of every day
        command = [*network.prefix(number), str(SWIFTISH), "serve", "--config", str(config)]
        super().__init__(config.parent, command, config.parent / "log")

    @property
    def is_proxy(self) -> bool:
        return self.name.startswith("p")

    def disk(self, name: str) -> Disk:
        return next(disk for disk in self.disks if disk.path.name == name)

    def pause(self) -> None:
        """All processes stand still, as on a machine that hangs: sockets stay open."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def configure(self, settings: Settings) -> bool:
        """Further settings, for what starts or is reloaded from now on; `{}`: those of before.
        Whether that changes anything."""
        before = self.config.read_text()
        self._settings = self._settings or before
        text = with_settings(self._settings, settings)
        self.config.write_text(text)
        return text != before

    def reload(self) -> None:
        """SIGHUP: new processes with the settings of now, and an end of the old ones, in time."""
        self.process.send_signal(signal.SIGHUP)

    def begin_once(self, passes: Passes, *workers: str) -> Pass:
        """Start a pass of each of these workers in turn, beside the node's own processes."""
        arguments = ["workers", "--config", str(self.config), "--once", *workers]
        return passes.begin(self.namespace, arguments)


class Lab:
    """All nodes of a topology, in a folder.  `close` leaves nothing mounted and nothing running."""

    def __init__(self, folder: Path, topology: Topology, *, network: Network | None = None) -> None:
        self.folder = folder
        self.topology = topology
        self._lock, number = _lab_number()
        names = topology.names
        self.network = network or best_network(len(names), lab=number)
        self.rings = RingFolder(folder / "rings")
        self.on_xfs = xfs_works(folder)
        self.nodes: dict[str, LabNode] = {}
        self.passes = Passes(folder / "passes", ROOT)
        try:
            if self.on_xfs:
                share(folder)
            self.rings.make(topology, {n: self.network.address(i) for i, n in enumerate(names)})
            for n, name in enumerate(names):
                self.nodes[name] = self._make_node(n, name)
        except BaseException:
            self.close()
            raise

    def _make_node(self, number: int, name: str) -> LabNode:
        home = self.folder / name
        home.mkdir()
        address = self.network.address(number)
        config = home / "node.toml"
        config.write_text(
            node_settings(
                self.topology,
                name,
                address,
                devices=home / "devices",
                rings=self.rings.folder,
                state=home / "state",
                mounted=self.on_xfs,
            )
        )
        node = LabNode(number, name, address, config, self.network)
        if not node.is_proxy:
            for disk in range(1, self.topology.disks + 1):
                image = home / f"d{disk}.img" if self.on_xfs else None
                node.disks.append(Disk(home / "devices" / f"d{disk}", image))
        return node

    # ---- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, *names: str) -> None:
        """Start these nodes, or all; returns when all of them are ready."""
        nodes = [self.nodes[name] for name in names or self.nodes]
        for node in nodes:
            node.launch()
        for node in nodes:
            node.await_ready()

    def close(self) -> None:
        self.passes.close()
        for _, disk in self.disks():
            disk.release()
        for node in self.nodes.values():
            if node.running:
                node.resume()
                node.kill()
        for node in self.nodes.values():
            for disk in node.disks:
                disk.close()
        if self.on_xfs:
            unshare(self.folder)
        self.network.close()
        os.close(self._lock)

    @property
    def storage(self) -> list[LabNode]:
        return [node for node in self.nodes.values() if not node.is_proxy]

    @property
    def proxies(self) -> list[LabNode]:
        return [node for node in self.nodes.values() if node.is_proxy]

    @property
    def urls(self) -> list[str]:
        """Of the proxies."""
        return [f"http://{node.address}:{PROXY_PORT}" for node in self.proxies]

    def node_at(self, address: str) -> LabNode:
        return next(node for node in self.nodes.values() if node.address == address)

    # ---- looking and healing --------------------------------------------------------------------

    def once(self, *workers: str, nodes: Sequence[str] = (), errors: bool = False) -> str:
        """A pass of each of these workers in turn, on all storage nodes that run at the same time;
        what they printed.  `errors`: a pass may have some."""
        begun = self.begin_once(*workers, nodes=nodes)
        said = {name: begun[name].wait() for name in begun}
        text = "\n".join(f"== {name}\n{output}" for name, (_, output) in said.items())
        assert errors or not any(code for code, _ in said.values()), text
        assert "there is no worker" not in text
        return text

    def begin_once(self, *workers: str, nodes: Sequence[str] = ()) -> dict[str, Pass]:
        """The same, under way, by node."""
        begun = {}
        for node in self.storage:
            kinds = self.topology.kinds(node.name)
            here = [worker for worker in workers if worker.partition("-")[0] in kinds]
            if node.running and here and (not nodes or node.name in nodes):
                begun[node.name] = node.begin_once(self.passes, *here)
        return begun

    def disks(self) -> Iterator[tuple[LabNode, Disk]]:
        for node in self.storage:
            for disk in node.disks:
                yield node, disk

    def log_tails(self) -> str:
        return "\n".join(f"== {node.name}\n{node.log_tail(20)}" for node in self.nodes.values())


@contextmanager
def temporary_lab(topology: Topology) -> Iterator[Lab]:
    """A lab in a folder that is gone afterwards, started."""
    with (
        tempfile.TemporaryDirectory(prefix="swiftish-lab-") as folder,
        Lab(Path(folder), topology) as lab,
    ):
        yield lab


def _lab_number() -> tuple[int, int]:
    """A number that no other lab on this machine has, and the lock that keeps it."""
    for number in range(1, LABS_MAX):
        path = Path(tempfile.gettempdir()) / f"swiftish-lab-{number}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return lock, number
    raise RuntimeError(f"{LABS_MAX} labs run on this machine")
