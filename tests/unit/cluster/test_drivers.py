"""Reads, small changes and uploads against nodes that refuse, stall and die, in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from swiftish.cluster.affinity import WriteAffinity
from swiftish.cluster.calls import Calls
from swiftish.cluster.changes import Changes
from swiftish.cluster.downloader import DownloadBroken, Reader
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.node_options import DEFAULTS, NodeOptions
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.transport import Kind
from swiftish.cluster.uploader import Stored, Uploader
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster, Faults

T = TypeVar("T")
TARGET = Target("a", "c", "o")
SMALL, LARGE = b"small", bytes(range(256)) * 1200  # 300 KiB: several pieces, checksums in threads
STALLS, REFUSES, DIES = Faults(stall=1), Faults(refuse=1), Faults(die=1)


@dataclass
class Rig:
    """The cluster layer on three primaries (d0, d1, d2 in some order) and two handoffs."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(devices=5))
    clock: LoopClock = field(default_factory=LoopClock)
    options: NodeOptions = DEFAULTS

    def __post_init__(self) -> None:
        self.background = Background()
        self.limiter = ErrorLimiter(self.clock)
        calls = Calls(self.cluster, self.limiter, self.clock, node_timeout_s=10)
        self.nodes = Nodes(self.limiter)
        self.fanout = Fanout(calls, self.background)
        self.reader = Reader(calls, self.nodes, self.background)
        self.changes = Changes(self.fanout, self.nodes, self.clock)
        self.threads = DeviceThreads("checksums", size=1)
        self.uploader = Uploader(
            calls,
            self.nodes,
            self.fanout,
            self.background,
            self.threads,
            self.clock,
            commit_timeout_s=60,
        )

    def place(self) -> Place:
        hash_path = HashPath(prefix=b"", suffix=b"s")
        return place_of("object", self.cluster.ring, hash_path, TARGET, self.options)

    def primary(self, index: int) -> str:
        return self.place().primaries[index].device

    def break_primaries(self, *faults: Faults) -> None:
        for index, fault in enumerate(faults):
            self.cluster.nodes[self.primary(index)].faults = fault

    async def put(
        self,
        data: bytes,
        *,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        given: Timestamp | None = None,
    ) -> Stored:
        sent = Request(method="PUT", path="", headers=headers or {}, body=body or Bytes(data))
        return await self.uploader.upload(
            self.place(),
            sent,
            headers=headers or {},
            updates=[{}, {}, {}],
            size=len(data),
            size_max=1_000_000,
            given=given,
        )

    async def get(self, *, newest: bool = False, method: str = "GET") -> tuple[int, bytes]:
        response = await self.reader.download(
            self.place(), Request(method=method, path=""), newest=newest
        )
        data = b""
        async with response:
            while piece := await response.body.read():
                data += piece
        return response.status, data

    def copies(self) -> int:
        return sum(("object", "/a/c/o") in node.names for node in self.cluster.nodes.values())

    async def settle(self) -> None:
        await self.background.aclose(timeout_s=10_000)


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


class Chunks(Body):
    """A body in pieces; counts how often it was asked."""

    def __init__(self, data: bytes, *, piece: int = 10_000, raises: Refusal | None = None) -> None:
        self.length = len(data)
        self._pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
        self._raises = raises
        self.pulls = 0

    async def read(self) -> bytes:
        self.pulls += 1
        await asyncio.sleep(0)
        if self._pieces:
            return self._pieces.pop(0)
        if self._raises is not None:
            raise self._raises
        return b""


