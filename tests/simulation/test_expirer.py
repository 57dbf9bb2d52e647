"""Objects that expire, in a whole cluster (reference 1.13, 2.9, part 5 "expirer …"; T64)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swiftish.domain.expiry import ASYNC_DELETED, QUEUE_ACCOUNT
from swiftish.object.settings import ExpirerSettings, ObjectSettings
from swiftish.proxy.settings import ProxySettings
from tests.fakes import cluster_state as state
from tests.fakes.split import made_split
from tests.fakes.whole_cluster import ClusterSettings, WholeCluster, run

EXPIRER = "object-expirer"
LIFE_S = 1000
CONTAINER, OBJECT = "/v1/a/c", "/v1/a/c/o"
RECLAIM_AGE_S = ObjectSettings().reclaim_age_s


async def put(cluster: WholeCluster, body: bytes = b"x", *, after_s: int = LIFE_S) -> None:
    """An object that expires, in a container of its own."""
    assert (await cluster.ask("PUT", CONTAINER)).status in (201, 202)
    answer = await cluster.ask("PUT", OBJECT, body, {"x-delete-after": str(after_s)})
    assert answer.status == 201


async def told(cluster: WholeCluster) -> None:
    """What is pending is told, and the accounts know of their containers."""
    await cluster.run("object-updater", "container-updater")
    await cluster.advance(100)  # proxies forget what they remembered of accounts


async def rows(cluster: WholeCluster) -> dict[str, set[str]]:
    """The queue's rows, and what their replicas call them."""
    found = await state.queue(cluster)
    return {name: {row.content_type for row in each.values()} for name, each in found.items()}


def stale_and_fresh(cluster: WholeCluster) -> tuple[list[str], list[str]]:
    """One primary of the object, that is to miss a change; the others."""
    stale, *fresh = cluster.primaries("/a/c/o", policy=0)
    return [stale], fresh


def test_an_object_expires(device: Path) -> None:
    """It is there, then a 404 that is still listed, and then gone from devices, listing, queue."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster, b"12345")
        await told(cluster)
        [(name, types)] = (await rows(cluster)).items()
        assert name.endswith("-a/c/o")
        assert types == {"text/plain;swift_expirer_bytes=5"}
        await cluster.run(EXPIRER)
        assert (await cluster.ask("GET", OBJECT)).status == 200
        await cluster.advance(LIFE_S)
        assert (await cluster.ask("GET", OBJECT)).status == 404
        assert await cluster.names(CONTAINER) == ["o"]
        await cluster.run(EXPIRER)
        assert await cluster.names(CONTAINER) == []
        assert state.holders(cluster, "/a/c/o") == []
        assert await rows(cluster) == {}
        delete_at = int(name.partition("-")[0])
        assert {copy.timestamp.seconds for copy in state.copies(cluster)} == {delete_at}
        await cluster.settle()
        assert await cluster.client.list_containers(QUEUE_ACCOUNT) == []
        await state.check(cluster)

    run(device, scenario)


def test_the_expirer_leaves_nothing_pending(device: Path) -> None:
    """No server has to be told anything later because of it (part 5, "no async pendings")."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        await told(cluster)
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert state.holders(cluster, "/a/c/o") == []
        assert (await state.backlog(cluster))["pending_updates"] == 0

    run(device, scenario)


