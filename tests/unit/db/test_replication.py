"""Replication between real servers: what one node has heard, all have in the end."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from swiftish.account.replicator import AccountReplicator
from swiftish.cluster.documents import packed
from swiftish.cluster.transport import Kind
from swiftish.container.replicator import ContainerReplicator
from swiftish.container.updater import ContainerUpdater
from swiftish.db.name_index import META
from swiftish.db.settings import ReplicatorSettings
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.message import Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device
from swiftish.runtime.environment import Environment, Writer
from swiftish.runtime.worker import Progress, run_once
from tests.fakes.db_cluster import (
    HASH_PATH,
    SETTINGS,
    Cluster,
    Node,
    play,
    restore,
    snapshot,
    wipe,
)


def counter(node: Node, name: str) -> int:
    return int(node.worker(ContainerReplicator).report.counters[name])


async def all_have(cluster: Cluster, names: list[str] | int) -> None:
    """The same in every replica of the container, tombstones included."""
    kept = [(await node.kept("container"))["a/c"] for node in cluster.primaries("a", "c")]
    assert kept == kept[:1] * len(kept)
    for node in cluster.primaries("a", "c"):
        assert await node.names("container", "a/c") == names


def test_rows_of_one_reach_all(tmp_path: Path) -> None:
    """What one primary was told, all have after one pass; the next finds nothing to do."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c")
        first = cluster.primaries("a", "c")[0]
        for n in range(7):
            assert await first.put_row(f"a/c/o{n}", f"{20 + n}") == 201
        await cluster.run()
        await all_have(cluster, [f"o{n}" for n in range(7)])
        assert counter(first, "rows") == 14
        so_far = {node.name: len(node.requests) for node in cluster.nodes.values()}
        await cluster.run()
        assert counter(first, "rows") == 14
        for node in cluster.nodes.values():  # each is offered what it has, and nothing else
            paths = [request.path for _, request in node.requests[so_far[node.name] :]]
            assert all(path.endswith("/offer") for path in paths)

    play(tmp_path, script)


def test_a_pass(tmp_path: Path) -> None:
    """Units until all devices were looked at, then IDLE, once; the report says how far it is."""

    async def script(cluster: Cluster) -> None:
        for n in range(8):
            await cluster.make(f"a/c{n}")
        node = cluster.nodes["d0"]
        worker = node.worker(ContainerReplicator)
        for passes in (1, 2):
            units = 0
            while await worker.work() is Progress.BUSY:
                units += 1
            report = worker.report
            assert units > 2
            assert report.passes == passes
            assert report.done == report.total == len(await node.kept("container")) > 3
            assert report.gauges == {"below_replicas d0": 0, "strays d0": 0}

    play(tmp_path, script)


def test_a_device_that_fails(tmp_path: Path) -> None:
    """In the middle of a pass, or before: it is left alone, and nothing is said about it."""

    async def script(cluster: Cluster) -> None:
        node, other = cluster.nodes.values()
        await cluster.make("a/c")
        worker = node.worker(ContainerReplicator)
        await run_once(worker)
        assert worker.report.gauges == {"below_replicas d0": 0, "strays d0": 0}
        await node.put_row("a/c/o", "20")
        handler = other.handlers["container"]

        async def meanwhile(request: Request) -> Response:
            response = await handler(request)
            node.container.close()
            return response

        other.handlers["container"] = meanwhile
        await run_once(worker)
        assert worker.report.gauges == {}
        assert await other.names("container", "a/c") == []
        await node.stop()
        node.start()
        node.local.fail("a sync failed")
        worker = node.worker(ContainerReplicator)
        assert await worker.work() is Progress.IDLE
        assert worker.report.gauges == {}

    play(tmp_path, script, size=2, replicas=2)


