"""A container that was made in two storage policies at once (reference 2.7, part 5
"merge_policy_index"; T63): in the end it has one, and all objects are where it says."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from swiftish.container.misplacement import PUT_TYPE, QUEUE_ACCOUNT
from swiftish.container.settings import ReconcilerSettings
from swiftish.domain.limits import MiB
from swiftish.domain.names import Target
from swiftish.http.message import Bytes
from tests.fakes import cluster_state as state
from tests.fakes.cluster_state import Copy
from tests.fakes.split import FORGET_S, Split, made_split
from tests.fakes.whole_cluster import WholeCluster, run

RECONCILER = "container-reconciler"
RECLAIM_AGE_S = ReconcilerSettings().reclaim_age_s


async def misplaced(cluster: WholeCluster) -> int:
    """How many rows are in the queue."""
    return len(await state.queue(cluster, QUEUE_ACCOUNT))


async def settled(cluster: WholeCluster, policy: int, path: str = "/a/c") -> None:
    """The cluster has settled; the container is in that policy, and so is all that is in it."""
    await cluster.settle()
    await state.check(cluster)
    assert await misplaced(cluster) == 0
    for database in (await state.databases(cluster, "container"))[path]:
        assert database.head.policy_index == policy
    assert {copy.policy for copy in alive(cluster)} <= {policy}


def alive(cluster: WholeCluster) -> list[Copy]:
    return [copy for copy in state.copies(cluster) if copy.alive]


@pytest.mark.parametrize("policies", [(0, 1), (1, 0)])
def test_t63_objects_of_both_halves(device: Path, policies: tuple[int, int]) -> None:
    """All are found, in the policy of the container that was made first."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster, policies)
        for half in (0, 1):
            for number in range(3):
                name = f"half{half}-{number}"
                assert (await split.ask(half, "PUT", name, name.encode())).status == 201
        assert {copy.policy for copy in alive(cluster)} == {0, 1}
        await settled(cluster, policies[0])
        assert len(await cluster.names("/v1/a/c")) == 6
        for name in await cluster.names("/v1/a/c"):
            assert (await cluster.ask("GET", f"/v1/a/c/{name}")).body == name.encode()

    run(device, scenario)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("last", ["PUT", "DELETE"])
def test_t63_one_object_in_both_halves(device: Path, order: tuple[int, int], last: str) -> None:
    """The newest change counts, whichever half it was made in; a deletion too."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        first, second = order
        assert (await split.ask(first, "PUT", "o", b"older")).status == 201
        # There is nothing to delete in that half, but it leaves a tombstone.
        assert (await split.ask(second, last, "o", b"newer")).status in (201, 404)
        await settled(cluster, 1)
        answer = await cluster.ask("GET", "/v1/a/c/o")
        if last == "PUT":
            assert (answer.status, answer.body) == (200, b"newer")
            assert len(alive(cluster)) == 3
        else:
            assert answer.status == 404
            assert await cluster.names("/v1/a/c") == []

    run(device, scenario)


@pytest.mark.parametrize("size", [0, 3 * MiB])
def test_t63_what_belongs_to_an_object_moves_with_it(device: Path, size: int) -> None:
    """Bytes, type, metadata, headers, also those that only the system may set; and what a POST
    changed."""
    system = {
        "x-object-sysmeta-secret": "s",
        "x-object-transient-sysmeta-secret": "t",
        "x-static-large-object": "True",
    }
    headers = {
        **system,
        "content-type": "image/jpeg",
        "content-encoding": "gzip",
        "x-object-manifest": "c/o-",
        "x-object-meta-colour": "red",
    }

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        target, body = Target("a", "c", "o"), bytes(size)
        async with split.only(1):
            await cluster.client.put_object(target, Bytes(body), headers)
            await cluster.advance(1)
            changed = {"x-object-meta-colour": "blue", "x-object-manifest": "c/o-"}
            await cluster.client.post_object(target, changed)
        await settled(cluster, 1)
        answer = await cluster.ask("GET", "/v1/a/c/o")
        assert answer.body == body
        found = (await cluster.client.head(target)).headers
        assert found["content-type"] == "image/jpeg"
        assert found["x-object-meta-colour"] == "blue"
        assert found["x-object-manifest"] == "c/o-"
        assert found["x-object-sysmeta-secret"] == "s"
        assert found["x-static-large-object"] == "True"
        assert "content-encoding" not in found

    run(device, scenario)


def test_t63_reserved_names(device: Path) -> None:
    """Names that are the system's own are moved like all others."""

    async def scenario(cluster: WholeCluster) -> None:
        path = "/a/\0versions\0c"
        split = Split(cluster, path)
        for half, policy in enumerate((1, 0)):
            async with split.only(half):
                headers = {"x-storage-policy": f"policy-{policy}"}
                await cluster.client.put_container("a", path[3:], headers)
        target = Target("a", path[3:], "\0o\0123")
        async with split.only(1):
            await cluster.client.put_object(target, Bytes(b"x"))
        await settled(cluster, 1, path)
        answer = await cluster.client.get_object(target)
        assert await answer.body.read() == b"x"
        assert len(alive(cluster)) == 3

    run(device, scenario)


