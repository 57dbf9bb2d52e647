"""The auditor finds what has gone bad, whatever it is, and puts away nothing else."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from swiftish.object import audit_record, auditor
from swiftish.object.audit_record import AuditRecord
from swiftish.object.auditor import ObjectAuditor
from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.metadata import HEAD_BYTES, decode, encode
from swiftish.object.settings import AuditorSettings, ObjectSettings
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import EnvironmentFull, Writer
from swiftish.runtime.quarantine import counts, entries
from swiftish.runtime.worker import run_once
from tests.fakes.files import FaultyFiles, always, fail_at, no_fault
from tests.fakes.loop import simulate
from tests.fakes.object_node import HASH_PATH, POLICIES, Node, serving
from tests.unit.object.test_damage import ATTRIBUTE, flip, flip_attribute

T = TypeVar("T")

LARGE = 2 * BLOCK_BYTES + 1000
FAST = ObjectSettings(
    auditor=AuditorSettings(
        files_per_second=0, bytes_per_second=0, zero_byte_files_per_second=0, etag_every=1
    )
)


def auditor_of(
    node: Node, settings: AuditorSettings = FAST.auditor, *, quick: bool = False
) -> ObjectAuditor:
    """A new one, as after a restart."""
    return ObjectAuditor(
        devices=node.devices,
        disk_of=node.service._objects.disk,
        indexes=node.service._indexes,
        policies=POLICIES,
        hash_path=HASH_PATH,
        clock=node.clock,
        settings=settings,
        quick=quick,
    )


async def audit(node: Node, *, quick: bool = False) -> ObjectAuditor:
    found = auditor_of(node, quick=quick)
    await run_once(found)
    return found


async def record_of(node: Node, name: str = "object-auditor") -> AuditRecord:
    return await node.service._indexes.environments.read(
        node.device, lambda reader: audit_record.load(reader, name, "objects")
    )


def file_of(node: Node, suffix: str = ".data") -> Path:
    (path,) = (path for path in node.folder("bad").iterdir() if path.suffix == suffix)
    return path


Damage = Callable[[Node], object]


def cut(node: Node, size: int) -> None:
    os.truncate(file_of(node), size)


def longer(node: Node, suffix: str = ".data") -> None:
    with file_of(node, suffix).open("ab") as file:
        file.write(b"x")


def anothers_file(node: Node) -> None:
    """A write that went astray: a sound object, under another's name."""
    path = file_of(node)
    path.unlink()
    shutil.copy2(next(node.folder("good").iterdir()), path)


def older_file(node: Node) -> None:
    path = file_of(node)
    path.rename(path.with_name("1700000009.00000.data"))


def a_file_for_a_folder(node: Node) -> None:
    shutil.rmtree(node.folder("bad"))
    node.folder("bad").write_bytes(b"")


def another_content(node: Node) -> None:
    """Sound by its own checksums, and not what the client sent: only the MD5 tells."""
    path = file_of(node)
    first = os.getxattr(path, ATTRIBUTE)
    wrong = replace(decode(first[HEAD_BYTES:]), etag="0" * 32)
    os.setxattr(path, ATTRIBUTE, first[:HEAD_BYTES] + encode(wrong))