@pytest.mark.parametrize(
    ("method", "headers", "left"),
    [
        ("PUT", {}, 0),
        ("PUT", {"x-delete-after": str(2 * LIFE_S)}, 1),
        ("POST", {}, 0),
        ("POST", {"x-delete-after": str(2 * LIFE_S)}, 1),
    ],
)
def test_t64_a_change_before_the_expirer_comes(
    device: Path, method: str, headers: dict[str, str], left: int
) -> None:
    """What was written since stays, and its old row goes from the queue."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        await told(cluster)
        assert (await cluster.ask(method, OBJECT, b"new", headers)).status in (201, 202)
        await told(cluster)
        assert len(await rows(cluster)) == left
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert (await cluster.ask("GET", OBJECT)).status == 200
        await cluster.settle()
        assert len(state.holders(cluster, "/a/c/o")) == 3
        await cluster.advance(left * LIFE_S)
        await cluster.settle()
        assert (await cluster.ask("GET", OBJECT)).status == (404 if left else 200)
        assert await rows(cluster) == {}
        await state.check(cluster)

    run(device, scenario)


def test_a_deletion_empties_the_queue(device: Path) -> None:
    """A client that deletes an object leaves nothing for the expirer."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        assert (await cluster.ask("DELETE", OBJECT)).status == 204
        await told(cluster)
        assert await rows(cluster) == {}

    run(device, scenario)


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("headers", [{}, {"x-delete-after": str(9 * LIFE_S)}])
def test_t64_a_replica_that_missed_the_change(
    device: Path, method: str, headers: dict[str, str]
) -> None:
    """A stale copy that has expired is not deleted: its tombstone would go against the newer
    object, and the replicators would carry it everywhere (part 5, "should_not_be_expired")."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        stale, _ = stale_and_fresh(cluster)
        cluster.cut(*stale)
        assert (await cluster.ask(method, OBJECT, b"new", headers)).status in (201, 202)
        cluster.heal()
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        await cluster.settle()
        assert (await cluster.ask("GET", OBJECT)).status == 200
        assert len(state.holders(cluster, "/a/c/o")) == 3
        await state.check(cluster)

    run(device, scenario)


def test_t64_written_again_after_it_expired(device: Path) -> None:
    """The object that came after the other had expired survives, whoever missed it."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        await told(cluster)
        stale, _ = stale_and_fresh(cluster)
        cluster.cut(*stale)
        await cluster.advance(LIFE_S)
        assert (await cluster.ask("PUT", OBJECT, b"again")).status == 201
        cluster.heal()
        await cluster.advance(100)
        await cluster.run(EXPIRER)
        await cluster.settle()
        assert (await cluster.ask("GET", OBJECT)).body == b"again"
        assert await rows(cluster) == {}
        await state.check(cluster)

    run(device, scenario)


@pytest.mark.parametrize("first", [False, True], ids=["404", "412"])
def test_the_newest_copies_are_out_of_reach(device: Path, first: bool) -> None:
    """Then those that are left say 404 or 412, and the row stays until they are back."""

    async def scenario(cluster: WholeCluster) -> None:
        assert (await cluster.ask("PUT", CONTAINER)).status == 201
        if first:
            assert (await cluster.ask("PUT", OBJECT, b"old")).status == 201
        one, two, three = cluster.primaries("/a/c/o", policy=0)
        # The object that expires is on one primary and the handoff.
        cluster.cut(two, three)
        assert (
            await cluster.ask("PUT", OBJECT, b"x", {"x-delete-after": str(LIFE_S)})
        ).status == 201
        cluster.heal()
        await told(cluster)
        await cluster.advance(LIFE_S)
        away = [one, *cluster.handoffs("/a/c/o", policy=0)]
        cluster.cut(*away)
        await cluster.run(EXPIRER, on=[two, three])
        cluster.heal()
        assert len(await rows(cluster)) == 1
        assert (one in state.holders(cluster, "/a/c/o")) is True
        await cluster.advance(100)
        await cluster.settle()
        assert await rows(cluster) == {}
        assert state.holders(cluster, "/a/c/o") == []
        await state.check(cluster)

    run(device, scenario, devices=4)


def test_a_row_of_nothing_goes_after_the_reclaim_age(device: Path) -> None:
    """Until then some replica might still come back with the object."""

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        await told(cluster)
        for node in cluster.nodes.values():
            for folder in (node.device.path / "objects").glob("*/*/*"):
                for file in folder.iterdir():
                    file.unlink()
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert len(await rows(cluster)) == 1
        await cluster.advance(RECLAIM_AGE_S)
        await cluster.run(EXPIRER)
        assert await rows(cluster) == {}

    run(device, scenario)


@pytest.mark.parametrize("enabled", [False, True])
def test_open_expired(device: Path, enabled: bool) -> None:
    """X-Open-Expired shows what has expired, where it is allowed, until the expirer comes; a POST
    without X-Delete-At then keeps it."""
    settings = ClusterSettings(proxy=ProxySettings(allow_open_expired=enabled))
    shown = {"x-open-expired": "true"}

    async def scenario(cluster: WholeCluster) -> None:
        async def statuses(headers: dict[str, str]) -> list[int]:
            methods = ("GET", "HEAD", "POST")
            return [(await cluster.ask(m, OBJECT, headers=headers)).status for m in methods]

        await put(cluster)
        await told(cluster)
        await cluster.advance(LIFE_S)
        assert await statuses({}) == [404, 404, 404]
        assert await statuses({**shown, "x-delete-at": "1"}) == [404, 404, 400] or enabled
        assert await statuses(shown) == ([200, 200, 202] if enabled else [404, 404, 404])
        await cluster.settle()
        assert (await cluster.ask("GET", OBJECT)).status == (200 if enabled else 404)
        assert await rows(cluster) == {}
        await state.check(cluster)

    run(device, scenario, settings=settings)


