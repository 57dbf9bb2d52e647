"""Devices: the right disk in the right place, and threads that answer (T32, T33, T103)."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swiftish.runtime.device_check import look, mark_device
from swiftish.runtime.device_mark import MARK, Identity, Seen, encode, judge
from swiftish.runtime.device_watcher import HANGING, DeviceWatcher
from swiftish.runtime.devices import Devices, DeviceSettings, LocalDevice
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import run_once
from tests.fakes.clock import FakeClock

OURS = Identity(cluster="0123456789abcdef", device="d1")
GOOD = encode(OURS, "disk-1")
OF_D2 = encode(Identity(cluster=OURS.cluster, device="d2"), "disk-2")
FOREIGN = encode(Identity(cluster="fedcba9876543210", device="d1"), "disk-3")
DATA = ("accounts.mdb", "objects", "lost+found")

fit, new = None, "new"

# is it a mount point, what is in it, its mark -> with and without mount_check
TABLE = [
    (True, (), GOOD, fit, fit),
    (False, (), GOOD, "not mounted", fit),
    (True, (), None, new, new),
    (True, ("lost+found",), None, new, new),
    (True, DATA, None, new, new),
    (False, DATA, None, "not mounted", new),
    (False, ("objects-2",), None, "not mounted", new),
    (False, (), None, "not mounted", "not mounted"),
    (False, ("readme.txt",), None, "not mounted", "not mounted"),
    (True, (), OF_D2, "the device 'd2'", "the device 'd2'"),
    (True, (), FOREIGN, "another cluster", "another cluster"),
    (True, (), b"", "cannot be read", "cannot be read"),
    (True, (), b"[]", "cannot be read", "cannot be read"),
    (True, (), b'"text"', "cannot be read", "cannot be read"),
    (True, (), GOOD[:30], "cannot be read", "cannot be read"),
    (True, (), GOOD.replace(b"device 1", b"device 2"), "another version", "another version"),
]


@pytest.mark.parametrize(("is_mount", "names", "mark", "strict", "lax"), TABLE)
def test_t33_t103_which_folders_are_devices(
    is_mount: bool, names: tuple[str, ...], mark: bytes | None, strict: str | None, lax: str | None
) -> None:
    """Only what can't be a mistake is adopted; a wrong disk is never used."""
    seen = Seen(is_mount=is_mount, names=names, mark=mark)
    for mount_check, wanted in ((True, strict), (False, lax)):
        verdict = judge(seen, OURS, mount_check=mount_check)
        assert verdict.adopt == (wanted == new)
        if wanted in (fit, new):
            assert verdict.trouble is None
        else:
            assert verdict.trouble is not None
            assert str(wanted) in verdict.trouble


def test_a_mark_that_is_gone_is_no_new_device() -> None:
    """What was known before is not adopted again, whatever is in the folder below."""
    seen = Seen(is_mount=False, names=DATA, mark=None)
    assert judge(seen, OURS, mount_check=False, known_id="disk-1").trouble is not None
    mounted = Seen(is_mount=True, names=(), mark=None)
    assert judge(mounted, OURS, mount_check=True, known_id="disk-1").adopt, "a new disk"


def local(path: Path, *, name: str = "d1") -> LocalDevice:
    path.mkdir(exist_ok=True)
    return LocalDevice(name, path, identity=Identity(cluster=OURS.cluster, device=name))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[LocalDevice]:
    device = local(tmp_path / "d1")
    yield device
    device.threads.close()


def test_t33_a_folder_in_use_is_marked_and_trusted(device: LocalDevice) -> None:
    """Data from before there were marks go on working; the mark stays the same."""
    (device.path / "objects").mkdir()
    device.verify()
    mark = (device.path / MARK).read_bytes()
    device.verify()
    assert (device.path / MARK).read_bytes() == mark
    assert device.generation == 1


def test_t33_nothing_is_written_where_no_disk_is(device: LocalDevice) -> None:
    """Neither to an empty folder, nor to one that has lost its mark, nor to none."""
    for _ in range(2):
        with pytest.raises(OSError, match="not mounted"):
            device.verify()
    assert list(device.path.iterdir()) == []
    mark_device(device.path, OURS)
    device.verify()
    (device.path / MARK).unlink()
    (device.path / "objects").mkdir()
    with pytest.raises(OSError, match="lost its mark"):
        device.verify()
    shutil.rmtree(device.path)
    with pytest.raises(OSError, match="cannot be read"):
        device.verify()
    assert not device.path.exists()


def test_another_disk_is_another_generation(device: LocalDevice) -> None:
    """What was remembered of the old one must be forgotten."""
    mark_device(device.path, OURS)
    device.verify()
    first = device.generation
    (device.path / MARK).unlink()
    mark_device(device.path, OURS)
    device.verify()
    assert device.generation == first + 1


