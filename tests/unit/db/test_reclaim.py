"""What was deleted long ago is forgotten, by all, and by nobody before all know it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from swiftish.account.replicator import AccountReplicator
from swiftish.container.replicator import ContainerReplicator
from swiftish.container.updater import ContainerUpdater
from swiftish.db.settings import ReplicatorSettings
from swiftish.domain.timestamp import Timestamp
from tests.fakes.db_cluster import SETTINGS, Cluster, Node, play

WEEK_S = SETTINGS.reclaim_age_s


def now(cluster: Cluster) -> str:
    return cluster.clock.timestamp().internal


async def rows(node: Node) -> dict[bytes, bool]:
    """Name -> is it a tombstone?"""
    found = (await node.kept("container"))["a/c"].rows
    return {name: row.deleted for (_, name), row in found.items()}


async def made(cluster: Cluster) -> None:
    """A container with a row, a tombstone, and a key that was removed."""
    await cluster.make("a", now(cluster))
    await cluster.make("a/c", now(cluster))
    for node in cluster.primaries("a", "c"):
        for name in ("kept", "gone"):
            assert await node.put_row(f"a/c/{name}", now(cluster)) == 201
        await node.ask("container", "DELETE", "a/c/gone", x_timestamp=now(cluster))
        for value in ("1", ""):
            meta = {"x_timestamp": now(cluster), "x_container_meta_m": value}
            await node.ask("container", "POST", "a/c", **meta)
    await cluster.heal()


def test_tombstones_and_removed_keys(tmp_path: Path) -> None:
    """After the reclaim age, not before; nobody reminds the others of what they have forgotten."""

    async def script(cluster: Cluster) -> None:
        await made(cluster)
        cluster.clock.move(WEEK_S - 10)
        await cluster.run()
        for node in cluster.primaries("a", "c"):
            assert await rows(node) == {b"kept": False, b"gone": True}
        cluster.clock.move(3600)
        for _ in range(2):
            await cluster.run()
            for node in cluster.primaries("a", "c"):
                assert await rows(node) == {b"kept": False}
                assert not (await node.kept("container"))["a/c"].head.metadata
            cluster.clock.move(3600)
        reclaimed = [
            node.worker(ContainerReplicator).report.counters["reclaimed_rows"]
            for node in cluster.primaries("a", "c")
        ]
        assert reclaimed == [1, 1, 1]

    play(tmp_path, script)


def test_t25_a_node_that_was_away_for_longer(tmp_path: Path) -> None:
    """T25: tombstones wait for it, so what it has of old brings nothing back to life."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c", now(cluster))
        away, *others = cluster.primaries("a", "c")
        for node in (away, *others):
            await node.put_row("a/c/gone", now(cluster))
        await cluster.heal()
        away.is_down = True
        for node in others:
            await node.ask("container", "DELETE", "a/c/gone", x_timestamp=now(cluster))
        for _ in range(3):
            cluster.clock.move(WEEK_S)
            await cluster.run()
            for node in others:
                assert await rows(node) == {b"gone": True}
        away.is_down = False
        await cluster.run(on=[away])
        for node in others:
            assert await node.names("container", "a/c") == []
        for _ in range(2):
            cluster.clock.move(3600)
            await cluster.run()
        for node in (away, *others):
            assert await rows(node) == {}
            assert await node.names("container", "a/c") == []

    play(tmp_path, script)


def test_deleted_databases(tmp_path: Path) -> None:
    """A container goes once its accounts have heard, an account once it is empty; a replica that
    still has one does not bring it back."""

    async def script(cluster: Cluster) -> None:
        await made(cluster)
        for node in cluster.primaries("a", "c"):
            await node.ask("container", "DELETE", "a/c/kept", x_timestamp=now(cluster))
            assert (
                await node.ask("container", "DELETE", "a/c", x_timestamp=now(cluster))
            ).status == 204
        cluster.clock.move(WEEK_S + 3600)
        for _ in range(3):  # the accounts have not heard
            await cluster.run()
            cluster.clock.move(3600)
        for node in cluster.primaries("a", "c"):
            assert (await node.kept("container"))["a/c"].rows == {}
        await cluster.run(ContainerUpdater)
        first, *others = cluster.primaries("a", "c")
        await cluster.run(ContainerReplicator, on=[first])
        assert await first.kept("container") == {}
        await cluster.run(ContainerReplicator, on=others)
        for node in (first, *others):
            assert await node.kept("container") == {}
            assert node.worker(ContainerReplicator).report.counters["reclaimed"] == 1
        for node in cluster.primaries("a"):
            assert (
                await node.ask("account", "DELETE", "a", x_timestamp=now(cluster))
            ).status == 204
        await cluster.run(AccountReplicator)
        cluster.clock.move(WEEK_S + 3600)
        for _ in range(2):
            await cluster.run(AccountReplicator)
            cluster.clock.move(3600)
        for node in cluster.nodes.values():
            assert await node.kept("account") == {}

    play(tmp_path, script)


def test_not_before_all_are_in_sync(tmp_path: Path) -> None:
    """A deleted container stays while a primary is away, and where it was made again."""

    async def script(cluster: Cluster) -> None:
        await made(cluster)
        away, *others = cluster.primaries("a", "c")
        for node in (away, *others):
            await node.ask("container", "DELETE", "a/c/kept", x_timestamp=now(cluster))
            await node.ask("container", "DELETE", "a/c", x_timestamp=now(cluster))
        await cluster.heal()
        away.is_down = True
        cluster.clock.move(WEEK_S + 3600)
        await cluster.run()
        for node in others:
            assert "a/c" in await node.kept("container")
        away.is_down = False
        await away.ask("container", "PUT", "a/c", x_timestamp=now(cluster))
        cluster.clock.move(3600)
        await cluster.run()
        await cluster.run()
        for node in (away, *others):
            assert await node.names("container", "a/c") == []

    play(tmp_path, script)


def test_only_now_and_then(tmp_path: Path) -> None:
    """A pass does not look at all tombstones each time."""
    settings = ReplicatorSettings(reclaim_interval_s=500, reclaim_age_s=1000)

    async def script(cluster: Cluster) -> None:
        (node,) = cluster.nodes.values()
        await cluster.make("a/c", now(cluster))
        worker = node.worker(ContainerReplicator)

        async def reclaimed() -> int:
            await cluster.run(ContainerReplicator)
            return int(worker.report.counters["reclaimed_rows"])

        names = ["long" * 200 + str(n) if n % 3 else str(n) for n in range(1200)]
        async with asyncio.TaskGroup() as group:
            for name in names:
                at = now(cluster)
                group.create_task(node.ask("container", "DELETE", f"a/c/{name}", x_timestamp=at))
        assert await reclaimed() == 0
        cluster.clock.move(1001)
        assert await reclaimed() == 1200
        await node.ask("container", "DELETE", "a/c/x", x_timestamp=Timestamp(1).internal)
        assert await reclaimed() == 1200  # it is old, but nobody has looked
        cluster.clock.move(500)
        assert await reclaimed() == 1201

    play(tmp_path, script, size=1, replicas=1, settings=settings)
