"""The commit: its order, its failures, its races, and metadata of every size."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from swiftish.domain.rows import ObjectRow, merge
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body
from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.worker import run_once
from tests.fakes.files import FaultyFiles, always, fail_at
from tests.fakes.object_node import ONE, Node, Pieces, serving

LARGE = BLOCK_BYTES + 10
SYNCS = frozenset({"fsync", "fdatasync"})
NO_FAULT = fail_at(-1, 0)


def test_t2_the_order_of_a_commit(device: Path) -> None:
    """Bytes and attributes, synced, before the name; the name and the way to it, synced, before
    what is obsolete goes (T1, T3)."""
    files = FaultyFiles()

    def steps() -> list[str]:
        wanted = {"write", "setxattr", "fsync", "link", "unlink"}
        return [name for name in files.calls if name in wanted]

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"one", at=1)
        # The process's mark; the file; its folder, the suffix, the partition, the policy, the
        # device.
        assert steps() == [*["fsync"] * 3, "write", "setxattr", "fsync", "link", *["fsync"] * 5]
        files.calls.clear()
        await node.ask("PUT", body=b"two", at=2)
        assert steps() == ["write", "setxattr", "fsync", "link", "fsync", "fsync", "unlink"]
        files.calls.clear()
        await node.ask("DELETE", at=3)
        assert steps() == ["setxattr", "fsync", "link", "fsync", "fsync", "unlink"]

    serving(device, scenario, files=files)


def test_a_small_object_takes_few_calls(device: Path) -> None:
    """No more than were measured: each costs a microsecond, and a chance to wait."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        async def count(method: str, body: bytes = b"", at: float | None = None) -> int:
            files.calls.clear()
            await node.ask(method, body=body, at=at)
            return len(files.calls)

        await count("PUT", b"x", 1)
        assert await count("PUT", b"x", 2) <= 15  # three of them: was the old one to expire?
        assert await count("GET") == 4
        assert await count("HEAD") == 4
        assert await count("DELETE", at=3) <= 16

    serving(device, scenario, files=files)


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM, errno.EIO],
    ids=lambda code: errno.errorcode[code],
)
@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.parametrize("replaces", [False, True])
def test_t14_t15_any_call_of_a_put_may_fail(
    device: Path, code: int, size: int, replaces: bool
) -> None:
    """The answer is 507 or 503, or 201 where it doesn't matter; no descriptor stays open, the
    object is the old one or the new one and never a part, and the next PUT works."""
    files = FaultyFiles()
    new = bytes(size)

    def one(index: int) -> bool:
        """Fail call number `index`; False when there are not so many."""
        root = device / str(index)
        root.mkdir()
        reached = False

        async def scenario(node: Node) -> None:
            nonlocal reached
            if replaces:
                assert (await node.ask("PUT", body=b"old", at=1)).status == 201
            files.calls.clear()
            files.fault = fail_at(index, code)
            status = (await node.ask("PUT", body=new, at=2)).status
            await node.quiet()
            reached = len(files.calls) > index
            failed = files.calls[index] if reached else ""
            files.fault = NO_FAULT
            assert files.opened == set()
            assert (node.device.out_of_service is not None) == (failed in SYNCS)
            assert status in (201, 503, 507)
            assert status == 201 or reached
            if failed in SYNCS:
                assert status == 507
                return
            answer = await node.ask("GET")
            if status == 201:
                assert answer.body == new
            elif replaces:
                assert answer.body in (b"old", new)
            else:
                assert answer.status == 404 or answer.body == new
            assert node.quarantined() == []
            assert (await node.ask("PUT", body=b"next", at=3)).status == 201
            assert (await node.ask("GET")).body == b"next"
            assert node.names() == ["+3.data"]

        serving(root, scenario, files=files)
        return reached

    assert any(not one(index) for index in itertools.count())


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_t15_any_call_of_a_post_or_delete_may_fail(device: Path, method: str) -> None:
    """The same without a body: done or not done, and answered accordingly."""
    files = FaultyFiles()
    for index in itertools.count():
        root = device / str(index)
        root.mkdir()
        reached = False

        async def scenario(node: Node, index: int = index) -> None:
            nonlocal reached
            await node.ask("PUT", body=b"data", at=1)
            files.calls.clear()
            files.fault = fail_at(index, errno.ENOSPC)
            status = (await node.ask(method, at=2, x_object_meta_a="b")).status
            reached = len(files.calls) > index
            files.fault = NO_FAULT
            assert files.opened == set()
            if node.device.out_of_service is not None:
                assert status == 507
                return
            got = await node.ask("GET")
            done = got.status == 404 if method == "DELETE" else "x-object-meta-a" in got.headers
            if status < 300:
                assert done
            else:
                assert status == 507
            assert (await node.ask(method, at=3)).status < 300 or done

        serving(root, scenario, files=files)
        if not reached:
            break
    assert index > 10


