"""Ring files: bytes to Ring and back, in both versions of Swift's `.ring.gz` (reference 2.10).

Version 1 is a description in JSON and the rows of the table, ids in two bytes each.  Version 2 has
these in sections with checksums (ring/sections.py), and ids of two or four bytes.  Swift reads what
is written here and the other way round; what only we know is a key that Swift does not look at.

Pure.
"""

import json
import math
import struct
import sys
from array import array
from collections import deque
from collections.abc import Mapping

import numpy as np
import orjson

from swiftish.ring.device import Device, from_document, to_document
from swiftish.ring.errors import BadRing, RingError
from swiftish.ring.ring import Ring
from swiftish.ring.sections import Sections, Stream, Writer, check_possible, head

VERSIONS = (1, 2)
HASH_ID_KEY = "swiftish_hash_id"

DESCRIPTION = "swift/ring/metadata"
DEVICES = "swift/ring/devices"
TABLE = "swift/ring/assignments"

DOCUMENT_BYTES_MAX = 2**29  # a million devices with long notes
DESCRIPTION_BYTES_MAX = 2**16
POWER_MAX = 32
REPLICAS_MAX = 2**16  # far more than there are
SHORT_ID_MAX = 0xFFFE  # in two bytes; the last value says "no device"

_LENGTH_1 = struct.Struct(">I")
_HEAD_BYTES_1 = 6
_CODES = {2: "H", 4: "I"}


def encode(ring: Ring, *, version: int = 1) -> bytes:
    """The file's bytes; the same ring gives the same bytes.

    Raises RingError when there is no such version, or an id is too high for version 1.
    """
    if version not in VERSIONS:
        raise RingError(f"there is no version {version} of the ring format, only 1 and 2")
    highest = max(int(np.frombuffer(row, f"u{row.itemsize}").max()) for row in ring.rows)
    if version == 1 and highest > SHORT_ID_MAX:
        raise RingError(
            f"device {highest} has partitions, and version 1 of the ring format knows ids only up "
            f"to {SHORT_ID_MAX}: version 2 is needed"
        )
    devices = [None if d is None else to_document(d) for d in ring.devices]
    description: dict[str, object] = {"part_shift": 32 - ring.power, "version": ring.version}
    if ring.next_power is not None:
        description["next_part_power"] = ring.next_power
    if ring.hash_id:
        description[HASH_ID_KEY] = ring.hash_id
    writer = Writer(version)
    if version == 1:
        description |= {"byteorder": "little", "devs": devices, "replica_count": len(ring.rows)}
        text = _text(description)
        writer.write(_LENGTH_1.pack(len(text)) + text)
        for row in ring.rows:
            writer.write(_bytes_of(row, "<u2"))
    else:
        id_bytes = max(row.itemsize for row in ring.rows)
        replicas = len(ring.rows) - 1 + len(ring.rows[-1]) / ring.partitions
        description |= {"dev_id_bytes": id_bytes, "replica_count": replicas}
        writer.section(DESCRIPTION, _text(description))
        writer.section(DEVICES, _text(devices))
        writer.section(TABLE, b"".join(_bytes_of(row, f">u{id_bytes}") for row in ring.rows))
    return writer.finish()


def decode(data: bytes) -> Ring:
    """Read a ring, of version 1 or 2.  Raises BadRing for anything that is not whole and sound."""
    version = head(data)
    if version not in VERSIONS:
        raise BadRing(f"ring format version {version} can't be read, only 1 and 2")
    description, devices, rows = (_read_1 if version == 1 else _read_2)(data)
    power = _power(description)
    next_power = _next_power(description)
    hash_id = description.get(HASH_ID_KEY, "")
    if not isinstance(hash_id, str):
        raise BadRing(f"the ring's {HASH_ID_KEY} is not a text")
    try:
        return Ring(
            devices=_devices(devices),
            rows=rows,
            power=power,
            version=_whole(description, "version", default=0),
            next_power=next_power,
            hash_id=hash_id,
        )
    except BadRing:
        raise
    except RingError as error:
        raise BadRing(str(error)) from None


# ---- the two versions --------------------------------------------------------------------------


def _read_1(data: bytes) -> "tuple[Mapping[str, object], object, list[array[int]]]":
    stream = Stream(data)
    stream.take(_HEAD_BYTES_1)
    (size,) = _LENGTH_1.unpack(stream.take(_LENGTH_1.size))
    if size > DOCUMENT_BYTES_MAX:
        raise BadRing("the ring's description is too long")
    description = _description(stream.take(size))
    order = description.get("byteorder", sys.byteorder)
    if order not in ("little", "big"):
        raise BadRing(f"the ring's byte order is {order!r}, neither little nor big")
    row_bytes = 2 << _power(description)
    count = _whole(description, "replica_count")
    check_possible(count * row_bytes - row_bytes, len(data))
    swap = order != sys.byteorder
    rows = [_row(stream.take_up_to(row_bytes), code="H", swap=swap) for _ in range(count)]
    stream.end()
    _check_rows(rows, row_bytes=row_bytes)
    return description, description.get("devs"), rows