# What happens to an object; whether the quick auditor finds it.
DAMAGES: dict[str, tuple[Damage, bool]] = {
    "a flipped bit in the first block": (lambda node: flip(file_of(node), 5), False),
    "a flipped bit in the last block": (lambda node: flip(file_of(node), LARGE - 1), False),
    "a flipped bit in the trailer": (lambda node: flip(file_of(node), LARGE + 3), False),
    "a flipped bit in the metadata": (lambda node: flip_attribute(file_of(node), 30), True),
    "a flipped bit in their checksum": (lambda node: flip_attribute(file_of(node), 5), True),
    "no metadata": (lambda node: os.removexattr(file_of(node), ATTRIBUTE), True),
    "cut off": (partial(cut, size=LARGE // 2), True),
    "no bytes at all": (partial(cut, size=0), True),
    "the trailer cut off": (partial(cut, size=LARGE + 8), True),
    "a byte too many": (longer, True),
    "another's file": (anothers_file, True),
    "an older file": (older_file, True),
    "a file for its folder": (a_file_for_a_folder, True),
    "another content": (another_content, False),
}


@pytest.mark.parametrize("kind", list(DAMAGES))
def test_t49_t50_what_is_bad_goes_to_quarantine(device: Path, kind: str) -> None:
    """With its reason; and what is good stays."""
    damage, is_found_quickly = DAMAGES[kind]

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=bytes(LARGE), at=1)
        await node.ask("PUT", "good", body=bytes(LARGE), at=1)
        damage(node)
        quick = await audit(node, quick=True)
        assert quick.report.counters["quarantined"] == is_found_quickly
        whole = await audit(node)
        assert whole.report.counters["quarantined"] == (not is_found_quickly)
        (found,) = entries(node.path)
        assert (found.kind, found.name) == ("objects", node.folder("bad").name)
        assert len(found.reason) > 10
        assert counts(node.path) == {"objects": 1}
        assert (await node.ask("GET", "bad")).status == 503
        assert (await node.ask("GET", "good")).body == bytes(LARGE)
        again = await audit(node)
        assert again.report.counters == {"files": 1, "bytes": LARGE, "etags": 1}

    serving(device, scenario, settings=FAST)


def a_longer_file(suffix: str) -> Damage:
    return lambda node: longer(node, suffix)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("damage", ["bit", "longer", "emptied", "renamed"])
def test_t18_t49_bad_changes_and_tombstones(device: Path, method: str, damage: str) -> None:
    """`.meta` and `.ts` are looked at as well, by the quick auditor too."""
    suffix = ".meta" if method == "POST" else ".ts"

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=b"data", at=1)
        await node.ask(method, "bad", at=2, content_type="text/plain")
        path = file_of(node, suffix)
        match damage:
            case "bit":
                flip_attribute(path, 20)
            case "longer":
                longer(node, suffix)
            case "emptied":
                os.removexattr(path, ATTRIBUTE)
            case _:
                path.rename(path.with_name(path.name.replace("02.00000", "03.00000", 1)))
        assert (await audit(node, quick=True)).report.counters["quarantined"] == 1
        assert not node.folder("bad").exists()

    serving(device, scenario, settings=FAST)


@pytest.mark.parametrize("quick", [False, True])
def test_sound_objects_of_all_kinds_stay(device: Path, quick: bool) -> None:
    """Nothing is put away, nothing written but the note, and each file is read once."""

    async def scenario(node: Node) -> None:
        sizes = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, LARGE]
        for size in sizes:
            await node.ask("PUT", f"{size}", body=bytes(size), at=1)
        await node.ask("PUT", "rich", body=b"x", at=1, x_object_meta_a="v" * 70_000)
        await node.ask("PUT", "posted", body=b"x", at=1)
        await node.ask("POST", "posted", at=2, content_type="text/plain")
        await node.ask("POST", "posted", at=3)
        await node.ask("PUT", "deleted", body=b"x", at=1)
        await node.ask("DELETE", "deleted", at=2)
        await node.ask("PUT", "silver", at=1, x_backend_storage_policy_index="1", body=b"y")
        before = {path: path.stat().st_mtime_ns for path in node.path.glob("objects*/**/*")}
        found = await audit(node, quick=quick)
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert not (node.path / "quarantined").exists()
        counters = found.report.counters
        assert (counters["files"], counters["errors"]) == (len(sizes) + 4, 0)
        assert counters["bytes"] == (0 if quick else sum(sizes) + 3)
        assert counters["etags"] == (0 if quick else len(sizes) + 3)
        assert found.report.passes == 1

    serving(device, scenario, settings=FAST)


