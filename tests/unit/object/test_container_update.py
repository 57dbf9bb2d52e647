"""Containers hear of every change, sooner or later, and once is enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.rows import UnknownVersion
from swiftish.domain.timestamp import Timestamp
from swiftish.object.index import Node as Place
from swiftish.object.index import Update, pack_update, pending_key, unpack_update
from swiftish.object.settings import ObjectSettings
from swiftish.object.updater import Updater
from swiftish.ring.ring import fixed
from swiftish.runtime.environment import Environment, EnvironmentFailed, Writer
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.object_node import BOTH, HASH_PATH, ONE, RING, Node, serving

SHORT = ObjectSettings(container_update_timeout_s=0.02, updater_timeout_s=0.02)


def updater(node: Node) -> Worker:
    worker = node.service.workers[0]
    assert worker.name == "object-updater"
    return worker


def told(node: Node) -> list[str]:
    return sorted(f"{method} {path}" for method, path, _ in node.containers.rows)


def test_t53_a_container_that_is_down(device: Path) -> None:
    """The PUT succeeds all the same, and the row arrives when the container is back: once."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdd"] = 503
        assert (await node.ask("PUT", body=b"x", at=1, headers=BOTH)).status == 201
        assert (await node.ask("DELETE", "gone", at=1, headers=BOTH)).status == 404
        assert told(node) == ["DELETE /sdc/2/a/c/gone", "PUT /sdc/2/a/c/o"]
        await run_once(updater(node))
        assert len(told(node)) == 2, "it is still down"
        node.containers.status.clear()
        await run_once(updater(node))
        assert told(node)[2:] == ["PUT /sdc/2/a/c/o", "PUT /sdd/2/a/c/o"]
        assert "DELETE /sdd/2/a/c/gone" in told(node)
        await run_once(updater(node))
        assert len(told(node)) == 4

    serving(device, scenario)


def test_t53_the_same_deletion_from_another_replica(device: Path) -> None:
    """Its tombstone came by replication, which tells nobody; whoever asks now has containers to
    tell."""

    async def scenario(node: Node) -> None:
        assert (await node.ask("PUT", at=1)).status == 201
        assert (await node.ask("DELETE", at=2)).status == 204
        assert told(node) == []
        assert (await node.ask("DELETE", at=2, headers=ONE)).status == 404
        assert told(node) == ["DELETE /sdc/2/a/c/o"]
        assert (await node.ask("DELETE", at=1, headers=ONE)).status == 404
        assert len(told(node)) == 1, "an older one is news to nobody"

    serving(device, scenario)


def test_a_slow_container(device: Path) -> None:
    """Costs the client the timeout and no more; both replicas are told at once."""

    async def scenario(node: Node) -> None:
        node.containers.hanging = {"sdc", "sdd"}
        async with asyncio.timeout(5):
            assert (await node.ask("PUT", at=1, headers=BOTH)).status == 201
            node.containers.hanging = {"sdd"}
            await run_once(updater(node))
        assert told(node) == ["PUT /sdc/2/a/c/o"]
        node.containers.hanging = set()
        await run_once(updater(node))
        assert told(node) == ["PUT /sdc/2/a/c/o", "PUT /sdd/2/a/c/o"]

    serving(device, scenario, settings=SHORT)


def test_t89_nobody_outside_the_ring_is_contacted(device: Path) -> None:
    """An address that the container ring does not have gets nothing; its replicas get the row."""

    async def scenario(node: Node) -> None:
        elsewhere = {**ONE, "x-container-host": "10.9.9.9:80"}
        assert (await node.ask("PUT", at=1, headers=elsewhere)).status == 201
        assert told(node) == []
        await run_once(updater(node))
        assert [row.split("/")[1] for row in told(node)] == ["sdc", "sdd"]
        await run_once(updater(node))
        assert len(told(node)) == 2

    serving(device, scenario)


