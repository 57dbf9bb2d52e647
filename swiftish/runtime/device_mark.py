"""The mark of a device: a small file that says which cluster's device this is, and which one.

A device is a folder, and when its disk is not mounted the folder is still there: what is written to
it then fills the root file system (T33).  Nor does a folder tell whose disk is mounted (T103).  So
each device has a mark, made when the device is first used, and nothing is written where it is not
found.

A folder without a mark is taken for a new device, and gets one, when that can be no mistake: it is
a mount point, or it holds data already.  An empty folder that is no mount point is a disk that is
not mounted, for all that can be known; whoever means it marks it (runtime/device_check.py).

Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass

import orjson

MARK = ".swiftish-device"
_FORMAT = "swiftish device 1"

# What a device has that was in use before there were marks.
_DATA = ("objects", "accounts.mdb", "containers.mdb", "index.mdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`cluster` names the hash prefix and suffix (ring/hash_id.py); `device` is its name here."""

    cluster: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look at a device's folder shows; `mark` is what is in the mark."""

    is_mount: bool
    names: Collection[str]
    mark: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`trouble`: why the device must not be used.  `adopt`: it is new, and is to be marked.
    `id`: the disk, where it is known."""

    trouble: str | None = None
    adopt: bool = False
    id: str = ""


def encode(identity: Identity, disk_id: str) -> bytes:
    """A line of JSON, which people can read too."""
    fields = {
        "format": _FORMAT,
        "cluster": identity.cluster,
        "device": identity.device,
        "id": disk_id,
    }
    return orjson.dumps(fields) + b"\n"


def judge(seen: Seen, expected: Identity, *, mount_check: bool, known_id: str = "") -> Verdict:
    """Whether this is the device that it should be.

    With `mount_check` it must be a mount point.  `known_id` is the disk that was there before: a
    folder that has lost its mark since is not the same any more, whatever is in it.
    """
    if mount_check and not seen.is_mount:
        return Verdict(trouble="it is not mounted")
    if seen.mark is None:
        has_data = any(name.startswith(_DATA) for name in seen.names)
        if seen.is_mount or (has_data and not known_id):
            return Verdict(adopt=True)
        return Verdict(trouble=f"it is not mounted, or has lost its mark ({MARK})")
    try:
        fields = orjson.loads(seen.mark)
        found = Identity(cluster=fields["cluster"], device=fields["device"])
        form, disk_id = fields["format"], str(fields["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Verdict(trouble=f"its mark ({MARK}) cannot be read")
    if form != _FORMAT:
        return Verdict(trouble=f"its mark ({MARK}) is of another version: {form!r:.40}")
    if found.cluster != expected.cluster:
        return Verdict(trouble=f"it belongs to another cluster ({found.cluster!r:.40})")
    if found.device != expected.device:
        return Verdict(trouble=f"it is the device {found.device!r:.40}")
    return Verdict(id=disk_id)