@pytest.mark.parametrize("code", [errno.EIO, errno.EUCLEAN, errno.ENODATA])
@pytest.mark.parametrize("name", ["open", "getxattr", "pread", "listdir"])
def test_b3_12_a_file_that_cannot_be_read(device: Path, code: int, name: str) -> None:
    """Goes to quarantine, and a hash folder that cannot be listed goes as a whole."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=b"data", at=1)
        path = str(file_of(node) if name == "open" else node.folder("bad"))

        def fault(call: str, arguments: tuple[object, ...]) -> int | None:
            concerned = call in ("getxattr", "pread") or arguments[0] == path
            return code if call == name and concerned else None

        files.fault = fault
        found = await audit(node)
        files.fault = no_fault
        assert found.report.counters["quarantined"] == 1
        assert not node.folder("bad").exists()
        assert files.opened == set()

    serving(device, scenario, files=files, settings=FAST)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN])
@pytest.mark.parametrize("name", ["open", "getxattr", "pread", "listdir", "fstat"])
def test_what_is_our_own_trouble_is_no_damage(device: Path, code: int, name: str) -> None:
    """Whatever call fails for want of descriptors or memory: nothing is put away."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        for number in range(3):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        calls = len(files.calls)
        await audit(node)
        count = files.calls[calls:].count(name)
        for index in range(count):
            files.fault = fail_at(index, code, names=frozenset({name}))
            await audit(node)
        files.fault = always(code, names=frozenset({name}))
        found = await audit(node)
        files.fault = no_fault
        assert found.report.counters["quarantined"] == 0
        if count:
            assert found.report.errors > 0
        assert not (node.path / "quarantined").exists()
        assert files.opened == set()
        assert (await audit(node)).report.counters["files"] == 3

    serving(device, scenario, files=files, settings=FAST)


def test_a_disk_that_cannot_be_written_to(device: Path) -> None:
    """What is bad cannot be put away: after some attempts the device is left alone."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        for number in range(30):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
            flip(next(node.folder(f"{number}").iterdir()), 0)
        files.fault = always(errno.EROFS, names=frozenset({"mkdir", "rename"}))
        found = await audit(node)
        assert found.report.counters["quarantined"] == auditor.FAILURES_MAX + 1
        assert found.report.errors == 1

    serving(device, scenario, files=files, settings=FAST)


def test_a_device_on_which_everything_is_bad(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is more likely to be read wrongly: not all of it is put away."""
    monkeypatch.setattr(auditor, "BAD_MAX", 5)

    async def scenario(node: Node) -> None:
        for number in range(30):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        wrong = ObjectAuditor(
            devices=node.devices,
            disk_of=node.service._objects.disk,
            indexes=node.service._indexes,
            policies=POLICIES,
            hash_path=type(HASH_PATH)(prefix=b"another", suffix=b"cluster's"),
            clock=node.clock,
            settings=FAST.auditor,
        )
        for _ in range(3):
            await run_once(wrong)
        assert wrong.report.counters["quarantined"] < 12
        assert "the device is, or we are" in wrong.report.last_error

    serving(device, scenario, settings=FAST)


def test_it_goes_on_where_it_was(device: Path) -> None:
    """After a restart, a pass that was cut off is gone on with, and nothing is read twice."""
    settings = AuditorSettings(files_per_second=0, bytes_per_second=0, save_interval_s=1e-9)

    async def scenario(node: Node) -> None:
        for number in range(20):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        first = auditor_of(node, settings)
        first._active = await first._begin()
        (lane,) = first._active
        while first.report.counters["files"] < 7:
            await (lane._next_datadir() if lane._places is None else lane._next_step())
        first.close()
        assert (await record_of(node)).current.files == 7
        second = auditor_of(node, settings)
        await run_once(second)
        assert second.report.counters["files"] == 13
        record = await record_of(node)
        assert record.last is not None
        assert (record.last.files, record.last.bytes, record.passes) == (20, 80, 1)
        assert (record.cursor, record.current.files) == (None, 0)
        third = auditor_of(node, settings)
        await run_once(third)
        assert third.report.counters["files"] == 20
        assert third.report.total == 20

    serving(device, scenario, settings=FAST)


