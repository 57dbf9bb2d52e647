"""Builders and rings on disk: whole or not at all, with copies, one operator at a time."""

import errno
import fcntl
import os
import resource
import signal
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.builder_file import backup, load_builder, locked, save_builder, save_ring
from swiftish.ring.device import Device
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.format import decode
from swiftish.ring.ring import Ring

NOW = 1_700_000_000.9


def builder() -> Builder:
    made = Builder.create(power=4, replicas=3, min_part_hours=1)
    made.add(Device(id=0, device="d0"))
    return made


def ring() -> Ring:
    return Ring(devices=[Device(id=0, device="d0")], rows=[array("H", [0, 0])], power=1)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@contextmanager
def little_room(size_bytes: int) -> Iterator[None]:
    """As if the disk were full: no file may have more bytes.

    For the call in question only: pytest writes files, too (its report, its output).
    """
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)


def test_a_builder_and_its_copies(tmp_path: Path) -> None:
    """The first save names the builder for good; each save leaves a copy."""
    path, made = tmp_path / "object.builder", builder()
    save_builder(path, made, now=NOW)
    name = made.id
    assert len(name) == 32
    assert load_builder(path).id == name
    made.set_weight(0, 3)
    save_builder(path, made, now=NOW + 1)
    assert made.id == name
    assert names(tmp_path) == [
        "backups/1700000000.object.builder",
        "backups/1700000001.object.builder",
        "object.builder",
    ]
    old = load_builder(tmp_path / "backups" / "1700000000.object.builder")
    assert (old.device(0).weight, load_builder(path).device(0).weight) == (100, 3)


def test_a_ring_and_its_copies(tmp_path: Path) -> None:
    """Servers run as somebody else: they may read it."""
    path = tmp_path / "object.ring.gz"
    save_ring(path, ring(), version=2, now=NOW)
    copy = tmp_path / "backups" / "1700000000.object.ring.gz"
    assert decode(path.read_bytes()).rows == ring().rows
    assert copy.read_bytes() == path.read_bytes()
    assert {each.stat().st_mode & 0o777 for each in (path, copy)} == {0o644}


def test_no_copy_replaces_another_of_the_same_second(tmp_path: Path) -> None:
    written = [backup(tmp_path / "backups", "x", b"%d" % n, now=NOW).name for n in range(3)]
    assert written == ["1700000000.x", "1700000000.x.1", "1700000000.x.2"]
    assert [(tmp_path / "backups" / name).read_bytes() for name in written] == [b"0", b"1", b"2"]


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "object.builder"
    path.write_bytes(b"as it was")
    made = builder()
    with (
        pytest.raises(RingError, match=rf"{tmp_path}/backups/1700000000.object.builder can't be"),
        little_room(10),
    ):
        save_builder(path, made, now=NOW)
    assert made.id == ""
    assert names(tmp_path) == ["object.builder"]
    assert path.read_bytes() == b"as it was"


def test_no_copy_stays_of_what_could_not_be_saved(tmp_path: Path) -> None:
    """The newest copy would be of something that never was."""
    path = tmp_path / "folder" / "object.builder"
    path.parent.mkdir()
    (path.parent / f".{path.name}.new").mkdir()  # in the way of the file, not of its copy
    with pytest.raises(RingError, match="can't be written"):
        save_builder(path, builder(), now=NOW)
    assert list((path.parent / "backups").iterdir()) == []


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    """/etc/swift/object.builder may be a link to where builders are kept."""
    kept, link = tmp_path / "kept.builder", tmp_path / "object.builder"
    link.symlink_to(kept)
    save_builder(kept, builder(), now=NOW)
    changed = load_builder(link)
    changed.set_weight(0, 7)
    save_builder(link, changed, now=NOW)
    assert link.is_symlink()
    assert load_builder(kept).device(0).weight == 7


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RingError, match=rf"{tmp_path}/folder can't be written: it is a folder"):
        save_builder(tmp_path / "folder", builder(), now=NOW)
    with pytest.raises(RingError, match=rf"{tmp_path}/folder can't be read: Is a directory"):
        load_builder(tmp_path / "folder")
    with pytest.raises(RingError, match=rf"{tmp_path}/none does not exist"):
        load_builder(tmp_path / "none")
    with pytest.raises(RingError, match=rf"{tmp_path}/none does not exist"):
        save_ring(tmp_path / "none" / "x", ring(), version=1, now=NOW)
    with pytest.raises(RingError, match=rf"{tmp_path}/none/.lock|{tmp_path}/none does not exist"):
        locked(tmp_path / "none").__enter__()
    (tmp_path / "backups").touch()
    with pytest.raises(RingError, match=r"can't be written: File exists"):
        save_ring(tmp_path / "x", ring(), version=1, now=NOW)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_what_is_not_allowed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(mode=0)
    with pytest.raises(RingError, match=rf"{path} can't be read: {os.strerror(errno.EACCES)}"):
        load_builder(path)


def test_a_damaged_builder_is_named_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the full one, however it was given."""
    (tmp_path / "x").write_bytes(b"hello")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadBuilder, match=rf"{tmp_path}/x: it is not a builder"):
        load_builder(Path("x"))


def test_one_at_a_time(tmp_path: Path) -> None:
    """Who waits too long is told; afterwards the lock is free, and free after an error too."""
    with locked(tmp_path), pytest.raises(RingError, match="held by another process"):
        locked(tmp_path, timeout_s=0.1).__enter__()
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with (
        locked(tmp_path, timeout_s=0),
        (tmp_path / ".lock").open() as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
