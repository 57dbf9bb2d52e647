"""A small store of plain calls, sound or with one fault: what the checker's own power is tried on.

    python -m tests.probe.crash.subject_files ROOT VARIANT OPERATIONS SEED

Each name is a folder; each version a file in it whose name is its number.  The newest counts.  It
trusts what it finds, so a version that is visible before it is whole is a mixture in the making.
"""

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.probe.crash.recorder import say

NAMES = ("a", "b", "c")
SIZE_BYTES_MAX = 3000

SOUND = ("link", "rename", "syncfs")
FAULTS = ("no file sync", "no folder sync", "no parent sync", "link first", "remove first")


def operations(count: int, seed: int) -> list[tuple[str, bytes]]:
    """(name, contents) of each PUT: its number is its version."""
    chance = random.Random(seed)
    return [
        (chance.choice(NAMES), chance.randbytes(chance.randrange(1, SIZE_BYTES_MAX)))
        for _ in range(count)
    ]


def put(root: Path, variant: str, version: int, name: str, contents: bytes) -> None:
    folder = root / name
    if not folder.is_dir():
        folder.mkdir()
        if variant not in {"no parent sync", "syncfs"}:
            sync(root)
    older = list(folder.iterdir())
    target = folder / f"{version:04}"
    if variant == "rename":
        write_and_rename(root, target, contents)
    else:
        write_and_link(folder, target, contents, variant)
    if variant == "remove first":
        remove(older)
    if variant == "syncfs":
        sync_all(folder)
    elif variant != "no folder sync":
        sync(folder)
    if variant != "remove first":
        remove(older)


def write_and_link(folder: Path, target: Path, contents: bytes, variant: str) -> None:
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY)
    try:
        source = f"/proc/self/fd/{fd}"
        if variant == "link first":
            os.link(source, target, src_dir_fd=fd, follow_symlinks=True)
        os.write(fd, contents)
        os.setxattr(fd, b"user.length", str(len(contents)).encode())
        if variant == "syncfs":
            sync_all(folder)
        elif variant != "no file sync":
            os.fsync(fd)
        if variant != "link first":
            os.link(source, target, src_dir_fd=fd, follow_symlinks=True)
    finally:
        os.close(fd)


def write_and_rename(root: Path, target: Path, contents: bytes) -> None:
    temporary = root / "temporary"
    with temporary.open("wb") as output:
        output.write(contents)
        output.flush()
        os.setxattr(output.fileno(), b"user.length", str(len(contents)).encode())
        os.fsync(output.fileno())
    temporary.rename(target)


def remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink()


def sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_all(folder: Path) -> None:
    from ctypes import CDLL  # noqa: PLC0415  (os.syncfs is missing from Python 3.11)

    fd = os.open(folder, os.O_RDONLY)
    try:
        assert CDLL(None).syncfs(fd) == 0
    finally:
        os.close(fd)


def judge(root: Path, marks: Sequence[str], puts: Sequence[tuple[str, bytes]]) -> str | None:
    """What is acknowledged is there, whole, or something newer that was asked for is."""
    said = [(word, int(number)) for word, number in (mark.split() for mark in marks)]
    for name in NAMES:
        mine = [version for version, (owner, _) in enumerate(puts) if owner == name]
        done = max((v for word, v in said if word == "done" and v in mine), default=None)
        begun = max((v for word, v in said if word == "begin" and v in mine), default=None)
        found = newest(root / name)
        if found is None:
            if done is not None:
                return f"{name}: version {done} was acknowledged, nothing is there"
            continue
        version, contents, length = found
        if begun is None or version not in {done, begun}:
            return f"{name}: version {version} is there; done {done}, begun {begun}"
        if contents != puts[version][1]:
            return f"{name}: version {version} has {len(contents)} bytes that nobody wrote so"
        if length != str(len(contents)).encode():
            return f"{name}: version {version} has lost its metadata"
    return None


def newest(folder: Path) -> tuple[int, bytes, bytes] | None:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if not files:
        return None
    has_length = "user.length" in os.listxattr(files[-1])
    length = os.getxattr(files[-1], "user.length") if has_length else b""
    return int(files[-1].name), files[-1].read_bytes(), length


def main(arguments: Sequence[str]) -> None:
    root, variant, count, seed = arguments
    for version, (name, contents) in enumerate(operations(int(count), int(seed))):
        say(f"begin {version}")
        put(Path(root), variant, version, name, contents)
        say(f"done {version}")


if __name__ == "__main__":
    main(sys.argv[1:])
