"""The system calls of a store on a file system, gathered so that a test can stand in between.

A test that makes the fifth call fail, or records all of them to replay a crash, hands in another
`Files`.  Extended attributes go through os.setxattr and os.getxattr: measured on Python 3.11, the
`xattr` library takes 1.7 and 2.1 microseconds for what these do in 0.9 and 0.4 to 1.9.
"""

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path

# Linux: a file without a name, which vanishes unless it is given one.
O_TMPFILE = os.O_TMPFILE

_CLOCK_REALTIME_COARSE = 5  # Linux; Python has no name for it


class Files:
    """System calls, as the kernel has them: they block, and raise OSError."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    write = staticmethod(os.write)
    writev = staticmethod(os.writev)
    pread = staticmethod(os.pread)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    utime = staticmethod(os.utime)
    fsync = staticmethod(os.fsync)
    fdatasync = staticmethod(os.fdatasync)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    unlink = staticmethod(os.unlink)
    rename = staticmethod(os.rename)
    hardlink = staticmethod(os.link)
    exists = staticmethod(os.path.lexists)
    statvfs = staticmethod(os.statvfs)
    fadvise = staticmethod(os.posix_fadvise)
    getxattr = staticmethod(os.getxattr)
    setxattr = staticmethod(os.setxattr)

    def stamp_ns(self) -> int:
        """The clock that dates changed files and folders, which is the kernel's own: whatever is
        changed from now on is dated no earlier."""
        return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)

    def listdir(self, folder: str | int) -> list[str]:
        """The names in a folder, by path or descriptor, in no order."""
        return os.listdir(folder)

    def link(self, descriptor: int, name: str, *, folder: int) -> None:
        """Give the open file a name in the folder of that descriptor; FileExistsError if taken.

        Only with `src_dir_fd` does Python 3.11 call linkat(2) with AT_SYMLINK_FOLLOW, without
        which this would be a link to the symlink in /proc (python/cpython#81793).
        """
        os.link(
            f"/proc/self/fd/{descriptor}",
            name,
            src_dir_fd=folder,
            dst_dir_fd=folder,
            follow_symlinks=True,
        )

    def lock(self, descriptor: int) -> bool:
        """Lock a file against other processes until it is closed; False when another has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write_all(self, descriptor: int, pieces: Sequence[bytes | memoryview]) -> None:
        """Write all of `pieces` in order, whatever the kernel takes at a time."""
        if len(pieces) == 1:
            self._write_one(descriptor, pieces[0])
            return
        rest = [piece for piece in pieces if len(piece)]
        while rest:
            written = self.writev(descriptor, rest[:_IOV_MAX])
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = memoryview(rest[0])[written:]

    def _write_one(self, descriptor: int, piece: bytes | memoryview) -> None:
        written = self.write(descriptor, piece) if len(piece) else 0
        while written < len(piece):
            piece = memoryview(piece)[written:]
            written = self.write(descriptor, piece)

    def read_exactly(self, descriptor: int, length: int, offset: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends."""
        data = self.pread(descriptor, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        got = len(data)
        while got < length and (data := self.pread(descriptor, length - got, offset + got)):
            pieces.append(data)
            got += len(data)
        return b"".join(pieces)

    def sync_folder(self, path: str) -> None:
        """Make the entries of a folder durable."""
        descriptor = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(descriptor)
        finally:
            self.close(descriptor)


def write_durably(path: Path, data: bytes, *, mode: int) -> None:
    """Replace a file, or make it: at any moment, also after a crash, it is the old or the new one.

    Raises OSError, and the old one is as it was.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(handle, "wb") as stream:
            os.fchmod(handle, mode)
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    Files().sync_folder(str(path.parent))


_IOV_MAX = 1024
assert os.sysconf("SC_IOV_MAX") >= _IOV_MAX
