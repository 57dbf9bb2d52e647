"""Object metadata, from fields to the checksummed bytes that a disk keeps, and back.

Theory of operation.  The metadata of a file is one msgpack map with small integers for keys, its
XXH3-64 before it, so that a flipped bit anywhere in it is found.  It names the object it belongs
to, so that the right bytes under the wrong name are found too.  Up to 254 bytes are free on XFS
(they stay in the inode); one more costs a block and four times the read.  So the usual object must
fit 254 bytes, and larger metadata are kept in this order of preference (`spread`):
- one value of at most 254 bytes,
- a few values of 250 bytes, which a large inode still holds,
- one value of up to 64 KiB, which is as large as Linux allows,
- in the file itself, after all else, when the file system refuses (ext4 gives one block of 4 KiB to
  all attributes of a file); the attribute then says how many bytes of it to read.

The first attribute begins with a marker, the format's version and its form: the number of values,
or 0 for metadata in the file.

Pure.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from swiftish.domain.checksums import xxh3_64
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.object.errors import BadMetadata

MARKER = b"S\x01"  # a Swiftish object, version 1 of its metadata
HEAD_BYTES = len(MARKER) + 1

# Found by measurement on XFS: up to here a value stays in the inode.
INLINE_BYTES_MAX = 254
PART_BYTES = 250
PARTS_MAX = 3
ATTRIBUTE_BYTES_MAX = 64 * 1024  # Linux, XATTR_SIZE_MAX
IN_FILE_BYTES_MAX = 16 * 1024 * 1024  # far more than all headers of a request together

PACK_BUFFER_BYTES = 4096  # it grows; msgpack's own 256 KiB are mapped anew for each file
_CHECKSUM = struct.Struct(">Q")
_LENGTH = struct.Struct(">I")
LENGTH_HEAD_BYTES = HEAD_BYTES + _LENGTH.size
assert PART_BYTES * PARTS_MAX <= ATTRIBUTE_BYTES_MAX

_NAME, _TIME, _LEN, _ETAG, _TYPE, _TYPE_TIME, _SUM, _USER, _SYS, _TRANSIENT, _OTHER = range(11)

# Families of headers whose names share a beginning: it is not stored.
_FAMILIES = (
    (_USER, "x-object-meta-"),
    (_SYS, "x-object-sysmeta-"),
    (_TRANSIENT, "x-object-transient-sysmeta-"),
)
SYSMETA = "x-object-sysmeta-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What one file says.  `checksum` is the XXH3-64 of the only block, or of the list of blocks.

    `.meta` and `.ts` have no content: neither length, etag nor checksum.  `headers` are the
    families of metadata and the allowed headers (docs/reference/backend.md).
    """

    name: str
    timestamp: Timestamp
    content_length: int | None = None
    etag: str | None = None
    content_type: str | None = None
    content_type_timestamp: Timestamp | None = None
    checksum: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def encode(metadata: Metadata) -> bytes:
    """The checksum, then the map."""
    fields: dict[int, Any] = {
        _NAME: metadata.name.encode("utf-8", "surrogateescape"),
        _TIME: _pack_timestamp(metadata.timestamp),
    }
    if metadata.content_length is not None:
        fields[_LEN] = metadata.content_length
    if metadata.etag is not None:
        fields[_ETAG] = _pack_etag(metadata.etag)
    if metadata.content_type is not None:
        fields[_TYPE] = metadata.content_type
    if metadata.content_type_timestamp is not None:
        fields[_TYPE_TIME] = _pack_timestamp(metadata.content_type_timestamp)
    if metadata.checksum is not None:
        fields[_SUM] = metadata.checksum
    for name, value in metadata.headers.items():
        for key, prefix in _FAMILIES:
            if name.startswith(prefix):
                fields.setdefault(key, {})[name[len(prefix) :]] = value
                break
        else:
            fields.setdefault(_OTHER, {})[name] = value
    packed: bytes = msgpack.packb(
        fields, unicode_errors="surrogateescape", buf_size=PACK_BUFFER_BYTES
    )
    return _CHECKSUM.pack(xxh3_64(packed)) + packed


