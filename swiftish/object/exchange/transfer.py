"""Files as they are sent, and as they are taken in.  Blocking.

What is sent has been verified: a file that is not what was written goes to the quarantine instead.
What is taken in is verified before it gets its name, and is durable when its outcome is known.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from swiftish.domain.hashing import HashPath
from swiftish.domain.timestamp import Timestamp
from swiftish.object.blocks import Span
from swiftish.object.current import Current
from swiftish.object.disk import Disk
from swiftish.object.errors import BadMetadata, BelowReserve, Conflict, Corrupt, NoObject, RaceLost
from swiftish.object.exchange.protocol import (
    FILES_BYTES_MAX,
    FILES_MAX,
    SMALL_BYTES_MAX,
    Head,
    Incoming,
    Outcome,
    digest_of,
    mismatch,
)
from swiftish.object.filenames import parse, tombstone_name
from swiftish.object.metadata import Metadata, decode
from swiftish.object.partitions import Contents, Partition, contents
from swiftish.object.paths import Location
from swiftish.object.quarantine import quarantine
from swiftish.object.reader import ObjectReader, encoded_metadata
from swiftish.object.writer import Writer
from swiftish.runtime.errnos import UNREADABLE

_ENTRY_BYTES = 64  # of a small file in a document, beside metadata and bytes

# A file that is wanted: its hash and its name.
Wanted = tuple[str, str]


class NotAsWritten(Exception):
    """The bytes that came are not those that the metadata speak of."""


# ---- sending ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """Small files for one document, and of those that were looked at the large ones.

    `taken` have been looked at; what is neither here nor there is gone, or was bad.
    """

    small: list[tuple[Head, bytes]] = field(default_factory=list)
    large: list[tuple[Location, str]] = field(default_factory=list)
    size: int = 0
    taken: int = 0


def load(disk: Disk, partition: Partition, wanted: Sequence[Wanted], hash_path: HashPath) -> Load:
    """Read as many of the wanted files as go into one document.  Raises OSError."""
    found = Load()
    for digest, name in wanted:
        if len(found.small) == FILES_MAX or found.size >= FILES_BYTES_MAX - SMALL_BYTES_MAX:
            break
        found.taken += 1
        try:
            _add(disk, partition.location(digest), name, hash_path, found)
        except (FileNotFoundError, NoObject, Corrupt, RaceLost):
            continue  # replaced since it was listed, or in quarantine now
    return found


def _add(disk: Disk, place: Location, name: str, hash_path: HashPath, found: Load) -> None:
    encoded, metadata = _read_head(disk, place, name, hash_path)
    if name.endswith(".data"):
        location = named(place, metadata)
        assert metadata.content_length is not None
        if len(encoded) + metadata.content_length > SMALL_BYTES_MAX:
            found.large.append((location, name))
            return
        reader = ObjectReader(disk, location)
        try:
            _, _, data = reader.open(whole)
        finally:
            reader.close()
        opened, encoded = reader.data_file
        if opened != name:
            return
    else:
        data = b""
    found.small.append((Head(digest=place.digest, name=name, encoded=encoded), data))
    found.size += len(encoded) + len(data) + _ENTRY_BYTES


def whole(current: Current) -> Span:
    """All bytes of an object, for ObjectReader.open."""
    return Span(0, current.content_length)


def named(place: Location, metadata: Metadata) -> Location:
    """The same hash folder, and whose it is."""
    return Location(
        datadir=place.datadir,
        partition=place.partition,
        digest=place.digest,
        name=metadata.name,
    )


def _read_head(
    disk: Disk, place: Location, name: str, hash_path: HashPath
) -> tuple[bytes, Metadata]:
    """A file's metadata, which belong here.  Raises Corrupt, OSError."""
    file = parse(name)
    assert file is not None
    try:
        descriptor = disk.files.open(f"{disk.path(place.folder)}/{name}", os.O_RDONLY)
        try:
            encoded, _ = encoded_metadata(disk, descriptor)
        finally:
            disk.files.close(descriptor)
        metadata = decode(encoded)
    except BadMetadata as error:
        quarantine(disk, place, f"{name}: {error}", file=name)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        quarantine(disk, place, f"{name}: {error.strerror}", file=name)
    trouble = mismatch(file, metadata)
    if digest_of(metadata.name, hash_path) != place.digest:
        trouble = f"this is {metadata.name!r}"
    if trouble:
        quarantine(disk, place, f"{name}: {trouble}", file=name)
    return encoded, metadata


# ---- taking in -------------------------------------------------------------------------------


def hold(
    disk: Disk, partition: Partition, digest: str, hash_path: HashPath, *, for_good: bool
) -> Contents:
    """What this device holds of an object.

    `for_good`: whole, as far as can be told without reading all of its bytes, and durable.  Raises
    OSError, SyncFailed.
    """
    found = contents(disk, partition, digest)
    if not for_good or not found.files:
        return found
    place = partition.location(digest)
    try:
        for name in found.files:
            _, metadata = _read_head(disk, place, name, hash_path)
            if name.endswith(".data"):
                ObjectReader(disk, named(place, metadata)).open(_nothing)
        _sync(disk, place)
    except (
        FileNotFoundError,
        NoObject,
        Corrupt,
        RaceLost,
    ):  # replaced by a newer one, or in quarantine
        return contents(disk, partition, digest)
    return found


def take_in(disk: Disk, incoming: Incoming, data: bytes) -> Outcome:
    """Store a file whose bytes are all here.  Raises NotAsWritten, SyncFailed, OSError."""
    writer = Writer(disk, incoming.location)
    try:
        if incoming.file.kind == "data":
            disk.require_space(len(data))
        writer.begin()
        if data:
            writer.append([data])
        return commit(disk, writer, incoming)
    except BelowReserve:
        return "full"
    finally:
        writer.close()


def commit(disk: Disk, writer: Writer, incoming: Incoming) -> Outcome:
    """Store what was appended to the writer, if it is what the metadata speak of.

    Raises NotAsWritten, SyncFailed, OSError.
    """
    metadata = incoming.metadata
    if writer.length != (metadata.content_length or 0):
        raise NotAsWritten(f"{writer.length} bytes came for an object of {metadata.content_length}")
    if incoming.file.kind == "data" and writer.finish() != metadata.checksum:
        raise NotAsWritten("the bytes do not match their checksum")
    try:
        writer.commit(incoming.file.text, metadata, incoming.encoded)
    except Conflict:
        _sync(disk, incoming.location)  # it must outlive what the sender may give up for it
        return "newer"
    return "stored"


def delete(disk: Disk, place: Location, data: str, moment: Timestamp, hash_path: HashPath) -> None:
    """Leave the tombstone of that moment, of which another replica told, where `data` is the
    object.  Raises SyncFailed, OSError."""
    try:
        _, metadata = _read_head(disk, place, data, hash_path)
    except (FileNotFoundError, Corrupt):
        return
    tombstone = Metadata(name=metadata.name, timestamp=moment)
    writer = Writer(disk, named(place, metadata))
    try:
        writer.begin()
        writer.commit(tombstone_name(moment), tombstone)
    finally:
        writer.close()


def _nothing(_: Current) -> None:
    return None


def _sync(disk: Disk, location: Location) -> None:
    disk.sync_folder(location.folder)
    disk.sync_parents(location)
