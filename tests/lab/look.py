"""Where things are in a lab, seen on the disks themselves and by asking one node alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.http.client import HttpClient
from swiftish.http.message import Bytes, Request
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.ring.watch import load_ring
from tests.lab.disks import Disk
from tests.lab.lab import Lab, LabNode
from tests.lab.topology import HASH_PREFIX, HASH_SUFFIX

HASH_PATH = HashPath(prefix=HASH_PREFIX.encode(), suffix=HASH_SUFFIX.encode())


@dataclass(frozen=True)
class Spot:
    """A device of the lab, for one name."""

    node: LabNode
    disk: Disk
    device: Device

    def __str__(self) -> str:
        return f"{self.node.name}/{self.disk.path.name}"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a name belongs: its partition, its primaries in order, everything else behind."""

    kind: Kind
    name: str  # account[/container[/object]]
    partition: int
    digest: str
    primaries: list[Spot]
    handoffs: list[Spot]
    datadir: str = "objects"

    def at(self, spot: Spot) -> str:
        """The path of a request to this device's service."""
        return f"/{spot.device.device}/{self.partition}/{self.name}"

    def folder(self, spot: Spot) -> Path:
        """The object's hash folder on this device, whether it is there or not."""
        digest = self.digest
        return spot.disk.path / self.datadir / str(self.partition) / digest[-3:] / digest


def place(
    lab: Lab,
    account: str,
    container: str | None = None,
    name: str | None = None,
    *,
    policy: int = 0,
) -> Place:
    """Of an account, a container or an object, by the rings of now."""
    kind: Kind = "object" if name is not None else "container" if container else "account"
    ring = ring_of(lab, kind, policy)
    digest = HASH_PATH(account, container, name)
    partition = ring.partition(digest)
    return Place(
        kind=kind,
        name="/".join(each for each in (account, container, name) if each is not None),
        datadir=f"objects-{policy}" if policy else "objects",
        partition=partition,
        digest=digest.hex(),
        primaries=[spot(lab, device) for device in ring.primaries(partition)],
        handoffs=[spot(lab, device) for device in ring.handoffs(partition)],
    )


def ring_of(lab: Lab, kind: Kind, policy: int = 0) -> Ring:
    name = f"{kind}-{policy}" if policy else kind
    return load_ring(lab.rings.folder / f"{name}.ring.gz")


def spot(lab: Lab, device: Device) -> Spot:
    node = lab.node_at(device.ip)
    return Spot(node, node.disk(device.device), device)


def copies(
    lab: Lab, account: str, container: str, name: str, *, policy: int = 0
) -> dict[str, list[str]]:
    """The files of an object, by `node/device`, wherever there are any; `n1/d1!` is a handoff."""
    found = place(lab, account, container, name, policy=policy)
    result = {}
    for number, each in enumerate([*found.primaries, *found.handoffs]):
        path = found.folder(each)
        if path.is_dir() and (names := sorted(file.name for file in path.iterdir())):
            result[str(each) if number < len(found.primaries) else f"{each}!"] = names
    return result


def object_folders(lab: Lab) -> Iterator[tuple[str, Path]]:
    """Every hash folder of every device that is plugged in, with `node/device`."""
    for node, disk in lab.disks():
        for path in disk.path.glob("objects*/*/*/*"):
            yield f"{node.name}/{disk.path.name}", path


def misplaced(lab: Lab) -> list[str]:
    """Hash folders with files on devices that are no primaries of theirs, as sentences."""
    said = []
    rings = {policy: ring_of(lab, "object", policy) for policy in range(len(lab.topology.policies))}
    for here, path in object_folders(lab):
        policy = int(path.parts[-4].partition("-")[2] or 0)
        primaries = rings[policy].primaries(int(path.parts[-3]))
        if here not in {str(spot(lab, device)) for device in primaries} and any(path.iterdir()):
            said.append(f"{here} has {path.name} of partition {path.parts[-3]}")
    return said


def ask(
    lab: Lab,
    where: Spot,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:
    """One request to one device's service alone, as another node would send it."""
    return asyncio.run(_ask(lab, where, method, path, headers or {}, body))


async def _ask(
    lab: Lab, where: Spot, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    client = HttpClient(key=lab.topology.key.encode())
    request = Request(method=method, path=path, headers=headers, body=Bytes(body))
    try:
        async with await client.send(where.device.ip, where.device.port, request) as response:
            data = b""
            while piece := await response.body.read():
                data += piece
        return response.status, dict(response.headers), data
    finally:
        await client.aclose()
