"""Requests that are cancelled at any moment leave nothing open and nothing half-done."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from swiftish.object.blocks import BLOCK_BYTES
from tests.fakes.files import FaultyFiles
from tests.fakes.object_node import ONE, Node, Pieces, serving

LARGE = 2 * BLOCK_BYTES + 10


class Barrier:
    """Stops the thread that makes the n-th call of a name, until it is let go."""

    def __init__(self, name: str, number: int = 0) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        self._name = name
        self._left = number

    def __call__(self, name: str, _arguments: tuple[object, ...]) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == -1:
            self.reached.set()
            assert self.go.wait(10)

    async def wait(self) -> None:
        while not self.reached.is_set():  # noqa: ASYNC110  (set in another thread)
            await asyncio.sleep(0.001)


async def cancelled_at(barrier: Barrier, task: asyncio.Task[object], node: Node) -> None:
    await barrier.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    barrier.go.set()
    await node.quiet()


@pytest.mark.parametrize("name", ["listdir", "open", "getxattr", "pread"])
@pytest.mark.parametrize("size", [100, LARGE])
def test_t74_a_get_cancelled_in_a_thread(device: Path, name: str, size: int) -> None:
    """What the thread opens is closed when it is done, though nobody waits for it."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(size), at=1)
        barrier = Barrier(name)
        files.fault = barrier
        task = asyncio.ensure_future(node.open("GET"))
        await cancelled_at(barrier, task, node)
        assert files.opened == set()

    serving(device, scenario, files=files)


def test_t74_a_body_cancelled_in_a_thread(device: Path) -> None:
    """The same for a later block, and for a body that nobody reads to its end."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(LARGE), at=1)
        response = await node.open("GET")
        await response.body.read()
        barrier = Barrier("pread")
        files.fault = barrier
        task = asyncio.ensure_future(response.body.read())
        await barrier.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await response.body.aclose()
        await response.body.aclose()
        assert files.opened != set(), "the thread still reads from it"
        barrier.go.set()
        await node.quiet()
        assert files.opened == set()
        unread = await node.open("GET")
        await unread.body.aclose()
        await node.quiet()
        assert files.opened == set()

    serving(device, scenario, files=files)


@pytest.mark.parametrize("name", ["statvfs", "mkdir", "open", "write"])
def test_t74_an_upload_cancelled_before_its_commit(device: Path, name: str) -> None:
    """Nothing of it is left: no file, no folder, no descriptor, no row."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "other", at=1)
        barrier = Barrier(name)
        files.fault = barrier
        body = Pieces(*[bytes(BLOCK_BYTES)] * 3, length=3 * BLOCK_BYTES)
        task = asyncio.ensure_future(node.ask("PUT", body=body, at=1, headers=ONE))
        if name == "statvfs":  # asked a moment ago: it is not asked again
            barrier.reached.set()
        await cancelled_at(barrier, task, node)
        assert files.opened == set()
        assert not node.folder().exists()
        assert node.containers.rows == []

    serving(device, scenario, files=files)


@pytest.mark.parametrize("name", ["setxattr", "fsync", "link", "unlink"])
@pytest.mark.parametrize("size", [100, LARGE])
def test_t55_an_upload_cancelled_in_its_commit(device: Path, name: str, size: int) -> None:
    """Goes on to its end: the object is there, and so is its row."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"old", at=1)
        barrier = Barrier(name)
        files.fault = barrier
        task = asyncio.ensure_future(node.ask("PUT", body=bytes(size), at=2, headers=ONE))
        await cancelled_at(barrier, task, node)
        assert files.opened == set()
        assert (await node.ask("GET")).body == bytes(size)
        assert [path for _, path, _ in node.containers.rows] == ["/sdc/2/a/c/o"]

    serving(device, scenario, files=files)


def test_t55_an_upload_cancelled_while_the_container_is_told(device: Path) -> None:
    """The update is left pending, as if the client still waited."""

    async def scenario(node: Node) -> None:
        node.containers.status["sdc"] = 503
        barrier = Barrier("unlink")
        task = asyncio.ensure_future(node.ask("DELETE", at=2, headers=ONE))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await node.quiet()
        assert node.names() == ["+2.ts"]
        node.containers.status.clear()
        await node.service.workers[0].work()
        assert [method for method, _, _ in node.containers.rows] == ["DELETE"]
        assert not barrier.reached.is_set()

    serving(device, scenario)
