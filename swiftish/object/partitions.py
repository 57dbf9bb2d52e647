"""What is in a partition of a device, folder by folder; and what is taken out of it.  Blocking."""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from swiftish.domain.hashing import partition_of
from swiftish.domain.timestamp import Timestamp
from swiftish.object.disk import Disk
from swiftish.object.errors import BadMetadata, Corrupt
from swiftish.object.exchange.protocol import Files, is_hash, is_suffix
from swiftish.object.hashdir import NOTHING, State, reclaimable
from swiftish.object.metadata import HEAD_BYTES, parts_of
from swiftish.object.paths import Location
from swiftish.object.reader import ATTRIBUTE, encoded_metadata, find

log = logging.getLogger(__name__)

CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition on one device, of a ring of 2**power partitions."""

    datadir: str
    number: int
    power: int

    @property
    def folder(self) -> str:
        """Relative to the device."""
        return f"{self.datadir}/{self.number}"

    def location(self, digest: str, name: str = "") -> Location:
        return Location(datadir=self.datadir, partition=self.number, digest=digest, name=name)


@dataclass(frozen=True, slots=True)
class Contents:
    """Of one hash folder: its state, and of the files that count their checks."""

    state: State
    files: Files


EMPTY = Contents(NOTHING, {})


def listed(disk: Disk, relative: str) -> list[str]:
    """The names in a folder, in order; none when there is no such folder.  Raises OSError."""
    try:
        return sorted(disk.files.listdir(disk.path(relative)))
    except FileNotFoundError:
        return []


def suffixes(disk: Disk, partition: Partition) -> list[str]:
    """The partition's suffixes, in order.  Raises OSError."""
    return [name for name in listed(disk, partition.folder) if is_suffix(name)]


def hashes(disk: Disk, partition: Partition, suffix: str) -> list[str]:
    """The hash folders of a suffix, in order, but for those that belong elsewhere: these are left
    alone.  Raises OSError."""
    found = []
    for name in listed(disk, f"{partition.folder}/{suffix}"):
        if not (is_hash(name) and name.endswith(suffix)):
            continue
        if partition_of(bytes.fromhex(name), power=partition.power) == partition.number:
            found.append(name)
        else:
            path = disk.path(partition.location(name).folder)
            log.warning("not of this partition", extra={"path": path})
    return found


def contents(disk: Disk, partition: Partition, digest: str) -> Contents:
    """What a hash folder holds: nothing, when it has just been quarantined.  Raises OSError."""
    location = partition.location(digest)
    try:
        state = find(disk, location)
    except Corrupt:
        return EMPTY
    folder = disk.path(location.folder)
    files = {file.text: check_of(disk, f"{folder}/{file.text}") for file in state.winners}
    return Contents(state, files)


def check_of(disk: Disk, path: str) -> int:
    """The checksum of a file's metadata (object/exchange/protocol.py); 0 for what has none."""
    try:
        first = disk.files.getxattr(path, ATTRIBUTE)
        if parts_of(first):
            return int.from_bytes(first[HEAD_BYTES : HEAD_BYTES + CHECK_BYTES], "big")
        descriptor = disk.files.open(path, os.O_RDONLY)
        try:
            encoded, _ = encoded_metadata(disk, descriptor)
        finally:
            disk.files.close(descriptor)
    except (BadMetadata, OSError):
        return 0
    return int.from_bytes(encoded[:CHECK_BYTES], "big")


def give_up(disk: Disk, partition: Partition, digest: str, found: Contents) -> bool:
    """Remove just what was found in a hash folder; whether all of that is gone now.

    What has come since stays.  Older files go first, so that at no moment an older state is the
    object again; the metadata of an object go after it.  Raises OSError.
    """
    location = partition.location(digest)
    folder = disk.path(location.folder)
    winners = sorted(found.files, key=lambda name: name.endswith(".meta"))
    for name in (*found.state.obsolete, *winners):
        path = f"{folder}/{name}"
        check = found.files.get(name)
        if check is not None and check_of(disk, path) != check:
            break  # another file of the same moment, or gone
        with suppress(FileNotFoundError):
            disk.files.unlink(path)
    return _removed(disk, location)


def reclaim(disk: Disk, partition: Partition, digest: str, *, before: Timestamp) -> int:
    """Remove a tombstone, or metadata without an object, that are older than `before`; how many
    files went.  Also a folder that has been empty for long.  Raises OSError."""
    location = partition.location(digest)
    try:
        state = find(disk, location)
    except Corrupt:
        return 0
    rubbish = reclaimable(state, before=before)
    if not rubbish:
        if not state.winners:
            disk.remove_empty(location.folder)
        return 0
    removed = 0
    for name in (*state.obsolete, *rubbish):
        with suppress(FileNotFoundError):
            disk.files.unlink(disk.path(f"{location.folder}/{name}"))
            removed += name in rubbish
    _removed(disk, location)
    return removed


def remove_empty_folders(disk: Disk, partition: Partition, found: Sequence[str]) -> None:
    """Remove the suffixes `found`, and the partition, where they have long been empty.

    Raises OSError.
    """
    gone = [disk.remove_empty(f"{partition.folder}/{suffix}") for suffix in found]
    if all(gone):
        disk.remove_empty(partition.folder)


def _removed(disk: Disk, location: Location) -> bool:
    """Remove a hash folder if it is empty now: whoever is about to write in it makes it again."""
    with suppress(FileNotFoundError):
        disk.date(location)
    try:
        disk.files.rmdir(disk.path(location.folder))
    except FileNotFoundError:
        return True
    except OSError:  # not empty
        return False
    return True
