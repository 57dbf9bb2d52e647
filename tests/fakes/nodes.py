"""Storage nodes that keep everything in memory, and do wrong what they are told to.

They follow docs/reference/backend.md closely enough for the proxy not to notice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from array import array
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from swiftish.cluster.moments import OVERTAKEN_BY
from swiftish.cluster.transport import Kind
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring

STALL_S = 3600.0


def small_ring(*, devices: int, replicas: int, power: int = 4) -> Ring:
    """A ring in which replica r of partition p is on device (p + r) mod `devices`."""
    return Ring(
        devices=[Device(id=n, device=f"d{n}", port=6200 + n, zone=n) for n in range(devices)],
        rows=[array("H", ((p + r) % devices for p in range(1 << power))) for r in range(replicas)],
        power=power,
    )


@dataclass
class Stored:
    """One name on one device; `data` None is a tombstone."""

    timestamp: Timestamp
    data: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    meta_timestamp: Timestamp = ZERO
    set_at: dict[str, Timestamp] = field(default_factory=dict)  # when each header was
    rows: dict[str, Timestamp] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return self.data is not None


@dataclass
class Faults:
    """How often requests to a node go wrong, and how.  Nothing goes wrong by default."""

    refuse: float = 0.0  # 507
    stall: float = 0.0  # answer in an hour
    die: float = 0.0  # the connection breaks: before, in the middle of, or after the work
    delay_s: float = 0.0  # on average

    def any(self) -> bool:
        return bool(self.refuse or self.stall or self.die or self.delay_s)


class Pieces(Body):
    """A body in pieces, which may break after some of them."""

    def __init__(self, data: bytes, *, piece: int, breaks_at: int | None = None) -> None:
        self.length = len(data)
        self._data = data
        self._piece = piece
        self._at = 0
        self._breaks_at = breaks_at
        self.closed = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self._breaks_at is not None and self._at >= self._breaks_at:
            raise ConnectionResetError("the node died")
        piece = self._data[self._at : self._at + self._piece]
        self._at += len(piece)
        return piece

    async def aclose(self) -> None:
        self.closed = True


class FakeNode:
    """The three services of one device."""

    def __init__(self, cluster: FakeCluster, name: str, seed: str) -> None:
        self.name = name
        self.faults = Faults()
        self.names: dict[tuple[Kind, str], Stored] = {}
        self.requests: list[tuple[str, str]] = []
        self._cluster = cluster
        self._chance = random.Random(seed)

    async def __call__(self, kind: Kind, request: Request) -> Response:
        self.requests.append((kind, request.method))
        faults = self.faults
        if not faults.any():
            return await self._work(kind, request)
        if faults.delay_s:
            await asyncio.sleep(self._chance.expovariate(1 / faults.delay_s))
        roll = self._chance.random()
        if roll < faults.refuse:
            return Response(status=507)
        roll -= faults.refuse
        if roll < faults.stall:
            # Whoever sent it has long given up when the work is done after all.
            late = asyncio.get_running_loop().create_task(self._work_late(kind, request))
            self._cluster.late.add(late)
            late.add_done_callback(self._cluster.late.discard)
            return await asyncio.shield(late)
        roll -= faults.stall
        if roll >= faults.die:
            return await self._work(kind, request)
        when = self._chance.randrange(3)
        if when == 0:
            raise ConnectionResetError("the node died")
        response = await self._work(kind, request)
        if when == 1 and request.method == "GET" and response.ok and kind == "object":
            data = await _drain(response.body)
            breaks_at = self._chance.randrange(len(data) + 1)
            return response.replace(body=Pieces(data, piece=7, breaks_at=breaks_at))
        raise ConnectionResetError("the node died after its work")

    async def _work_late(self, kind: Kind, request: Request) -> Response:
        await asyncio.sleep(STALL_S)
        try:
            return await self._work(kind, request)
        except (Refusal, RuntimeError):  # the body is gone
            return Response(status=499)

    async def _work(self, kind: Kind, request: Request) -> Response:
        _, device, _, *names = request.path.split("/", 5)
        assert device == self.name
        path = "/" + "/".join(names)
        depth = {"account": 1, "container": 2, "object": 3}[kind]
        if len(names) > depth:
            return self._row(kind, "/" + "/".join(names[:depth]), names[depth], request)
        verbs: Mapping[str, Callable[[Kind, str, Request], Awaitable[Response]]] = {
            "PUT": self._put_object if kind == "object" else self._put,
            "POST": self._post,
            "GET": self._get,
            "HEAD": self._get,
            "DELETE": self._delete,
        }
        return await verbs[request.method](kind, path, request)

    async def _put_object(self, kind: Kind, path: str, request: Request) -> Response:
        old = self.names.get((kind, path))
        stamp = Timestamp.parse(request.headers["x-timestamp"])
        if request.headers.get("if-none-match") == "*" and old is not None and old.alive:
            return Response(status=412)
        if old is not None and old.timestamp >= stamp:
            return _superseded(old)
        try:
            data = await _drain(request.body)
        except Refusal as refusal:
            return refusal.response()
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        trailers = request.trailers()
        if trailers.get("etag", etag) != etag:
            return Response(status=422)
        old = self.names.get((kind, path))
        if old is not None and old.timestamp >= stamp:
            return _superseded(old)
        headers = _kept(request.headers, kind) | {"etag": etag}
        self.names[kind, path] = Stored(stamp, data, headers)
        await self._tell_containers(path, request, stamp, deleted=False)
        return Response(status=201, headers={"etag": etag})

    async def _put(self, kind: Kind, path: str, request: Request) -> Response:
        stamp = Timestamp.parse(request.headers["x-timestamp"])
        old = self.names.get((kind, path))
        kept = _kept(request.headers, kind)
        asked = request.headers.get("x-backend-storage-policy-index")
        default = request.headers.get("x-backend-storage-policy-default", "0")
        if old is None or not old.alive:
            if old is not None and old.timestamp >= stamp:
                return _superseded(old)
            set_at = dict.fromkeys(kept, stamp)
            kept["x-backend-storage-policy-index"] = asked or default
            self.names[kind, path] = Stored(stamp, b"", kept, set_at=set_at)
            return Response(status=201)
        if asked not in (None, old.headers.get("x-backend-storage-policy-index")):
            return Response(status=409)
        return Response(status=202, headers=_set(old, kept, stamp))

    async def _post(self, kind: Kind, path: str, request: Request) -> Response:
        old = self.names.get((kind, path))
        stamp = Timestamp.parse(request.headers["x-timestamp"])
        if old is None or not old.alive:
            return Response(status=404)
        kept = _kept(request.headers, kind)
        if kind != "object":
            return Response(status=204, headers=_set(old, kept, stamp))
        if stamp <= max(old.timestamp, old.meta_timestamp):
            return _superseded(old)
        fixed = {name: old.headers[name] for name in ("etag", "content-type")}
        old.headers = fixed | kept
        old.meta_timestamp = stamp
        return Response(status=202)

    async def _delete(self, kind: Kind, path: str, request: Request) -> Response:
        stamp = Timestamp.parse(request.headers["x-timestamp"])
        old = self.names.get((kind, path))
        if old is not None and old.timestamp >= stamp:
            return _superseded(old)
        if kind == "container" and old is not None and old.rows:
            return Response(status=409)
        existed = old is not None and old.alive
        if existed or kind == "object":
            self.names[kind, path] = Stored(stamp, None)
        if kind == "object":
            await self._tell_containers(path, request, stamp, deleted=True)
        return Response(status=204 if existed else 404)

    async def _get(self, kind: Kind, path: str, request: Request) -> Response:
        found = self.names.get((kind, path))
        if found is None:
            return Response(status=404)
        if found.data is None:
            headers = {"x-backend-timestamp": found.timestamp.internal}
            if kind == "account":
                headers["x-account-status"] = "Deleted"
            return Response(status=404, headers=headers)
        newest = max(found.timestamp, found.meta_timestamp)
        headers = {
            **{name: value for name, value in found.headers.items() if value},
            "x-timestamp": newest.normal,
            "x-backend-timestamp": newest.internal,
        }
        if kind == "object":
            headers["x-backend-data-timestamp"] = found.timestamp.internal
            headers["last-modified"] = "Tue, 14 Nov 2023 22:13:20 GMT"
            return _object_answer(request, found.data, headers)
        listing = json.dumps([{"name": name} for name in sorted(found.rows)]).encode()
        headers |= {
            f"x-{kind}-{'container' if kind == 'account' else 'object'}-count": str(
                len(found.rows)
            ),
            "content-type": "application/json; charset=utf-8",
        }
        if request.method == "HEAD":
            return Response(status=204, headers=headers)
        return Response(status=200, headers=headers, body=Bytes(listing))

    def _row(self, kind: Kind, owner: str, name: str, request: Request) -> Response:
        found = self.names.get((kind, owner))
        if found is None or not found.alive:
            return Response(status=404)
        if request.method == "DELETE":
            found.rows.pop(name, None)
            return Response(status=204)
        found.rows[name] = Timestamp.parse(request.headers["x-timestamp"])
        return Response(status=201)

    async def _tell_containers(
        self, path: str, request: Request, stamp: Timestamp, *, deleted: bool
    ) -> None:
        for name in filter(None, request.headers.get("x-container-device", "").split(",")):
            partition = request.headers["x-container-partition"]
            row = Request(
                method="DELETE" if deleted else "PUT",
                path=f"/{name}/{partition}{path}",
                headers={"x-timestamp": stamp.internal},
            )
            await self._cluster.nodes[name]._work("container", row)

    def __repr__(self) -> str:
        return f"<FakeNode {self.name}: {len(self.names)} names>"


class FakeCluster:
    """Nodes d0, d1, … and a Transport to them."""

    def __init__(self, *, devices: int = 4, replicas: int = 3, seed: int = 0) -> None:
        self.ring = small_ring(devices=devices, replicas=replicas)
        self.late: set[asyncio.Task[Response]] = set()
        self.nodes = {f"d{n}": FakeNode(self, f"d{n}", f"{seed} d{n}") for n in range(devices)}

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """The Transport."""
        return await self.nodes[node.device](kind, request)

    async def settle(self) -> None:
        """Wait for what stalled nodes still do."""
        while self.late:
            await asyncio.wait(self.late)

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        for node in self.nodes.values():
            node.faults = Faults()

    def replicate(self) -> None:
        """What the replicators do in the end: the newest of every name everywhere."""
        newest: dict[tuple[Kind, str], Stored] = {}
        for node in self.nodes.values():
            for name, stored in node.names.items():
                if name not in newest or _age(stored) > _age(newest[name]):
                    newest[name] = stored
        for node in self.nodes.values():
            node.names.update(newest)


def _superseded(stored: Stored) -> Response:
    newest = max(stored.timestamp, stored.meta_timestamp)
    return Response(status=409, headers={"x-backend-timestamp": newest.internal})


def _set(stored: Stored, kept: Mapping[str, str], stamp: Timestamp) -> dict[str, str]:
    """Set what has not been set later; what to say if something has."""
    latest = ZERO
    for name, value in kept.items():
        before = stored.set_at.get(name, ZERO)
        if (stamp, value) >= (before, stored.headers.get(name, "")):
            stored.headers[name], stored.set_at[name] = value, stamp
        else:
            latest = max(latest, before)
    return {OVERTAKEN_BY: latest.internal} if latest > ZERO else {}


def _age(stored: Stored) -> tuple[Timestamp, Timestamp]:
    return stored.timestamp, stored.meta_timestamp


def _kept(headers: Mapping[str, str], kind: Kind) -> dict[str, str]:
    families = (f"x-{kind}-meta-", f"x-{kind}-sysmeta-", "x-container-read", "x-container-write")
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(families) or name in ("content-type", "x-delete-at")
    }


def _object_answer(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    size = len(data)
    asked = request.headers.get("range")
    status, span = 200, slice(0, size)
    if asked is not None:
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start > end:
            headers["content-range"] = f"bytes */{size}"
            return Response(status=416, headers=headers)
        headers["content-range"] = f"bytes {start}-{end}/{size}"
        status, span = 206, slice(start, end + 1)
    if request.method == "HEAD":
        return Response(status=status, headers=headers, length=span.stop - span.start)
    part = data[span]
    body = Bytes(part) if size <= 64 else Pieces(part, piece=1000)
    return Response(status=status, headers=headers, body=body)


async def _drain(body: Body) -> bytes:
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return b"".join(pieces)
