"""Read an object: find it in its hash folder, verify it, hand out verified bytes.  Blocking.

`ObjectReader.open` does in one go all that most requests need: the folder, the metadata, the first
block of the bytes that are wanted.  Only when there are more blocks does the file stay open.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import NoReturn

from swiftish.domain.checksums import xxh3_64
from swiftish.object.blocks import BLOCK_BYTES, Span, trailer_bytes, unpack
from swiftish.object.current import Current, merge
from swiftish.object.disk import RACES_MAX, Disk
from swiftish.object.errors import BadMetadata, Corrupt, NoObject, RaceLost
from swiftish.object.filenames import FileName
from swiftish.object.hashdir import NOTHING, State, judge
from swiftish.object.metadata import HEAD_BYTES, Metadata, bytes_in_file, decode, parts_of
from swiftish.object.paths import Location
from swiftish.object.quarantine import is_lost, quarantine
from swiftish.runtime.errnos import UNREADABLE

ATTRIBUTE = "user.swiftish"

# Asked in the device's thread, once the object is known: which bytes are wanted, None for none.
# May raise; must not wait.
Choose = Callable[[Current], Span | None]


class Closed(Exception):
    """The reader or writer was given up before it could begin."""


@dataclass(slots=True)
class _File:
    """An open file of the hash folder, its metadata, and how many bytes of them are in it."""

    descriptor: int
    metadata: Metadata
    encoded: bytes
    metadata_bytes: int


class _Bad(Exception):
    """What was read is not what was written; becomes Corrupt where the location is known."""


def find(disk: Disk, location: Location) -> State:
    """What the object's hash folder holds.  Raises Corrupt."""
    try:
        return judge(disk.files.listdir(disk.path(location.folder)))
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        quarantine(disk, location, f"the folder cannot be listed: {error.strerror}")


def encoded_metadata(disk: Disk, descriptor: int) -> tuple[bytes, int]:
    """A file's metadata as object/metadata.py encodes them, and how many bytes of the file they
    take.  Raises BadMetadata, OSError."""
    files = disk.files
    first = files.getxattr(descriptor, ATTRIBUTE)
    parts = parts_of(first)
    if parts == 1:
        return first[HEAD_BYTES:], 0
    if parts:
        rest = [files.getxattr(descriptor, f"{ATTRIBUTE}.{i}") for i in range(1, parts)]
        return b"".join((first[HEAD_BYTES:], *rest)), 0
    length, size = bytes_in_file(first), files.fstat(descriptor).st_size
    if length > size:
        raise BadMetadata("the file is shorter than its metadata")
    return files.read_exactly(descriptor, length, size - length), length


def read_metadata(disk: Disk, location: Location, name: FileName) -> Metadata:
    """What one file of a hash folder says of itself, unchecked.  Raises BadMetadata, OSError."""
    descriptor = disk.files.open(disk.path(f"{location.folder}/{name.text}"), os.O_RDONLY)
    try:
        return decode(encoded_metadata(disk, descriptor)[0])
    finally:
        disk.files.close(descriptor)