@pytest.mark.parametrize("name", sorted(SYNCS))
def test_t13_a_failed_sync_is_final(device: Path, name: str) -> None:
    """The write fails, the device is out of service, and nothing is synced again."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        files.fault = fail_at(0, errno.EIO, names=frozenset({name}))
        body = bytes(LARGE)
        assert (await node.ask("PUT", body=body, at=1)).status == 507
        await node.quiet()
        assert files.calls.count(name) == 1
        assert node.device.out_of_service is not None
        for method in ("PUT", "GET", "POST", "DELETE"):
            assert (await node.ask(method, at=2)).status == 507
        assert files.opened == set()

    serving(device, scenario, files=files, settings=ObjectSettings(sync_every_bytes=BLOCK_BYTES))


def test_t14_the_reserve_is_for_deletes(device: Path) -> None:
    """An upload that would use it is 507 before a byte is read; POST and DELETE go on."""

    async def fill(node: Node) -> None:
        assert (await node.ask("PUT", body=b"data", at=1)).status == 201

    async def scenario(node: Node) -> None:
        assert (await node.ask("PUT", body=b"data", at=2)).status == 507
        assert (await node.ask("PUT", "new", body=bytes(LARGE), at=2)).status == 507
        assert (await node.ask("GET")).body == b"data"
        assert (await node.ask("POST", at=3)).status == 202
        assert (await node.ask("DELETE", at=4)).status == 204

    serving(device, fill)
    serving(device, scenario, settings=ObjectSettings(free_space_reserve=1 - 1e-12))


@pytest.mark.parametrize("bytes_of_metadata", [0, 50, 100, 120, 254, 255, 700, 4096, 65536])
@pytest.mark.parametrize("count", [1, 90])
def test_t17_metadata_of_any_size(device: Path, bytes_of_metadata: int, count: int) -> None:
    """Come back, whatever the file system thinks of attributes of that size."""
    each = "v" * (bytes_of_metadata // count)
    headers = {f"x_object_meta_{i}": each for i in range(count)}

    async def scenario(node: Node) -> None:
        for name, size in (("small", 10), ("large", LARGE)):
            assert (await node.ask("PUT", name, bytes(size), at=1, headers=headers)).status == 201
            got = await node.ask("GET", name)
            assert got.body == bytes(size)
            assert all(got.headers[f"x-object-meta-{i}"] == each for i in range(count))
            last = await node.ask("GET", name, range="bytes=-1")
            assert last.body == b"\0"
            assert (await node.ask("POST", name, at=2, headers=headers)).status == 202
            assert (await node.open("HEAD", name)).headers["x-object-meta-0"] == each

    serving(device, scenario)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.E2BIG])
def test_t17_a_file_system_that_refuses_large_attributes(device: Path, code: int) -> None:
    """Metadata go into the file, and are verified there too."""
    files = FaultyFiles()

    def fault(name: str, arguments: tuple[object, ...]) -> int | None:
        large = name == "setxattr" and isinstance(arguments[2], bytes) and len(arguments[2]) > 100
        return code if large else None

    async def scenario(node: Node) -> None:
        for name, size in (("small", 10), ("empty", 0), ("large", LARGE)):
            value = "v" * 300
            body = os.urandom(size)
            answer = await node.ask("PUT", name, body, at=1, x_object_meta_a=value)
            assert answer.status == 201
            assert (await node.ask("POST", name, at=2, x_object_meta_a=value)).status == 202
            got = await node.ask("GET", name)
            assert (got.body, got.headers["x-object-meta-a"]) == (body, value)
            (path,) = node.folder(name).glob("*.data")
            with path.open("r+b") as file:
                file.seek(-5, os.SEEK_END)
                file.write(b"x")
            assert (await node.ask("HEAD", name)).status == 503

    files.fault = fault
    serving(device, scenario, files=files)


def no_tmpfile(name: str, arguments: tuple[object, ...]) -> int | None:
    is_tmpfile = name == "open" and arguments[0] == "."
    return errno.EOPNOTSUPP if is_tmpfile else None


def test_file_systems_without_files_without_names(device: Path) -> None:
    """The file is written in tmp/ and moved, never over another; nothing stays there."""
    files = FaultyFiles(no_tmpfile)

    async def scenario(node: Node) -> None:
        for at, body in enumerate((b"one", bytes(LARGE)), 1):
            assert (await node.ask("PUT", body=body, at=at)).status == 201
            assert (await node.ask("GET")).body == body
        assert (await node.ask("PUT", body=b"x", at=3, etag="0" * 32)).status == 422
        assert (await node.ask("DELETE", at=4)).status == 204
        files.fault = lambda name, arguments: (
            errno.ENOSPC if name == "setxattr" else no_tmpfile(name, arguments)
        )
        assert (await node.ask("PUT", body=b"x", at=5)).status == 507
        await node.quiet()
        assert list((node.path / "tmp").iterdir()) == []

    serving(device, scenario, files=files)
    assert files.opened == set()


def test_t20_what_killed_processes_left_in_tmp(device: Path) -> None:
    """Is swept away in bounded steps, but not what somebody is writing just now."""

    async def scenario(node: Node) -> None:
        folder = node.path / "tmp"
        folder.mkdir()
        for i in range(1100):
            (folder / str(i)).touch()
        busy = node.device.path / "tmp" / "busy"
        descriptor = os.open(busy, os.O_CREAT | os.O_RDWR)
        files = FaultyFiles()
        assert files.lock(descriptor)
        sweeper = next(each for each in node.service.workers if each.name == "object-sweeper")
        units = await run_once(sweeper)
        assert units == 3
        assert list(folder.iterdir()) == [busy]
        os.close(descriptor)
        await run_once(sweeper)
        assert list(folder.iterdir()) == []

    serving(device, scenario)


class Gate(Body):
    """A body that says when it is first asked for, and then waits to be let go."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def read(self) -> bytes:
        self.asked.set()
        await self.go.wait()
        data, self._data = self._data, b""
        return data


