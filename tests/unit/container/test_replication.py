"""Containers between real servers: deletions that race rows, and policies that disagree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from swiftish.container.replicator import ContainerReplicator
from swiftish.container.updater import ContainerUpdater
from swiftish.http.message import Bytes
from tests.fakes.db_cluster import Cluster, Node, play

QUEUE = ".misplaced_objects"
GOLD, SILVER = 0, 2


async def delete(nodes: Sequence[Node], at: str) -> list[int]:
    return [(await node.ask("container", "DELETE", "a/c", x_timestamp=at)).status for node in nodes]


async def listings(cluster: Cluster) -> list[list[str] | int]:
    return [await node.names("container", "a/c") for node in cluster.primaries("a", "c")]


async def policies(cluster: Cluster) -> list[str]:
    """What each primary says."""
    answers = [await n.ask("container", "HEAD", "a/c") for n in cluster.primaries("a", "c")]
    return [answer.headers["x-backend-storage-policy-index"] for answer in answers]


async def queue(node: Node, hour: str) -> list[tuple[str, str, str]]:
    response = await node.ask("container", "GET", f"{QUEUE}/{hour}")
    if response.status != 200:
        return []
    assert isinstance(response.body, Bytes)
    rows = json.loads(response.body.take())
    return [(row["name"], row["content_type"], row["hash"]) for row in rows]


def test_t60_one_node_fails(tmp_path: Path) -> None:
    """T60; reference 5, one_node_fails: a container was deleted while a node was away that is then
    told of an object: it is there again, everywhere, with the object."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a")
        await cluster.make("a/c")
        await cluster.heal()
        away, *others = cluster.primaries("a", "c")
        away.is_down = True
        assert await delete(others, "30") == [204, 204]
        await cluster.run(ContainerUpdater)
        away.is_down = False
        assert await away.put_row("a/c/o", "40") == 201
        await cluster.heal()
        assert await listings(cluster) == [["o"]] * 3
        for node in cluster.primaries("a"):
            assert await node.names("account", "a") == ["c"]
            headers = (await node.ask("account", "HEAD", "a")).headers
            assert headers["x-account-object-count"] == "1"

    play(tmp_path, script)


def test_t60_two_nodes_fail(tmp_path: Path) -> None:
    """T60; reference 5, two_nodes_fail: a deletion that only one replica has heard of wins over
    all that is older; nobody has it any more."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a")
        await cluster.make("a/c")
        await cluster.heal()
        assert await delete(cluster.primaries("a", "c")[:1], "30") == [204]
        await cluster.heal()
        assert await listings(cluster) == [404] * 3
        for node in cluster.primaries("a"):
            assert await node.names("account", "a") == []

    play(tmp_path, script)


def test_t60_a_row_that_one_had_already(tmp_path: Path) -> None:
    """T60: two replicas, empty, were deleted; the third has an object from before: no orphan."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a/c")
        one, *others = cluster.primaries("a", "c")
        await one.put_row("a/c/o", "20")
        assert await delete([one, *others], "30") == [409, 204, 204]
        await cluster.heal()
        assert await listings(cluster) == [["o"]] * 3

    play(tmp_path, script)


def test_a_container_made_again_beats_its_deletion(tmp_path: Path) -> None:
    """The newest of PUT and DELETE wins; what was set before the deletion is gone everywhere."""

    async def script(cluster: Cluster) -> None:
        one, two, three = cluster.primaries("a", "c")
        await cluster.make("a/c")
        await three.ask("container", "POST", "a/c", x_timestamp="25", x_container_meta_colour="red")
        await delete([one], "30")
        await two.ask("container", "PUT", "a/c", x_timestamp="40")
        await cluster.heal()
        assert await listings(cluster) == [[]] * 3
        for node in (one, two, three):
            headers = (await node.ask("container", "HEAD", "a/c")).headers
            assert "x-container-meta-colour" not in headers

    play(tmp_path, script)


async def split(cluster: Cluster) -> tuple[Node, Node, Node]:
    """One replica was made in gold, two in silver, later; each has rows of its own policy."""
    one, two, three = cluster.primaries("a", "c")
    await cluster.make("a/c", "10", on=[one], policy=GOLD)
    await cluster.make("a/c", "11", on=[two, three], policy=SILVER)
    await one.put_row("a/c/gold", "3700", policy=GOLD)
    for node in (two, three):
        await node.put_row("a/c/silver", "3701", policy=SILVER)
        await node.ask(
            "container",
            "DELETE",
            "a/c/gone",
            x_timestamp="7300",
            x_backend_storage_policy_index=str(SILVER),
        )
    return one, two, three


