"""How fast a lost device is rebuilt on its replacement, beside real Swift's replicator.

    python -m benchmarks.healing swiftish
    python -m benchmarks.healing swift --home DIR --url http://test:tester:testing@127.0.0.1:8090

Objects are put through a proxy, with such names that one device has a replica of each.  That device
is emptied, and the object replicators of all nodes run, a pass each at the same time, until it has
everything again; what is measured is from their start to the end of the last one, start of Python
included.  Both clusters are four nodes of two devices, three replicas, 1,024 partitions.

swiftish is a lab of its own (tests/lab/), which needs root for its XFS devices.  Swift has to be
up: its servers, and rsync; `--home` holds `etc`, `mnt/node<n>/sdb<d>`, and the program that runs
its commands (`--run`).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from benchmarks.client import Target
from benchmarks.processes import TICKS_PER_S, matching
from swiftish.domain.hashing import HashPath
from swiftish.ring.ring import Ring
from swiftish.ring.watch import load_ring
from tests.functional.server import SWIFTISH
from tests.functional.wire import Wire
from tests.lab.lab import temporary_lab
from tests.lab.look import HASH_PATH, ring_of, spot
from tests.lab.topology import Topology

CONTAINER = "healing"
CLIENTS = 8
PASSES_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One that runs.  `device` is the folder that is to be lost, the ring's device of `index`."""

    name: str
    target: Target
    hash_path: HashPath
    ring: Ring
    index: int
    device: Path
    servers: str  # matches the command lines of storage servers
    replicators: Sequence[Sequence[str]]  # commands, one for each node
    wipe: Callable[[], None]

    def names(self) -> Iterator[str]:
        """Objects of which the device has a replica."""
        account = self.target.root.rpartition("/")[2]
        device = self.ring.devices[self.index]
        for number in count():
            name = f"object-{number:07}"
            digest = self.hash_path(account, CONTAINER, name)
            if device in self.ring.primaries(self.ring.partition(digest)):
                yield name

    def objects(self) -> int:
        """How many are on the device now."""
        return sum(1 for _ in self.device.glob("objects/*/*/*/*.data"))


@dataclass(frozen=True, kw_only=True)
class Result:
    name: str
    objects: int
    size: int
    seconds: float
    passes: int
    replicators_s: float  # CPU time
    servers_s: float

    def row(self) -> str:
        rate = self.objects / self.seconds
        cpu_us = (self.replicators_s + self.servers_s) / self.objects * 1e6
        return (
            f"| {self.name} | {self.objects:,} | {self.size:,} | {self.seconds:.1f} "
            f"| {self.passes} | {rate:,.0f} | {rate * self.size / 1e6:.2f} "
            f"| {self.replicators_s:.1f} | {self.servers_s:.1f} | {cpu_us:,.0f} |"
        )


HEAD = (
    "| | objects | bytes each | s | passes | objects/s | MB/s | CPU of replicators s "
    "| CPU of servers s | CPU us per object |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def fill(cluster: Cluster, names: Sequence[str], size: int) -> float:
    """PUT all objects; how many in a second."""
    cluster.target.simple("PUT", f"/{CONTAINER}")
    body = os.urandom(size)

    def put_all(mine: Sequence[str]) -> None:
        with Wire(cluster.target.host, cluster.target.port) as wire:
            headers = {"X-Auth-Token": cluster.target.token}
            for name in mine:
                path = f"{cluster.target.root}/{CONTAINER}/{name}"
                reply = wire.request("PUT", path, headers, body)
                if reply.status != 201:
                    raise SystemExit(f"PUT {path}: {reply.status} {reply.text}")

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(put_all, [names[n::CLIENTS] for n in range(CLIENTS)]))
    return len(names) / (time.monotonic() - began)


def heal(cluster: Cluster, wanted: int) -> tuple[float, int]:
    """Run all replicators until the device has all; the seconds, and how many passes it took."""
    began = time.monotonic()
    for number in range(1, PASSES_MAX + 1):
        running = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in cluster.replicators
        ]
        for each in running:
            each.wait()
        took_s = time.monotonic() - began
        there = cluster.objects()
        print(f"  pass {number}: {there:,} of {wanted:,} after {took_s:.1f} s", file=sys.stderr)
        if there >= wanted:
            return took_s, number
    raise SystemExit(f"{cluster.name}: not healed after {PASSES_MAX} passes")