def test_large_databases_go_in_bounded_documents(tmp_path: Path) -> None:
    """A thousand rows at most are merged at once, whatever there is to send; the next pass sends
    what has changed since."""

    async def script(cluster: Cluster) -> None:
        first, second = cluster.primaries("a", "c")
        await cluster.make("a/c", on=[first])
        await first.fill("a", "c", [b"%05d" % n for n in range(2500)])
        await cluster.run(ContainerReplicator, on=[first])
        await all_have(cluster, [f"{n:05d}" for n in range(2500)])
        merges = [request for _, request in second.requests if request.path.endswith("/merge")]
        assert len(merges) == 3
        await first.put_row("a/c/new", "30")
        await cluster.run(ContainerReplicator, on=[first])
        assert counter(first, "rows") == 2501

    play(tmp_path, script, size=2, replicas=2)


def test_t35_a_transfer_that_is_cut_short_goes_on(tmp_path: Path) -> None:
    """T35: what arrived counts; the rest is sent by the next pass, and not all of it again."""

    async def script(cluster: Cluster) -> None:
        first, second = cluster.primaries("a", "c")
        await cluster.make("a/c", on=[first])
        await first.fill("a", "c", [b"%05d" % n for n in range(2500)])
        worker = first.worker(ContainerReplicator)
        while counter(first, "rows") < 1000:
            await worker.work()
        second.is_down = True
        await run_once(worker)
        assert worker.report.gauges["below_replicas d0"] == 1
        second.is_down = False
        await run_once(worker)
        assert counter(first, "rows") == 2500
        assert worker.report.gauges["below_replicas d0"] == 0
        await all_have(cluster, [f"{n:05d}" for n in range(2500)])

    play(tmp_path, script, size=2, replicas=2)


def test_metadata_sync(tmp_path: Path) -> None:
    """Reference 5, db_replicator metadata_sync: each node has heard of something else."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c")
        await cluster.make("a")
        for n, node in enumerate(cluster.primaries("a", "c")):
            await node.put_row(f"a/c/o{n}", f"{20 + n}")
            meta = {"x_timestamp": f"{30 + n}", f"x_container_meta_{n}": "x"}
            meta["x_container_meta_shared"] = f"by {n}"
            await node.ask("container", "POST", "a/c", **meta)
        for n, node in enumerate(cluster.primaries("a")):
            await node.ask("account", "POST", "a", x_timestamp=f"{30 + n}", x_account_meta_m=f"{n}")
        await cluster.run()
        await cluster.run()
        await all_have(cluster, ["o0", "o1", "o2"])
        for node in cluster.primaries("a", "c"):
            headers = (await node.ask("container", "HEAD", "a/c")).headers
            assert headers["x-container-meta-shared"] == "by 2"
            assert {headers[f"x-container-meta-{n}"] for n in range(3)} == {"x"}
            assert headers["x-put-timestamp"] == "0000000032.00000"
        for node in cluster.primaries("a"):
            assert (await node.ask("account", "HEAD", "a")).headers["x-account-meta-m"] == "2"

    play(tmp_path, script)


def test_t24_t26_both_sides_of_a_split(tmp_path: Path) -> None:
    """T24, T26: the newest of each row wins everywhere, a deletion too."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c")
        one, two, three = cluster.primaries("a", "c")
        for node in (one, two, three):
            await node.put_row("a/c/deleted", "20")
            await node.put_row("a/c/changed", "20", size=1)
        await one.ask("container", "DELETE", "a/c/deleted", x_timestamp="30")
        await two.put_row("a/c/deleted", "25")
        await two.put_row("a/c/changed", "40", size=4)
        await three.put_row("a/c/changed", "35", size=3)
        await cluster.heal()
        await all_have(cluster, ["changed"])
        headers = (await one.ask("container", "HEAD", "a/c")).headers
        assert headers["x-container-bytes-used"] == "4"

    play(tmp_path, script)