def test_t54_pending_updates_survive_a_restart(device: Path) -> None:
    """They are on disk before the client hears of its success."""

    async def before(node: Node) -> None:
        node.containers.status["sdc"] = 507
        for i in range(20):
            assert (await node.ask("PUT", f"o{i}", at=i, headers=ONE)).status == 201

    async def after(node: Node) -> None:
        units = await run_once(updater(node))
        assert units == 3, "eight at a time"
        assert len(told(node)) == 20
        assert await run_once(updater(node)) == 0

    serving(device, before)
    serving(device, after)


def test_rows_that_nobody_wants_any_more(device: Path) -> None:
    """Are given up after the reclaim age."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 404
        await node.ask("PUT", at=1, headers=ONE)
        await run_once(updater(node))
        node.clock.move(ObjectSettings().reclaim_age_s + 10)
        await run_once(updater(node))
        assert await run_once(updater(node)) == 0

    serving(device, scenario)


def test_t28_a_container_that_has_moved(device: Path) -> None:
    """Its old place is in the ring as before, and has no such container: the new ones are told."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 503
        assert (await node.ask("PUT", body=b"x", at=1, headers=ONE)).status == 201
        node.containers.status["sdc"] = 404
        worker = updater(node)
        assert isinstance(worker, Updater)
        worker._ring = fixed(replace(RING, rows=RING.rows[1:]))
        await run_once(worker)
        partition = RING.partition(HASH_PATH("a", "c"))
        assert told(node) == [f"PUT /sdd/{partition}/a/c/o"]

    serving(device, scenario)
    assert pending(Node(device)) == []


def test_an_update_that_can_be_neither_sent_nor_kept(device: Path) -> None:
    """Is not acknowledged: the object is there, but the client must try again."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 503
        (node.path / "index.mdb").mkdir()
        assert (await node.ask("PUT", body=b"x", at=1, headers=ONE)).status == 507

    serving(device, scenario)


names = st.binary(min_size=1, max_size=20).map(lambda b: b.decode("utf-8", "surrogateescape"))


@given(names, names, st.integers(0, 10**15 - 1), st.dictionaries(names, names, max_size=3))
def test_pending_updates_come_back(
    container: str, obj: str, raw: int, headers: dict[str, str]
) -> None:
    """Whatever is in the names."""
    update = Update(
        method="PUT",
        account="a",
        container=container,
        object=obj,
        timestamp=Timestamp(raw, 3),
        policy=2,
        partition=7,
        headers=headers,
        nodes=(Place(address="h:1", device="sda"),),
    )
    assert unpack_update(pack_update(update)) == update
    assert pending_key("0" * 32, update) == pending_key("0" * 32, update.to([]))


def pending(node: Node, work: Callable[[Writer], None] | None = None) -> list[bytes]:
    """What is in the index, after `work`."""
    environment = Environment(node.path / "index.mdb", names=["pending"])
    if work is not None:
        environment.write(work)
    with environment.read() as reader:
        found = [key for key, _ in reader.scan("pending")]
    environment.close()
    return found


def test_two_changes_of_one_moment_are_both_kept(device: Path) -> None:
    """The row of the one that counts must not give way to that of the one that does not."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 503
        await node.ask("PUT", body=b"x", at=1, headers=ONE)
        await node.ask("PUT", body=b"xx", at=1, headers=ONE)
        await node.ask("PUT", body=b"xx", at=1, headers=ONE)
        await node.ask("DELETE", at=1, headers=ONE)
        node.containers.status.clear()
        await run_once(updater(node))
        told = [(row.get("x-size"), method) for method, _, row in node.containers.rows]
        assert sorted(told, key=str) == [("1", "PUT"), ("2", "PUT"), (None, "DELETE")]

    serving(device, scenario)


