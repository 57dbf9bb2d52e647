"""Every call that the recorder knows, from several threads: what it misses shows on the disk.

python -m tests.probe.crash.subject_calls ROOT
"""

import ctypes
import fcntl
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

from tests.probe.crash.recorder import say

THREADS = 4
ROUNDS = 5
CONTESTS = 20


def all_calls(root: Path) -> None:
    """One of each, on files of this thread's own."""
    root.mkdir()
    fd = os.open(root / "file", os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, b"written " * 100)
    os.pwrite(fd, b"at a place", 5000)
    os.writev(fd, [b"one, ", b"", b"two"])
    os.pwritev(fd, [b"three, ", b"four"], 9000)
    os.pwritev(fd, [b"synced"], 9500, os.RWF_DSYNC)
    os.lseek(fd, 100, os.SEEK_SET)
    os.write(fd, b"after a seek")
    os.ftruncate(fd, 9300)
    os.posix_fallocate(fd, 0, 20000)
    copy = os.dup(fd)
    os.write(copy, b"by another descriptor")
    again = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 50)
    os.fdatasync(again)
    os.fsync(copy)
    for each in (fd, copy, again):
        os.close(each)
    attributes(root / "file")
    names(root)
    appended(root)


def attributes(file: Path) -> None:
    os.setxattr(file, "user.one", b"1")
    os.setxattr(file, "user.two", b"2" * 300, follow_symlinks=False)
    with file.open("rb") as opened:
        os.setxattr(opened.fileno(), "user.three", b"")
        os.setxattr(opened.fileno(), "user.one", b"again")
    os.removexattr(file, "user.two")


def names(root: Path) -> None:
    os.link(root / "file", root / "second name")
    (root / "folder").mkdir()
    (root / "empty").mkdir()
    (root / "empty").rmdir()
    os.rename(root / "second name", root / "folder" / "third name \udcff")
    (root / "gone").write_bytes(b"soon gone")
    (root / "replaced").write_bytes(b"soon replaced")
    os.rename(root / "gone", root / "replaced")
    folder = os.open(root / "folder", os.O_RDONLY)
    unnamed = os.open(root, os.O_TMPFILE | os.O_WRONLY)
    os.write(unnamed, b"named later")
    # With a descriptor for its folder, Python follows the link in /proc (linkat's flag).
    for name in ("named", "another name"):
        os.link(f"/proc/self/fd/{unnamed}", name, src_dir_fd=folder, dst_dir_fd=folder)
    os.mkdir("inner", dir_fd=folder)
    os.unlink("named", dir_fd=folder)
    os.fsync(folder)
    ctypes.CDLL(None).syncfs(folder)
    os.close(folder)
    os.close(unnamed)
    # Calls that fail change nothing.
    for fails in (os.mkdir, os.rmdir):
        with suppress(OSError):
            fails(root / "folder")
            raise AssertionError("this call must fail")


def appended(root: Path) -> None:
    with (root / "log").open("ab", buffering=0) as log:
        log.write(b"first line\n")
        log.write(b"second line\n")
    os.truncate(root / "log", 15)
    with (root / "log").open("ab", buffering=0) as log:
        log.write(b"third line\n")
    with open(root / "synced", "wb", buffering=0, opener=synced_opener) as synced:
        synced.write(b"there when it returns")
    (root / "synced").open("wb").close()


def contended(root: Path, all_here: Barrier) -> None:
    """The same names as all other threads: a call may fail, or not, by a hair's breadth."""
    for number in range(CONTESTS):
        folder = root / f"contended-{number}"
        inner = folder / "inner"
        all_here.wait()
        while not inner.is_dir():
            for make in (inner, folder, inner):
                with suppress(FileExistsError, FileNotFoundError):
                    make.mkdir()
        with suppress(OSError):
            (inner / "file").touch()
        with suppress(OSError):
            (inner / "file").rename(folder / "file")
        with suppress(OSError):
            (folder / "file").unlink()
        with suppress(OSError):
            inner.rmdir()


def synced_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_DSYNC, 0o600)


def main(arguments: Sequence[str]) -> None:
    root = Path(arguments[0])

    all_here = Barrier(THREADS)

    def work(thread: int) -> None:
        for number in range(ROUNDS):
            say(f"begin {thread}-{number}")
            all_calls(root / f"{thread}-{number}")
            say(f"done {thread}-{number}")
        contended(root, all_here)

    with ThreadPoolExecutor(THREADS) as threads:
        for ended in [threads.submit(work, number) for number in range(THREADS)]:
            ended.result()


if __name__ == "__main__":
    main(sys.argv[1:])
