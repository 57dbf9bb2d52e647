"""The system calls of the object store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.runtime.files import O_TMPFILE, Files, write_durably


class ShortFiles(Files):
    """A kernel that takes and gives a few bytes at a time, as it may."""

    write = staticmethod(lambda fd, data: os.write(fd, bytes(data)[:3]))
    pread = staticmethod(lambda fd, length, offset: os.pread(fd, min(length, 3), offset))

    @staticmethod
    def _some(descriptor: int, pieces: Sequence[bytes | memoryview]) -> int:
        return os.write(descriptor, b"".join(bytes(piece) for piece in pieces)[:3])

    writev = staticmethod(_some)  # type: ignore[assignment]


@given(st.lists(st.binary(max_size=10), max_size=6))
def test_short_writes_and_reads(pieces: list[bytes]) -> None:
    """All of it is written and read, however little the kernel does at a time."""
    descriptor = os.memfd_create("test")
    try:
        for files in (Files(), ShortFiles()):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            files.write_all(descriptor, pieces)
            whole = b"".join(pieces)
            assert files.read_exactly(descriptor, len(whole), 0) == whole
            assert files.read_exactly(descriptor, len(whole) + 5, 0) == whole
    finally:
        os.close(descriptor)


def test_link_names_the_file_itself(device: Path) -> None:
    """A file without a name gets one, never over another file."""
    files = Files()
    folder = files.open(str(device), os.O_RDONLY)
    descriptor = files.open(str(device), O_TMPFILE | os.O_WRONLY, 0o600)
    try:
        files.write_all(descriptor, [b"hello"])
        files.link(descriptor, "name", folder=folder)
        assert (device / "name").read_bytes() == b"hello"
        assert not (device / "name").is_symlink()
        with pytest.raises(FileExistsError):
            files.link(descriptor, "name", folder=folder)
    finally:
        files.close(descriptor)
        files.close(folder)


def test_a_lock_ends_with_its_file(device: Path) -> None:
    """Nobody else gets a lock until the file is closed, by whatever."""
    files = Files()
    (device / "file").touch()
    one = files.open(str(device / "file"), os.O_RDONLY)
    other = files.open(str(device / "file"), os.O_RDONLY)
    try:
        assert files.lock(one)
        assert not files.lock(other)
    finally:
        files.close(one)
    assert files.lock(other)
    files.close(other)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """With just that mode, whatever was there; an error leaves what was, and nothing else."""
    path = tmp_path / "file"
    write_durably(path, b"one", mode=0o600)
    write_durably(path, b"two", mode=0o666)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o666)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_durably(tmp_path / "folder", b"three", mode=0o600)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