EXPECT = {"expect": "100-continue"}
WAYS = [(SMALL, {}), (SMALL, EXPECT), (LARGE, {}), (LARGE, EXPECT)]


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_an_upload_can_be_read(data: bytes, headers: dict[str, str]) -> None:
    """Three copies, the MD5 for an answer, and the same bytes back."""

    async def main() -> None:
        rig = Rig()
        stored = await rig.put(data, headers=headers, body=Chunks(data))
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert (stored.status, stored.etag) == (201, etag)
        await rig.settle()
        assert rig.copies() == 3
        assert await rig.get() == (200, data)
        assert await rig.get(newest=True) == (200, data)

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
@pytest.mark.parametrize("fault", [REFUSES, STALLS, DIES])
def test_t21_one_primary_down(data: bytes, headers: dict[str, str], fault: Faults) -> None:
    """Its copy goes to a handoff: three copies all the same."""

    async def main() -> None:
        rig = Rig()
        rig.break_primaries(fault)
        assert (await rig.put(data, headers=headers, body=Chunks(data))).status == 201
        await rig.settle()
        rig.cluster.heal()
        handoffs = [f"d{n}" for n in range(5)]
        for index in range(3):
            handoffs.remove(rig.primary(index))
        if fault is not DIES:  # who dies after its work has stored it
            assert any(("object", "/a/c/o") in rig.cluster.nodes[name].names for name in handoffs)
        assert await rig.get() == (200, data)

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_t22_too_few_nodes(data: bytes, headers: dict[str, str]) -> None:
    """With one node left nothing is acknowledged."""

    async def main() -> None:
        rig = Rig()
        for node in rig.cluster.nodes.values():
            node.faults = REFUSES
        rig.cluster.nodes["d0"].faults = Faults()
        with pytest.raises(Refusal) as refusal:
            await rig.put(data, headers=headers, body=Chunks(data))
        assert refusal.value.status == 503
        await rig.settle()

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_a_stalled_node_delays_an_upload_a_moment(data: bytes, headers: dict[str, str]) -> None:
    """A quorum of answers and a moment are enough; the third copy is made in the background."""

    async def main() -> float:
        rig = Rig()
        rig.break_primaries(STALLS)
        await rig.put(data, headers=headers, body=Chunks(data))
        took = rig.clock.now() - LoopClock().seconds
        await rig.settle()
        assert rig.copies() == 3
        return took

    assert run(main()) <= (0.501 if not headers and data is SMALL else 10.501)


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_a_wrong_checksum_stores_nothing(data: bytes, headers: dict[str, str]) -> None:
    """422, and no copy anywhere."""

    async def main() -> None:
        rig = Rig()
        with pytest.raises(Refusal) as refusal:
            await rig.put(data, headers={**headers, "etag": "0" * 32}, body=Chunks(data))
        assert refusal.value.status == 422
        await rig.settle()
        assert rig.copies() == 0

    run(main())


@pytest.mark.parametrize("headers", [{}, EXPECT])
@pytest.mark.parametrize("cut", [3, 200_000])
@pytest.mark.parametrize(("raises", "status"), [(None, 499), (Refusal(408), 408)])
def test_t74_a_body_that_ends_early_stores_nothing(
    headers: dict[str, str], cut: int, raises: Refusal | None, status: int
) -> None:
    """499 for a short one, 408 for a slow one."""

    async def main() -> None:
        rig = Rig()
        body = Chunks(LARGE[:cut], raises=raises)
        body.length = len(LARGE)
        with pytest.raises(Refusal) as refusal:
            await rig.put(LARGE, headers=headers, body=body)
        assert refusal.value.status == status
        await rig.settle()
        assert rig.copies() == 0
        assert len(rig.background) == 0

    run(main())


def test_a_body_beyond_the_limit() -> None:
    """413 as soon as it is clear, and no copy."""

    async def main() -> None:
        rig = Rig()
        body = Chunks(bytes(1_100_000))
        body.length = 0  # nobody said how long it is
        sent = Request(method="PUT", path="", body=body, headers=EXPECT)
        with pytest.raises(Refusal) as refusal:
            await rig.uploader.upload(
                rig.place(),
                sent,
                headers={},
                updates=[{}, {}, {}],
                size=None,
                size_max=1_000_000,
            )
        assert refusal.value.status == 413
        await rig.settle()
        assert rig.copies() == 0

    run(main())


