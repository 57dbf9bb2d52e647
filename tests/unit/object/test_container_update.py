"""Containers hear of every change, sooner or later, and once is enough."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import Timestamp
from swiftish.object.index import Node as Place
from swiftish.object.index import Update, pack_update, pending_key, unpack_update
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.object_node import BOTH, ONE, Node, serving

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
        statistics = await run_once(updater(node))
        assert statistics.units == 3, "eight at a time"
        assert len(told(node)) == 20
        assert (await run_once(updater(node))).units == 0

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
        assert (await run_once(updater(node))).units == 0

    serving(device, scenario)


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
    assert len(pending_key("0" * 32, update)) == 36


def test_a_version_from_the_future() -> None:
    """Is refused, not guessed at."""
    with pytest.raises(ValueError, match="version 9"):
        unpack_update(b"\x91\x09")
