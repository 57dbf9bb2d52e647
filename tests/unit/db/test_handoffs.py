"""Databases that are not where they belong: they get there first, and only then go from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from swiftish.account.replicator import AccountReplicator
from swiftish.cluster.transport import Kind
from swiftish.container.replicator import ContainerReplicator
from swiftish.container.updater import ContainerUpdater
from swiftish.db.removal import REMOVED
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.worker import run_once
from tests.fakes.db_cluster import HASH_PATH, Cluster, Node, play


async def holders(cluster: Cluster, path: str = "a/c") -> set[str]:
    kind: Kind = "container" if "/" in path else "account"
    return {node.name for node in cluster.nodes.values() if path in await node.kept(kind)}


def primaries(cluster: Cluster, path: str = "a/c") -> set[str]:
    account, _, container = path.partition("/")
    return {node.name for node in cluster.primaries(account, container or None)}


def gauge(node: Node, name: str) -> float:
    return float(node.worker(ContainerReplicator).report.gauges[f"{name} {node.name}"])


def after_answers(node: Node, path_end: str, then: Callable[[Device], Awaitable[object]]) -> None:
    """Do something each time that a peer has answered a request of a node's."""
    send = node.send

    async def interrupted(kind: Kind, peer: Device, request: Request) -> Response:
        response = await send(kind, peer, request)
        if request.path.endswith(path_end):
            await then(peer)
        return response

    node.send = interrupted  # type: ignore[method-assign,assignment]


def test_t21_what_was_written_to_a_handoff_comes_home(tmp_path: Path) -> None:
    """T21: a primary was away; what a handoff took in its place reaches all, and three have it."""

    async def script(cluster: Cluster) -> None:
        away, *others = cluster.primaries("a", "c")
        (spare,) = cluster.handoffs("a", "c")
        away.is_down = True
        await cluster.make("a/c", on=[*others, spare])
        for node in (*others, spare):
            await node.put_row("a/c/o", "20")
        await spare.put_row("a/c/only-there", "21")
        await cluster.run()
        assert await holders(cluster) == {spare.name, *(node.name for node in others)}
        assert gauge(spare, "strays") == 1
        away.is_down = False
        await cluster.run(on=[spare])
        assert await holders(cluster) == primaries(cluster)
        assert gauge(spare, "strays") == 0
        for node in (away, *others):
            assert await node.names("container", "a/c") == ["o", "only-there"]
        await cluster.run()
        assert await holders(cluster) == primaries(cluster)

    play(tmp_path, script)


def test_t39_in_the_place_of_a_device_that_is_gone(tmp_path: Path) -> None:
    """T39: a primary whose device is full or gone (507) has a stand-in, so there are three copies;
    once it is back the stand-in's goes."""

    async def script(cluster: Cluster) -> None:
        gone, *others = cluster.primaries("a", "c")
        (spare,) = cluster.handoffs("a", "c")
        gone.is_gone = True
        await cluster.make("a/c", on=others)
        await others[0].put_row("a/c/o", "20")
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) - {gone.name} == {spare.name, others[0].name, others[1].name}
        assert [gauge(node, "below_replicas") for node in (*others, spare)] == [0, 0, 0]
        gone.is_gone = False
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) == primaries(cluster)
        assert await gone.names("container", "a/c") == ["o"]

    play(tmp_path, script)


def test_a_stand_in_only_for_a_device(tmp_path: Path) -> None:
    """A node that does not answer is waited for: its device has what it had."""

    async def script(cluster: Cluster) -> None:
        down, *others = cluster.primaries("a", "c")
        down.is_down = True
        await cluster.make("a/c", on=others)
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) == {node.name for node in others}
        assert [gauge(node, "below_replicas") for node in others] == [1, 0], "counted once"

    play(tmp_path, script)


def test_t30_rings_that_differ(tmp_path: Path) -> None:
    """T30: while a primary of this node's ring does not take itself for one, the copy stays."""

    async def script(cluster: Cluster) -> None:
        old = cluster.ring
        await cluster.make("a/c")
        await cluster.primaries("a", "c")[0].put_row("a/c/o", "20")
        await cluster.run(ContainerReplicator)
        before = await holders(cluster)
        new = cluster.ring_with(3, first=1)
        (leaving,) = before - {
            device.device for device in new.primaries(new.partition(HASH_PATH("a", "c")))
        }
        # One node has the new ring.  To it its device is no primary any more; the others hold the
        # container too, one of them newly, but by their rings they are not all primaries.
        cluster.nodes[leaving].ring = new
        await cluster.run(ContainerReplicator, on=[cluster.nodes[leaving]])
        assert await holders(cluster) == before | {"d0", "d1", "d2", "d3"}
        # The others have the new ring, and the leaving one the old: it is a primary, and stays.
        cluster.use(new)
        cluster.nodes[leaving].ring = old
        await cluster.run(ContainerReplicator)
        assert leaving in await holders(cluster)
        cluster.use(new)
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) == primaries(cluster)
        for node in cluster.primaries("a", "c"):
            assert await node.names("container", "a/c") == ["o"]

    play(tmp_path, script)


