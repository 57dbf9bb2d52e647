"""What each system call does to files: from its arguments, seen at its entry, to events.

`CALLS` has a function per number of a call.  It is asked when a thread stands before the call, and
returns None when others need not wait for the call to end, as it changes nothing that is recorded;
else a function that turns the call's result into events, once it has succeeded.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.probe.crash import snapshot
from tests.probe.crash.events import (
    Create,
    CreateUnnamed,
    Event,
    Link,
    Mark,
    Rename,
    Resize,
    SetAttribute,
    Sync,
    SyncAll,
    Unlink,
    Write,
)

O_SYNC_BITS = os.O_DSYNC | os.O_SYNC
O_TMPFILE_BIT = os.O_TMPFILE & ~os.O_DIRECTORY
AT_FDCWD = -100
RENAME_EXCHANGE = 2
FALLOC_KEEP_SIZE = 1
PROT_WRITE, MAP_SHARED = 2, 1
RWF_DSYNC, RWF_SYNC, RWF_APPEND = 2, 4, 16

# The numbers of the calls, from the kernel's tables (asm/unistd.h).
NUMBERS = {
    "x86_64": """
        write 1 open 2 mmap 9 pwrite64 18 writev 20 sendfile 40 fsync 74 fdatasync 75 truncate 76
        ftruncate 77 rename 82 mkdir 83 rmdir 84 creat 85 link 86 unlink 87 symlink 88 sync 162
        setxattr 188 lsetxattr 189 fsetxattr 190 removexattr 197 lremovexattr 198 fremovexattr 199
        openat 257 mkdirat 258 unlinkat 263 renameat 264 linkat 265 symlinkat 266 splice 275
        fallocate 285 pwritev 296 syncfs 306 renameat2 316 copy_file_range 326 pwritev2 328
        io_uring_setup 425 openat2 437""",
    "aarch64": """
        setxattr 5 lsetxattr 6 fsetxattr 7 removexattr 14 lremovexattr 15 fremovexattr 16 mkdirat 34
        unlinkat 35 symlinkat 36 linkat 37 renameat 38 truncate 45 ftruncate 46 fallocate 47
        openat 56 write 64 writev 66 pwrite64 68 pwritev 70 sendfile 71 splice 76 sync 81 fsync 82
        fdatasync 83 mmap 222 syncfs 267 renameat2 276 copy_file_range 285 pwritev2 287
        io_uring_setup 425 openat2 437""",
}


class Unmodelled(Exception):
    """The program did something that the model has no word for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a folder, as a call spelt it; `path` is how the tracer reaches it."""

    folder: int | None  # None: outside of what is recorded
    name: str
    path: str

    @property
    def ignored(self) -> bool:
        return self.name.endswith(snapshot.LOCK_FILES)


class Files:
    """The numbers of inodes.  A number of the file system may be used again; ours never."""

    def __init__(self, root: Path) -> None:
        self._numbers = snapshot.numbers(root)
        self._next = len(self._numbers)

    def add(self, stat: os.stat_result) -> int:
        number, self._next = self._next, self._next + 1
        self._numbers[snapshot.inode(stat)] = number
        return number

    def find(self, path: str) -> int | None:
        """The number of what is at `path`; None when it is outside or not there."""
        try:
            return self._numbers.get(snapshot.inode(os.stat(path)))
        except OSError:
            return None


class Call:
    """One call at its entry: its arguments, and what they stand for."""

    def __init__(
        self, tid: int, arguments: Sequence[int], *, files: Files, mark_inode: snapshot.Inode
    ) -> None:
        self.arguments = arguments
        self.files = files
        self.tid = tid
        self._mark_inode = mark_inode

    def int32(self, index: int) -> int:
        return ctypes.c_int32(self.arguments[index]).value

    def is_mark(self, fd: int) -> bool:
        try:
            stat = os.stat(self.fd_path(fd))
        except OSError:
            return False
        return snapshot.inode(stat) == self._mark_inode

    def fd_path(self, fd: int) -> str:
        return f"/proc/{self.tid}/fd/{fd}"

    def file(self, fd: int) -> int | None:
        """The file behind a descriptor; None when it is outside of what is recorded."""
        return self.files.find(self.fd_path(fd))

    def fd_state(self, fd: int) -> tuple[int, int]:
        """(position, flags) of a descriptor."""
        lines = Path(f"/proc/{self.tid}/fdinfo/{fd}").read_text("ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["pos"]), int(values["flags"], 8)

    def memory(self, address: int, size: int) -> bytes:
        with open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
            found = bytearray()
            while len(found) < size:
                part = os.pread(memory.fileno(), size - len(found), address + len(found))
                if not part:
                    raise Unmodelled(f"cannot read {size} bytes of the program's memory")
                found += part
        return bytes(found)

    def text(self, address: int) -> str:
        found = bytearray()
        with open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
            while True:
                at = address + len(found)
                part = os.pread(memory.fileno(), 4096 - at % 4096, at)
                found += part
                if b"\0" in part or not part:
                    return os.fsdecode(bytes(found.partition(b"\0")[0]))

    def path(self, dirfd: int | None, index: int) -> str:
        """How the tracer reaches the path in argument `index`."""
        text = self.text(self.arguments[index])
        for mine in ("/proc/self/", "/proc/thread-self/"):
            if text.startswith(mine):
                return f"/proc/{self.tid}/{text.removeprefix(mine)}"
        if text.startswith("/"):
            return text
        base = f"/proc/{self.tid}/cwd" if dirfd in {None, AT_FDCWD} else self.fd_path(dirfd or 0)
        return f"{base}/{text}" if text else base

    def place(self, dirfd: int | None, index: int) -> Place:
        """The name that argument `index` spells, and the folder that it is in."""
        path = self.path(dirfd, index).rstrip("/")
        folder, _, name = path.rpartition("/")
        return Place(self.files.find(f"{folder or ''}/"), name, path)


Finish: TypeAlias = Callable[[int], list[Event]] | None


def nothing(_: int) -> list[Event]:
    """The call concerns a file outside, or fails: but others wait until it has.

    A call that takes a path is never let in beside another one.  What its path means is looked up
    at its entry, and a folder made meanwhile would turn a call that must fail into one that does
    not.
    """
    return []


def surprise(text: str) -> Finish:
    """The call will fail, or the model does not know what it does."""

    def finish(_: int) -> list[Event]:
        raise Unmodelled(text)

    return finish


def open_call(call: Call, dirfd: int | None, index: int, flags: int) -> Finish:
    if not flags & (os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT):
        return None
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        if call.files.find(call.path(dirfd, index)) is None:
            return nothing
        return lambda fd: [CreateUnnamed(call.files.add(os.stat(call.fd_path(fd))))]
    place = call.place(dirfd, index)
    if place.folder is None or place.ignored:
        return nothing
    folder, known = place.folder, call.files.find(place.path)
    if known is not None:
        return (lambda _: [Resize(known, 0)]) if flags & os.O_TRUNC else nothing
    if os.path.lexists(place.path):
        return surprise(f"opened a file that is not known: {place.path}")
    return lambda fd: [
        Create(call.files.add(os.stat(call.fd_path(fd))), folder, place.name, is_folder=False)
    ]


def mkdir_call(call: Call, dirfd: int | None, index: int) -> Finish:
    place = call.place(dirfd, index)
    if place.folder is None:
        return nothing
    folder = place.folder
    return lambda _: [
        Create(call.files.add(os.stat(place.path)), folder, place.name, is_folder=True)
    ]


def write_call(call: Call, data: bytes, *, offset: int | None, flags: int = 0) -> Finish:
    """A write of `data` to the descriptor in argument 0, at its position when `offset` is None."""
    fd = call.int32(0)
    if call.is_mark(fd):
        return lambda size: [Mark(data[:size].decode())]
    file = call.file(fd)
    if file is None:
        return None
    position, fd_flags = call.fd_state(fd)
    if fd_flags & os.O_APPEND or flags & RWF_APPEND:
        offset = os.stat(call.fd_path(fd)).st_size
    at = position if offset is None else offset
    synced = bool(fd_flags & O_SYNC_BITS or flags & (RWF_DSYNC | RWF_SYNC))
    return lambda size: [Write(file, at, data[:size], synced)]


def plain_write(call: Call, *, positioned: bool) -> Finish:
    if not call.is_mark(call.int32(0)) and call.file(call.int32(0)) is None:
        return None
    data = call.memory(call.arguments[1], call.arguments[2])
    return write_call(call, data, offset=call.arguments[3] if positioned else None)


def vector_write(call: Call, *, positioned: bool, flags: int = 0) -> Finish:
    if call.file(call.int32(0)) is None:
        return None
    vector = call.memory(call.arguments[1], 16 * call.arguments[2])
    data = b"".join(call.memory(*pair) for pair in struct.iter_unpack("=QQ", vector) if pair[1])
    offset = call.arguments[3] if positioned and call.arguments[3] != -1 else None
    return write_call(call, data, offset=offset, flags=flags)


def resize_call(call: Call, path: str) -> Finish:
    file, size = call.files.find(path), call.arguments[1]
    return nothing if file is None else lambda _: [Resize(file, size)]


def allocate_call(call: Call) -> Finish:
    path = call.fd_path(call.int32(0))
    file, end = call.files.find(path), call.arguments[2] + call.arguments[3]
    mode = call.int32(1)
    if file is None:
        return None
    if mode & ~FALLOC_KEEP_SIZE:
        raise Unmodelled(f"fallocate with mode {mode}")
    if mode & FALLOC_KEEP_SIZE or end <= os.stat(path).st_size:
        return None
    return lambda _: [Resize(file, end)]


def attribute_call(call: Call, path: str, *, removed: bool = False) -> Finish:
    file = call.files.find(path)
    if file is None:
        return nothing
    name = call.text(call.arguments[1])
    value = None if removed else call.memory(call.arguments[2], call.arguments[3])
    return lambda _: [SetAttribute(file, name, value)]


def link_call(call: Call, source: str, place: Place) -> Finish:
    file = call.files.find(source)
    if file is None and place.folder is None:
        return nothing
    if file is None or place.folder is None:
        return surprise(f"a link between inside and outside: {source} to {place.path}")
    folder = place.folder
    return lambda _: [Link(file, folder, place.name)]


def unlink_call(call: Call, dirfd: int | None, index: int) -> Finish:
    place = call.place(dirfd, index)
    if place.folder is None or place.ignored:
        return nothing
    folder, file = place.folder, call.files.find(place.path)
    if file is None:
        return surprise(f"removed a file that is not known: {place.path}")
    return lambda _: [Unlink(file, folder, place.name)]


def rename_call(call: Call, old: Place, new: Place, *, flags: int = 0) -> Finish:
    if old.folder is None and new.folder is None:
        return nothing
    file = call.files.find(old.path)
    if old.folder is None or new.folder is None or file is None or flags & RENAME_EXCHANGE:
        return surprise(f"rename of {old.path} to {new.path} with flags {flags}")
    folder, new_folder = old.folder, new.folder
    if call.files.find(new.path) == file:
        return nothing  # two names of one file: rename does nothing
    return lambda _: [Rename(file, folder, old.name, new_folder, new.name)]


def sync_call(call: Call, *, data_only: bool) -> Finish:
    file = call.file(call.int32(0))
    return None if file is None else lambda _: [Sync(file, data_only)]


def map_call(call: Call) -> Finish:
    protection, flags, fd = call.int32(2), call.int32(3), call.int32(4)
    if not (flags & MAP_SHARED and protection & PROT_WRITE and fd >= 0):
        return None
    if call.file(fd) is not None:
        raise Unmodelled(f"{os.readlink(call.fd_path(fd))} is mapped writable")
    return None


def unmodelled(name: str, *fds: int) -> Callable[[Call], Finish]:
    """A call that must not touch the files that are recorded (`fds`: its arguments to look at)."""

    def look(call: Call) -> Finish:
        if not fds or any(call.file(call.int32(fd)) is not None for fd in fds):
            raise Unmodelled(f"the program called {name}, which the model has no word for")
        return None

    return look


FD = 0  # the index of a descriptor's argument, in most calls
NAMES: dict[str, Callable[[Call], Finish]] = {
    "open": lambda c: open_call(c, None, 0, c.int32(1)),
    "creat": lambda c: open_call(c, None, 0, os.O_CREAT | os.O_TRUNC),
    "openat": lambda c: open_call(c, c.int32(0), 1, c.int32(2)),
    "openat2": unmodelled("openat2"),
    "mkdir": lambda c: mkdir_call(c, None, 0),
    "mkdirat": lambda c: mkdir_call(c, c.int32(0), 1),
    "write": lambda c: plain_write(c, positioned=False),
    "pwrite64": lambda c: plain_write(c, positioned=True),
    "writev": lambda c: vector_write(c, positioned=False),
    "pwritev": lambda c: vector_write(c, positioned=True),
    "pwritev2": lambda c: vector_write(c, positioned=True, flags=c.int32(5)),
    "truncate": lambda c: resize_call(c, c.path(None, 0)),
    "ftruncate": lambda c: resize_call(c, c.fd_path(c.int32(FD))),
    "fallocate": allocate_call,
    "setxattr": lambda c: attribute_call(c, c.path(None, 0)),
    "lsetxattr": lambda c: attribute_call(c, c.path(None, 0)),
    "fsetxattr": lambda c: attribute_call(c, c.fd_path(c.int32(FD))),
    "removexattr": lambda c: attribute_call(c, c.path(None, 0), removed=True),
    "lremovexattr": lambda c: attribute_call(c, c.path(None, 0), removed=True),
    "fremovexattr": lambda c: attribute_call(c, c.fd_path(c.int32(FD)), removed=True),
    "link": lambda c: link_call(c, c.path(None, 0), c.place(None, 1)),
    "linkat": lambda c: link_call(c, c.path(c.int32(0), 1), c.place(c.int32(2), 3)),
    "unlink": lambda c: unlink_call(c, None, 0),
    "rmdir": lambda c: unlink_call(c, None, 0),
    "unlinkat": lambda c: unlink_call(c, c.int32(0), 1),
    "rename": lambda c: rename_call(c, c.place(None, 0), c.place(None, 1)),
    "renameat": lambda c: rename_call(c, c.place(c.int32(0), 1), c.place(c.int32(2), 3)),
    "renameat2": lambda c: rename_call(
        c, c.place(c.int32(0), 1), c.place(c.int32(2), 3), flags=c.int32(4)
    ),
    "fsync": lambda c: sync_call(c, data_only=False),
    "fdatasync": lambda c: sync_call(c, data_only=True),
    "syncfs": lambda c: None if c.file(c.int32(FD)) is None else (lambda _: [SyncAll()]),
    "sync": lambda _: lambda _: [SyncAll()],
    "mmap": map_call,
    "sendfile": unmodelled("sendfile", 0),
    "copy_file_range": unmodelled("copy_file_range", 2),
    "splice": unmodelled("splice", 2),
    "symlink": unmodelled("symlink"),
    "symlinkat": unmodelled("symlinkat"),
    "io_uring_setup": unmodelled("io_uring_setup"),
}


def _numbers(table: str) -> dict[int, Callable[[Call], Finish]]:
    words = table.split()
    return {int(number): NAMES[name] for name, number in zip(words[::2], words[1::2], strict=True)}


CALLS = _numbers(NUMBERS.get(platform.machine(), ""))
