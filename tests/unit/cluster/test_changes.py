"""Small changes: their votes, their moments, their handoffs; against nodes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from swiftish.cluster.affinity import WriteAffinity
from swiftish.cluster.best_response import best_of_posts
from swiftish.cluster.calls import Calls
from swiftish.cluster.changes import Changes
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.moments import ATTEMPTS_MAX
from swiftish.cluster.node_options import DEFAULTS, NodeOptions
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.clock import FUTURE_MAX_S
from swiftish.runtime.tasks import Background
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster, Faults, Stored

T = TypeVar("T")
NAME = "/a/c/o"
STALLS, REFUSES = Faults(stall=1), Faults(refuse=1)


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


class Rig:
    """A proxy whose clock may be wrong, over five devices of which three are primaries."""

    def __init__(
        self,
        *,
        ahead_s: float = 0.0,
        options: NodeOptions = DEFAULTS,
        cluster: FakeCluster | None = None,
    ) -> None:
        self.cluster = cluster or FakeCluster(devices=5)
        self.right = LoopClock()
        self.clock = LoopClock()
        self.clock.seconds += ahead_s
        self.background = Background()
        self.limiter = ErrorLimiter(self.clock)
        calls = Calls(self.cluster, self.limiter, self.clock, node_timeout_s=10)
        fanout = Fanout(calls, self.background)
        self.changes = Changes(fanout, Nodes(self.limiter), self.clock)
        self.options = options
        self.primaries = [node.device for node in self.place().primaries]
        self.handoffs = [node.device for node in self.place().handoffs]

    def place(self, kind: Kind = "object") -> Place:
        depth = {"account": 1, "container": 2, "object": 3}[kind]
        target = Target(*("a", "c", "o")[:depth])
        hash_path = HashPath(prefix=b"", suffix=b"s")
        return place_of(kind, self.cluster.ring, hash_path, target, self.options)

    def store(self, *names: str, at: float = -100.0, data: bytes | None = b"x") -> None:
        """What was written by a proxy whose clock is right, so long ago."""
        moment = Timestamp.from_seconds(self.right.now() + at)
        for name in names:
            headers = {"etag": "e", "content-type": "t"}
            self.cluster.nodes[name].names["object", NAME] = Stored(moment, data, headers)

    def stored(self, name: str) -> Stored | None:
        return self.cluster.nodes[name].names.get(("object", NAME))

    def requests(self, method: str, **headers: str) -> list[Request]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return [Request(method=method, path="", headers=named)] * 3

    async def post(self) -> int:
        sent = self.requests("POST", x_object_meta_a="new")
        return (await self.changes.post(self.place(), sent)).status

    async def delete(self, given: Timestamp | None = None) -> int:
        sent = self.requests("DELETE")
        return (await self.changes.delete(self.place(), sent, given=given)).status

    async def settle(self) -> None:
        await self.background.aclose(timeout_s=10_000)


# ---- clocks (T27) ----------------------------------------------------------------------------


def test_t27_a_delete_by_a_proxy_that_is_an_hour_behind() -> None:
    """It came later, so it counts: all copies are gone, and nothing is older than its tombstone."""

    async def main() -> None:
        rig = Rig(ahead_s=-3600)
        rig.store(*rig.primaries)
        assert await rig.delete() == 204
        await rig.settle()
        assert not any(rig.stored(name).alive for name in rig.primaries)  # type: ignore[union-attr]

    run(main())


def test_t27_a_delete_and_a_node_that_is_down() -> None:
    """Two of three primaries say what they have; the handoff has a tombstone after it too."""

    async def main() -> None:
        rig = Rig(ahead_s=-3600)
        rig.store(*rig.primaries)
        rig.cluster.nodes[rig.primaries[0]].faults = REFUSES
        assert await rig.delete() == 204
        await rig.settle()
        rig.cluster.heal()
        rig.cluster.replicate()
        assert not any(rig.stored(name).alive for name in rig.primaries)  # type: ignore[union-attr]

    run(main())


def test_t27_new_metadata_by_a_proxy_that_is_an_hour_behind() -> None:
    """They are the object's from then on."""

    async def main() -> None:
        rig = Rig(ahead_s=-3600)
        rig.store(*rig.primaries)
        assert await rig.post() == 202
        await rig.settle()
        for name in rig.primaries:
            stored = rig.stored(name)
            assert stored is not None
            assert stored.headers["x-object-meta-a"] == "new"

    run(main())


