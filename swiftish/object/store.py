"""What a request does to one object of one device, each as one call.  Blocking.

Each of these is one hop into the device's threads; object/async_disk.py makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from swiftish.domain.checksums import md5_hex
from swiftish.domain.timestamp import Timestamp
from swiftish.object.current import Current, merge
from swiftish.object.disk import Disk
from swiftish.object.errors import (
    BadMetadata,
    Conflict,
    Corrupt,
    EtagMismatch,
    Exists,
    NoObject,
    WrongDeleteAt,
)
from swiftish.object.filenames import data_name, meta_name, tombstone_name
from swiftish.object.hashdir import State
from swiftish.object.metadata import Metadata
from swiftish.object.paths import Location
from swiftish.object.reader import find, read_current, read_metadata
from swiftish.object.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What must hold for an upload; `now` in seconds since the epoch."""

    timestamp: Timestamp
    none_there: bool  # If-None-Match: *
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is known of an object before its bytes have been seen, or once they have been.

    `etag` is None when it has to be computed; `expected_etag` is what the client said it is.
    """

    timestamp: Timestamp
    content_type: str
    headers: Mapping[str, str]
    etag: str | None = None
    expected_etag: str | None = None


def put_small(
    disk: Disk, location: Location, conditions: Conditions, draft: Draft, data: bytes
) -> tuple[Metadata, int | None]:
    """Store an object whose bytes are all here; it, and the X-Delete-At of what it replaces.

    Raises Conflict, Exists, EtagMismatch, BelowReserve, SyncFailed, OSError.
    """
    disk.require_space(len(data))
    etag = _checked_etag(draft, draft.etag or md5_hex(data))
    writer = Writer(disk, location)
    try:
        state = writer.begin()
        _check(disk, location, conditions, state)
        replaced = _delete_at(disk, location, state)
        writer.append([data])
        return _commit(writer, location, draft, etag), replaced
    finally:
        writer.close()


def begin_upload(
    disk: Disk, location: Location, conditions: Conditions, writer: Writer, length: int
) -> int | None:
    """Whether an object may be stored here, before its bytes have been read; the X-Delete-At of
    what it is to replace.

    Raises as `put_small` does; the caller closes the writer.
    """
    disk.require_space(length)
    state = writer.begin()
    _check(disk, location, conditions, state)
    return _delete_at(disk, location, state)


def commit_upload(writer: Writer, location: Location, draft: Draft) -> Metadata:
    """Store what was appended to the writer, and close it.

    Raises Conflict, EtagMismatch, SyncFailed, OSError.
    """
    try:
        etag = _checked_etag(draft, draft.etag or writer.md5())
        return _commit(writer, location, draft, etag)
    finally:
        writer.close()


def post(
    disk: Disk,
    location: Location,
    conditions: Conditions,
    *,
    content_type: str | None,
    headers: Mapping[str, str],
    open_expired: bool,
) -> tuple[Current, int | None]:
    """Replace the object's metadata, and its content type if one is given; what it is now, and
    the X-Delete-At that it had.

    One that comes late, after a newer one that gave no content type, still changes that (as in
    Swift): on other replicas it came first.  Two of one moment: the greater counts.

    Raises NoObject, Conflict, Corrupt, SyncFailed, OSError.
    """
    timestamp = conditions.timestamp
    current = read_current(disk, location)
    if not open_expired and current.expired(now=conditions.now):
        raise NoObject(current.timestamp)
    is_late = timestamp < current.timestamp
    if timestamp <= current.data.timestamp or (
        is_late and (content_type is None or timestamp <= current.content_type_timestamp)
    ):
        raise Conflict(current.timestamp)
    content_type_timestamp = None
    if content_type is not None:
        content_type_timestamp = timestamp
    elif current.content_type_timestamp > current.data.timestamp:
        content_type = current.content_type  # of an earlier POST, which this one replaces
        content_type_timestamp = current.content_type_timestamp
    meta = Metadata(
        name=location.name,
        timestamp=timestamp,
        content_type=content_type,
        content_type_timestamp=content_type_timestamp,
        headers=headers,
    )
    _write_small(disk, location, meta_name(timestamp, content_type_timestamp), meta)
    if is_late:
        assert content_type is not None
        late = replace(current, content_type=content_type, content_type_timestamp=timestamp)
        return late, current.delete_at
    return merge(current.data, meta), current.delete_at


def delete(
    disk: Disk, location: Location, conditions: Conditions, *, if_delete_at: int | None
) -> tuple[bool, int | None]:
    """Leave a tombstone; whether there was an object (reference 2.3), and its X-Delete-At.

    It counts more than an object of the same moment, as in object/hashdir.py.

    The same deletion once more changes nothing, and there was no object: its container may not have
    heard of the first, which may have come from another replica.

    Raises NoObject without leaving one when something newer was deleted already; Conflict,
    WrongDeleteAt, SyncFailed, OSError.
    """
    timestamp = conditions.timestamp
    current: Current | None = None
    existed = True
    try:
        current = read_current(disk, location)
    except NoObject as error:
        existed, since = False, error.timestamp
    except Corrupt:
        if if_delete_at is not None:
            raise
        since = find(disk, location).change_timestamp  # it is lost, and was meant to go anyway
    else:
        since = current.data.timestamp
        existed = not current.expired(now=conditions.now)
    if since == timestamp and not existed and if_delete_at is None:
        return False, None
    if since is not None and (since > timestamp or (since == timestamp and current is None)):
        raise Conflict(since) if existed or if_delete_at is not None else NoObject(since)
    if if_delete_at is not None:
        if since is None:
            raise NoObject
        if current is None or current.delete_at != if_delete_at:
            raise WrongDeleteAt
        existed = True
    tombstone = Metadata(name=location.name, timestamp=timestamp)
    _write_small(disk, location, tombstone_name(timestamp), tombstone)
    return existed, None if current is None else current.delete_at


def _check(disk: Disk, location: Location, conditions: Conditions, state: State) -> None:
    since = state.change_timestamp
    # Of two uploads of one moment the greater counts, which is not known before the commit.
    if since is not None and (
        since > conditions.timestamp or (since == conditions.timestamp and state.data is None)
    ):
        raise Conflict(since)
    if conditions.none_there and state.data is not None:
        try:
            current = read_current(disk, location)
        except (NoObject, Corrupt):
            return
        if not current.expired(now=conditions.now):
            raise Exists


def _delete_at(disk: Disk, location: Location, state: State) -> int | None:
    """When the object in a folder is to expire.

    One that is damaged, or gone meanwhile, is as good as one that does not expire: if it is in
    the queue of those that do, it will be found then that there is nothing left to do.
    """
    if state.data is None:
        return None
    try:
        data = read_metadata(disk, location, state.data)
        meta = read_metadata(disk, location, state.meta) if state.meta is not None else None
    except (BadMetadata, OSError):
        return None
    return merge(data, meta).delete_at


def _checked_etag(draft: Draft, etag: str) -> str:
    if draft.expected_etag is not None and draft.expected_etag != etag:
        raise EtagMismatch
    return etag


def _commit(writer: Writer, location: Location, draft: Draft, etag: str) -> Metadata:
    metadata = Metadata(
        name=location.name,
        timestamp=draft.timestamp,
        content_length=writer.length,
        etag=etag,
        content_type=draft.content_type,
        checksum=writer.finish(),
        headers=draft.headers,
    )
    writer.commit(data_name(draft.timestamp), metadata)
    return metadata


def _write_small(disk: Disk, location: Location, name: str, metadata: Metadata) -> None:
    """A file without content: a `.meta` or a tombstone."""
    writer = Writer(disk, location)
    try:
        writer.begin()
        writer.commit(name, metadata)
    finally:
        writer.close()