def test_what_another_process_has_not_synced_outdates_nothing(device: Path) -> None:
    """A newer file appears after the folder was synced.  A crash may still lose its name, so what
    was acknowledged, or is about to be, is not removed in its favour (I1)."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        def another_process(name: str, arguments: tuple[object, ...]) -> int | None:
            if name == "open" and str(arguments[0]).endswith(f"/{node.folder().parent.name}"):
                (node.folder() / "1700000003.00000.data").touch()
            return None

        await node.ask("PUT", body=b"one", at=1)
        files.fault = another_process
        assert (await node.ask("PUT", body=b"two", at=2)).status == 201
        assert node.names() == ["+2.data", "+3.data"]

    serving(device, scenario, files=files)


@pytest.mark.parametrize("fallback", [False, True])
def test_t19_two_uploads_of_one_moment(device: Path, fallback: bool) -> None:
    """Begun before either was there, they end in either order with the same object."""
    winners = set()
    bodies = [b"a" * LARGE, b"b" * LARGE]
    for order in ([0, 1], [1, 0]):
        root = device / f"{order}"
        root.mkdir()

        async def scenario(node: Node, order: list[int] = order) -> None:
            gates = [Gate(body) for body in bodies]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(node.ask("PUT", body=g, at=1)) for g in gates]
                for gate in gates:
                    await gate.asked.wait()
                for i in order:
                    gates[i].go.set()
                    await tasks[i]
            statuses = sorted(task.result().status for task in tasks)
            assert statuses in ([201, 201], [201, 409])
            winners.add((await node.ask("GET")).body)
            assert node.names() == ["+1.data"]
            await node.quiet()

        files = FaultyFiles(no_tmpfile) if fallback else FaultyFiles()
        serving(root, scenario, files=files)
        assert files.opened == set()
    assert len(winners) == 1


@pytest.mark.parametrize("kinds", list(itertools.combinations(range(4), 3)))
def test_t19_changes_of_one_moment_in_any_order(device: Path, kinds: tuple[int, ...]) -> None:
    """Two workers of a machine may give out the same moment.  Every replica, in whatever order it
    hears of the changes, ends with the same object, and that is the one that listings show."""
    changes: list[tuple[str, bytes, str]] = [
        ("PUT", b"one", "text/b"),
        ("PUT", b"two", "text/a"),
        ("PUT", b"three", "text/0"),
        ("DELETE", b"", ""),
    ]
    ends = set()
    for number, order in enumerate(itertools.permutations(kinds)):
        root = device / f"{number}"
        root.mkdir()

        async def scenario(node: Node, order: tuple[int, ...] = order) -> None:
            await node.ask("PUT", body=b"before", at=0)
            row = ObjectRow.tombstone(Timestamp(1))
            for method, body, kind in (changes[i] for i in order):
                node.containers.rows.clear()
                await node.ask(method, body=body, at=1, content_type=kind, headers=ONE)
                for _, _, told in node.containers.rows:
                    row = merge(row, _row(method, told))
            got = await node.ask("GET")
            ends.add((got.status, got.headers.get("etag"), tuple(node.names())))
            assert row.deleted == (got.status == 404)
            if not row.deleted:
                assert (row.etag, row.content_type) == (
                    got.headers["etag"],
                    got.headers["content-type"],
                )

        serving(root, scenario)
    assert len(ends) == 1


def _row(method: str, told: Mapping[str, str]) -> ObjectRow:
    at = Timestamp.parse(told["x-timestamp"])
    if method == "DELETE":
        return ObjectRow.tombstone(at)
    size, etag, kind = int(told["x-size"]), told["x-etag"], told["x-content-type"]
    return ObjectRow(at, size, etag, False, kind, at, at)


def test_a_late_change_of_the_type(device: Path) -> None:
    """Two POSTs, of which only the first has a type, end alike in either order."""
    ends = set()
    for order in ([1, 2], [2, 1]):
        root = device / f"{order[0]}"
        root.mkdir()

        async def scenario(node: Node, order: list[int] = order) -> None:
            await node.ask("PUT", body=b"x", at=0, content_type="text/plain")
            for at in order:
                kind = {"content_type": "image/png"} if at == 1 else {}
                answer = await node.ask("POST", at=at, x_object_meta_a=f"{at}", headers=kind | ONE)
                assert answer.status == 202
            got = await node.ask("GET")
            told = node.containers.rows[-1][2]
            assert told["x-content-type"] == "image/png"
            assert told["x-meta-timestamp"] == "1700000002.00000"
            ends.add((got.headers["content-type"], got.headers["x-object-meta-a"]))
            assert (await node.ask("POST", at=0.5, content_type="a/b")).status == 409
            assert (await node.ask("POST", at=1.5)).status == 409

        serving(root, scenario)
    assert ends == {("image/png", "2")}


def test_t19_a_broken_file_of_that_name_is_replaced(device: Path) -> None:
    """It cannot win over a sound one."""

    async def scenario(node: Node) -> None:
        gate = Gate(bytes(LARGE))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.ask("PUT", body=gate, at=1))
            await gate.asked.wait()
            (node.folder() / "1700000001.00000.data").write_bytes(b"torn")
            gate.go.set()
        assert task.result().status == 201
        assert (await node.ask("GET")).body == bytes(LARGE)

    serving(device, scenario)


def test_a_folder_that_is_removed_under_an_upload(device: Path) -> None:
    """Is made again, a few times at most."""
    files = FaultyFiles()
    removals = 3

    def fault(name: str, _arguments: tuple[object, ...]) -> int | None:
        nonlocal removals
        if name == "link" and removals:
            removals -= 1
            return errno.ENOENT
        return None

    async def scenario(node: Node) -> None:
        files.fault = fault
        assert (await node.ask("PUT", body=b"data", at=1)).status == 201
        assert (await node.ask("GET")).body == b"data"
        files.fault = always(errno.ENOENT, names=frozenset({"link"}))
        assert (await node.ask("PUT", body=b"data", at=2)).status == 503
        assert files.opened == set()

    serving(device, scenario, files=files)


def test_failed_uploads_of_one_object_at_once(device: Path) -> None:
    """Each makes the folder and removes it again under the others, who mind nothing.

    (ext4 refuses a nameless file in a folder that was just removed with EPERM.)
    """
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        async def fail(at: int) -> None:
            body = Pieces(b"x" * LARGE, length=LARGE + 1)
            assert (await node.ask("PUT", body=body, at=at)).status == 499

        for start in range(0, 100, 10):
            async with asyncio.TaskGroup() as group:
                for at in range(start, start + 10):
                    group.create_task(fail(at))
        await node.quiet()
        assert not node.folder().exists()
        assert files.opened == set()

    serving(device, scenario, files=files)


def test_changes_of_one_object_at_once(device: Path) -> None:
    """PUTs and DELETEs of one object from all sides: the newest is left, and nothing else."""

    async def scenario(node: Node) -> None:
        async with asyncio.TaskGroup() as group:
            for i in range(40):
                if i % 3:
                    group.create_task(node.ask("PUT", body=b"%d" % i, at=i))
                else:
                    group.create_task(node.ask("DELETE", at=i))
        assert node.names() == ["+39.ts"]
        async with asyncio.TaskGroup() as group:
            for i in range(40, 80):
                group.create_task(node.ask("PUT", body=b"%d" % i, at=i))
                group.create_task(node.ask("GET"))
        assert (await node.ask("GET")).body == b"79"
        assert node.names() == ["+79.data"]

    serving(device, scenario)
