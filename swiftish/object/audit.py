"""The audit of one hash folder: is what is in it what was written?  Blocking, in short steps.

Only what is on this disk is evidence: what other nodes have or say, or that none of them answers,
is none (T36).  So an audit finds what does not fit its own checksums, sizes, timestamps and names.
It cannot find that the disk has lost a whole write, with its name in the folder, and shows what was
there before (T51): the other replicas do, whose digests of that suffix are then another
(object/suffix_hashes.py), and send what is newer.

A folder in a partition that the ring knows otherwise is no damage, and left to the replicator.
"""

import os
import string
from typing import NoReturn

from swiftish.domain.checksums import Md5
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.object.blocks import Span
from swiftish.object.current import Current
from swiftish.object.disk import RACES_MAX, Disk
from swiftish.object.errors import BadMetadata, NoObject
from swiftish.object.filenames import FileName
from swiftish.object.hashdir import State
from swiftish.object.metadata import Metadata, decode
from swiftish.object.paths import Location
from swiftish.object.quarantine import is_back, quarantine
from swiftish.object.reader import ObjectReader, encoded_metadata, find
from swiftish.runtime.errnos import UNREADABLE

_HEX = frozenset(string.hexdigits.lower())


class FolderAudit:
    """Looks at the files that count in one hash folder.  `step` is called until it says that there
    is no more, by one thread at a time; `close` may come at any moment.

    `whole`: all of the bytes, not just how many there are.  `with_etag`: their MD5 as well, which
    tells what came over the wire wrong.  `was_lost`: an earlier object of this name is in the
    quarantine, and may be missed no longer.  `size` is how many bytes have been read, `etags` how
    many were compared.
    """

    def __init__(
        self,
        disk: Disk,
        location: Location,
        hash_path: HashPath,
        *,
        whole: bool,
        with_etag: bool,
        was_lost: bool = False,
    ) -> None:
        self.location = location
        self.size = self.etags = 0
        self._disk = disk
        self._hash_path = hash_path
        self._whole = whole
        self._was_lost = was_lost
        self._md5 = Md5() if whole and with_etag else None
        self._reader: ObjectReader | None = None
        self._current: Current | None = None

    def step(self) -> bool:
        """Look at the metadata and the first block, then at one block more each time; False when
        there is nothing left.

        Raises Corrupt for what has been quarantined, and OSError, which says nothing of the object.
        """
        if self._reader is None:
            return self._begin()
        self._add(self._reader.read())
        return self._is_more() or self._end()

    def close(self) -> None:
        """Let go of the file, if one is open."""
        if self._reader is not None:
            self._reader.close()

    def _begin(self) -> bool:
        for _ in range(RACES_MAX):
            state = find(self._disk, self.location)
            try:
                return self._look_at(state)
            except FileNotFoundError:
                continue  # replaced since the folder was listed
            except NoObject:
                return False
        return False  # it changes all the time, and is verified when it is read

    def _look_at(self, state: State) -> bool:
        names = [self._check(file) for file in state.winners]
        if state.data is not None:
            return self._open(names[0])
        if state.tombstone is not None:
            self._is_sound()
        return False

    def _open(self, name: str) -> bool:
        location = self.location
        named = Location(
            datadir=location.datadir,
            partition=location.partition,
            digest=location.digest,
            name=name,
        )
        self._reader = ObjectReader(self._disk, named)
        self._current, _, first = self._reader.open(self._choose)
        self._add(first)
        return self._is_more() or self._end()

    def _is_more(self) -> bool:
        assert self._current is not None
        return self._whole and self.size < self._current.content_length

    def _choose(self, current: Current) -> Span | None:
        return Span(0, current.content_length) if self._whole else None

    def _add(self, data: bytes) -> None:
        self.size += len(data)
        if self._md5 is not None:
            self._md5.update(data)

    def _end(self) -> bool:
        """Everything has been read."""
        assert self._reader is not None
        assert self._current is not None
        etag = self._current.etag
        if self._md5 is not None and len(etag) == 32 and _HEX.issuperset(etag):
            self.etags += 1
            found = self._md5.hexdigest()
            if found != etag:
                file, _ = self._reader.data_file
                reason = f"{file}: the MD5 is {found}, not the ETag {etag}"
                quarantine(self._disk, self.location, reason, file=file)
        self._is_sound()
        return False

    def _is_sound(self) -> None:
        if self._was_lost:
            is_back(self._disk, self.location)

    def _check(self, file: FileName) -> str:
        """The name in one file's metadata, when they are what was written here."""
        try:
            metadata, rest = self._metadata(file)
        except BadMetadata as error:
            self._put_away(file, str(error))
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            self._put_away(file, str(error.strerror))
        parts = metadata.name.split("/", 3)
        if len(parts) != 4 or self._digest(Target(*parts[1:])) != self.location.digest:
            self._put_away(file, f"this is {metadata.name!r}")
        if metadata.timestamp != file.timestamp:
            self._put_away(file, f"this is of {metadata.timestamp.internal}")
        if file.kind != "data" and rest:
            self._put_away(file, f"there are {rest} bytes in it")
        if file.kind == "meta" and metadata.content_type_timestamp != file.content_type_timestamp:
            self._put_away(file, "the content type is of another age")
        return metadata.name

    def _metadata(self, file: FileName) -> tuple[Metadata, int]:
        """What a file says of itself, and how many bytes there are in it beside that."""
        files = self._disk.files
        path = self._disk.path(f"{self.location.folder}/{file.text}")
        descriptor = files.open(path, os.O_RDONLY)
        try:
            encoded, length = encoded_metadata(self._disk, descriptor)
            return decode(encoded), files.fstat(descriptor).st_size - length
        finally:
            files.close(descriptor)

    def _digest(self, target: Target) -> str:
        return self._hash_path(target.account, target.container, target.object).hex()

    def _put_away(self, file: FileName, reason: str) -> NoReturn:
        quarantine(self._disk, self.location, f"{file.text}: {reason}", file=file.text)