def test_the_queue_agrees_on_the_bytes(device: Path) -> None:
    """A POST reaches replicas that missed the PUT before it, and they know another size; the
    newest data count (part 5, "expirer bytes consistency")."""

    async def scenario(cluster: WholeCluster) -> None:
        await cluster.ask("PUT", CONTAINER)
        await cluster.ask("PUT", OBJECT, b"x" * 9)
        stale, _ = stale_and_fresh(cluster)
        cluster.cut(*stale)
        await cluster.ask("PUT", OBJECT, b"x" * 32)
        cluster.heal()
        await cluster.advance(100)
        answer = await cluster.ask("POST", OBJECT, headers={"x-delete-after": str(LIFE_S)})
        assert answer.status == 202
        await cluster.settle()
        assert [*(await rows(cluster)).values()] == [{"text/plain;swift_expirer_bytes=32"}]
        await state.check(cluster)

    run(device, scenario)


def test_t64_split_brain(device: Path) -> None:
    """An object in the wrong policy can't be found by the expirer until it has been moved, though
    it has expired."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster, (1, 0))
        answer = await split.ask(1, "PUT", "o", b"x", {"x-delete-after": str(LIFE_S)})
        assert answer.status == 201
        await told(cluster)
        await cluster.run("container-replicator", "container-replicator")
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert len(state.holders(cluster, "/a/c/o", policy=0)) == 3
        assert len(await rows(cluster)) == 1
        await cluster.settle()
        assert state.holders(cluster, "/a/c/o", policy=0) == []
        assert state.holders(cluster, "/a/c/o", policy=1) == []
        assert await rows(cluster) == {}
        moved = [n.worker("container-reconciler").report.counters for n in cluster.nodes.values()]
        assert sum(counters["moved"] for counters in moved) == 1
        await state.check(cluster)

    run(device, scenario)


def test_rows_that_ask_for_a_deletion(device: Path) -> None:
    """A row of the type application/async-deleted deletes whatever there is, with no delay."""
    settings = ClusterSettings(
        object=ObjectSettings(expirer=ExpirerSettings(delay_reaping_s={"a": LIFE_S}))
    )

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster, after_s=5 * LIFE_S)
        when = int(cluster.clock.now()) + 10
        place = cluster.direct.container(QUEUE_ACCOUNT, str(when))
        row = {"x-size": "0", "x-etag": "-", "x-content-type": ASYNC_DELETED}
        answers = await cluster.direct.ask_all(
            replace(place, path=f"{place.path}/{when}-a/c/o"),
            "PUT",
            {**row, "x-timestamp": cluster.clock.timestamp().internal},
        )
        assert [answer.status for answer in answers] == [201] * 3
        await told(cluster)
        await cluster.run(EXPIRER)
        assert (await cluster.ask("GET", OBJECT)).status == 404
        assert state.holders(cluster, "/a/c/o") == []

    run(device, scenario, settings=settings)


def test_delay_reaping(device: Path) -> None:
    """An object is kept beyond its time, as its container's or its account's delay says."""
    delays = {"a": 5.0 * LIFE_S, "a/c": 1.0 * LIFE_S}
    settings = ClusterSettings(
        object=ObjectSettings(expirer=ExpirerSettings(delay_reaping_s=delays))
    )

    async def scenario(cluster: WholeCluster) -> None:
        await put(cluster)
        await told(cluster)
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert len(state.holders(cluster, "/a/c/o")) == 3
        await cluster.advance(LIFE_S)
        await cluster.run(EXPIRER)
        assert state.holders(cluster, "/a/c/o") == []

    run(device, scenario, settings=settings)


@pytest.mark.parametrize("down", [0, 1])
def test_each_task_is_done_once(device: Path, down: int) -> None:
    """By one node; by another where that one is down."""

    async def scenario(cluster: WholeCluster) -> None:
        await cluster.ask("PUT", CONTAINER)
        for number in range(20):
            headers = {"x-delete-after": str(LIFE_S)}
            assert (await cluster.ask("PUT", f"{OBJECT}{number}", b"x", headers)).status == 201
        await told(cluster)
        await cluster.advance(LIFE_S)
        cluster.cut(*[f"d{number}" for number in range(down)])
        await cluster.run(EXPIRER)
        done = [node.worker(EXPIRER).report.counters["done"] for node in cluster.nodes.values()]
        assert sum(done) == 20
        assert sorted(n > 0 for n in done) == sorted([False] * down + [True] * (4 - down))
        cluster.heal()
        await cluster.settle()
        assert await rows(cluster) == {}
        await state.check(cluster)

    run(device, scenario)