@pytest.mark.parametrize("kind", ["account", "container"])
def test_t27_metadata_of_databases(kind: Kind) -> None:
    """What a server takes without effect is sent again too: an ACL is not lost silently."""

    async def main() -> None:
        rig = Rig()
        behind = Rig(ahead_s=-3600, cluster=rig.cluster)
        name, place = f"x-{kind}-meta-a", rig.place(kind)
        for each, method, value in ((rig, "PUT", "first"), (behind, "POST", "second")):
            answer = await each.changes.send(place, each.requests(method, **{name: value}))
            assert answer.ok
            await each.settle()
        for node in place.primaries:
            stored = rig.cluster.nodes[node.device].names[kind, place.path]
            assert stored.headers[name] == "second"

    run(main())


def test_t27_a_moment_that_is_given_is_kept() -> None:
    """An internal actor knows what it does: its change is late, and stays so."""

    async def main() -> None:
        rig = Rig()
        rig.store(*rig.primaries)
        late = Timestamp.from_seconds(rig.right.now() - 1000)
        assert await rig.delete(late) == 409
        await rig.settle()

    run(main())


def test_t27_what_is_stored_too_far_ahead_is_not_followed() -> None:
    """Or its name would be that far ahead for ever; 409, as it is."""

    async def main() -> None:
        rig = Rig()
        rig.store(*rig.primaries, at=FUTURE_MAX_S * 2.0)
        assert await rig.delete() == 409
        assert rig.clock.timestamp().seconds < rig.right.now() + 1
        await rig.settle()

    run(main())


def test_a_name_that_is_always_newer_is_given_up() -> None:
    """Whoever is overtaken again and again hears of it in the end."""

    async def main() -> None:
        rig = Rig()
        moments: list[str] = []

        class Overtaking:
            """Somebody else always comes first."""

            async def send(self, kind: Kind, node: Device, request: Request) -> Response:
                moment = Timestamp.parse(request.headers["x-timestamp"])
                moments.append(moment.internal)
                later = Timestamp(moment.raw + 100_000).internal
                return Response(status=409, headers={"x-backend-timestamp": later})

        calls = Calls(Overtaking(), rig.limiter, rig.clock, node_timeout_s=10)
        changes = Changes(Fanout(calls, rig.background), Nodes(rig.limiter), rig.clock)
        assert (await changes.delete(rig.place(), rig.requests("DELETE"))).status == 409
        assert len(set(moments)) == ATTEMPTS_MAX
        await rig.settle()

    run(main())


# ---- POST (reference 2.2, 2.15; part 5, "post handoff") -----------------------------------------


def test_a_post_finds_the_copy_on_a_handoff() -> None:
    """One primary has it, two are empty: the handoffs are asked too, and a quorum has it."""

    async def main() -> None:
        rig = Rig()
        rig.store(rig.primaries[0], rig.handoffs[0])
        assert await rig.post() == 202
        for name in (rig.primaries[0], rig.handoffs[0]):
            stored = rig.stored(name)
            assert stored is not None
            assert stored.headers["x-object-meta-a"] == "new"
        await rig.settle()

    run(main())


def test_a_post_that_too_few_have_changed() -> None:
    """Neither done nor "there is none": 503."""

    async def main() -> None:
        rig = Rig()
        rig.store(rig.primaries[0])
        assert await rig.post() == 503
        await rig.settle()

    run(main())


def test_a_post_when_one_primary_is_down_and_its_copy_on_a_handoff() -> None:
    """The handoff hears of it instead of the primary, which will get both at once."""

    async def main() -> None:
        rig = Rig()
        rig.store(*rig.primaries[1:], rig.handoffs[0])
        rig.cluster.nodes[rig.primaries[0]].faults = REFUSES
        assert await rig.post() == 202
        await rig.settle()
        stored = rig.stored(rig.handoffs[0])
        assert stored is not None
        assert stored.headers["x-object-meta-a"] == "new"

    run(main())


def test_a_post_of_nothing() -> None:
    """404, and no handoff is asked."""

    async def main() -> None:
        rig = Rig()
        assert await rig.post() == 404
        assert not any(rig.cluster.nodes[name].requests for name in rig.handoffs)
        await rig.settle()

    run(main())