def test_t53_a_row_that_two_of_three_have_heard_of(tmp_path: Path) -> None:
    """T53: the third hears of it once; counts are right everywhere."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c")
        one, two, _ = cluster.primaries("a", "c")
        for node in (one, two):
            await node.put_row("a/c/o", "20", size=7)
        await cluster.run()
        await all_have(cluster, ["o"])
        for node in cluster.primaries("a", "c"):
            headers = (await node.ask("container", "HEAD", "a/c")).headers
            assert headers["x-container-object-count"] == "1"
            assert headers["x-container-bytes-used"] == "7"

    play(tmp_path, script)


def test_t9_an_older_snapshot(tmp_path: Path) -> None:
    """T9: an environment that was restored catches up, though it has given numbers a second time;
    nothing that was deleted comes back, and what it takes meanwhile reaches the others."""

    async def script(cluster: Cluster) -> None:
        first, second = cluster.primaries("a", "c")
        await cluster.make("a/c")
        await first.put_row("a/c/kept", "20")
        await first.put_row("a/c/deleted", "20")
        await cluster.run()
        await snapshot(first, tmp_path / "snapshot")
        for n in range(5):
            await first.put_row(f"a/c/late{n}", "30")
        await first.ask("container", "DELETE", "a/c/deleted", x_timestamp="31")
        await cluster.run()
        await restore(first, tmp_path / "snapshot")
        for n in range(10):  # numbers that the second has seen before, for other rows
            await first.put_row(f"a/c/after{n}", "40")
        await cluster.run(on=[first])
        await cluster.run(on=[second])
        names = ["kept", *(f"late{n}" for n in range(5)), *(f"after{n}" for n in range(10))]
        await all_have(cluster, sorted(names))

    play(tmp_path, script, size=2, replicas=2)


def test_an_empty_device_is_refilled(tmp_path: Path) -> None:
    """By the others: accounts, containers, rows, tombstones."""

    async def script(cluster: Cluster) -> None:
        for n in range(8):
            await cluster.make(f"a{n}")
            await cluster.make(f"a{n}/c")
        for node in cluster.primaries("a0", "c"):
            await node.put_row("a0/c/o", "20")
            await node.ask("container", "DELETE", "a0/c/gone", x_timestamp="20")
        await cluster.heal()
        node = cluster.primaries("a0", "c")[0]
        kinds: tuple[Kind, ...] = ("account", "container")
        before = [await node.kept(kind) for kind in kinds]
        await wipe(node)
        await cluster.run(on=[node])
        assert not any([await node.kept(kind) for kind in kinds])
        await cluster.run(on=[other for other in cluster.nodes.values() if other is not node])
        assert [await node.kept(kind) for kind in kinds] == before

    play(tmp_path, script)


def test_accounts_hear_of_what_replication_brought_once(tmp_path: Path) -> None:
    """A replica that changes by replication reports once, one that does not change not at all."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a")
        await cluster.make("a/c")
        await cluster.run(ContainerUpdater)
        one, two, three = cluster.primaries("a", "c")
        await one.put_row("a/c/o", "20", size=3)
        await cluster.run(ContainerUpdater)
        await cluster.run(ContainerReplicator, on=[one])

        async def reports(node: Node) -> int:
            return int((await node.container.gauges(node.local))["unreported"])

        assert [await reports(node) for node in (one, two, three)] == [0, 1, 1]
        await cluster.run(ContainerUpdater)
        await cluster.run(ContainerReplicator)
        assert [await reports(node) for node in (one, two, three)] == [0, 0, 0]
        for node in cluster.primaries("a"):
            headers = (await node.ask("account", "HEAD", "a")).headers
            assert headers["x-account-bytes-used"] == "3"

    play(tmp_path, script)