def decode(data: bytes) -> Metadata:
    """The other way round.  Raises BadMetadata."""
    packed = data[_CHECKSUM.size :]
    if len(data) <= _CHECKSUM.size or _CHECKSUM.unpack_from(data)[0] != xxh3_64(packed):
        raise BadMetadata("the metadata do not match their checksum")
    try:
        fields = msgpack.unpackb(
            packed, strict_map_key=False, unicode_errors="surrogateescape", max_ext_len=0
        )
        headers: dict[str, str] = fields.get(_OTHER, {})
        for key, prefix in _FAMILIES:
            if family := fields.get(key):
                headers.update((prefix + name, value) for name, value in family.items())
        type_time = fields.get(_TYPE_TIME)
        return Metadata(
            name=fields[_NAME].decode("utf-8", "surrogateescape"),
            timestamp=_unpack_timestamp(fields[_TIME]),
            content_length=fields.get(_LEN),
            etag=_unpack_etag(fields.get(_ETAG)),
            content_type=fields.get(_TYPE),
            content_type_timestamp=None if type_time is None else _unpack_timestamp(type_time),
            checksum=fields.get(_SUM),
            headers=headers,
        )
    except (ValueError, LookupError, TypeError, AttributeError, BadTimestamp) as error:
        raise BadMetadata(f"the metadata cannot be read: {error!r}") from error


def precedence(metadata: Metadata, encoded: bytes) -> tuple[int, str, str, bytes]:
    """Of two files of one kind and moment the greater counts.

    The first three are also what a listing decides by (domain/rows.py), so that it shows the
    object that counts.
    """
    length = -1 if metadata.content_length is None else metadata.content_length
    return length, metadata.etag or "", metadata.content_type or "", encoded


def spread(encoded: bytes) -> Sequence[bytes] | None:
    """The values of the attributes, first to last; None when there must be too large a one."""
    if HEAD_BYTES + len(encoded) <= INLINE_BYTES_MAX:
        return (MARKER + b"\x01" + encoded,)
    first = PART_BYTES - HEAD_BYTES
    if len(encoded) <= first + PART_BYTES * (PARTS_MAX - 1):
        rest = [encoded[i : i + PART_BYTES] for i in range(first, len(encoded), PART_BYTES)]
        return (MARKER + bytes((1 + len(rest),)) + encoded[:first], *rest)
    if HEAD_BYTES + len(encoded) <= ATTRIBUTE_BYTES_MAX:
        return (MARKER + b"\x01" + encoded,)
    return None


def in_file(encoded: bytes) -> bytes:
    """The attribute of a file that holds its metadata itself."""
    assert len(encoded) <= IN_FILE_BYTES_MAX
    return MARKER + b"\x00" + _LENGTH.pack(len(encoded))


def parts_of(first: bytes) -> int:
    """How many attributes there are, given the first: 0 when the metadata are in the file.

    Raises BadMetadata.
    """
    if len(first) < HEAD_BYTES or first[: len(MARKER)] != MARKER:
        raise BadMetadata("the metadata's marker is missing")
    parts = first[HEAD_BYTES - 1]
    if parts > PARTS_MAX or (parts == 0 and len(first) != LENGTH_HEAD_BYTES):
        raise BadMetadata("the metadata's first bytes make no sense")
    return parts


def bytes_in_file(first: bytes) -> int:
    """How many bytes of metadata the file ends with, when `parts_of` said 0.

    Raises BadMetadata for more than there ever are: this number has no checksum.
    """
    length: int = _LENGTH.unpack_from(first, HEAD_BYTES)[0]
    if length > IN_FILE_BYTES_MAX:
        raise BadMetadata(f"there are never {length} bytes of metadata")
    return length


def _pack_timestamp(timestamp: Timestamp) -> int | list[int]:
    return [timestamp.raw, timestamp.offset] if timestamp.offset else timestamp.raw


def _unpack_timestamp(packed: int | list[int]) -> Timestamp:
    return Timestamp(packed) if isinstance(packed, int) else Timestamp(*packed)


def _pack_etag(etag: str) -> bytes | str:
    """Half as long, when it is an MD5 in the usual spelling."""
    if len(etag) == 32:
        try:
            packed = bytes.fromhex(etag)
        except ValueError:
            return etag
        if packed.hex() == etag:
            return packed
    return etag


def _unpack_etag(packed: bytes | str | None) -> str | None:
    return packed.hex() if isinstance(packed, bytes) else packed
