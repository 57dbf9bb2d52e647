"""Deleted accounts are emptied, in a whole cluster (reference 2.9; part 5, account_reaper; T61)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from swiftish.account.settings import AccountSettings, ReaperSettings
from swiftish.runtime.worker import Progress
from tests.fakes import cluster_state as state
from tests.fakes.cluster_state import Copy
from tests.fakes.whole_cluster import ClusterSettings, WholeCluster, run

REAPER = "account-reaper"
DELAY_S = 3600.0


async def fill(cluster: WholeCluster, account: str) -> None:
    """Containers in both policies, with a few objects each."""
    for number in range(4):
        path = f"/v1/{account}/c{number}"
        policy = {"x-storage-policy": f"policy-{number % 2}"}
        assert (await cluster.ask("PUT", path, headers=policy)).status == 201
        for name in ("photos/1", "photos/2", "x-delete-at"):
            expiring = {"x-delete-after": "9999"} if name == "x-delete-at" else {}
            assert (await cluster.ask("PUT", f"{path}/{name}", b"x", expiring)).status == 201
    await cluster.settle()


def of(cluster: WholeCluster, account: str) -> list[Copy]:
    """All copies of the account's objects, dead or alive."""
    return [copy for copy in state.copies(cluster) if copy.path.startswith(f"/{account}/")]


def alive(cluster: WholeCluster, account: str) -> list[Copy]:
    return [copy for copy in of(cluster, account) if copy.alive]


async def rows_of(cluster: WholeCluster, account: str) -> list[str]:
    """The containers that any replica of the account still has."""
    replicas = (await state.databases(cluster, "account"))[f"/{account}"]
    return sorted({name for replica in replicas for _, name in replica.live})


async def assert_empty(cluster: WholeCluster, account: str) -> None:
    """Nothing is left of it but that it was deleted."""
    assert alive(cluster, account) == []
    assert len(of(cluster, account)) == 12 * 3, "tombstones on all replicas"
    assert await rows_of(cluster, account) == []
    for path, replicas in (await state.databases(cluster, "container")).items():
        if path.startswith(f"/{account}/"):
            for replica in replicas:
                assert replica.head.delete > replica.head.put
                assert not replica.live
    for replica in (await state.databases(cluster, "account"))[f"/{account}"]:
        assert replica.head.marked_deleted
    assert (await cluster.ask("HEAD", f"/v1/{account}")).status == 410
    assert (await cluster.ask("PUT", f"/v1/{account}/c")).status == 404


def test_an_account_is_reaped(device: Path) -> None:
    """Objects in all policies, then containers, then the account's rows; not another account."""

    async def scenario(cluster: WholeCluster) -> None:
        await fill(cluster, "a")
        await fill(cluster, "b")
        others = alive(cluster, "b")
        assert (await cluster.ask("DELETE", "/v1/a")).status == 204
        assert len(alive(cluster, "a")) == 36, "so far it is only marked"
        await cluster.settle()
        await assert_empty(cluster, "a")
        assert alive(cluster, "b") == others
        assert len(await rows_of(cluster, "b")) == 4
        assert len(await state.queue(cluster)) == 4, "the expirer has nothing to do any more"
        await state.check(cluster)

    run(device, scenario)


def test_delay_reaping(device: Path) -> None:
    """Until then everything is still there, for who has changed their mind."""
    settings = ClusterSettings(
        account=AccountSettings(reaper=ReaperSettings(delay_reaping_s=DELAY_S))
    )

    async def scenario(cluster: WholeCluster) -> None:
        await fill(cluster, "a")
        assert (await cluster.ask("DELETE", "/v1/a")).status == 204
        await cluster.run(REAPER)
        assert len(alive(cluster, "a")) == 36
        assert len(await rows_of(cluster, "a")) == 4
        await cluster.advance(DELAY_S)
        await cluster.settle()
        await assert_empty(cluster, "a")

    run(device, scenario, settings=settings)


@pytest.mark.parametrize("number", range(5))
def test_t61_interrupted(device: Path, number: int, seed: int) -> None:
    """Reapers that end somewhere in the middle, and nodes that are away: it goes on, and takes
    nothing else with it."""

    async def scenario(cluster: WholeCluster) -> None:
        chance = random.Random(seed + number)
        await fill(cluster, "a")
        await fill(cluster, "b")
        others = alive(cluster, "b")
        assert (await cluster.ask("DELETE", "/v1/a")).status == 204
        for _ in range(6):
            cluster.heal()
            cluster.cut(*chance.sample(sorted(cluster.nodes), chance.randrange(3)))
            reaper = cluster.nodes[chance.choice(sorted(cluster.nodes))].worker(REAPER)
            for _ in range(chance.randrange(8)):
                if await reaper.work() is Progress.IDLE:
                    break
            await cluster.advance(10)
        cluster.heal()
        await cluster.settle()
        await assert_empty(cluster, "a")
        assert alive(cluster, "b") == others
        assert len(await rows_of(cluster, "b")) == 4
        await state.check(cluster)

    run(device, scenario)


def test_t61_each_container_belongs_to_one(device: Path) -> None:
    """To the next replica of the account when that one is away."""

    async def scenario(cluster: WholeCluster) -> None:
        await fill(cluster, "a")
        assert (await cluster.ask("DELETE", "/v1/a")).status == 204
        away = cluster.primaries("/a")[0]
        cluster.cut(away)
        await cluster.advance(10)
        await cluster.run(REAPER, on=[name for name in cluster.nodes if name != away])
        assert {copy.node for copy in alive(cluster, "a")} <= {away}
        done = [node.worker(REAPER).report.counters for node in cluster.nodes.values()]
        assert sum(c["objects"] + c["objects left"] for c in done) == 12
        cluster.heal()
        await cluster.settle()
        await assert_empty(cluster, "a")

    run(device, scenario)


def test_t61_a_node_that_was_away_for_too_long(device: Path) -> None:
    """It still has the deleted account; the others have forgotten it, and it was made again.  The
    new one's contents are none of the reaper's business."""

    async def scenario(cluster: WholeCluster) -> None:
        await cluster.ask("PUT", "/v1/a/c")
        await cluster.ask("PUT", "/v1/a/c/o", b"old")
        await cluster.settle()
        assert (await cluster.ask("DELETE", "/v1/a")).status == 204
        *others, away = cluster.primaries("/a")
        cluster.cut(away)
        await cluster.advance(100)
        for name in others:
            await cluster.restart(name, lost="*.mdb*")
        assert (await cluster.ask("PUT", "/v1/a/c")).status in (201, 202)
        assert (await cluster.ask("PUT", "/v1/a/c/o", b"new")).status == 201
        cluster.heal()
        await cluster.advance(100)
        before = state.copies(cluster)
        await cluster.run(REAPER, on=[away])
        assert state.copies(cluster) == before
        answer = await cluster.ask("GET", "/v1/a/c/o", headers={"x-newest": "true"})
        assert answer.body == b"new"

    run(device, scenario)
