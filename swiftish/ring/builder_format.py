"""Builder files: bytes to Builder and back.

A marker that says which version of the format it is, a checksum, and a msgpack map of the builder's
fields.  The two tables are in it as bytes, compressed: first the low bytes of all ids, then the
high ones, which are nearly all alike and so take next to no room and time.

What is read is looked at so closely that no later command can stumble over it: a file may be
damaged, or made by somebody who wants it to be.

Pure.
"""

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from swiftish.domain.checksums import xxh3_64
from swiftish.ring.builder import (
    HOURS_MAX,
    POWER_MAX,
    REPLICAS_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Builder,
)
from swiftish.ring.device import ID_MAX, Device
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.table import NOWHERE, Table

MARKER = b"SRB\x01"  # a Swiftish ring builder, version 1 of its format
_KIND = MARKER[:-1]
_CHECKSUM = struct.Struct(">Q")
_HEAD_BYTES = len(MARKER) + _CHECKSUM.size

PICKLE = b"\x80"  # how a pickle of protocol 2 begins, and so a builder of Swift's
DEFLATE_RATIO_MAX = 1032  # nothing deflates better
COUNT_MAX = 2**62
ROWS_MAX = REPLICAS_MAX + 1
TABLE_ID_MAX = 2**31 - 1  # of a device with partitions: a table has signed numbers of four bytes
NOWHERE_OF = {2: 0xFFFF, 4: 0xFFFFFFFF}  # by the bytes of an id

# Of `Device`, in the order in which they are stored.
_DEVICE_FIELDS: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "device": (str,),
    "ip": (str,),
    "port": (int,),
    "region": (int,),
    "zone": (int,),
    "weight": (int, float),
    "meta": (str,),
    "replication_ip": (str,),
    "replication_port": (int,),
}
assert list(_DEVICE_FIELDS) == [each.name for each in fields(Device)]


def encode_builder(builder: Builder) -> bytes:
    """The file's bytes; equal builders give equal bytes.

    Raises RingError for a builder that could not be read again.
    """
    check(builder)
    table, hours = builder.assignment, builder.moved_hours_ago
    document = {
        "power": builder.power,
        "replicas": builder.replicas,
        "min_part_hours": builder.min_part_hours,
        "next_power": builder.next_power,
        "overload": builder.overload,
        "version": builder.version,
        "id": builder.id,
        "hash_id": builder.hash_id,
        "devices": [
            None if device is None else [getattr(device, name) for name in _DEVICE_FIELDS]
            for device in builder.devices
        ],
        "removed": sorted(builder.removed),
        "devices_changed": builder.devices_changed,
        "table": None if table is None else _packed_table(table),
        "moved_hours_ago": None if hours is None else _packed(hours.tobytes()),
        "moved_epoch": builder.moved_epoch,
        "dispersion": builder.dispersion,
    }
    try:
        payload: bytes = msgpack.packb(document)
    except (UnicodeEncodeError, OverflowError) as error:
        raise RingError(f"the builder has something that can't be stored: {error}") from None
    return MARKER + _CHECKSUM.pack(xxh3_64(payload)) + payload


def decode_builder(data: bytes) -> Builder:
    """Read a builder.  Raises BadBuilder for anything that is not whole and consistent."""
    found = _document(_payload(data))
    power, table, hours = found["power"], found["table"], found["moved_hours_ago"]
    if not 0 <= power <= POWER_MAX:
        raise BadBuilder(f"the builder's partition power is {power}")
    builder = Builder(
        power=power,
        replicas=found["replicas"],
        min_part_hours=found["min_part_hours"],
        next_power=found["next_power"],
        overload=found["overload"],
        version=found["version"],
        id=found["id"],
        hash_id=found["hash_id"],
        devices=_devices(found["devices"]),
        removed=_whole_numbers(found["removed"]),
        devices_changed=found["devices_changed"],
        assignment=None if table is None else _unpacked_table(table, partitions=1 << power),
        moved_hours_ago=None if hours is None else _unpacked(hours, length=1 << power),
        moved_epoch=found["moved_epoch"],
        dispersion=found["dispersion"],
    )
    check(builder)
    return builder