def test_an_update_that_cannot_be_read_holds_up_nobody(device: Path) -> None:
    """Damaged, or of a later version: it is left where it is, and the others are sent."""

    async def before(node: Node) -> None:
        node.containers.status["sdc"] = 503
        await node.ask("PUT", body=b"x", at=1, headers=ONE)

    async def after(node: Node) -> None:
        for _ in range(2):
            await run_once(updater(node))
        assert told(node) == ["PUT /sdc/2/a/c/o"]

    def spoil(writer: Writer) -> None:
        for n, value in enumerate((b"", b"\xc1", b"\x91\x09", b"\x92\x01\xa1x", b"\x05")):
            writer.put("pending", bytes([0, n]), value)
            writer.put("pending", bytes([255, n]), value)

    async def between(node: Node) -> None:
        pending(node, spoil)

    serving(device, before)
    serving(device, between)
    serving(device, after)

    async def at_last(node: Node) -> None:
        assert len(pending(node)) == 10

    serving(device, at_last)


def test_t13_an_index_that_cannot_be_synced_ends_the_device(device: Path) -> None:
    """As any other failed sync does."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 503
        await node.ask("PUT", "first", body=b"x", at=1, headers=ONE)
        await node.service._indexes.of(node.device)
        broken = FailingEnvironment(node.path)
        node.service._indexes.environments._open["sda"] = broken  # type: ignore[assignment]
        assert (await node.ask("PUT", body=b"x", at=1, headers=ONE)).status == 507
        assert node.device.out_of_service is not None

    serving(device, scenario)


class FailingEnvironment:
    """Its disk is broken."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def commit(self, _work: object) -> None:
        raise EnvironmentFailed(self._path, "sync")

    def close(self) -> None:
        return


def test_t55_what_could_not_be_told_is_told_after_a_restart(device: Path) -> None:
    """The object is there, though the client was told 507; the listing must show it in the end."""

    async def before(node: Node) -> None:
        node.containers.status["sdc"] = 503
        (node.path / "index.mdb").mkdir()
        assert (await node.ask("PUT", body=b"x", at=1, headers=ONE)).status == 507
        assert (await node.ask("GET")).status == 200

    async def after(node: Node) -> None:
        (node.path / "index.mdb").rmdir()
        await run_once(node.service.workers[2])
        await run_once(updater(node))
        assert set(told(node)) == {"PUT /sdc/3/a/c/o", "PUT /sdd/3/a/c/o"}

    serving(device, before)
    serving(device, after)


def test_a_container_server_that_hangs_is_asked_once_in_a_pass(device: Path) -> None:
    """Its updates wait; they do not hold up those for others."""

    async def scenario(node: Node) -> None:
        node.containers.hanging = {"sdd"}
        node.containers.status["sdc"] = 503
        for n in range(30):
            await node.ask("PUT", f"{n}", body=b"x", at=1, headers=BOTH)
        node.containers.status.clear()
        node.containers.asked = asyncio.Semaphore(0)
        await run_once(updater(node))
        assert told(node) == sorted(f"PUT /sdc/2/a/c/{n}" for n in range(30))
        assert node.containers.asked._value <= 30 + SHORT.updater_concurrency
        node.containers.hanging = set()
        await run_once(updater(node))
        assert len(told(node)) == 60

    serving(device, scenario, settings=SHORT)


def test_passes_that_achieve_nothing_come_more_and_more_seldom(device: Path) -> None:
    """A container that is gone is not asked for all its rows every few seconds for a week."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 404
        await node.ask("PUT", body=b"x", at=1, headers=ONE)
        worker = updater(node)
        usual = worker.interval_s
        for _ in range(20):
            await run_once(worker)
        assert usual * 10 < worker.interval_s <= 60
        node.containers.status.clear()
        await run_once(worker)
        assert worker.interval_s == usual

    serving(device, scenario)


def test_a_version_from_the_future() -> None:
    """Is refused, not guessed at."""
    with pytest.raises(UnknownVersion):
        unpack_update(b"\x91\x09")
