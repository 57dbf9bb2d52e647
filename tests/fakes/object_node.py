"""An object service with one device, a container server that can be slow or down, and a clock."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.object.app import ObjectService
from swiftish.object.settings import ObjectSettings
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring, fixed
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from tests.fakes.clock import EPOCH_S, FakeClock

NOW = EPOCH_S
HASH_PATH = HashPath(prefix=b"", suffix=b"test")
POLICIES = PolicySet((Policy(index=0, name="gold", default=True), Policy(index=1, name="silver")))
RING = Ring(
    devices=[
        Device(id=0, device="sdc", port=6201),
        Device(id=1, device="sdd", port=6202),
    ],
    rows=[array("H", [0] * 4), array("H", [1] * 4)],
    power=2,
)
# What a proxy says of the containers to tell.
ONE = {
    "x-container-host": "127.0.0.1:6201",
    "x-container-device": "sdc",
    "x-container-partition": "2",
}
BOTH = {
    "x-container-host": "127.0.0.1:6201,127.0.0.1:6202",
    "x-container-device": "sdc,sdd",
    "x-container-partition": "2",
}


@dataclass
class Containers:
    """All container servers: what they were told, and how each of them answers."""

    rows: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)  # by device; 201 for the others
    hanging: set[str] = field(default_factory=set)
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        assert kind == "container"
        self.asked.release()
        if node.device in self.hanging:
            await asyncio.Event().wait()
        status = self.status.get(node.device, 201)
        if status < 300:
            self.rows.append((request.method, request.path, request.headers))
        return plain(status, "")


class Pieces(Body):
    """A body in pieces; at the end `error` is raised, if there is one, and `read_count` tells."""

    def __init__(
        self, *pieces: bytes, length: int | None = None, error: Exception | None = None
    ) -> None:
        self._pieces = list(pieces)
        self._error = error
        self.length = length
        self.read_count = 0

    async def read(self) -> bytes:
        self.read_count += 1
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        return b""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Node:
    """See `serving`."""

    def __init__(
        self, root: Path, *, files: Files | None = None, settings: ObjectSettings | None = None
    ) -> None:
        (root / "sda").mkdir(exist_ok=True)
        self.path = root / "sda"
        self.clock = FakeClock()
        self.containers = Containers()
        self.devices = Devices(root, ["sda"])
        self.background = Background()
        self.service = ObjectService(
            devices=self.devices,
            policies=POLICIES,
            clock=self.clock,
            container_ring=fixed(RING),
            transport=self.containers,
            hash_path=HASH_PATH,
            background=self.background,
            settings=settings,
            files=files,
        )

    @property
    def device(self) -> LocalDevice:
        device = self.devices.get("sda")
        assert device is not None
        return device

    async def open(
        self,
        method: str,
        name: str = "o",
        body: Body | bytes = b"",
        *,
        at: float | Timestamp | None = None,
        trailers: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Response:
        """Ask for /a/c/<name>, `at` seconds after NOW; header names with underscores or dashes."""
        named = {**(headers or {}), **more}
        spelled = {key.replace("_", "-"): value for key, value in named.items()}
        if at is not None:
            moment = at if isinstance(at, Timestamp) else Timestamp.from_seconds(NOW + at)
            spelled["x-timestamp"] = moment.internal
        request = Request(
            method=method,
            path=f"/sda/3/a/c/{name}",
            headers=spelled,
            body=body if isinstance(body, Body) else Bytes(body),
            trailers=lambda: trailers or {},
        )
        return await self.service.handler(request)

    async def ask(
        self,
        method: str,
        name: str = "o",
        body: Body | bytes = b"",
        *,
        at: float | Timestamp | None = None,
        trailers: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Answer:
        """The same, and the whole answer."""
        async with await self.open(
            method, name, body, at=at, trailers=trailers, headers=headers, **more
        ) as response:
            announced = response.body.length
            pieces = []
            while piece := await response.body.read():
                pieces.append(piece)
        whole = b"".join(pieces)
        assert announced == len(whole)
        return Answer(response.status, response.headers, whole)

    def folder(self, name: str = "o", policy: int = 0) -> Path:
        digest = HASH_PATH("a", "c", name).hex()
        policies = POLICIES.by_index(policy)
        assert policies is not None
        return self.path / policies.datadir / "3" / digest[-3:] / digest

    def names(self, name: str = "o") -> list[str]:
        """The files of an object, without the seconds of NOW: `+5.data`, `+7-200000.meta`."""
        folder = self.folder(name)
        found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        return [_short(text) for text in found]

    def quarantined(self) -> list[str]:
        folder = self.path / "quarantined"
        return sorted(path.name for path in folder.rglob("*") if path.is_file())

    async def quiet(self) -> None:
        """Wait until nothing is going on any more."""
        await self.background.aclose(timeout_s=10)

    async def aclose(self) -> None:
        await self.background.aclose(timeout_s=10)
        self.service.close()
        self.devices.close()


def _short(text: str) -> str:
    seconds, dot, rest = text.partition(".")
    return f"+{int(seconds) - int(NOW)}.{rest.lstrip('0123456789').lstrip('.')}" if dot else text


def serving(
    root: Path,
    scenario: Callable[[Node], Awaitable[None]],
    *,
    files: Files | None = None,
    settings: ObjectSettings | None = None,
) -> None:
    """Run `scenario` against a node below `root`."""

    async def run() -> None:
        node = Node(root, files=files, settings=settings)
        try:
            await scenario(node)
        finally:
            await node.aclose()

    asyncio.run(run())