def test_what_changed_meanwhile_stays(tmp_path: Path) -> None:
    """A row that a handoff takes after the primaries have confirmed is not lost with it."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a", "c")
        await cluster.make("a/c", on=[*cluster.primaries("a", "c"), spare])
        late = iter(range(100))

        async def put(peer: Device) -> None:
            await spare.put_row(f"a/c/late{next(late)}", "30")

        after_answers(spare, "/merge", put)
        await cluster.run(ContainerReplicator, on=[spare])
        assert "a/c" in await spare.kept("container")
        assert spare.worker(ContainerReplicator).report.counters["removed"] == 0
        spare.send = type(spare).send.__get__(spare)  # type: ignore[method-assign]
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) == primaries(cluster)
        found = await cluster.primaries("a", "c")[0].names("container", "a/c")
        assert found == ["late0", "late1", "late2"]

    play(tmp_path, script)


def test_a_ring_that_changes_meanwhile(tmp_path: Path) -> None:
    """By the newest ring the device is a primary after all: nothing goes."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a", "c")
        await cluster.make("a/c", on=[*cluster.primaries("a", "c"), spare])

        async def turn(peer: Device) -> None:
            spare.ring = cluster.ring_with(4)

        after_answers(spare, "/merge", turn)
        await cluster.run(ContainerReplicator, on=[spare])
        assert spare.worker(ContainerReplicator).report.counters["removed"] == 0
        assert spare.name in await holders(cluster)

    play(tmp_path, script)


def test_a_large_database_goes_in_several_transactions(tmp_path: Path) -> None:
    """A crash in between leaves none, not an empty one; the rest is swept up later, whatever of
    the same name has been made meanwhile."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a", "c")
        await cluster.make("a/c", on=[spare])
        names = [b"%05d" % n for n in range(2300)] + [b"long" * 200, b"long" * 200 + b"er"]
        await spare.fill("a", "c", names)
        worker = spare.worker(ContainerReplicator)
        while not worker.report.counters["removed"]:
            await worker.work()
        assert await spare.names("container", "a/c") == 404
        await spare.stop()  # it crashes
        spare.start()
        assert await spare.names("container", "a/c") == 404
        pool = spare.container._pool
        assert await pool.read(spare.local, lambda reader: reader.count(REMOVED)) == 1
        await cluster.make("a/c", "40", on=[spare])
        assert await spare.put_row("a/c/new", "41") == 201
        primary = cluster.primaries("a", "c")[0]
        primary.is_down = True  # so that the new one stays
        await run_once(spare.worker(ContainerReplicator))
        assert await spare.names("container", "a/c") == ["new"]
        count = await pool_counts(spare)
        assert count == {"rows": 1, "log": 1, REMOVED: 0, "heads": 1}
        primary.is_down = False
        await cluster.run(ContainerReplicator, on=[spare])
        assert await pool_counts(spare) == {"rows": 0, "log": 0, REMOVED: 0, "heads": 0}
        assert len((await primary.kept("container"))["a/c"].rows) == 2303

    play(tmp_path, script)


async def pool_counts(node: Node) -> dict[str, int]:
    pool = node.container._pool
    names = ("rows", "log", REMOVED, "heads")
    return await pool.read(node.local, lambda reader: {n: reader.count(n) for n in names})


def test_what_goes_is_not_reported(tmp_path: Path) -> None:
    """Its account hears of the container from the primaries."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a", "c")
        await cluster.make("a")
        await cluster.make("a/c", on=[spare])
        await spare.put_row("a/c/o", "20", size=9)
        await cluster.run(ContainerReplicator)
        assert (await spare.container.gauges(spare.local))["unreported"] == 0
        await cluster.run(ContainerUpdater)
        for node in cluster.primaries("a"):
            headers = (await node.ask("account", "HEAD", "a")).headers
            assert headers["x-account-bytes-used"] == "9"

    play(tmp_path, script)


def test_handoffs_do_not_report(tmp_path: Path) -> None:
    """A copy on a handoff, which lacks what came since, does not put the account back."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a", "c")
        await cluster.make("a")
        await cluster.make("a/c")
        await cluster.make("a/c", on=[spare])
        await spare.put_row("a/c/o", "20", size=9)
        for node in cluster.primaries("a", "c"):
            await node.put_row("a/c/o", "20", size=9)
            await node.put_row("a/c/p", "21", size=90)
        await cluster.run(ContainerUpdater, on=cluster.primaries("a", "c"))
        await cluster.run(ContainerUpdater, on=[spare])
        for node in cluster.primaries("a"):
            headers = (await node.ask("account", "HEAD", "a")).headers
            assert headers["x-account-bytes-used"] == "99"

    play(tmp_path, script)


def test_accounts_too(tmp_path: Path) -> None:
    """An account on a handoff comes home."""

    async def script(cluster: Cluster) -> None:
        (spare,) = cluster.handoffs("a")
        await cluster.make("a", on=[spare])
        await cluster.run(AccountReplicator)
        assert await holders(cluster, "a") == primaries(cluster, "a")

    play(tmp_path, script)


def test_async_update_missing_container(tmp_path: Path) -> None:
    """Reference 5, missing_container: it was made on handoffs while all primaries were away."""

    async def script(cluster: Cluster) -> None:
        spares = cluster.handoffs("a", "c")
        await cluster.make("a/c", on=spares)
        await cluster.run(ContainerReplicator)
        assert await holders(cluster) == primaries(cluster)
        for node in cluster.primaries("a", "c"):
            assert await node.put_row("a/c/o", "20") == 201

    play(tmp_path, script, size=6)
