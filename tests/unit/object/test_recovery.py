"""After a crash between the commit of an object and the word to its container (T55)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from swiftish.runtime.worker import Worker, run_once
from tests.fakes.object_node import ONE, Node, serving

LONG_AGO = 1_000_000_000


def worker(node: Node, name: str) -> Worker:
    return next(worker for worker in node.service.workers if worker.name == name)


async def has_an_index(node: Node) -> None:
    """As every device soon after its first start, before there are objects."""
    await node.service._indexes.of(node.device)


async def recover(node: Node) -> list[str]:
    """Let the workers run; what the containers were told then, beyond what they had heard."""
    await run_once(worker(node, "object-recovery"))
    await run_once(worker(node, "object-updater"))
    told = sorted(f"{method} {path}" for method, path, _ in node.containers.rows)
    node.containers.rows.clear()
    return told


def marks(node: Node) -> list[Path]:
    return sorted((node.path / "serving").iterdir())


def test_t55_a_process_that_is_killed_before_the_container_hears(device: Path) -> None:
    """The row appears after the next start: for a new object, a changed one, a deleted one."""

    async def before(node: Node) -> None:
        await has_an_index(node)
        node.containers.hanging = {"sdc"}
        await node.ask("PUT", "posted", b"x", at=1, content_type="text/plain")
        await node.ask("PUT", "deleted", at=1)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(node.ask("PUT", "new", b"xyz", at=2, headers=ONE)),
                group.create_task(node.ask("POST", "posted", at=2, headers=ONE)),
                group.create_task(node.ask("DELETE", "deleted", at=2, headers=ONE)),
            ]
            async with asyncio.timeout(10):
                await node.containers.asked.acquire()
                await node.containers.asked.acquire()
                await node.containers.asked.acquire()
            for task in tasks:
                task.cancel()
        for background in asyncio.all_tasks() - {asyncio.current_task()}:
            background.cancel()  # a kill, as far as the service can tell

    async def after(node: Node) -> None:
        assert len(marks(node)) == 1
        await run_once(worker(node, "object-recovery"))
        await run_once(worker(node, "object-updater"))
        rows = {
            path.rpartition("/")[2]: (method, headers)
            for method, path, headers in node.containers.rows
        }
        assert rows["new"][0] == rows["posted"][0] == "PUT"
        assert rows["deleted"][0] == "DELETE"
        assert rows["new"][1]["x-size"] == "3"
        assert rows["posted"][1]["x-content-type"] == "text/plain"
        assert rows["posted"][1]["x-meta-timestamp"] == "1700000002.00000"
        assert rows["deleted"][1]["x-timestamp"] == "1700000002.00000"
        assert len(node.containers.rows) == 6, "both replicas of the container"
        node.containers.rows.clear()
        assert marks(node) == []
        assert await recover(node) == [], "once"

    serving(device, before)
    serving(device, after)


def test_a_process_that_ends_as_it_should(device: Path) -> None:
    """Leaves no mark, and nothing is told again."""

    async def before(node: Node) -> None:
        await has_an_index(node)
        await node.ask("PUT", at=1, headers=ONE)
        assert len(marks(node)) == 1
        assert await recover(node) == ["PUT /sdc/2/a/c/o"], "a living process is left alone"
        assert len(marks(node)) == 1

    async def after(node: Node) -> None:
        assert marks(node) == []
        assert await recover(node) == []

    serving(device, before)
    serving(device, after)


def test_what_changed_long_before_is_not_told_again(device: Path) -> None:
    """Only folders that changed since shortly before the mark's last touch."""

    async def scenario(node: Node) -> None:
        for name in ("old", "new"):
            await node.ask("PUT", name, at=1)
        os.utime(node.folder("old"), (LONG_AGO, LONG_AGO))
        (node.path / "serving" / "of-the-dead").touch()
        told = await recover(node)
        assert {row.rpartition("/")[2] for row in told} == {"new"}

    serving(device, scenario)


def test_damaged_objects_do_not_stop_the_recovery(device: Path) -> None:
    """The others are told."""

    async def scenario(node: Node) -> None:
        for name in ("bad", "good"):
            await node.ask("PUT", name, at=1)
        (path,) = node.folder("bad").iterdir()
        os.removexattr(path, "user.swiftish")
        node.folder("empty").mkdir(parents=True)
        (node.path / "serving" / "of-the-dead").touch()
        told = await recover(node)
        assert {row.rpartition("/")[2] for row in told} == {"good"}

    serving(device, scenario)


def test_what_was_obsolete_is_removed(device: Path) -> None:
    """A process was killed between the new object and the removal of the old one."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "object", b"old", at=1)
        (old,) = node.folder("object").iterdir()
        kept = node.path / "kept"
        kept.hardlink_to(old)
        await node.ask("PUT", "object", b"new", at=2)
        (new,) = node.folder("object").iterdir()
        kept.rename(old)
        await recover(node)
        assert set(node.folder("object").iterdir()) == {old, new}, "it runs: nobody was killed"
        (node.path / "serving" / "of-the-dead").touch()
        await recover(node)
        assert list(node.folder("object").iterdir()) == [new]

    serving(device, scenario)


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.fakes.object_node import ONE, Node

async def run():
    node = Node(Path(sys.argv[1]))
    node.containers.hanging = {"sdc"}
    await node.ask("PUT", body=b"xyz", at=1, headers=ONE)

asyncio.run(run())
"""


def test_t55_kill_9(device: Path) -> None:
    """A real process, really killed while it tells the container."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(device)], cwd=Path(__file__).parents[3]
    )
    try:
        deadline = time.monotonic() + 30
        while not list(device.glob("sda/objects/*/*/*/*.data")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def scenario(node: Node) -> None:
        assert (await node.ask("GET")).body == b"xyz"
        told = await recover(node)
        assert [row.split("/")[1] for row in told] == ["sdc", "sdd"]

    serving(device, scenario)
