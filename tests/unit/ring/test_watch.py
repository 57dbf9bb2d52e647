"""A new ring is taken up; a bad one is said, once, and left alone."""

import asyncio
import logging
import os
from array import array
from pathlib import Path

import pytest

from swiftish.ring.device import Device
from swiftish.ring.errors import BadRing, RingError
from swiftish.ring.format import encode
from swiftish.ring.ring import Ring
from swiftish.ring.watch import RingFile, RingWatcher, load_ring
from swiftish.runtime.threads import DeviceThreads
from swiftish.runtime.worker import Progress


def put(path: Path, *, version: int = 1, hash_id: str = "") -> None:
    ring = Ring(
        devices=[Device(id=0, device="d0")],
        rows=[array("H", [0])],
        power=0,
        version=version,
        hash_id=hash_id,
    )
    put_bytes(path, encode(ring))


def put_bytes(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    put(tmp_path / "object.ring.gz")
    return tmp_path / "object.ring.gz"


def test_a_new_ring_is_taken_up(path: Path) -> None:
    file = RingFile(path)
    first = file.current()
    assert not file.reload_if_changed()
    assert file.current() is first
    put(path, version=2)
    assert file.reload_if_changed()
    assert (first.version, file.current().version) == (1, 2)
    assert not file.reload_if_changed()


def test_a_file_of_the_same_time_and_length_is_seen(path: Path) -> None:
    """It has another number."""
    file = RingFile(path)
    before = path.stat()
    put_bytes(path, path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert file.reload_if_changed()


def test_a_bad_ring_is_said_once_and_the_old_one_used(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = RingFile(path)
    put_bytes(path, path.read_bytes()[:-5])
    with caplog.at_level(logging.INFO):
        assert not file.reload_if_changed()
        assert not file.reload_if_changed()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert f"{path}: the ring is truncated" in record.getMessage()
    assert file.current().version == 1
    put(path, version=2)
    assert file.reload_if_changed()


def test_a_ring_that_is_away_is_no_new_ring(path: Path) -> None:
    file = RingFile(path)
    path.unlink()
    assert not file.reload_if_changed()
    put(path, version=2)
    assert file.reload_if_changed()


def test_a_ring_for_another_cluster_is_refused(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the start it is an error, later only said; one that does not say for which is taken."""
    file = RingFile(path, hash_id="0123")
    put(path, version=2, hash_id="ffff")
    assert not file.reload_if_changed()
    assert "another hash prefix or suffix (ffff, not 0123)" in caplog.text
    with pytest.raises(RingError, match=rf"{path}: the ring was made for a cluster with another"):
        RingFile(path, hash_id="0123")
    assert load_ring(path).version == 2
    put(path, version=3, hash_id="0123")
    assert file.reload_if_changed()


def test_what_can_not_be_loaded_is_named(path: Path) -> None:
    with pytest.raises(RingError, match=rf"{path.parent}/none does not exist"):
        load_ring(path.parent / "none")
    with pytest.raises(RingError, match=rf"{path.parent} can't be read: Is a directory"):
        load_ring(path.parent)
    path.write_bytes(b"hello")
    with pytest.raises(BadRing, match=rf"{path}: not a ring"):
        RingFile(path)


def test_the_watcher_looks_at_all_files(path: Path) -> None:
    put(path.with_name("account.ring.gz"))
    files = [RingFile(path), RingFile(path.with_name("account.ring.gz"))]
    threads = DeviceThreads("rings", size=1)
    watcher = RingWatcher(files, threads)
    put(path.with_name("account.ring.gz"), version=2)
    assert asyncio.run(watcher.work()) is Progress.IDLE
    threads.close()
    assert [file.current().version for file in files] == [1, 2]
    assert watcher.interval_s == 15
