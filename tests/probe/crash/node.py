"""One device with the services under test on it, as a process that has just started sees it."""

from array import array
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from swiftish.cluster.transport import Kind
from swiftish.container.app import ContainerService
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits, MiB
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import empty
from swiftish.object.app import ObjectService
from swiftish.object.index import PENDING
from swiftish.object.paths import INDEX
from swiftish.object.settings import ObjectSettings
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring, fixed
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Environment
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background

DEVICE = Device(id=0, device="sda", ip="127.0.0.1", port=6200)
RING = Ring(devices=[DEVICE], rows=[array("H", [0] * 4)], power=2)
POLICIES = PolicySet((Policy(index=0, name="gold", default=True),))
HASH_PATH = HashPath(prefix=b"", suffix=b"crash")
# A large upload syncs what it has every so often: here often enough to be seen.
OBJECT_SETTINGS = ObjectSettings(sync_every_bytes=MiB, free_space_reserve=0.0)

NOW_S = 1_700_000_000.0
# A container whose rows never arrive: they must be pending before the change is acknowledged.
DEAF = "deaf"


class FixedClock:
    """Stands still; the subjects give every change its timestamp."""

    def now(self) -> float:
        return NOW_S

    def timestamp(self) -> Timestamp:
        return Timestamp.from_seconds(NOW_S)

    def observe(self, timestamp: Timestamp) -> None:
        del timestamp


class OtherServers:
    """Every other server: hears everything, but for the deaf container."""

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        assert node == DEVICE
        if kind == "container" and request.path.split("/")[4] == DEAF:
            return empty(503)
        return empty(201)


@dataclass(frozen=True)
class Node:
    """The services, and the device that they are on."""

    objects: ObjectService
    containers: ContainerService
    device: LocalDevice


def _no_sync(fd: object) -> None:
    assert fd is not None


class Hasty(Files):
    """For a judge: nothing crashes there any more, and real syncs take most of its time."""

    fsync = staticmethod(_no_sync)
    fdatasync = staticmethod(_no_sync)


@asynccontextmanager
async def started(root: Path, *, files: Files | None = None) -> AsyncIterator[Node]:
    """What a server makes at its start, on the device `root`/sda."""
    background = Background()
    devices = Devices(root, [DEVICE.device])
    transport, clock = OtherServers(), FixedClock()
    objects = ObjectService(
        devices=devices,
        policies=POLICIES,
        clock=clock,
        container_ring=fixed(RING),
        transport=transport,
        hash_path=HASH_PATH,
        background=background,
        settings=OBJECT_SETTINGS,
        files=files,
    )
    containers = ContainerService(
        devices=devices,
        policies=POLICIES,
        clock=clock,
        limits=Limits(),
        account_ring=fixed(RING),
        transport=transport,
        hash_path=HASH_PATH,
        background=background,
    )
    device = devices.get(DEVICE.device)
    assert device is not None
    yield Node(objects, containers, device)
    await background.aclose(timeout_s=5)
    devices.close()
    objects.close()
    containers.close()


async def ask(
    handler: object, method: str, path: str, headers: Mapping[str, str], body: Body | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Send one backend request; status, headers and all of the body."""
    assert callable(handler)
    request = Request(
        method=method, path=f"/{DEVICE.device}/{path}", headers=headers, body=body or Bytes()
    )
    response: Response = await handler(request)
    async with response:
        found = bytearray()
        while piece := await response.body.read():
            found += piece
        return response.status, response.headers, bytes(found)


def prepare(root: Path) -> None:
    """A device with an index, made and durable before a recording begins."""
    device = root / DEVICE.device
    device.mkdir()
    Environment(device / INDEX, names=[PENDING]).close()
