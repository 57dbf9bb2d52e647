"""What a disk may hold after a crash, given the system calls that came before it.

The rules are those of POSIX at its most lenient.  A file's bytes and attributes are on disk for
sure once it has been synced, a name once its folder has been synced since.  Of everything later any
part may be there: some of the names, old bytes or new ones, the first half of a write.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swiftish.runtime.files import O_TMPFILE, Files


@dataclass
class Inode:
    """A file: what it holds now, and what of that survives any crash."""

    data: bytes = b""
    attributes: dict[str, bytes] = field(default_factory=dict)
    safe: tuple[bytes, dict[str, bytes]] = (b"", {})


@dataclass
class Folder:
    """A folder: the changes of its entries in order, and how many of them are safe.

    An entry is a file, a folder, or None once it has been removed.
    """

    changes: list[tuple[str, Inode | Folder | None]] = field(default_factory=list)
    safe: int = 0

    def entry(self, name: str) -> Inode | Folder | None:
        return next((entry for n, entry in reversed(self.changes) if n == name), None)


class CrashFiles(Files):
    """The real calls, and beside them a model of what is where below `root`.

    Without `tmpfile` the file system has no files without names.
    """

    def __init__(self, root: Path, *, tmpfile: bool) -> None:
        self._tmpfile = tmpfile
        self.root = str(root)
        self.top = Folder()
        self.steps = 0
        self.watch: Callable[[], None] = _nothing  # called after every step
        self._open: dict[int, Inode | Folder] = {}
        self._kept: set[str] = set()

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        real = super().__getattribute__(name)
        model = getattr(CrashFiles, f"_model_{name}", None)
        if model is None:
            return real

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            if name == "open" and arguments[0] == "." and not self._tmpfile:
                raise OSError(errno.EOPNOTSUPP, "files must have names here")
            if name == "unlink" and arguments[0] in self._kept:
                raise OSError(errno.EIO, "it stays")
            result = real(*arguments, **options)
            model(self, result, *arguments, **options)
            self.steps += 1
            self.watch()
            return result

        return call

    def keep(self, path: str) -> None:
        """From now on the file called so cannot be removed."""
        self._kept.add(path.rpartition("/")[2])

    def write_behind_its_back(self, path: str, data: bytes) -> None:
        """The disk changes a file's bytes by itself."""
        folder, name = self._place(path)
        inode = folder.entry(name)
        assert isinstance(inode, Inode)
        inode.data, inode.safe = data, (data, inode.safe[1])
        Path(path).write_bytes(data)

    def _place(self, path: str, dir_fd: int | None = None) -> tuple[Folder, str]:
        """The folder that an entry is in, and the entry's name."""
        if dir_fd is not None:
            folder = self._open[dir_fd]
            assert isinstance(folder, Folder)
            return folder, path
        parts = path.removeprefix(self.root).strip("/").split("/")
        folder = self.top
        for part in parts[:-1]:
            inner = folder.entry(part)
            assert isinstance(inner, Folder), path
            folder = inner
        return folder, parts[-1]

    def _model_open(
        self, result: int, path: str, flags: int, _mode: int = 0, *, dir_fd: int | None = None
    ) -> None:
        if flags & O_TMPFILE == O_TMPFILE:
            self._open[result] = Inode()
            return
        folder, name = self._place(path, dir_fd)
        if path.rstrip("/") == self.root:
            self._open[result] = self.top
            return
        if flags & os.O_CREAT and folder.entry(name) is None:
            folder.changes.append((name, Inode()))
        found = folder.entry(name)
        assert found is not None
        self._open[result] = found

    def _model_mkdir(self, _result: None, path: str, _mode: int) -> None:
        folder, name = self._place(path)
        folder.changes.append((name, Folder()))

    def _model_write(self, result: int, descriptor: int, data: bytes) -> None:
        inode = self._open[descriptor]
        assert isinstance(inode, Inode)
        inode.data += bytes(data[:result])

    def _model_writev(self, result: int, descriptor: int, pieces: list[bytes]) -> None:
        self._model_write(result, descriptor, b"".join(pieces))

    def _model_setxattr(self, _result: None, descriptor: int, name: str, value: bytes) -> None:
        inode = self._open[descriptor]
        assert isinstance(inode, Inode)
        inode.attributes[name] = value

    def _model_fsync(self, _result: None, descriptor: int) -> None:
        found = self._open[descriptor]
        if isinstance(found, Inode):
            found.safe = (found.data, dict(found.attributes))
        else:
            found.safe = len(found.changes)

    def _model_fdatasync(self, _result: None, descriptor: int) -> None:
        return  # says nothing about attributes, so count on nothing

    def _model_link(self, _result: None, descriptor: int, name: str, *, folder: int) -> None:
        place = self._open[folder]
        assert isinstance(place, Folder)
        place.changes.append((name, self._open[descriptor]))

    def _model_unlink(self, _result: None, path: str, *, dir_fd: int | None = None) -> None:
        folder, name = self._place(path, dir_fd)
        folder.changes.append((name, None))

    def _model_rmdir(self, _result: None, path: str) -> None:
        self._model_unlink(None, path)

    def _model_hardlink(self, _result: None, source: str, target: str) -> None:
        folder, name = self._place(source)
        found = folder.entry(name)
        assert found is not None
        place, new = self._place(target)
        place.changes.append((new, found))

    def _model_rename(self, _result: None, source: str, target: str) -> None:
        self._model_hardlink(None, source, target)
        self._model_unlink(None, source)

    def crash(self, target: Path, chance: random.Random, *, kept: float) -> None:
        """Make a folder as it may be found after a crash now; `kept` of what is not safe is."""
        target.mkdir(parents=True)
        _restore(self.top, target, chance, kept)


def _nothing() -> None:
    return


def _restore(folder: Folder, target: Path, chance: random.Random, kept: float) -> None:
    entries: dict[str, Inode | Folder | None] = {}
    for number, (name, entry) in enumerate(folder.changes):
        if number < folder.safe or chance.random() < kept:
            entries[name] = entry
    for name, entry in entries.items():
        if isinstance(entry, Folder):
            (target / name).mkdir()
            _restore(entry, target / name, chance, kept)
        elif isinstance(entry, Inode):
            data, attributes = entry.safe
            if chance.random() < kept:
                data = entry.data
            elif len(entry.data) > len(data):
                data = entry.data[: chance.randint(len(data), len(entry.data))]
            if chance.random() < kept:
                attributes = entry.attributes
            (target / name).write_bytes(data)
            for attribute, value in attributes.items():
                os.setxattr(target / name, attribute, value)