def check(builder: Builder) -> None:
    """Raises BadBuilder unless all fields, which are of the right type, fit together."""
    if not 0 <= builder.power <= POWER_MAX:
        raise BadBuilder(f"the builder's partition power is {builder.power}")
    following = builder.power if builder.next_power is None else builder.next_power
    if not builder.power <= following <= min(builder.power + 1, POWER_MAX):
        raise BadBuilder(f"the builder's next partition power is {builder.next_power}")
    if not 1 <= builder.replicas <= REPLICAS_MAX:
        raise BadBuilder(f"the builder's number of replicas is {builder.replicas}")
    if not 0 <= builder.min_part_hours <= HOURS_MAX:
        raise BadBuilder(f"the builder's min_part_hours is {builder.min_part_hours}")
    if not 0 <= builder.version <= COUNT_MAX:
        raise BadBuilder(f"the builder's version is {builder.version}")
    if not (math.isfinite(builder.overload) and builder.overload >= 0):
        raise BadBuilder(f"the builder's overload is {builder.overload}")
    if builder.dispersion is not None and not math.isfinite(builder.dispersion):
        raise BadBuilder(f"the builder's dispersion is {builder.dispersion}")
    _check_devices(builder)
    if (builder.assignment is None) != (builder.moved_hours_ago is None):
        raise BadBuilder("the builder says which device has what or when it moved, but not both")
    if builder.assignment is not None and builder.moved_hours_ago is not None:
        _check_table(builder.assignment, builder)
        if builder.moved_hours_ago.shape != (builder.partitions,):
            raise BadBuilder("the builder's list of when partitions moved has another length")


def _check_devices(builder: Builder) -> None:
    for place, device in enumerate(builder.devices):
        if device is None:
            continue
        if device.id != place or place > ID_MAX:
            raise BadBuilder(f"the builder's device {place} says that it is device {device.id}")
        if device.weight != 0 and not WEIGHT_MIN <= device.weight <= WEIGHT_MAX:
            raise BadBuilder(f"the builder's device {place} has a weight of {device.weight}")
    for number in builder.removed:
        if not 0 <= number < len(builder.devices) or builder.devices[number] is None:
            raise BadBuilder(f"the builder removes device {number}, which is not there")


def _check_table(table: Table, builder: Builder) -> None:
    rows, partitions = table.shape
    if partitions != builder.partitions or not 1 <= rows <= ROWS_MAX:
        raise BadBuilder("the builder's table of partitions has another size than it says")
    there = np.array([*(d is not None for d in builder.devices), True], np.bool_)
    if int(table.min()) < NOWHERE or int(table.max()) >= len(builder.devices):
        raise BadBuilder(f"the builder's table names device {int(table.max())}, which is not there")
    for row in table:
        found = there[row]  # NOWHERE is the last entry
        if not found.all():
            missing = int(row[int(found.argmin())])
            raise BadBuilder(f"the builder's table names device {missing}, which is not there")


# ---- the parts ---------------------------------------------------------------------------------


def _payload(data: bytes) -> bytes:
    if data[: len(MARKER)] != MARKER:
        if data.startswith(PICKLE):
            raise BadBuilder(
                "it is a builder of Swift's; `swiftish ring NEW import FILE` makes a new builder "
                "of it"
            )
        if data.startswith(_KIND) and len(data) > len(_KIND):
            raise BadBuilder(f"version {data[len(_KIND)]} of the builder format can't be read")
        raise BadBuilder("it is not a builder, or it is truncated")
    payload = data[_HEAD_BYTES:]
    if data[len(MARKER) : _HEAD_BYTES] != _CHECKSUM.pack(xxh3_64(payload)):
        raise BadBuilder("the builder is damaged or truncated: its checksum is another")
    return payload