def servers_cpu_s(pattern: str) -> float:
    """CPU time so far of the storage servers, and of their children that have ended."""
    total = 0
    for pid in matching(re.compile(pattern)):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S


def measure(cluster: Cluster, *, objects: int, size: int, rounds: int, filled: bool) -> Result:
    """The round of the median."""
    names = list(islice(cluster.names(), objects))
    print(f"{cluster.name}: {objects:,} objects of {size:,} bytes", file=sys.stderr)
    if not filled:
        put_per_s = fill(cluster, names, size)
        print(f"  filled, {put_per_s:,.0f} objects/s", file=sys.stderr)
    if cluster.objects() < objects:  # writes that went to handoffs: bring them home first
        heal(cluster, objects)
    results = [measure_once(cluster, objects=objects, size=size) for _ in range(rounds)]
    return sorted(results, key=lambda result: result.seconds)[rounds // 2]


def measure_once(cluster: Cluster, *, objects: int, size: int) -> Result:
    cluster.wipe()
    assert cluster.objects() == 0
    servers_s = servers_cpu_s(cluster.servers)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, passes = heal(cluster, objects)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Result(
        name=cluster.name,
        objects=objects,
        size=size,
        seconds=seconds,
        passes=passes,
        replicators_s=now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        servers_s=servers_cpu_s(cluster.servers) - servers_s,
    )


@contextmanager
def swiftish() -> Iterator[Cluster]:
    """A lab with the settings of every day, but that workers run when they are told to."""
    topology = Topology(proxies=1, part_power=10, settings={"services": {"workers": []}})
    with temporary_lab(topology) as lab:
        ring = ring_of(lab, "object")
        lost = next(device for device in ring.devices if device is not None)
        place = spot(lab, lost)

        def wipe() -> None:
            place.node.kill()
            place.disk.format()
            lab.start(place.node.name)

        proxy = lab.proxies[0]
        yield Cluster(
            name="swiftish",
            target=Target.parse(f"swiftish=http://test:tester:testing@{proxy.address}:8080"),
            hash_path=HASH_PATH,
            ring=ring,
            index=ring.devices.index(lost),
            device=place.disk.path,
            servers=f"serve --config {lab.folder}/n",
            replicators=[
                [
                    *lab.network.prefix(node.number),
                    *(str(SWIFTISH), "workers", "--config", str(node.config)),
                    *("--once", "object-replicator"),
                ]
                for node in lab.storage
            ],
            wipe=wipe,
        )


@contextmanager
def swift(home: Path, url: str, run: Sequence[str]) -> Iterator[Cluster]:
    """Real Swift, which runs already."""
    ring = load_ring(home / "etc" / "object.ring.gz")
    lost = next(device for device in ring.devices if device is not None)
    node = (lost.port - 6000) // 10
    folder = home / "mnt" / f"node{node}" / lost.device

    def wipe() -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    yield Cluster(
        name="Swift",
        target=Target.parse(f"swift={url}"),
        hash_path=HashPath(prefix=b"changeme", suffix=b"changeme"),
        ring=ring,
        index=ring.devices.index(lost),
        device=folder,
        servers=r"swift-object-server|rsync --daemon",
        replicators=[
            [*run, "swift-object-replicator", f"{home}/etc/object-server/{n}.conf", "once"]
            for n in range(1, 5)
        ],
        wipe=wipe,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="healing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cluster", choices=("swiftish", "swift"))
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of an object (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is shown")
    parser.add_argument("--filled", action="store_true", help="Swift has the objects already")
    parser.add_argument("--home", type=Path, help="Swift's work folder")
    parser.add_argument("--url", default="http://test:tester:testing@127.0.0.1:8090")
    parser.add_argument("--run", nargs="+", default=[], help="what runs Swift's commands")
    arguments = parser.parse_args()
    if arguments.cluster == "swift" and arguments.home is None:
        parser.error("swift needs --home")
    made = (
        swiftish()
        if arguments.cluster == "swiftish"
        else swift(arguments.home.absolute(), arguments.url, arguments.run)
    )
    with made as cluster:
        result = measure(
            cluster,
            objects=arguments.objects,
            size=arguments.size,
            rounds=arguments.rounds,
            filled=arguments.filled and arguments.cluster == "swift",
        )
    print(HEAD)
    print(result.row())


if __name__ == "__main__":
    main()