def test_nothing_is_pulled_from_a_client_who_would_not_be_stored() -> None:
    """An object that is there, or nodes that are not: the answer comes without 100 Continue."""

    async def main() -> None:
        rig = Rig()
        await rig.put(SMALL)
        body = Chunks(LARGE)
        with pytest.raises(Refusal) as refusal:
            await rig.put(LARGE, headers={**EXPECT, "if-none-match": "*"}, body=body)
        assert (refusal.value.status, body.pulls) == (412, 0)
        rig.break_primaries(REFUSES, REFUSES, REFUSES)
        for node in rig.cluster.nodes.values():
            node.faults = REFUSES
        with pytest.raises(Refusal) as refusal:
            await rig.put(LARGE, headers=EXPECT, body=body)
        assert (refusal.value.status, body.pulls) == (503, 0)
        await rig.settle()

    run(main())


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_refused_upload_is_stored_nowhere(data: bytes) -> None:
    """If-None-Match: *, and one replica does not know that the object is there.  It must not take
    what the client is told was not stored: it is newer, and would win."""

    async def main() -> None:
        rig = Rig()
        await rig.put(b"first")
        await rig.settle()
        del rig.cluster.nodes[rig.primary(1)].names["object", "/a/c/o"]
        with pytest.raises(Refusal) as refusal:
            await rig.put(data, headers={"if-none-match": "*"})
        assert refusal.value.status == 412
        await rig.settle()
        assert rig.copies() == 2
        assert await rig.get(newest=True) == (200, b"first")

    run(main())


@pytest.mark.parametrize("headers", [{}, EXPECT])
def test_an_overtaken_upload_is_accepted(headers: dict[str, str]) -> None:
    """Something newer is stored: 202, and it stays."""

    async def main() -> None:
        rig = Rig()
        late = rig.clock.timestamp()
        await rig.put(b"newer")
        assert (await rig.put(SMALL, headers=headers, given=late)).status == 202
        assert await rig.get() == (200, b"newer")
        await rig.settle()

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
@pytest.mark.parametrize("missing", [0, 1])
def test_t27_an_upload_by_a_proxy_whose_clock_is_behind(
    data: bytes, headers: dict[str, str], missing: int
) -> None:
    """It came later, so it counts; also when not all replicas know of what it replaces.  The
    client's body is read once, and not before that is settled."""

    async def main() -> None:
        right = Rig()
        first = await right.put(b"first")
        await right.settle()
        for index in range(missing):
            del right.cluster.nodes[right.primary(index)].names["object", "/a/c/o"]
        behind = Rig(cluster=right.cluster)
        behind.clock.seconds -= 3600
        stored = await behind.put(data, headers=headers, body=Chunks(data))
        assert stored.status == 201
        assert stored.moment > first.moment
        await behind.settle()
        right.cluster.replicate()
        assert await right.get(newest=True) == (200, data)

    run(main())


def test_t27_an_upload_that_is_overtaken_while_it_comes() -> None:
    """Its body is gone, so it can't be sent again: 202, as in Swift."""

    async def main() -> None:
        rig = Rig()

        class Overtaken(Chunks):
            async def read(self) -> bytes:
                if self.pulls == 1:
                    await rig.put(b"newer")
                return await super().read()

        stored = await rig.put(LARGE, headers=EXPECT, body=Overtaken(LARGE))
        assert stored.status == 202
        assert await rig.get() == (200, b"newer")
        await rig.settle()

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_write_affinity(data: bytes, headers: dict[str, str]) -> None:
    """All copies of an upload are local, if there are so many places; reads find them."""

    async def main() -> None:
        rig = Rig()
        homes = [rig.primary(index) for index in range(3)]
        local = [homes[0], *(node.device for node in rig.place().handoffs)]
        text = ", ".join(f"r1z{name.removeprefix('d')}" for name in local)
        rig.options = NodeOptions(write_affinity=WriteAffinity.parse(text))
        assert (await rig.put(data, headers=headers, body=Chunks(data))).status == 201
        await rig.settle()
        have = {name for name, node in rig.cluster.nodes.items() if node.names}
        assert have == set(local)
        assert await rig.get() == (200, data)

    run(main())


