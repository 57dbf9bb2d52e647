"""Ring files: bytes to Ring and back, in Swift's `.ring.gz` version 1 (reference 2.10).

Pure.
"""

import gzip
import json
import struct
import sys
import zlib
from array import array

from swiftish.ring.device import Device
from swiftish.ring.ring import Ring

_MAGIC = b"R1NG"
_HEAD = struct.Struct(">4sHI")
_MTIME = 1300507380  # what Swift stamps into the gzip header, so that equal rings are equal files


class BadRing(ValueError):
    """The bytes are not a ring that can be used; the message says why."""


def encode(ring: Ring) -> bytes:
    """The file's bytes; equal rings give equal bytes."""
    document = {
        "byteorder": "little",
        "devs": [None if d is None else _device_to_json(d) for d in ring.devices],
        "part_shift": 32 - ring.power,
        "replica_count": len(ring.rows),
        "version": ring.version,
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=True).encode()
    rows = b"".join(_little(row).tobytes() for row in ring.rows)
    return gzip.compress(_HEAD.pack(_MAGIC, 1, len(text)) + text + rows, mtime=_MTIME)


def decode(data: bytes) -> Ring:
    """Read a ring.  Raises BadRing for anything that is not a whole version 1 ring."""
    try:
        plain = gzip.decompress(data)
        magic, version, size = _HEAD.unpack_from(plain)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadRing(f"truncated or not a ring: {error}") from None
    if magic != _MAGIC:
        raise BadRing("not a ring: the magic number is missing")
    if version != 1:
        raise BadRing(f"ring format version {version} can't be read, only 1")
    try:
        document = json.loads(plain[_HEAD.size : _HEAD.size + size])
        power = 32 - int(document["part_shift"])
        devices = [None if d is None else _device_from_json(d) for d in document["devs"]]
        swap = document.get("byteorder", "little") != sys.byteorder
        rows_wanted = int(document["replica_count"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRing(f"the ring's description can't be read: {error}") from None
    rows = _rows(plain[_HEAD.size + size :], power=power, count=rows_wanted, swap=swap)
    for row in rows:
        if any(i >= len(devices) for i in set(row)):
            raise BadRing("the ring names a device that it does not describe")
    return Ring(devices=devices, rows=rows, power=power, version=int(document.get("version") or 0))


def _rows(data: bytes, *, power: int, count: int, swap: bool) -> list["array[int]"]:
    row_bytes = 2 << max(power, 0)
    fits = (count - 1) * row_bytes < len(data) <= count * row_bytes
    if not 0 <= power <= 32 or len(data) % 2 or not fits:
        raise BadRing("the ring is truncated: its table of partitions has the wrong size")
    rows = []
    for start in range(0, len(data), row_bytes):
        row = array("H", data[start : start + row_bytes])
        if swap:
            row.byteswap()
        rows.append(row)
    return rows


def _little(row: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        return row
    swapped = array("H", row)
    swapped.byteswap()
    return swapped


def _device_to_json(device: Device) -> dict[str, object]:
    return {
        "id": device.id,
        "region": device.region,
        "zone": device.zone,
        "ip": device.ip,
        "port": device.port,
        "device": device.device,
        "weight": device.weight,
        "meta": device.meta,
        "replication_ip": device.replication_ip or device.ip,
        "replication_port": device.replication_port or device.port,
    }


def _device_from_json(found: dict[str, object]) -> Device:
    known = {
        "id": int(str(found["id"])),
        "region": int(str(found.get("region", 1))),
        "zone": int(str(found["zone"])),
        "port": int(str(found["port"])),
        "replication_port": int(str(found.get("replication_port") or found["port"])),
    }
    return Device(
        **known,
        device=str(found["device"]),
        ip=str(found["ip"]),
        weight=float(str(found["weight"])),
        meta=str(found.get("meta", "")),
        replication_ip=str(found.get("replication_ip") or found["ip"]),
    )
