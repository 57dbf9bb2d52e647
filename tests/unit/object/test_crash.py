"""The crash checker: in no state that a crash may leave is an acknowledged change lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.settings import ObjectSettings
from tests.fakes.crash import CrashFiles
from tests.fakes.object_node import Node, serving

Seen = tuple[int, bytes, str | None]
GONE: Seen = (404, b"", None)
LOST: Seen = (503, b"", None)
LARGE = bytes(range(256)) * (BLOCK_BYTES // 256) + b"tail"


async def look(node: Node) -> Seen:
    answer = await node.ask("GET")
    return (
        answer.status,
        answer.body if answer.status == 200 else b"",
        answer.headers.get("x-object-meta-colour"),
    )


class Checker:
    """Crashes after every system call, in several ways, and looks at what is left."""

    def __init__(self, root: Path, files: CrashFiles, seed: int) -> None:
        self.legal: list[Seen] = [GONE]
        self.crashes = 0
        self._root = root
        self._files = files
        self._chance = random.Random(seed)

    def crash(self) -> None:
        """Called in the thread that has made the call: it goes on when this returns."""
        self._files.watch, watch = nothing, self._files.watch  # until this one has passed
        for kept in (0.0, 1.0, 0.5, 0.5):
            self.crashes += 1
            folder = self._root / f"crash-{self.crashes}"
            self._files.crash(folder / "sda", self._chance, kept=kept)
            serving(folder, self._check)
            shutil.rmtree(folder)
        self._files.watch = watch

    async def _check(self, node: Node) -> None:
        seen = await look(node)
        assert seen in self.legal, (seen, node.names(), node.quarantined())
        later = await node.ask("PUT", body=b"later", at=1000)
        assert later.status == 201, "whatever is left must not be in the way"
        assert (await node.ask("GET")).body == b"later"


def nothing() -> None:
    """Watch no more."""


@pytest.mark.parametrize("tmpfile", [True, False])
def test_t1_t2_t3_no_crash_loses_what_was_acknowledged(
    device: Path, seed: int, tmpfile: bool
) -> None:
    """I1, I2, I3: after a crash at any moment the object is as it was acknowledged last, or as the
    change under way makes it; all of it, or nothing."""
    root = device / "live"
    root.mkdir()
    files = CrashFiles(root / "sda", tmpfile=tmpfile)
    checker = Checker(device, files, seed)

    async def scenario(node: Node) -> None:
        async def step(change: Callable[[], Awaitable[object]], after: Seen) -> None:
            checker.legal.append(after)
            await change()
            checker.legal = [after]
            await node.device.threads.run(checker.crash)

        files.watch = checker.crash

        def put(body: bytes, at: int) -> Awaitable[object]:
            return node.ask("PUT", body=body, at=at, x_object_meta_colour="red")

        await step(lambda: put(b"one", 1), (200, b"one", "red"))
        await step(lambda: put(LARGE, 2), (200, LARGE, "red"))
        await step(
            lambda: node.ask("POST", at=3, x_object_meta_colour="blue"), (200, LARGE, "blue")
        )
        await step(lambda: put(b"two", 4), (200, b"two", "red"))
        await step(lambda: node.ask("DELETE", at=5), GONE)
        await step(lambda: put(b"", 6), (200, b"", "red"))
        files.watch = nothing

    serving(root, scenario, files=files, settings=ObjectSettings(sync_every_bytes=BLOCK_BYTES))
    assert checker.crashes > 200


def test_t49_no_crash_undoes_a_quarantine(device: Path, seed: int) -> None:
    """The bad version goes, and whenever the power fails an older one that was still lying about
    does not come back (I2, I3), nor is it forgotten that there was one."""
    root = device / "live"
    root.mkdir()
    files = CrashFiles(root / "sda", tmpfile=True)
    checker = Checker(device, files, seed)
    checker.legal = [LOST]

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"old", at=1)
        old, new = node.folder() / "1700000001.00000.data", node.folder() / "1700000002.00000.data"
        files.keep(str(old))
        await node.ask("PUT", body=b"new", at=2)
        assert node.names() == ["+1.data", "+2.data"]
        files.write_behind_its_back(str(new), b"NEW")
        files.watch = checker.crash
        assert await look(node) == LOST
        files.watch = nothing

    serving(root, scenario, files=files)
    assert checker.crashes > 30