def test_a_cancelled_upload_stores_nothing() -> None:
    """A client that is gone leaves no copy and no task."""

    async def main() -> None:
        rig = Rig()

        class Endless(Chunks):
            async def read(self) -> bytes:
                if self.pulls == 2:
                    await asyncio.sleep(100_000)
                return await super().read()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await rig.put(LARGE, headers=EXPECT, body=Endless(LARGE))
        await rig.settle()
        assert (rig.copies(), len(rig.background)) == (0, 0)

    run(main())


def test_t52_a_download_goes_on_at_another_node() -> None:
    """A node that dies in the middle of a body is not noticed; two versions are never mixed."""

    async def main() -> None:
        rig = Rig()
        await rig.put(LARGE)
        await rig.settle()
        for seed in range(20):
            del seed
            rig.break_primaries(DIES, DIES, Faults())
            assert await rig.get() == (200, LARGE)
            rig.limiter = ErrorLimiter(rig.clock)
            rig.clock.move(100)

    run(main())


def test_a_download_never_goes_on_with_another_version() -> None:
    """When all other copies are newer the connection is cut."""

    async def main() -> None:
        rig = Rig()
        await rig.put(LARGE)
        await rig.settle()
        place = rig.place()
        response = await rig.reader.download(place, Request(method="GET", path=""))
        assert await response.body.read()
        await rig.put(LARGE[::-1])
        await rig.settle()
        response.body._body._breaks_at = 0  # type: ignore[attr-defined]
        with pytest.raises(DownloadBroken):
            await response.body.read()

    run(main())


def test_t23_nodes_that_do_not_answer_are_not_an_absence() -> None:
    """All primaries time out and handoffs know nothing: 503."""

    async def main() -> None:
        rig = Rig()
        rig.break_primaries(STALLS, STALLS, STALLS)
        assert (await rig.get())[0] == 503
        rig.cluster.heal()
        rig.clock.move(100)
        assert (await rig.get())[0] == 404

    run(main())


def small_change(rig: Rig, method: str) -> Coroutine[Any, Any, Response]:
    return rig.changes.send(rig.place(), [Request(method=method, path="")] * 3)


def test_a_small_change_waits_for_a_quorum_only() -> None:
    """The slow node gets the change too, when the client has long had its answer."""

    async def main() -> None:
        rig = Rig()
        await rig.put(SMALL)
        await rig.settle()
        rig.break_primaries(Faults(delay_s=1), Faults(), Faults())
        assert (await small_change(rig, "DELETE")).status == 204
        await asyncio.sleep(0)
        assert len(rig.background) == 1
        await rig.settle()
        stored = [rig.cluster.nodes[rig.primary(n)].names["object", "/a/c/o"] for n in range(3)]
        assert not any(each.alive for each in stored)

    run(main())


def test_the_error_limiter() -> None:
    """More than ten failures in a row and a node is left alone for a minute; 507 is enough."""

    async def main() -> None:
        rig = Rig()
        node = rig.place().primaries[0]
        for _ in range(10):
            rig.limiter.failed("object", node)
        assert not rig.limiter.limited("object", node)
        rig.limiter.failed("object", node)
        assert rig.limiter.limited("object", node)
        assert not rig.limiter.limited("container", node)
        assert node not in list(rig.nodes.for_change(rig.place()))
        rig.clock.move(60)
        assert not rig.limiter.limited("object", node)
        rig.limiter.limit("object", node)
        assert rig.limiter.limited("object", node)
        rig.clock.move(-3600)
        assert not rig.limiter.limited("object", node), "the clock was set right: not for an hour"
        rig.limiter.limit("object", node)
        for other in rig.place().primaries:
            rig.limiter.limit("object", other)
        assert list(rig.nodes.for_change(rig.place()))[-3:] == rig.place().primaries

    run(main())


