"""Folders of the real file system to values and back."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.probe.crash.events import ROOT, File, Snapshot

# What LMDB keeps in its lock file is of no use after a crash: it is made anew.
LOCK_FILES = ("lock.mdb", "-lock")

Inode = tuple[int, int]


def inode(stat: os.stat_result) -> Inode:
    return stat.st_dev, stat.st_ino


def numbers(root: Path) -> dict[Inode, int]:
    """A number for each file and folder that is there, the root's first."""
    found = {inode(root.stat()): ROOT}
    for folder in _folders(root):
        for entry in _entries(folder):
            found.setdefault(inode(entry.stat()), len(found))
    return found


def read(root: Path) -> Snapshot:
    """Everything below `root`, by the numbers that `numbers` gives."""
    known = numbers(root)
    entries: dict[int, dict[str, int]] = {}
    files: dict[int, File] = {}
    for folder in _folders(root):
        here = entries.setdefault(known[inode(folder.stat())], {})
        for entry in _entries(folder):
            number = known[inode(entry.stat())]
            here[entry.name] = number
            if not entry.is_dir():
                files[number] = File(data=Path(entry).read_bytes(), attributes=attributes(entry))
    return Snapshot(entries=entries, files=files)


def attributes(path: "os.DirEntry[str]") -> dict[str, bytes]:
    names = (name for name in os.listxattr(path) if name.startswith("user."))
    return {name: os.getxattr(path, name) for name in names}


def write(snapshot: Snapshot, root: Path) -> None:
    """Make what the snapshot holds below `root`, which is an empty folder."""
    made: dict[int, str] = {}
    for path, number in walk(snapshot):
        where = os.path.join(root, path)
        file = snapshot.files.get(number)
        if file is None:
            os.mkdir(where)
        elif number in made:
            os.link(made[number], where)
        else:
            made[number] = where
            with open(where, "wb") as output:
                output.write(file.data)
            for name, value in file.attributes.items():
                os.setxattr(where, name, value)


def walk(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """(path, number) of all that can be reached from the root, folders before what is in them."""
    waiting = [("", ROOT)]
    while waiting:
        prefix, folder = waiting.pop()
        for name, number in sorted(snapshot.entries[folder].items()):
            yield prefix + name, number
            if number in snapshot.entries:
                waiting.append((f"{prefix}{name}/", number))


def _folders(root: Path) -> Iterator[Path]:
    for folder, folders, _ in os.walk(root):
        folders.sort()
        yield Path(folder)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry for entry in entries if not entry.name.endswith(LOCK_FILES)),
            key=lambda entry: entry.name,
        )