def test_account_failures(tmp_path: Path) -> None:
    """Reference 5, account_failures: a node that was away while containers came and went."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a")
        for name in ("c1", "c2"):
            await cluster.make(f"a/{name}")
        await cluster.heal()
        stale = cluster.primaries("a")[0]
        stale.is_down = True
        up = [node for node in cluster.primaries("a", "c1") if node is not stale]
        for node in up:
            assert (await node.ask("container", "DELETE", "a/c1", x_timestamp="30")).status == 204
        await cluster.make("a/c3", "31", on=[n for n in cluster.primaries("a", "c3") if n in up])
        await cluster.run(ContainerUpdater)
        assert await stale.names("account", "a") == ["c1", "c2"]
        await cluster.heal()
        for node in cluster.primaries("a"):
            assert await node.names("account", "a") == ["c2", "c3"]
        kept = [(await node.kept("account"))["a"] for node in cluster.primaries("a")]
        assert kept == kept[:1] * 3

    play(tmp_path, script)


def test_a_peer_that_is_silent_costs_one_timeout_a_pass(tmp_path: Path) -> None:
    """Whoever does not answer in time is not asked again in this pass; the others are."""

    async def script(cluster: Cluster) -> None:
        for n in range(9):
            await cluster.make(f"a/c{n}", on=[cluster.nodes["d0"]])
        asked = 0
        node = cluster.nodes["d0"]
        send = node.send

        async def stalling(kind: Kind, node: Device, request: Request) -> Response:
            nonlocal asked
            if node.device == "d1":
                asked += 1
                raise TimeoutError
            return await send(kind, node, request)

        node.send = stalling  # type: ignore[method-assign]
        await run_once(node.worker(ContainerReplicator))
        assert asked == 1
        assert len(await cluster.nodes["d2"].kept("container")) == 9

    play(tmp_path, script, size=3, replicas=3)


def test_what_a_peer_refuses_costs_only_itself(tmp_path: Path) -> None:
    """A container of a policy that the other does not know (yet) keeps no other from it."""

    async def script(cluster: Cluster) -> None:
        one, two = cluster.nodes.values()
        for name, policy in (("c1", 0), ("c2", 2), ("c3", 0)):
            await cluster.make(f"a/{name}", on=[one], policy=policy)
        handler = two.handlers["container"]

        async def knows_no_silver(request: Request) -> Response:
            if request.path.endswith("/merge"):
                data = await request.body.read()
                if b"c2" in data:
                    return plain(400, "no such policy")
                request = request.replace(body=Bytes(data))
            return await handler(request)

        two.handlers["container"] = knows_no_silver
        await cluster.run(ContainerReplicator, on=[one])
        assert (await two.kept("container")).keys() == {"a/c1", "a/c3"}
        assert counter(one, "refused") == 1
        assert one.worker(ContainerReplicator).report.gauges["below_replicas d0"] == 1

    play(tmp_path, script, size=2, replicas=2)


def test_what_is_damaged_costs_only_itself(tmp_path: Path) -> None:
    """A head that can't be read, here or there, keeps no other from being replicated."""

    async def script(cluster: Cluster) -> None:
        one, two = cluster.nodes.values()
        for n in range(4):
            await cluster.make(f"a/c{n}", on=[one])
        await cluster.make("a/c1", on=[two])

        def damage(container: str) -> object:
            digest = HASH_PATH("a", container)
            return lambda writer: writer.put("heads", digest, bytes(8) + b"\xc1")

        await one.container._pool.commit(one.local, damage("c0"))  # type: ignore[arg-type]
        await two.container._pool.commit(two.local, damage("c1"))  # type: ignore[arg-type]
        await cluster.run(ContainerReplicator, on=[one])
        assert counter(one, "damaged") == 1
        for name in ("c2", "c3"):
            assert await two.names("container", f"a/{name}") == []

    play(tmp_path, script, size=2, replicas=2)