_NOTHING = type(None)
_KINDS: dict[str, tuple[type, ...]] = {
    "power": (int,),
    "replicas": (int, float),
    "min_part_hours": (int,),
    "next_power": (int, _NOTHING),
    "overload": (int, float),
    "version": (int,),
    "id": (str,),
    "hash_id": (str,),
    "devices": (list,),
    "removed": (list,),
    "devices_changed": (bool,),
    "table": (list, _NOTHING),
    "moved_hours_ago": (bytes, _NOTHING),
    "moved_epoch": (int,),
    "dispersion": (int, float, _NOTHING),
}


def _document(payload: bytes) -> Mapping[str, Any]:
    try:
        found = msgpack.unpackb(payload)
    except (ValueError, TypeError, msgpack.UnpackException):
        raise BadBuilder("the builder can't be read") from None
    if not isinstance(found, dict):
        raise BadBuilder("the builder can't be read: it is no map")
    for key, kinds in _KINDS.items():
        if type(found.get(key, ...)) not in kinds:
            raise BadBuilder(f"the builder's {key} is missing, or of the wrong kind")
    return found


def _whole_numbers(found: Sequence[object]) -> set[int]:
    numbers = {each for each in found if type(each) is int}
    if len(numbers) != len(found):
        raise BadBuilder("the builder's list of devices to remove is not what it must be")
    return numbers


def _devices(found: list[Any]) -> list[Device | None]:
    """By id.  What a field may be is checked for all devices at once."""
    there = [each for each in found if each is not None]
    if not all(isinstance(each, list) and len(each) == len(_DEVICE_FIELDS) for each in there):
        raise BadBuilder("the builder has a device that is not described as it must be")
    for (name, kinds), values in zip(
        _DEVICE_FIELDS.items(), zip(*there, strict=True), strict=False
    ):
        if not set(map(type, values)) <= set(kinds):
            wrong = next(value for value in values if type(value) not in kinds)
            raise BadBuilder(f"the builder has a device whose {name} is {wrong!r}")
    names = tuple(_DEVICE_FIELDS)
    return [
        None if each is None else Device(**dict(zip(names, each, strict=True))) for each in found
    ]


def _packed_table(table: Table) -> list[object]:
    """[rows, bytes of an id, the ids as they are].  NOWHERE is the highest number.

    To compress ids in no order takes longer than all the rest, and saves a third.
    """
    width = 2 if int(table.max(initial=0)) < NOWHERE_OF[2] else 4
    return [len(table), width, table.astype(f"<u{width}").tobytes()]


def _unpacked_table(found: list[Any], *, partitions: int) -> Table:
    if [type(each) for each in found] != [int, int, bytes]:
        raise BadBuilder("the builder's table is not what it must be")
    rows, width, data = found
    if not 0 < rows <= ROWS_MAX or width not in NOWHERE_OF:
        raise BadBuilder("the builder's table has a size that can't be")
    if len(data) != rows * partitions * width:
        raise BadBuilder("the builder's tables have another size than it says")
    ids = np.frombuffer(data, f"<u{width}").reshape(rows, partitions)
    nowhere = ids == NOWHERE_OF[width]
    if int(np.where(nowhere, 0, ids).max()) > TABLE_ID_MAX:
        raise BadBuilder("the builder's table names a device that is not there")
    table = ids.astype(np.int32)
    table[nowhere] = NOWHERE
    return table


def _packed(plain: bytes) -> bytes:
    """As rings are: what is in no order has no repeats to look for, but runs."""
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return deflate.compress(plain) + deflate.flush()


def _unpacked(packed: bytes, *, length: int) -> npt.NDArray[np.uint8]:
    """So many bytes, as numbers that may be changed."""
    wrong = BadBuilder("the builder's tables have another size than it says")
    if length > (len(packed) + 1) * DEFLATE_RATIO_MAX:
        raise wrong
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(packed, length + 1)
    except zlib.error:
        raise BadBuilder("the builder's tables can't be uncompressed") from None
    if len(plain) != length or not inflate.eof or inflate.unused_data:
        raise wrong
    return np.frombuffer(plain, np.uint8).copy()