done, none, newer, down = (Response(status=status) for status in (202, 404, 409, 503))


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([done, done, down], 202),
        ([done, none, none, done, none], 202),
        ([done, none, none, none, none], None),
        ([done, none, newer], None),
        ([done, down, down], None),
        ([done, newer, newer], 409),
        ([none, none, none], 404),
        ([none, none, down], 404),
        ([none, down, down], None),
        ([none, newer, newer], 409),
    ],
)
def test_vote_on_a_post(answers: list[Response], status: int | None) -> None:
    """The first three are the primaries, what follows are handoffs; None is a 503."""
    best = best_of_posts(answers, needed=2)
    assert (best and best.status) == status


# ---- DELETE (reference 2.2, 2.15) ---------------------------------------------------------------


def test_a_delete_goes_where_a_local_upload_may_be() -> None:
    """With write affinity the object may be on local handoffs only: they get tombstones too."""

    async def main() -> None:
        options = NodeOptions(write_affinity=WriteAffinity.parse("r1"), local_delete_handoffs=2)
        rig = Rig(options=options)
        rig.store(rig.primaries[0], *rig.handoffs)
        assert await rig.delete() == 204
        await rig.settle()
        for name in (*rig.primaries, *rig.handoffs):
            stored = rig.stored(name)
            assert stored is not None
            assert not stored.alive

    run(main())


def test_local_handoffs_tell_no_container_and_clean_no_queue() -> None:
    """The primaries do."""

    async def main() -> None:
        options = NodeOptions(write_affinity=WriteAffinity.parse("r1"), local_delete_handoffs=1)
        rig = Rig(options=options)
        seen: list[dict[str, str]] = []

        class Seeing:
            async def send(self, kind: Kind, node: Device, request: Request) -> Response:
                seen.append(dict(request.headers))
                return await rig.cluster.send(kind, node, request)

        calls = Calls(Seeing(), rig.limiter, rig.clock, node_timeout_s=10)
        changes = Changes(Fanout(calls, rig.background), Nodes(rig.limiter), rig.clock)
        told = rig.requests("DELETE", x_container_host="h", x_other="x")
        await changes.delete(rig.place(), told)
        await rig.settle()
        assert [headers.get("x-container-host") for headers in seen] == ["h", "h", "h", None]
        assert all("x-other" in headers for headers in seen)

    run(main())


@pytest.mark.parametrize(("there", "status"), [(0, 404), (1, 404), (2, 204), (3, 204)])
def test_a_delete_of_what_few_have(there: int, status: int) -> None:
    """The majority says whether there was anything; a tombstone is left everywhere."""

    async def main() -> None:
        rig = Rig()
        rig.store(*rig.primaries[:there])
        assert await rig.delete() == status
        await rig.settle()
        assert all(rig.stored(name) is not None for name in rig.primaries)

    run(main())


def test_t22_a_delete_with_one_node_left() -> None:
    """503."""

    async def main() -> None:
        rig = Rig()
        rig.store(*rig.primaries)
        for node in rig.cluster.nodes.values():
            node.faults = REFUSES
        rig.cluster.nodes[rig.primaries[0]].faults = Faults()
        assert await rig.delete() == 503
        await rig.settle()

    run(main())


# ---- databases (part 5, "locked_container_dbs") -------------------------------------------------


@pytest.mark.parametrize(("locked", "status"), [(1, 201), (3, 503)])
def test_containers_whose_databases_are_locked(locked: int, status: int) -> None:
    """One is no hindrance; all are a 503 within the time that nodes have."""

    async def main() -> None:
        rig = Rig()
        primaries = [node.device for node in rig.place("container").primaries]
        for name in primaries[:locked]:
            rig.cluster.nodes[name].faults = STALLS
        if locked == 3:
            for name in rig.cluster.nodes:
                rig.cluster.nodes[name].faults = STALLS
        began = asyncio.get_running_loop().time()
        answer = await rig.changes.send(rig.place("container"), rig.requests("PUT"))
        took_s = asyncio.get_running_loop().time() - began
        assert answer.status == status
        assert took_s <= (0.51 if locked == 1 else 20.1)  # primaries, then a handoff each
        await rig.settle()

    run(main())