def test_every_etag_has_its_turn(device: Path) -> None:
    """Each object's MD5 is computed in one of so many passes."""
    settings = AuditorSettings(files_per_second=0, bytes_per_second=0, etag_every=4)

    async def scenario(node: Node) -> None:
        for number in range(40):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        found = auditor_of(node, settings)
        shares = []
        for _ in range(4):
            before = found.report.counters["etags"]
            await run_once(found)
            shares.append(found.report.counters["etags"] - before)
        assert sum(shares) == 40
        assert all(shares)

    serving(device, scenario, settings=FAST)


def simulated(root: Path, scenario: Callable[[Node], object]) -> None:
    """In virtual time, where no thread of an environment's own can be waited for."""

    async def run() -> None:
        node = Node(root, settings=FAST)
        environments = node.service._indexes.environments

        async def commit(device: LocalDevice, work: Callable[[Writer], T]) -> T:
            return environments.use_blocking(device, lambda environment: environment.write(work))

        environments.commit = commit  # type: ignore[method-assign]
        try:
            await scenario(node)  # type: ignore[misc]
        finally:
            await node.aclose()

    simulate(run())


def test_the_pace_in_files_and_bytes(device: Path) -> None:
    """20 files and 10 MB in a second, whichever takes longer."""

    async def scenario(node: Node) -> None:
        loop = asyncio.get_running_loop()
        for number in range(100):
            await node.ask("PUT", f"{number}", body=b"x", at=1)
        found = auditor_of(node, AuditorSettings())
        began = loop.time()
        await run_once(found)
        assert 3.9 < loop.time() - began < 6
        node_of_large = auditor_of(node, AuditorSettings(files_per_second=0))
        await node.ask("PUT", "large", body=bytes(50 * BLOCK_BYTES), at=1)
        began = loop.time()
        await run_once(node_of_large)
        assert 4 < loop.time() - began < 7

    simulated(device, scenario)


def test_a_unit_is_short_however_large_an_object_is(device: Path) -> None:
    """So that a stop need not wait for it."""

    async def scenario(node: Node) -> None:
        loop = asyncio.get_running_loop()
        await node.ask("PUT", body=bytes(30 * BLOCK_BYTES), at=1)
        found = auditor_of(node, AuditorSettings())
        while True:
            began = loop.time()
            progress = await found.work()
            assert loop.time() - began < auditor.SLICE_S + 0.5
            if progress is progress.IDLE:
                break
        assert found.report.counters["bytes"] == 30 * BLOCK_BYTES

    simulated(device, scenario)


def test_t36_a_day_alone(device: Path) -> None:
    """Nobody answers for a day: an auditor asks nobody, and puts nothing away."""

    async def scenario(node: Node) -> None:
        loop = asyncio.get_running_loop()
        for number in range(50):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        await node.ask("DELETE", "7", at=2)
        node.containers.hanging = {"sdc", "sdd"}
        before = sorted(node.path.glob("objects*/**/*"))
        found = auditor_of(node, AuditorSettings(interval_s=30))
        passes = 0
        while loop.time() < 24 * 3600:
            await run_once(found)
            passes += 1
            await asyncio.sleep(3000)
        assert passes > 20
        assert found.report.counters["quarantined"] == found.report.errors == 0
        assert sorted(node.path.glob("objects*/**/*")) == before
        assert not (node.path / "quarantined").exists()

    simulated(device, scenario)


def test_only_the_devices_that_are_named(device: Path) -> None:
    """The others are left alone, and so is one that is out of service."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        other = auditor_of(node, AuditorSettings(devices=("sdb",)))
        await run_once(other)
        assert other.report.counters["files"] == 0
        node.device.suspend("it is not mounted")
        assert (await audit(node)).report.counters["files"] == 0
        node.device.resume()
        assert (await audit(node)).report.counters["files"] == 1

    serving(device, scenario, settings=FAST)


def test_folders_in_the_wrong_place_are_counted(device: Path) -> None:
    """A hash folder of another suffix is nobody's, and no damage; other names are not ours."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        suffix = node.folder().parent
        (suffix / f"{'0' * 29}abc").mkdir()
        (suffix / "notes.txt").write_text("somebody's")
        (suffix.parent / "hello").mkdir()
        (node.path / "objects" / "007").mkdir()
        found = await audit(node)
        assert found.report.counters["misplaced"] == 1
        assert found.report.counters["files"] == 1
        assert found.report.counters["quarantined"] == 0

    serving(device, scenario, settings=FAST)