def test_a_spared_node_is_asked_before_a_read_fails() -> None:
    """A disk was replaced a moment ago and has all it should have, and then two others fail."""

    async def main() -> None:
        rig = Rig()
        await rig.put(SMALL)
        await rig.settle()
        rig.limiter.limit("object", rig.place().primaries[0])
        rig.break_primaries(Faults(), STALLS, STALLS)
        assert await rig.get() == (200, SMALL)

    run(main())


def test_a_spared_node_tells_what_was_deleted() -> None:
    """It makes the quorum of those who know."""

    async def main() -> None:
        rig = Rig()
        await rig.put(SMALL)
        await small_change(rig, "DELETE")
        await rig.settle()
        rig.limiter.limit("object", rig.place().primaries[0])
        rig.break_primaries(Faults(), Faults(), STALLS)
        assert (await rig.get())[0] == 404

    run(main())


@pytest.mark.parametrize(("data", "headers"), WAYS)
def test_a_spared_node_is_asked_before_an_upload_fails(
    data: bytes, headers: dict[str, str]
) -> None:
    """All nodes are restarted in turn: the last one is away, and the others are still spared."""

    async def main() -> None:
        rig = Rig()
        place = rig.place()
        for node in (place.primaries[0], *place.handoffs):
            rig.limiter.limit("object", node)
        rig.break_primaries(Faults(), Faults(), REFUSES)
        assert (await rig.put(data, headers=headers)).status == 201
        await rig.settle()
        assert rig.copies() == 2
        rig.cluster.nodes[rig.primary(2)].faults = Faults()
        assert (await small_change(rig, "DELETE")).status == 204

    run(main())


def test_a_spared_node_is_left_alone_where_a_quorum_stores_an_upload() -> None:
    """Two of three do, and nobody waits for the third."""

    async def main() -> None:
        rig = Rig()
        place = rig.place()
        for node in (place.primaries[0], *place.handoffs):
            rig.limiter.limit("object", node)
        rig.break_primaries(STALLS, Faults(), Faults())
        began = asyncio.get_running_loop().time()
        assert (await rig.put(SMALL)).status == 201
        assert asyncio.get_running_loop().time() - began < 0.1

    run(main())


def test_a_spared_node_is_left_alone_where_the_others_agree() -> None:
    """There is nothing, as the two others know; nobody waits for the third."""

    async def main() -> None:
        rig = Rig()
        await rig.put(SMALL)
        await small_change(rig, "DELETE")
        await rig.settle()
        rig.limiter.limit("object", rig.place().primaries[0])
        rig.break_primaries(STALLS, Faults(), Faults())
        began = asyncio.get_running_loop().time()
        assert (await rig.get())[0] == 404
        assert asyncio.get_running_loop().time() - began < 0.1

    run(main())


def test_t74_a_client_that_leaves_a_newest_read_leaves_nothing_open() -> None:
    """X-Newest opens the object everywhere; all of it is closed when the client goes meanwhile."""

    async def main() -> None:
        rig = Rig()
        await rig.put(LARGE)
        await rig.settle()
        opened: list[Watched] = []

        class Watching:
            """The cluster, one of whose nodes is slow to answer."""

            async def send(self, kind: Kind, node: Device, request: Request) -> Response:
                response = await rig.cluster.send(kind, node, request)
                if len(opened) == 2:
                    await asyncio.get_running_loop().create_future()
                opened.append(Watched())
                return response.replace(body=opened[-1])

        calls = Calls(Watching(), rig.limiter, rig.clock, node_timeout_s=10)
        reader = Reader(calls, rig.nodes, rig.background)
        place = rig.place()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await reader.download(place, Request(method="GET", path=""), newest=True)
        assert [body.closed for body in opened] == [True, True]

    run(main())


class Watched(Body):
    """A body that knows whether it was closed."""

    closed = False

    async def read(self) -> bytes:
        return b"x"

    async def aclose(self) -> None:
        self.closed = True