class ObjectReader:
    """One read of one object.  Used by one thread at a time; `close` may come at any moment.

    `data_file` is known once it is open: the name of the `.data`, and its metadata as encoded.
    """

    def __init__(self, disk: Disk, location: Location) -> None:
        self._disk = disk
        self._location = location
        self._lock = Lock()
        self._closed = False
        self._file: _File | None = None
        self._name = ""
        self.data_file = ("", b"")
        self._checksums: tuple[int, ...] = ()
        self._position = 0
        self._stop = 0

    def open(self, choose: Choose) -> tuple[Current, Span | None, bytes]:
        """Find the object, ask `choose` which bytes are wanted, verify and return the first.

        The file stays open only if there is more to read than was returned.  Raises NoObject,
        Corrupt, OSError, Closed, and what `choose` raises.
        """
        with self._lock:
            if self._closed:
                raise Closed
            more = False
            try:
                current = self._find()
                span = choose(current)
                first = self._begin(current, span)
                more = self._position < self._stop
            except _Bad as bad:
                self._quarantine(str(bad))
            finally:
                if not more:
                    self._close()
            return current, span, first

    def read(self) -> bytes:
        """The next verified bytes, up to a block; b"" at the end.  Raises Corrupt, OSError."""
        with self._lock:
            if self._closed:
                raise Closed
            if self._file is None:
                return b""
            try:
                return self._next()
            except _Bad as bad:
                self._quarantine(str(bad))
            finally:
                if self._position >= self._stop:
                    self._close()

    def close(self) -> None:
        """Let go of the file, once whatever another thread does with it is done."""
        with self._lock:
            self._closed = True
            self._close()

    # ---- within the lock -------------------------------------------------------------------------

    def _find(self) -> Current:
        for _ in range(RACES_MAX):
            state = find(self._disk, self._location)
            if state.data is None:
                raise self._no_object(state)
            try:
                return self._open_all(state, state.data)
            except FileNotFoundError:
                self._close()
                continue  # replaced since the folder was listed
        raise RaceLost("the object is replaced all the time")

    def _no_object(self, state: State) -> Exception:
        if state.tombstone is not None:
            return NoObject(state.tombstone.timestamp)
        if is_lost(self._disk, self._location):
            return Corrupt(self._disk.path(self._location.folder), "in quarantine")
        return NoObject()

    def _open_all(self, state: State, data: FileName) -> Current:
        self._name = data.text
        self._file = self._open_file(data)
        self.data_file = data.text, self._file.encoded
        metas: list[Metadata | None] = []
        for name in (state.meta, state.content_type_meta):
            if name is None:
                metas.append(None)
                continue
            file = self._open_file(name)
            self._disk.files.close(file.descriptor)
            metas.append(file.metadata)
        return merge(self._file.metadata, *metas)

    def _open_file(self, name: FileName) -> _File:
        path = f"{self._disk.path(self._location.folder)}/{name.text}"
        try:
            descriptor = self._disk.files.open(path, os.O_RDONLY)
        except OSError as error:
            _raise_if_bad(error, name.text)
            raise
        try:
            encoded, length = encoded_metadata(self._disk, descriptor)
            metadata = decode(encoded)
            self._check(metadata, name)
        except OSError as error:
            self._disk.files.close(descriptor)
            _raise_if_bad(error, name.text)
            raise
        except (BadMetadata, _Bad) as error:
            self._disk.files.close(descriptor)
            raise _Bad(f"{name.text}: {error}") from error
        return _File(descriptor, metadata, encoded, length)

    def _check(self, metadata: Metadata, name: FileName) -> None:
        """A write that went astray leaves a sound file in the wrong place."""
        if metadata.name != self._location.name:
            raise _Bad(f"this is {metadata.name!r}")
        if metadata.timestamp != name.timestamp:
            raise _Bad(f"this is of {metadata.timestamp.internal}")
        if name.kind == "data" and None in (
            metadata.content_length,
            metadata.etag,
            metadata.checksum,
        ):
            raise _Bad("the length, the ETag or the checksum is missing")

    def _begin(self, current: Current, span: Span | None) -> bytes:
        """Verify the file's size and its trailer, and read the first block of the span."""
        file = self._file
        assert file is not None
        length = current.content_length
        if length <= BLOCK_BYTES and span is not None and not file.metadata_bytes:
            data = self._pread(length + 1, 0, all_of_it=False)  # one more: there must be none
            if len(data) < length:
                data = self._pread(length + 1, 0)  # the kernel may return less than it has
            if len(data) != length:
                raise _Bad(f"there are not {length} bytes in it")
            self._verify(data, current.data.checksum, 0)
            return data if span.length == length else data[span.start : span.stop]
        trailer_length = trailer_bytes(length)
        size = self._disk.files.fstat(file.descriptor).st_size
        if size != length + trailer_length + file.metadata_bytes:
            raise _Bad(f"there are {size} bytes in it, for an object of {length}")
        if span is None or not span.length:
            return b""
        trailer = self._pread(trailer_length, length) if trailer_length else b""
        checksums = unpack(trailer, current.data)
        if checksums is None:
            raise _Bad("the trailer does not match its checksum")
        self._checksums = checksums
        self._position, self._stop = span.start, span.stop
        if span.length > BLOCK_BYTES:
            self._disk.files.fadvise(
                file.descriptor, span.start, span.length, os.POSIX_FADV_SEQUENTIAL
            )
        return self._next()

    def _next(self) -> bytes:
        assert self._file is not None
        length = self._file.metadata.content_length or 0
        number = self._position // BLOCK_BYTES
        start = number * BLOCK_BYTES
        block = self._pread(min(BLOCK_BYTES, length - start), start)
        self._verify(block, self._checksums[number], number)
        first, last = self._position - start, min(self._stop - start, len(block))
        self._position = start + last
        return block if first == 0 and last == len(block) else block[first:last]

    def _pread(self, length: int, offset: int, *, all_of_it: bool = True) -> bytes:
        assert self._file is not None
        try:
            if not all_of_it:
                return self._disk.files.pread(self._file.descriptor, length, offset)
            return self._disk.files.read_exactly(self._file.descriptor, length, offset)
        except OSError as error:
            _raise_if_bad(error, self._name)
            raise

    def _verify(self, block: bytes, checksum: int | None, number: int) -> None:
        if xxh3_64(block) != checksum:
            raise _Bad(f"{self._name}: block {number} does not match its checksum")

    def _quarantine(self, reason: str) -> NoReturn:
        self._close()
        quarantine(self._disk, self._location, reason, file=self._name)

    def _close(self) -> None:
        self._stop = 0
        file, self._file = self._file, None
        if file is not None:
            self._disk.files.close(file.descriptor)


def _raise_if_bad(error: OSError, name: str) -> None:
    """A file that cannot be read as it was written is corrupt; other errors say nothing of it."""
    if error.errno in UNREADABLE:
        raise _Bad(f"{name}: {error.strerror}") from error


def read_current(disk: Disk, location: Location) -> Current:
    """The object without its bytes.  Raises NoObject, Corrupt, OSError."""
    return ObjectReader(disk, location).open(lambda _: None)[0]