def _read_2(data: bytes) -> "tuple[Mapping[str, object], object, list[array[int]]]":
    sections = Sections(data)
    if sections.length(DESCRIPTION) > DESCRIPTION_BYTES_MAX:
        raise BadRing("the ring's description is too long")
    description = _description(sections.read(DESCRIPTION))
    id_bytes = _whole(description, "dev_id_bytes", default=2)
    if id_bytes not in _CODES:
        raise BadRing(f"the ring's device ids have {id_bytes} bytes, neither 2 nor 4")
    replicas = description.get("replica_count")
    if not isinstance(replicas, int | float) or not 0 <= replicas <= REPLICAS_MAX:
        raise BadRing(f"the ring's replica_count is {replicas!r}")
    partitions = 1 << _power(description)
    if sections.length(TABLE) != round(replicas * partitions) * id_bytes:
        raise BadRing("the ring's table of partitions has another length than it says")
    if sections.length(DEVICES) > DOCUMENT_BYTES_MAX:
        raise BadRing("the ring's list of devices is too long")
    devices, rows = b"", []
    steps = {TABLE: id_bytes * partitions, DEVICES: DOCUMENT_BYTES_MAX}
    for name, piece in sections.read_all(steps):
        if name == TABLE:
            rows.append(_row(piece, code=_CODES[id_bytes], swap=sys.byteorder != "big"))
        else:
            devices = piece
    _check_rows(rows, row_bytes=id_bytes * partitions)
    return description, _json(devices), rows


def _row(piece: bytes, *, code: str, swap: bool) -> "array[int]":
    row = array(code)
    if len(piece) % row.itemsize:
        raise BadRing("the ring's table of partitions ends within a number")
    row.frombytes(piece)
    if swap:
        row.byteswap()
    return row


def _check_rows(rows: "list[array[int]]", *, row_bytes: int) -> None:
    """Whole rows, the last of which may be shorter."""
    lengths = [len(row) * row.itemsize for row in rows]
    if not rows or any(length != row_bytes for length in (lengths[0], *lengths[:-1])):
        raise BadRing("the ring's table of partitions is truncated: it has not one whole replica")
    if not lengths[-1]:
        raise BadRing("the ring's table of partitions is shorter than it says")


def _bytes_of(row: "array[int]", layout: str) -> bytes:
    return np.frombuffer(row, f"u{row.itemsize}").astype(layout).tobytes()


# ---- the description ---------------------------------------------------------------------------


def _text(value: object) -> bytes:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RingError("the ring has a device with a name or note that is no text") from None
    return json.dumps(value, sort_keys=True, ensure_ascii=True).encode()


def _json(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise BadRing(f"the ring's description can't be read: {error}") from None


def _description(text: bytes) -> Mapping[str, object]:
    found = _json(text)
    if not isinstance(found, dict):
        raise BadRing("the ring's description is not what it must be")
    return found


def _power(description: Mapping[str, object]) -> int:
    shift = _whole(description, "part_shift")
    if shift > POWER_MAX:
        raise BadRing(f"the ring's part_shift is {shift}, above {POWER_MAX}")
    return 32 - shift


def _next_power(description: Mapping[str, object]) -> int | None:
    if description.get("next_part_power") is None:
        return None
    power, following = _power(description), _whole(description, "next_part_power")
    if not power <= following <= power + 1:
        raise BadRing(f"the ring's next partition power is {following} after {power}")
    return following


def _whole(description: Mapping[str, object], key: str, *, default: int | None = None) -> int:
    value = description.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRing(f"the ring's {key} is {value!r}, and must be a whole number")
    return value


def _devices(documents: object) -> tuple[Device | None, ...]:
    if not isinstance(documents, list):
        raise BadRing("the ring has no list of devices")
    there = [each for each in documents if each is not None]
    if not all(isinstance(each, dict) for each in there):
        raise BadRing("the ring has a device that is not described")
    made = iter(_usual_devices(there) or [from_document(each) for each in there])
    devices = tuple(None if each is None else next(made) for each in documents)
    for place, device in enumerate(devices):
        if device is not None and device.id != place:
            raise BadRing(f"the ring's device {place} says that it is device {device.id}")
    return devices


_KINDS = (int, str, str, int, int, int, float, str, str, int)  # of Device's fields
_PUTS = [getattr(Device, name).__set__ for name in Device.__dataclass_fields__]
assert len(_KINDS) == len(_PUTS)


def _usual_devices(documents: list[dict[str, object]]) -> list[Device] | None:
    """As `from_document` of each, or None where something is missing or of an unusual kind.

    It goes field by field instead of device by device, past the constructor: in a ring of a
    thousand devices, this is a fifth of the time of loading.
    """
    devices = [object.__new__(Device) for _ in documents]
    for name, kind, put in zip(Device.__dataclass_fields__, _KINDS, _PUTS, strict=True):
        values = [document.get(name) for document in documents]
        if any(type(value) is not kind for value in values):
            return None
        if name.startswith("replication") and not all(values):
            return None
        deque(map(put, devices, values), maxlen=0)
    sound = all(device.id >= 0 and 0 <= device.weight < math.inf for device in devices)
    return devices if sound else None