def test_t63_a_row_that_comes_again(device: Path) -> None:
    """What has been moved already is left alone, and the object is there once."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        assert (await split.ask(1, "PUT", "o", b"x")).status == 201
        was = alive(cluster)[0].timestamp
        await settled(cluster, 1)
        before = alive(cluster)
        assert {copy.timestamp for copy in before} == {replace(was, offset=was.offset + 3)}
        place = cluster.direct.container(QUEUE_ACCOUNT, "7200")
        row = {"x-size": "0", "x-etag": was.internal, "x-content-type": PUT_TYPE}
        answers = await cluster.direct.ask_all(
            replace(place, path=f"{place.path}/0:/a/c/o"),
            "PUT",
            {**row, "x-timestamp": cluster.clock.timestamp().internal},
        )
        assert all(answer.ok for answer in answers)
        await cluster.run("container-updater")
        assert await misplaced(cluster) == 1
        await settled(cluster, 1)
        assert alive(cluster) == before

    run(device, scenario)


def test_t63_the_source_is_out_of_reach(device: Path) -> None:
    """The row waits for as long as tombstones are kept, and the object is moved when it is back."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        assert (await split.ask(1, "PUT", "o", b"x")).status == 201
        holders = state.holders(cluster, "/a/c/o", policy=0)
        await cluster.run("container-replicator")
        await cluster.run("container-replicator", "object-updater", "container-updater")
        await cluster.advance(FORGET_S)
        assert await misplaced(cluster) == 1
        cluster.cut(*holders)
        for node in cluster.nodes:
            if node not in holders:
                await cluster.run(RECONCILER, on=[node])
        cluster.heal()
        assert await misplaced(cluster) == 1
        assert state.holders(cluster, "/a/c/o", policy=1) == []
        await cluster.advance(FORGET_S)
        await settled(cluster, 1)
        assert (await cluster.ask("GET", "/v1/a/c/o")).body == b"x"

    run(device, scenario)


def test_t63_an_object_that_is_lost(device: Path) -> None:
    """Is given up when all replicas must have heard of everything."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        assert (await split.ask(1, "PUT", "o", b"x")).status == 201
        for node in cluster.nodes.values():
            for file in (node.device.path / "objects").rglob("*.data"):
                file.unlink()
        await cluster.settle()
        assert await misplaced(cluster) == 1
        await cluster.advance(RECLAIM_AGE_S)
        for _ in range(2):
            await cluster.run(RECONCILER)
        assert await misplaced(cluster) == 0
        lost = [n.worker(RECONCILER).report.counters["lost"] for n in cluster.nodes.values()]
        assert sum(lost) == 1

    run(device, scenario)


def test_b36_a_node_that_is_alone_moves_nothing(device: Path) -> None:
    """B3.6: for hours a node reaches nobody.  It deletes nothing, and decides nothing."""

    async def scenario(cluster: WholeCluster) -> None:
        split = await made_split(cluster)
        assert (await split.ask(1, "PUT", "o", b"x")).status == 201
        expiring = {"x-delete-after": "3600"}
        assert (await split.ask(0, "PUT", "expires", b"x", expiring)).status == 201
        await cluster.run("container-replicator", "container-updater", "object-updater")
        before = state.copies(cluster)
        for node in cluster.nodes.values():
            cluster.cut(*cluster.nodes)
            for _ in range(3):
                await cluster.advance(3600)
                for worker in ("object-expirer", "account-reaper", RECONCILER):
                    await cluster.run(worker, on=[node.name])
        assert state.copies(cluster) == before
        cluster.heal()
        await cluster.advance(FORGET_S)
        await settled(cluster, 1)
        assert await cluster.names("/v1/a/c") == ["o"]

    run(device, scenario)


@pytest.mark.parametrize("number", range(8))
def test_t63_whatever_happened_in_both_halves(device: Path, number: int, seed: int) -> None:
    """After any history the last change of each object counts, in all orders of the workers."""

    async def scenario(cluster: WholeCluster) -> None:
        chance = random.Random(seed + number)
        policies = chance.choice([(0, 1), (1, 0)])
        split = await made_split(cluster, policies)
        model: dict[str, bytes | None] = {}
        for step in range(20):
            half, name = chance.randrange(2), f"o{chance.randrange(4)}"
            method = chance.choices(["PUT", "DELETE"], [3, 1])[0]
            body = f"{name} {step}".encode() if method == "PUT" else b""
            assert (await split.ask(half, method, name, body)).status in (201, 204, 404)
            model[name] = body if method == "PUT" else None
            if chance.random() < 0.2:  # some workers come in between
                worker = chance.choice(["container-replicator", "object-replicator", RECONCILER])
                await cluster.run(worker, on=chance.sample(sorted(cluster.nodes), 2))
        await cluster.settle()
        await state.check(cluster)
        assert await misplaced(cluster) == 0
        expected = {name: body for name, body in model.items() if body is not None}
        assert await cluster.names("/v1/a/c") == sorted(expected)
        for name, body in expected.items():
            assert (await cluster.ask("GET", f"/v1/a/c/{name}")).body == body

    run(device, scenario)