def test_a_failed_sync_is_forgotten_with_the_disk(device: LocalDevice) -> None:
    """The operator has put another disk in its place: what the kernel lost was on the old one."""
    mark_device(device.path, OURS)
    device.verify()
    device.fail("a sync failed")
    device.verify()
    assert device.out_of_service == "a sync failed"
    (device.path / MARK).unlink()
    mark_device(device.path, OURS)
    device.verify()
    assert device.out_of_service is None


def test_many_processes_see_a_new_device_at_once(tmp_path: Path) -> None:
    """One marks it, and all of them use it."""
    (tmp_path / "d1" / "objects").mkdir(parents=True)
    found = [local(tmp_path / "d1") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(LocalDevice.trouble, found)) == [None] * 8
    assert len({device._disk_id for device in found}) == 1
    assert [path.name for path in (tmp_path / "d1").glob(".*")] == [MARK]
    for device in found:
        device.threads.close()


def test_a_device_without_identity_is_trusted(tmp_path: Path) -> None:
    """As in tests, and wherever nobody says which cluster it is."""
    devices = Devices(tmp_path, ["d1"])
    for device in devices:
        device.verify()
    devices.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_stays_and_a_suspension_passes(device: LocalDevice) -> None:
    """A failed sync is for good."""
    device.suspend("it is not mounted")
    assert device.out_of_service == "it is not mounted"
    device.resume()
    assert device.out_of_service is None
    device.fail("a sync failed")
    device.suspend("it is not mounted")
    device.resume()
    assert device.out_of_service == "a sync failed"
    assert repr(device) == "<LocalDevice d1: a sync failed>"


def test_a_look(tmp_path: Path) -> None:
    """A mount point is told from a folder; a mark of any size is read in part."""
    assert look(Path("/proc")).is_mount
    (tmp_path / "d1").mkdir()
    assert not look(tmp_path / "d1").is_mount
    (tmp_path / "d1" / MARK).write_bytes(bytes(100_000))
    assert len(look(tmp_path / "d1").mark or b"") == 4096


# ---- the watcher -------------------------------------------------------------------------------


def watching(
    tmp_path: Path, *, timeout_s: float = 5.0
) -> tuple[Devices, DeviceWatcher, Background]:
    for name in ("d1", "d2"):
        (tmp_path / name).mkdir()
        mark_device(tmp_path / name, Identity(cluster=OURS.cluster, device=name))
    devices = Devices(tmp_path, ["d1", "d2"], cluster=OURS.cluster)
    background = Background()
    settings = DeviceSettings(mount_check=False, answer_timeout_s=timeout_s)
    watcher = DeviceWatcher(
        devices=devices, clock=FakeClock(), background=background, settings=settings
    )
    return devices, watcher, background


def test_t33_a_disk_that_goes_and_comes_back(tmp_path: Path) -> None:
    """Its device is suspended meanwhile, the other one is not."""

    async def script() -> None:
        devices, watcher, background = watching(tmp_path)
        first, second = devices
        await run_once(watcher)
        assert first.out_of_service is second.out_of_service is None
        (tmp_path / "d1").rename(tmp_path / "unmounted")
        (tmp_path / "d1").mkdir()
        await run_once(watcher)
        assert "not mounted" in (first.out_of_service or "")
        assert second.out_of_service is None
        (tmp_path / "d1").rmdir()
        await run_once(watcher)
        assert first.out_of_service is not None
        (tmp_path / "unmounted").rename(tmp_path / "d1")
        await run_once(watcher)
        assert first.out_of_service is None
        assert watcher.report.counters == {"suspended": 1, "resumed": 1}
        await background.aclose(timeout_s=5)
        devices.close()

    asyncio.run(script())


def test_t32_threads_that_hang(tmp_path: Path) -> None:
    """The device is suspended, once; it is back when its threads answer again, and nothing has
    piled up before them."""

    async def script() -> None:
        devices, watcher, background = watching(tmp_path, timeout_s=0.05)
        first, second = devices
        let_go = threading.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(first.threads.run(let_go.wait))
            await asyncio.sleep(0)
            for _ in range(3):
                await run_once(watcher)
                assert first.out_of_service == HANGING
                assert second.out_of_service is None
            assert first.threads._pool._work_queue.qsize() == 1
            let_go.set()
        while first.out_of_service is not None:
            await run_once(watcher)
        assert watcher.report.counters == {"suspended": 1, "resumed": 1}
        await background.aclose(timeout_s=5)
        devices.close()

    asyncio.run(script())


def test_settings() -> None:
    """Times that make no sense are refused."""
    with pytest.raises(ValueError, match="more than 0"):
        DeviceSettings(check_interval_s=0)
