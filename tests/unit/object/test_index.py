"""An index that is lost, and devices that are not there (T7, T8, T33)."""

from __future__ import annotations

from pathlib import Path

import pytest

from swiftish.object.index import PENDING
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import Identity
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.quarantine import counts
from swiftish.runtime.worker import run_once
from tests.fakes.object_node import ONE, Node, serving


def rot(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


async def told(node: Node) -> set[str]:
    """Let the workers run twice; which objects the containers heard of then."""
    node.containers.rows.clear()
    for name in 2 * ["object-updater", "object-recovery"]:
        await run_once(next(each for each in node.service.workers if each.name == name))
    return {path.rpartition("/")[2] for _, path, _ in node.containers.rows}


@pytest.mark.parametrize("lose", [rot, remove, remove_all])
@pytest.mark.parametrize("when", ["at rest", "under a running server"])
def test_t7_t8_pending_updates_that_are_lost_are_told_again(
    device: Path, lose: object, when: str
) -> None:
    """The containers hear of everything that is on the device, and of it once."""

    async def before(node: Node) -> None:
        await node.ask("PUT", "told", b"x", at=1, headers=ONE)
        node.containers.status["sdc"] = 503
        await node.ask("PUT", "pending", b"x", at=1, headers=ONE)
        assert node.containers.rows
        if when == "under a running server":
            await lost(node)

    async def lost(node: Node) -> None:
        assert callable(lose)
        environments = node.service._indexes.environments
        if lose is rot and when == "under a running server":
            environments.close()  # LMDB would be killed by a file that is cut under its feet
            environments._closed = False
        lose(node.path / "index.mdb")
        environments._looked_at.clear()
        node.containers.status.clear()
        assert await told(node) == {"told", "pending"}
        assert await told(node) == set()
        assert counts(node.path) == ({"index": 1} if lose is rot else {})
        count = await environments.read(node.device, lambda reader: reader.count(PENDING))
        assert count == 0

    serving(device, before)
    if when == "at rest":
        serving(device, lost)


def test_a_first_start_tells_nothing_again(device: Path) -> None:
    """A device without objects has lost nothing."""

    async def scenario(node: Node) -> None:
        assert await told(node) == set()
        await node.ask("PUT", "new", b"x", at=1, headers=ONE)
        assert await told(node) == set()

    serving(device, scenario)


def test_t33_nothing_is_written_where_no_disk_is(device: Path) -> None:
    """Not even in the moment between two looks: whatever a request needs would have to be made."""

    async def scenario(node: Node) -> None:
        identity = Identity(cluster="0" * 16, device="sda")
        local = node.device
        assert isinstance(local, LocalDevice)
        local._identity = identity
        mark_device(node.path, identity)
        assert (await node.ask("PUT", "kept", b"x", at=1, headers=ONE)).status == 201
        node.path.rename(device / "unmounted")
        node.path.mkdir()
        node.containers.status["sdc"] = 503
        node.service._indexes.environments._looked_at.clear()
        for name in ("kept", "other"):
            assert (await node.ask("PUT", name, b"y", at=2, headers=ONE)).status == 507
            assert (await node.ask("DELETE", name, at=3, headers=ONE)).status == 507
            assert (await node.ask("GET", name)).status == 404
        assert list(node.path.iterdir()) == []
        node.path.rmdir()
        (device / "unmounted").rename(node.path)
        assert (await node.ask("GET", "kept")).body == b"x"
        assert (await node.ask("PUT", "kept", b"y", at=4, headers=ONE)).status == 201

    serving(device, scenario)