def test_t63_two_policies(tmp_path: Path) -> None:
    """T63: the one that was made first wins everywhere; rows keep their policy, those of the other
    are not listed, and are put into the reconciler's queue, once."""

    async def script(cluster: Cluster) -> None:
        one, *_ = await split(cluster)
        await cluster.heal()
        assert await policies(cluster) == ["0"] * 3
        assert await listings(cluster) == [["gold"]] * 3
        rows = (await one.kept("container"))["a/c"].rows
        assert sorted(rows) == [(GOLD, b"gold"), (SILVER, b"gone"), (SILVER, b"silver")]
        for hour, kind, name, at in (
            ("3600", "application/x-put", "silver", "0000003701.00000"),
            ("7200", "application/x-delete", "gone", "0000007300.00000"),
        ):
            for node in cluster.primaries(QUEUE, hour):
                assert await queue(node, hour) == [(f"2:/a/c/{name}", kind, at)]
        assert sum_fed(cluster) == 6
        await cluster.heal()
        assert sum_fed(cluster) == 6

    play(tmp_path, script)


def sum_fed(cluster: Cluster) -> int:
    return sum(
        node.worker(ContainerReplicator).report.counters["fed"] for node in cluster.nodes.values()
    )


def test_t63_rows_that_come_later(tmp_path: Path) -> None:
    """What is misplaced afterwards is fed as well, and only that."""

    async def script(cluster: Cluster) -> None:
        _, two, _ = await split(cluster)
        await cluster.heal()
        before = sum_fed(cluster)
        await two.put_row("a/c/late", "3800", policy=SILVER)
        await two.put_row("a/c/right", "3801", policy=GOLD)
        await cluster.heal()
        assert sum_fed(cluster) == before + 3
        node = cluster.primaries(QUEUE, "3600")[0]
        assert [name for name, *_ in await queue(node, "3600")] == ["2:/a/c/late", "2:/a/c/silver"]
        assert await listings(cluster) == [["gold", "right"]] * 3

    play(tmp_path, script)


def test_t63_a_policy_that_changes_again(tmp_path: Path) -> None:
    """A container that is made again in another policy has other misplaced rows."""

    async def script(cluster: Cluster) -> None:
        one, two, three = await split(cluster)
        await cluster.heal()
        for node in (one, two, three):
            await node.ask("container", "DELETE", "a/c/gold", x_timestamp="9000")
            silver = {"x_backend_storage_policy_index": "2"}
            await node.ask("container", "DELETE", "a/c/silver", x_timestamp="9001", **silver)
        await delete([one, two, three], "9100")
        await cluster.make("a/c", "9200", on=[two], policy=SILVER)
        await cluster.heal()
        assert await policies(cluster) == ["2"] * 3
        node = cluster.primaries(QUEUE, "7200")[0]
        names = [(name, kind) for name, kind, _ in await queue(node, "7200")]
        assert ("0:/a/c/gold", "application/x-delete") in names

    play(tmp_path, script)


def test_t63_a_queue_that_cannot_be_reached(tmp_path: Path) -> None:
    """What too few of the queue's replicas took is not forgotten."""

    async def script(cluster: Cluster) -> None:
        await split(cluster)
        cut = cluster.primaries(QUEUE, "3600")[1:]
        others = [node for node in cluster.nodes.values() if node not in cut]
        await cluster.run(ContainerReplicator)
        fed = sum_fed(cluster)
        for node in cluster.nodes.values():
            await node.put_row("a/c/late", "3750", policy=SILVER)
        for node in cut:
            node.is_down = True
        await cluster.run(ContainerReplicator, on=others)
        assert sum_fed(cluster) == fed
        await cluster.heal()
        assert sum_fed(cluster) > fed
        for node in cluster.primaries(QUEUE, "3600"):
            assert "2:/a/c/late" in [name for name, *_ in await queue(node, "3600")]

    play(tmp_path, script)


def test_t63_many_misplaced_rows(tmp_path: Path) -> None:
    """They are fed in turns; the queue's own containers are replicated like any other."""

    async def script(cluster: Cluster) -> None:
        (node,) = cluster.nodes.values()
        await cluster.make("a/c", "10", policy=SILVER)
        await node.fill("a", "c", [b"%03d" % n for n in range(250)])  # in gold
        await cluster.run(ContainerReplicator)
        assert sum_fed(cluster) == 250
        found = await queue(node, "0")
        assert [name for name, *_ in found] == [f"0:/a/c/{n:03d}" for n in range(250)]
        await cluster.run(ContainerReplicator)
        assert sum_fed(cluster) == 250

    play(tmp_path, script, size=1, replicas=1)