def test_a_suffix_that_cannot_be_listed(device: Path) -> None:
    """Is an error that is counted; the others are audited."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        for number in range(5):
            await node.ask("PUT", f"{number}", body=b"data", at=1)
        bad = str(node.folder("3").parent)
        files.fault = lambda call, arguments: (
            errno.EUCLEAN if call == "listdir" and str(arguments[0]) == bad else None
        )
        found = await audit(node)
        assert found.report.counters["files"] == 4
        assert found.report.counters["errors"] == 1
        assert found.report.counters["quarantined"] == 0

    serving(device, scenario, files=files, settings=FAST)


def test_replaced_while_it_is_read(device: Path) -> None:
    """A newer object is not put away with a bad old one."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=bytes(LARGE), at=1)
        flip(file_of(node), LARGE - 1)
        found = auditor_of(node)
        found._active = await found._begin()
        (lane,) = found._active
        await lane._next_datadir()
        await lane._next_step()
        await node.ask("PUT", "bad", body=b"newer", at=2)
        await run_once(found)
        assert found.report.counters["files"] == 1
        assert (await node.ask("GET", "bad")).body == b"newer"
        assert node.quarantined() == []

    serving(device, scenario, settings=FAST)


def test_the_index_is_full(device: Path) -> None:
    """Without a note of how far it is the audit stops, and says so."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        found = auditor_of(node)

        async def full(_device: object, _work: object) -> None:
            raise EnvironmentFull(node.path, "map")

        node.service._indexes.environments.commit = full  # type: ignore[assignment, method-assign]
        await run_once(found)
        assert found.report.errors == 1

    serving(device, scenario, settings=FAST)


def test_a_record_that_cannot_be_read_begins_again(device: Path) -> None:
    """A damaged note costs a pass, not the auditor."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        for value in (b"", b"rubbish", b"\x95\x01\x05\x90\xc0\xc0"):
            await node.service._indexes.environments.commit(
                node.device,
                lambda writer, value=value: writer.put(  # type: ignore[misc]
                    "audits", b"object-auditor/objects", value
                ),
            )
            assert (await audit(node)).report.counters["files"] == 1

    serving(device, scenario, settings=FAST)


def test_settings_that_make_no_sense() -> None:
    """Are refused by name."""
    for wrong in ({"interval_s": 0}, {"files_per_second": -1}, {"etag_every": -1}):
        with pytest.raises(ValueError, match="must"):
            AuditorSettings(**wrong)  # type: ignore[arg-type]


def test_what_has_come_back_is_missed_no_longer(device: Path) -> None:
    """An object that was quarantined, stored again and deleted is deleted, also when its tombstone
    has been reclaimed; what is in the quarantine stays there, for people."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=b"data", at=1)
        flip(file_of(node), 0)
        await audit(node)
        assert (await node.ask("GET", "bad")).status == 503
        await node.ask("PUT", "bad", body=b"again", at=2)
        await node.ask("DELETE", "bad", at=3)
        await audit(node)
        shutil.rmtree(node.folder("bad"))  # as if it had been reclaimed
        assert (await node.ask("GET", "bad")).status == 404
        (found,) = entries(node.path)
        assert found.name == f"{node.folder('bad').name}-1"
        assert (found.path / "1700000001.00000.data").exists()

    serving(device, scenario, settings=FAST)


def test_i3_a_bad_tombstone_is_a_tombstone(device: Path) -> None:
    """Though it is in the quarantine, the object is deleted and not lost."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "bad", body=b"data", at=1)
        await node.ask("DELETE", "bad", at=2)
        flip_attribute(file_of(node, ".ts"), 20)
        assert (await audit(node)).report.counters["quarantined"] == 1
        assert (await node.ask("GET", "bad")).status == 404

    serving(device, scenario, settings=FAST)
