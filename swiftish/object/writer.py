"""Write a file into an object's hash folder, and make it durable.  Blocking.

The order of a commit: a file without a name, its bytes, its attributes, a sync of the file; then
its name, a sync of its folder and of the way to it.  Until the name is given a crash leaves
nothing; after it the file is whole.  Only then is the change acknowledged, and what it made
obsolete removed.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock

from swiftish.domain.checksums import BlockChecksums, Md5
from swiftish.object.blocks import BLOCK_BYTES, pack
from swiftish.object.disk import RACES_MAX, Disk
from swiftish.object.errors import BadMetadata, Conflict, RaceLost
from swiftish.object.hashdir import NOTHING, State, judge
from swiftish.object.metadata import Metadata, decode, encode, in_file, precedence, spread
from swiftish.object.paths import TEMPORARY, Location
from swiftish.object.reader import ATTRIBUTE, Closed, encoded_metadata
from swiftish.runtime.errnos import ATTRIBUTE_TOO_LARGE, NO_TMPFILE
from swiftish.runtime.files import O_TMPFILE

FILE_MODE = 0o600


class Writer:
    """One file on its way into one hash folder.  Used by one thread at a time; `close` may come at
    any moment, and what has not been committed by then is gone."""

    def __init__(self, disk: Disk, location: Location, *, with_md5: bool = False) -> None:
        self._disk = disk
        self._files = disk.files
        self._location = location
        self._lock = Lock()
        self._closed = False
        self._folder = self._descriptor = -1
        self._made_folder = False
        self._temporary: str | None = None  # the file's first name, where it must have one
        self._checksums = BlockChecksums(block_bytes=BLOCK_BYTES)
        self._md5 = Md5() if with_md5 else None
        self.length = 0
        self._unsynced = self._synced = 0

    def begin(self) -> State:
        """Open the folder and the file; what the folder holds.  Raises OSError, Closed."""
        with self._lock:
            if self._closed:
                raise Closed
            for _ in range(RACES_MAX):
                made = self._open_folder()
                try:
                    state = NOTHING if made else self._state()
                    self._open_file()
                except FileNotFoundError:
                    continue  # somebody has removed the folder, which was empty
                return state
            raise RaceLost("the folder is removed all the time")

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write more bytes.  Raises OSError, SyncFailed, Closed."""
        with self._lock:
            if self._closed:
                raise Closed
            for piece in pieces:
                self._checksums.update(piece)
                if self._md5 is not None:
                    self._md5.update(piece)
            self._files.write_all(self._descriptor, pieces)
            size = sum(map(len, pieces))
            self.length += size
            self._unsynced += size
            if self._unsynced >= self._disk.settings.sync_every_bytes:
                self._write_back()

    def md5(self) -> str:
        """The MD5 of what was written, in hex; only for a Writer `with_md5`."""
        assert self._md5 is not None
        return self._md5.hexdigest()

    def finish(self) -> int:
        """Write the trailer, if there must be one; the `checksum` for the metadata."""
        with self._lock:
            if self._closed:
                raise Closed
            trailer, checksum = pack(self._checksums.finish())
            if trailer:
                self._files.write_all(self._descriptor, [trailer])
            return checksum

    def commit(self, name: str, metadata: Metadata, encoded: bytes | None = None) -> None:
        """Make the file durable under `name`, then remove what it makes obsolete.

        `encoded` are the metadata's bytes where they must be exactly those of another replica.
        Raises Conflict when the folder has another file of that name that counts more; OSError,
        SyncFailed.  After SyncFailed the name may or may not be there after a crash.
        """
        with self._lock:
            if self._closed:
                raise Closed
            encoded = encoded or encode(metadata)
            self._attach(encoded)
            self._disk.sync(self._descriptor)
            self._name(name, encoded, metadata)
            self._made_folder = False
            obsolete = self._obsolete()  # by what the next sync makes durable, not by later files
            self._disk.date(self._location)
            self._disk.sync(self._folder)
            self._disk.sync_parents(self._location)
            for rubbish in obsolete:
                with suppress(OSError):  # nobody minds it; the next change tries again
                    self._files.unlink(rubbish, dir_fd=self._folder)

    def close(self) -> None:
        """Let go of everything, once whatever another thread does here is done."""
        with self._lock:
            self._closed = True
            if self._temporary is not None:
                with suppress(OSError):
                    self._files.unlink(self._temporary)
                self._temporary = None
            if self._descriptor >= 0:
                self._files.close(self._descriptor)
                self._descriptor = -1
            self._close_folder()
            if self._made_folder:
                with suppress(OSError):  # no longer empty: somebody else uses it
                    self._files.rmdir(self._disk.path(self._location.folder))

    # ---- within the lock -------------------------------------------------------------------------

    def _open_folder(self) -> bool:
        """Whether it had to be made."""
        self._close_folder()
        self._folder, made = self._disk.open_folder(self._location)
        self._made_folder = self._made_folder or made
        return made

    def _state(self) -> State:
        """What the folder holds.  (By path: Python lists an open folder with three calls more.)"""
        return judge(self._files.listdir(self._disk.path(self._location.folder)))

    def _close_folder(self) -> None:
        folder, self._folder = self._folder, -1
        if folder >= 0:
            self._files.close(folder)

    def _open_file(self) -> None:
        try:
            self._descriptor = self._files.open(
                ".", O_TMPFILE | os.O_WRONLY, FILE_MODE, dir_fd=self._folder
            )
        except PermissionError as error:  # ext4's answer when the folder has just been removed
            if self._files.fstat(self._folder).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the folder was removed") from error
            raise
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
            self._descriptor, self._temporary = self._disk.open_temporary()

    def _write_back(self) -> None:
        """Sync what was written so far, and let the page cache forget it."""
        self._disk.sync_data(self._descriptor)
        self._files.fadvise(self._descriptor, self._synced, self._unsynced, os.POSIX_FADV_DONTNEED)
        self._synced, self._unsynced = self._synced + self._unsynced, 0

    def _attach(self, encoded: bytes) -> None:
        values = spread(encoded)
        if values is not None:
            try:
                for i, value in reversed(list(enumerate(values))):
                    name = f"{ATTRIBUTE}.{i}" if i else ATTRIBUTE
                    self._files.setxattr(self._descriptor, name, value)
            except OSError as error:
                if error.errno not in ATTRIBUTE_TOO_LARGE:
                    raise
            else:
                return
        self._files.write_all(self._descriptor, [encoded])
        self._files.setxattr(self._descriptor, ATTRIBUTE, in_file(encoded))

    def _name(self, name: str, encoded: bytes, metadata: Metadata) -> None:
        for _ in range(RACES_MAX):
            try:
                if self._temporary is None:
                    self._files.link(self._descriptor, name, folder=self._folder)
                else:
                    self._rename(name)
            except FileNotFoundError:
                self._open_folder()  # somebody found the folder empty and removed it
            except FileExistsError:
                if self._replace(name, encoded, metadata):
                    return
            else:
                return
        raise RaceLost(f"{name} is taken and freed all the time")

    def _rename(self, name: str) -> None:
        """Give the temporary file its name, as link(2) does: never over another file."""
        assert self._temporary is not None
        path = f"{self._disk.path(self._location.folder)}/{name}"
        self._files.hardlink(self._temporary, path)
        self._files.unlink(self._temporary)
        self._temporary = None

    def _replace(self, name: str, encoded: bytes, metadata: Metadata) -> bool:
        """Two files of one moment: the greater counts (object/metadata.py, `precedence`), so that
        all replicas agree, whichever came first.  False when the other one is gone meanwhile.

        Raises Conflict when the other one counts.
        """
        path = f"{self._disk.path(self._location.folder)}/{name}"
        try:
            descriptor = self._files.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            theirs, _ = encoded_metadata(self._disk, descriptor)
            is_less = precedence(decode(theirs), theirs) < precedence(metadata, encoded)
        except (BadMetadata, OSError):
            theirs, is_less = b"", True  # broken: ours is better
        finally:
            self._files.close(descriptor)
        if theirs == encoded:
            return True
        if not is_less:
            raise Conflict(metadata.timestamp)
        if self._temporary is None:
            self._disk.make_folder(TEMPORARY)
            self._files.lock(self._descriptor)  # or it might be swept away
            temporary = self._disk.path(f"{TEMPORARY}/{os.urandom(16).hex()}")
            self._files.link(self._descriptor, temporary, folder=self._folder)
            self._temporary = temporary
        self._files.rename(self._temporary, path)
        self._temporary = None
        return True

    def _obsolete(self) -> tuple[str, ...]:
        try:
            return self._state().obsolete
        except OSError:
            return ()
