"""A digest of each suffix of a partition: replicas whose digests are the same hold the same files.
Blocking.

Theory of operation.  A digest covers the files that count in each hash folder (object/hashdir.py),
their names and their checks (object/exchange/protocol.py).  It leaves out what is obsolete, and
tombstones and metadata without an object that are older than the reclaim age: replicas that have
reclaimed them already would differ from the others for ever.

To list 10,000 hash folders takes 140 ms when all of it is in memory, and three reads of the disk
for each when it is not; to look at the dates of the folders instead still takes 75 ms, and one
read.  So whatever changes a hash folder dates its suffix's and its partition's folders as well
(object/disk.py, `date`: two system calls of 2 microseconds, no sync of their own).  A partition
with the date that it had is not looked at (10,000 objects in 256 partitions: 0.2 ms); in another
one only suffixes with other dates are listed.  Two things are missed: what a person removes from a
hash folder, and what a process wrote that was killed between two system calls.  So every few
passes the replicator asks for digests that are made afresh (`thorough`).  Nothing is ever removed
because of a digest: they only spare questions.

A date is trusted once the kernel's clock is well past it: what changes within a tick of the clock
may get the same date.

The digests are kept in the device's index (object/index.py), where all processes of the node find
them, also after a restart.  They can be made again, so they are written sparingly: not those of a
partition that is being written to, unless much has changed.
"""

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from swiftish.domain.checksums import xxh3_64
from swiftish.domain.timestamp import Timestamp
from swiftish.object.disk import Disk
from swiftish.object.hashdir import reclaimable
from swiftish.object.index import SUFFIXES
from swiftish.object.partitions import CHECK_BYTES, Partition, contents, hashes, suffixes
from swiftish.runtime.environment import EnvironmentTrouble, Reader, Writer
from swiftish.runtime.environments import Environments

log = logging.getLogger(__name__)

TICK_NS = 20_000_000  # more than the kernel's, 10 ms at most
SETTLED_NS = 60_000_000_000  # so long after its last change a partition is at rest
MUCH = 8  # one suffix in so many

_VERSION = 1
_HEAD = struct.Struct(">BBQ")  # the version, the ring's power, the partition's date
_SUFFIX = struct.Struct(">HQQIIB")


@dataclass(frozen=True, slots=True)
class Suffix:
    """`date` 0 is never trusted.  At `changes_at` (0: never) a file in it reaches the reclaim age;
    `aged` says that one has, or that a folder is empty.  `objects`: the hash folders in which
    something counts; when there is none, the digest is 0."""

    date: int
    digest: int
    objects: int
    changes_at: int
    aged: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The suffixes of a partition, and the date that its folder had before they were looked at."""

    date: int
    suffixes: Mapping[str, Suffix] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, int]:
        return {name: suffix.digest for name, suffix in self.suffixes.items() if suffix.digest}

    @property
    def objects(self) -> int:
        return sum(suffix.objects for suffix in self.suffixes.values())

    @property
    def aged(self) -> list[str]:
        """Suffixes in which there may be something to reclaim."""
        return [name for name, suffix in self.suffixes.items() if suffix.aged]


NOTHING = Summary(0)


def summarize(
    disk: Disk, index: Environments, partition: Partition, *, now: float, thorough: bool = False
) -> Summary:
    """The digests of a partition at `now`, from the index as far as that is up to date.

    Raises OSError.
    """
    settled = disk.files.stamp_ns() - TICK_NS
    try:
        date = disk.files.stat(disk.path(partition.folder)).st_mtime_ns
    except FileNotFoundError:
        return NOTHING
    known = NOTHING if thorough else _load(disk, index, partition)
    if known.date == date and not any(_is_over(each, now) for each in known.suffixes.values()):
        return known
    made: dict[str, Suffix] = {}
    fresh = 0
    for name in suffixes(disk, partition):
        try:
            suffix_date = disk.files.stat(disk.path(f"{partition.folder}/{name}")).st_mtime_ns
        except FileNotFoundError:
            continue
        suffix = known.suffixes.get(name)
        if suffix is None or suffix.date != suffix_date or _is_over(suffix, now):
            trusted = suffix_date if suffix_date < settled else 0
            suffix = _look(disk, partition, name, date=trusted, now=now)
            fresh += 1
        made[name] = suffix
    is_trusted = date < settled and all(suffix.date for suffix in made.values())
    summary = Summary(date if is_trusted else 0, made)
    if fresh * MUCH >= len(made) or date < settled - SETTLED_NS:
        _store(disk, index, partition, summary)
    return summary


def _is_over(suffix: Suffix, now: float) -> bool:
    return 0 < suffix.changes_at <= now


def _look(disk: Disk, partition: Partition, name: str, *, date: int, now: float) -> Suffix:
    reclaim_age_s = disk.settings.reclaim_age_s
    before = Timestamp.from_seconds(max(0.0, now - reclaim_age_s))
    says: list[bytes] = []
    objects = 0
    changes: list[float] = []
    aged = False
    for digest in hashes(disk, partition, name):
        found = contents(disk, partition, digest)
        old = reclaimable(found.state, before=before)
        aged = aged or bool(old) or not found.files
        fresh = sorted((text, check) for text, check in found.files.items() if text not in old)
        if not fresh:
            continue
        objects += 1
        says.append(bytes.fromhex(digest))
        says += [text.encode() + check.to_bytes(CHECK_BYTES, "big") for text, check in fresh]
        if found.state.data is None:
            changes += [
                file.timestamp.seconds + reclaim_age_s
                for file in found.state.winners
                if file.text not in old
            ]
    digest_of_all = xxh3_64(b"".join(says)) if says else 0
    return Suffix(date, digest_of_all, objects, int(min(changes, default=-1.0)) + 1, aged)


# ---- in the index ----------------------------------------------------------------------------


def _key(partition: Partition) -> bytes:
    return f"{partition.datadir}/".encode() + partition.number.to_bytes(4, "big")


def _load(disk: Disk, index: Environments, partition: Partition) -> Summary:
    def work(reader: Reader) -> bytes | None:
        return reader.get(SUFFIXES, _key(partition))

    try:
        data = index.read_blocking(disk.device, work)
    except EnvironmentTrouble as error:
        _complain(disk, error)
        return NOTHING
    if data is None or data[:2] != bytes((_VERSION, partition.power)):
        return NOTHING
    _, _, partition_date = _HEAD.unpack_from(data)
    entries = _SUFFIX.iter_unpack(data[_HEAD.size :])
    found = {
        f"{name:03x}": Suffix(date, digest, objects, changes_at, bool(aged))
        for name, date, digest, objects, changes_at, aged in entries
    }
    return Summary(partition_date, found)


def _store(disk: Disk, index: Environments, partition: Partition, summary: Summary) -> None:
    data = _HEAD.pack(_VERSION, partition.power, summary.date) + b"".join(
        _SUFFIX.pack(
            *(int(name, 16), each.date, each.digest, each.objects, each.changes_at, each.aged)
        )
        for name, each in summary.suffixes.items()
    )

    def work(writer: Writer) -> None:
        if writer.get(SUFFIXES, _key(partition)) != data:
            writer.require_room()
            writer.put(SUFFIXES, _key(partition), data)

    try:
        index.use_blocking(disk.device, lambda environment: environment.write(work))
    except EnvironmentTrouble as error:
        _complain(disk, error)


def _complain(disk: Disk, error: EnvironmentTrouble) -> None:
    """Digests can be made again."""
    log.warning("digests are not kept", extra={"device": disk.device.name, "reason": str(error)})