def test_t38_three_replicas_two_and_three_again(tmp_path: Path) -> None:
    """T38: fewer replicas, and more again: nothing is lost, and nothing left where it should not
    be."""

    async def script(cluster: Cluster) -> None:
        for n in range(6):
            await cluster.make(f"a/c{n}")
            await cluster.primaries("a", f"c{n}")[0].put_row(f"a/c{n}/o", "20")
        await cluster.heal()
        for replicas in (2, 3):
            cluster.use(cluster.ring_with(replicas, first=replicas))
            await cluster.run()
            await cluster.run()
            for node in cluster.nodes.values():
                worker = node.worker(ContainerReplicator)
                assert worker.report.gauges[f"strays {node.name}"] == 0
                assert worker.report.gauges[f"below_replicas {node.name}"] == 0
            for n in range(6):
                primaries = cluster.primaries("a", f"c{n}")
                for node in cluster.nodes.values():
                    expected = ["o"] if node in primaries else 404
                    assert await node.names("container", f"a/c{n}") == expected

    play(tmp_path, script)


def version_1(path: Path) -> None:
    """An environment as the first swiftish left it: a container of silver with one row."""
    environment = Environment(path, names=["heads", "totals", "rows", "log", META, "tombstones"])
    identity = (1).to_bytes(8, "big")
    moments = [Timestamp.from_seconds(s).pack() for s in (10, 10)]
    head = [1, "a", "c", *moments, ZERO.pack(), moments[0], 2, False, {}]
    entry = b'"hash":"e","bytes":5,"content_type":"t/p","last_modified":"1970-01-01T00:00:20"}'
    row = b"\x01\x00" + (2).to_bytes(8, "big") + Timestamp.from_seconds(20).pack()[:8] + entry

    def write(writer: Writer) -> None:
        writer.put(META, b"format", b"swiftish containers 1")
        writer.put(META, b"last-id", identity)
        writer.put("heads", HASH_PATH("a", "c"), identity + packed(head))
        writer.put("totals", identity, msgpack.packb([1, 2, {2: [1, 5]}]))
        writer.put("rows", identity + b"\0\2o", row)
        writer.put("log", identity + (2).to_bytes(8, "big"), b"\0\2o")

    environment.write(write)
    environment.close()


def test_an_environment_of_version_1(tmp_path: Path) -> None:
    """What an earlier swiftish has written is read, changed and replicated."""

    async def script(cluster: Cluster) -> None:
        one, two = cluster.nodes.values()
        version_1(one.folder / "containers.mdb")
        headers = (await one.ask("container", "HEAD", "a/c")).headers
        assert headers["x-container-bytes-used"] == "5"
        assert headers["x-backend-storage-policy-index"] == "2"
        await cluster.run(ContainerReplicator, on=[one])
        assert await two.names("container", "a/c") == ["o"]
        await one.put_row("a/c/p", "30", policy=2)
        await cluster.run(ContainerReplicator, on=[one])
        assert counter(one, "rows") == 2
        await all_have(cluster, ["o", "p"])

    play(tmp_path, script, size=2, replicas=2)


def test_an_account_of_one_node_comes_with_its_containers(tmp_path: Path) -> None:
    """Rows of accounts are replicated as those of containers are."""

    async def script(cluster: Cluster) -> None:
        one, *others = cluster.primaries("a")
        await cluster.make("a", on=[one])
        for name, count in (("c1", "2"), ("c2", "0")):
            headers = {"x_put_timestamp": "10", "x_delete_timestamp": "0"}
            headers |= {"x_object_count": count, "x_bytes_used": count}
            await one.ask("account", "PUT", f"a/{name}", x_timestamp="11", **headers)
        await cluster.run(AccountReplicator)
        for node in others:
            assert await node.names("account", "a") == ["c1", "c2"]
            assert await node.kept("account") == await one.kept("account")

    play(tmp_path, script)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0},
        {"batch": 0},
        {"rows_per_second": -1},
        {"reclaim_age_s": 0},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    """They are refused when they are read."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReplicatorSettings(**wrong)  # type: ignore[arg-type]
    assert SETTINGS.reclaim_age_s == 604_800
