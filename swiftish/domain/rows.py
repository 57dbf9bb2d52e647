"""Rows of containers and accounts, the rule that merges two of them, and their stored form.

Every replica sees changes in its own order and some of them twice, so merging must not care:
`merge(a, b) == merge(b, a)`, it is associative, and merging a row with itself changes nothing.
Each group of fields has a timestamp, and the newest wins; of two with one timestamp the greater
wins, which is as good as any other rule that all replicas share.  (Reference 2.6.)

The stored form is a msgpack array that begins with its version.  What nearly all rows share (one
timestamp, an MD5 in hex) is left out or packed.

Pure.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import msgpack

from swiftish.domain.timestamp import UNITS_PER_SECOND, ZERO, Timestamp

DELETED_TYPE = "application/deleted"
DELETED_ETAG = "noetag"


class ObjectRow(NamedTuple):
    """What a container knows of one object in one storage policy."""

    timestamp: Timestamp  # of the data: size, etag, deleted
    size: int
    etag: str
    deleted: bool
    content_type: str
    content_type_timestamp: Timestamp
    metadata_timestamp: Timestamp

    @classmethod
    def tombstone(cls, timestamp: Timestamp) -> "ObjectRow":
        return cls(timestamp, 0, DELETED_ETAG, True, DELETED_TYPE, timestamp, timestamp)


def merge(a: ObjectRow, b: ObjectRow) -> ObjectRow:
    """The row that knows everything that either knows."""
    data = a if _data(a) >= _data(b) else b
    kind = a if a[5:3:-1] >= b[5:3:-1] else b  # (content_type_timestamp, content_type)
    return ObjectRow(
        data.timestamp,
        data.size,
        data.etag,
        data.deleted,
        kind.content_type,
        kind.content_type_timestamp,
        max(a.metadata_timestamp, b.metadata_timestamp),
    )


def _data(row: ObjectRow) -> tuple[Timestamp, bool, int, str]:
    return row.timestamp, row.deleted, row.size, row.etag


class ContainerRow(NamedTuple):
    """What an account knows of one container."""

    put_timestamp: Timestamp
    delete_timestamp: Timestamp
    objects: int
    bytes: int
    policy_index: int
    reported: Timestamp  # when the container said how many objects and bytes it has

    @property
    def deleted(self) -> bool:
        return self.objects == 0 and self.delete_timestamp > self.put_timestamp


def merge_containers(a: ContainerRow, b: ContainerRow) -> ContainerRow:
    """The row that knows everything that either knows."""
    report = a if _report(a) >= _report(b) else b
    return ContainerRow(
        max(a.put_timestamp, b.put_timestamp),
        max(a.delete_timestamp, b.delete_timestamp),
        report.objects,
        report.bytes,
        report.policy_index,
        report.reported,
    )


def _report(row: ContainerRow) -> tuple[Timestamp, int, int, int]:
    return row.reported, row.objects, row.bytes, row.policy_index


# ---- stored form -----------------------------------------------------------------------------

VERSION = 1
_SHORT = 6  # fields of an object's row whose three timestamps are one, without an offset


class UnknownVersion(ValueError):
    """A row was written by a later version of this program, or is damaged."""


def encode_row(row: ObjectRow, sequence: int) -> bytes:
    """The stored form; `sequence` is the row's place in the change log."""
    moment, kind, meta = row.timestamp, row.content_type_timestamp, row.metadata_timestamp
    fields: list[Any]
    fields = [VERSION, sequence, moment.raw, row.size, _packed_etag(row.etag), row.content_type]
    if moment.offset or kind != moment or meta != moment:
        fields += (moment.offset, kind.raw, kind.offset, meta.raw, meta.offset)
    return packed(fields)


def decode_row(value: bytes, *, deleted: bool) -> tuple[ObjectRow, int]:
    """The row and its place in the change log.  Raises UnknownVersion."""
    fields = unpacked(value)
    _, sequence, raw, size, etag, content_type = fields[:_SHORT]
    if type(etag) is bytes:
        etag = etag.hex()
    if len(fields) == _SHORT:
        moment = kind = meta = Timestamp(raw)
    else:
        offset, kind_raw, kind_offset, meta_raw, meta_offset = fields[_SHORT:]
        moment, kind = Timestamp(raw, offset), Timestamp(kind_raw, kind_offset)
        meta = Timestamp(meta_raw, meta_offset)
    return ObjectRow(moment, size, etag, deleted, content_type, kind, meta), sequence


def object_entry(name: bytes, value: bytes) -> dict[str, str | int]:
    """A listing's entry, straight from a stored row: ten thousand of these make a page."""
    fields = unpacked(value)
    _, _, raw, size, etag, content_type = fields[:_SHORT]
    return {
        "name": name.decode("utf-8", "replace"),
        "hash": etag.hex() if type(etag) is bytes else etag,
        "bytes": size,
        "content_type": content_type,
        "last_modified": iso(fields[9] if len(fields) > _SHORT else raw),
    }


def encode_container(row: ContainerRow, sequence: int) -> bytes:
    """The stored form; `sequence` is the row's place in the change log."""
    put, delete, reported = row.put_timestamp, row.delete_timestamp, row.reported
    moments = (put.raw, put.offset, delete.raw, delete.offset, reported.raw, reported.offset)
    return packed((VERSION, sequence, *moments, row.objects, row.bytes, row.policy_index))


def decode_container(value: bytes) -> tuple[ContainerRow, int]:
    """The row and its place in the change log.  Raises UnknownVersion."""
    _, sequence, *moments, objects, size, policy_index = unpacked(value)
    put, delete, reported = (
        Timestamp(raw, offset) if raw or offset else ZERO
        for raw, offset in zip(moments[::2], moments[1::2], strict=True)
    )
    return ContainerRow(put, delete, objects, size, policy_index, reported), sequence


def packed(value: object) -> bytes:
    """msgpack; text that was not UTF-8 keeps its bytes."""
    data: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    return data


def unpacked(value: bytes) -> list[Any]:
    """The array that `packed` made of one that begins with VERSION.  Raises UnknownVersion."""
    try:
        fields: list[Any] = msgpack.unpackb(
            value, strict_map_key=False, unicode_errors="surrogateescape"
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise UnknownVersion(f"no row: {value[:20]!r}") from error
    if type(fields) is not list or not fields or fields[0] != VERSION:
        raise UnknownVersion(f"no row of version {VERSION}: {value[:20]!r}")
    return fields


def iso(raw: int) -> str:
    """`last_modified` of a moment in timestamp units: UTC, no zone, six digits of fraction."""
    second, fraction = divmod(raw, UNITS_PER_SECOND)
    return f"{_iso_second(second)}{fraction:05d}0"


@lru_cache(maxsize=4096)
def _iso_second(second: int) -> str:
    """Objects of one upload share their seconds, and strftime is the dear part of a row."""
    return Timestamp(second * UNITS_PER_SECOND).iso[:-6]


def _packed_etag(etag: str) -> str | bytes:
    """Half the bytes when it is an MD5 in lower-case hex, as nearly always."""
    if len(etag) == 32:
        try:
            short = bytes.fromhex(etag)
        except ValueError:
            return etag
        if short.hex() == etag:
            return short
    return etag
