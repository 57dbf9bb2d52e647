"""The files of a running server, seen and spoilt from outside.

<data>/devices/<device>/objects/<partition>/<suffix>/<hash>/<timestamp>.data
<data>/devices/<device>/quarantined/objects/<hash>…/<timestamp>.data
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.functional.server import until

# Every name that may stand in a hash folder.
OBJECT_FILE = re.compile(
    r"\d{10}\.\d{5}(_[0-9a-f]{16})?((#\d+(#d)?)?\.data|([+-][0-9a-f]+)?\.meta|\.ts)"
)


def hash_folder_files(data: Path, suffix: str = "") -> set[Path]:
    """All that is in hash folders, or what ends like `.data`."""
    return set(data.glob(f"devices/*/objects*/*/*/*/*{suffix}"))


def data_files(data: Path) -> set[Path]:
    return hash_folder_files(data, ".data")


def temporary_files(data: Path) -> list[Path]:
    """Files of uploads that are under way, or were left behind: where they would be."""
    strange = [p for p in hash_folder_files(data) if not OBJECT_FILE.fullmatch(p.name)]
    return [*strange, *(p for p in data.glob("devices/*/tmp/**/*") if p.is_file())]


def quarantined(data: Path, path: Path) -> bool:
    """Whether an object's file has gone to the quarantine of its device."""
    device = path.parents[4]
    assert device.parent == data / "devices"
    return not path.exists() and any(
        found.is_dir() for found in device.glob(f"quarantined/objects*/{path.parent.name}*")
    )


def wait_for_new(data: Path, before: set[Path], count: int) -> list[Path]:
    """The data files that were not there before, once there are as many as there are replicas."""
    until(lambda: len(data_files(data) - before) >= count, what=f"{count} new files")
    return sorted(data_files(data) - before)


# ---- spoiling them ----------------------------------------------------------------------------


def flip_byte(path: Path, offset: int, bit: int = 0) -> None:
    """Turn over one bit of a file's content; the file keeps its times, as on a rotten disk."""
    times = path.stat()
    descriptor = os.open(path, os.O_RDWR)
    try:
        (old,) = os.pread(descriptor, 1, offset)
        os.pwrite(descriptor, bytes([old ^ (1 << bit)]), offset)
    finally:
        os.close(descriptor)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def attributes(path: Path) -> dict[str, bytes]:
    """The user attributes of a file."""
    names = [name for name in os.listxattr(path) if name.startswith("user.")]
    return {name: os.getxattr(path, name) for name in names}


def set_attributes(path: Path, values: dict[str, bytes]) -> None:
    """Exactly these, and no others."""
    for name in attributes(path):
        if name not in values:
            os.removexattr(path, name)
    for name, value in values.items():
        os.setxattr(path, name, value)


def flip_attribute(path: Path, name: str, offset: int, bit: int = 0) -> None:
    value = bytearray(os.getxattr(path, name))
    value[offset] ^= 1 << bit
    os.setxattr(path, name, bytes(value))


def swap(one: Path, other: Path) -> None:
    """Each file under the other's name, as a disk writes that mixes up two addresses."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
