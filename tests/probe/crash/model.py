"""Which states a crash may leave.

Theory of operation.  A crash comes while call n is under way: calls before n have returned, call n
may have had its effect, part of it, or none.  Of the calls before n

- what is *durable* is there after the crash: the contents that a completed fsync, fdatasync or
  syncfs covers, a write through an O_DSYNC descriptor once it has returned, and the names that a
  completed fsync of *their folder* covers (or syncfs);
- every other effect may be there or not, each for itself and in any order.  A write may also be
  there in part, torn at blocks of 512 bytes; bytes that are not there are zeros if the file has
  grown past them, and the file may have grown or not.

In detail, where POSIX leaves room and file systems differ, the strictest reading that XFS, ext4 or
btrfs could need:

- fsync of a file makes its data, size and extended attributes durable, never its name.
  fdatasync leaves the attributes out.
- A folder that was made needs an fsync of its parent: fsync of the new folder itself makes its
  entries durable, but not the way to them.
- Names change independently, also within one folder; of one name the last change that is there
  counts.  A rename is atomic (all journals see to that), and durable with either folder.
- A sector of 512 bytes is written whole or not at all, and a sector that nobody wrote does not
  change.  So a write within one sector is atomic.
- Nothing that was durable is damaged by a later write elsewhere; disks that lie about a flush, and
  bit rot, are other tests' business.

`crash_points` walks the calls and gives, for each moment, the choices that were open; `state_of`
turns one set of choices into a tree of files.  Not every combination is tried: `fates` has all or
nothing, each one alone and all but one, torn writes, and seeded chance for the rest.

Pure, but for the chance that is handed in.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from random import Random
from typing import TypeAlias

from tests.probe.crash.events import (
    Create,
    CreateUnnamed,
    File,
    Link,
    Mark,
    Recording,
    Rename,
    Resize,
    SetAttribute,
    Snapshot,
    Sync,
    SyncAll,
    Unlink,
    Write,
)

SECTOR_BYTES = 512
# How many of the latest calls are dropped or kept alone; older ones were the latest once.
RECENT = 10


class Whole(Enum):
    """An effect that is there as it was meant, or not there at all."""

    KEPT = "kept"
    DROPPED = "DROPPED"


@dataclass(frozen=True, slots=True)
class Torn:
    """Of a write, these sectors (counted from the file's begin); `grown`: the size of all."""

    sectors: frozenset[int]
    grown: bool


Fate: TypeAlias = Whole | Torn
Fates: TypeAlias = Mapping[int, Fate]  # by the number of the call
Effect: TypeAlias = Create | Write | Resize | SetAttribute | Link | Unlink | Rename


@dataclass(slots=True)
class Pending:
    """An effect that waits for a sync, or for an earlier one that does."""

    number: int
    effect: Effect
    durable: bool = False


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One moment: the calls so far, what is open, and what the subject had said by then."""

    number: int  # of the call under way; the length of the recording at its end
    base: Snapshot
    pending: Sequence[Pending]
    marks: Sequence[str]

    @property
    def open(self) -> list[Pending]:
        """What may or may not be there."""
        return [each for each in self.pending if not each.durable]


def crash_points(recording: Recording) -> Iterator[CrashPoint]:
    """Every moment at which something new can be lost, or has just been promised.

    A moment during a sync is the moment after the effect before it, and is left out.
    """
    disk = Disk(recording.before)
    marks: list[str] = []
    for number, event in enumerate(recording.events):
        match event:
            case Sync(file, data_only):
                disk.sync(file, data_only=data_only)
            case SyncAll():
                disk.sync_all()
            case Mark(text):
                marks.append(text)
                yield disk.point(number, marks)
            case CreateUnnamed():
                pass  # nobody will find it
            case _:
                disk.begin(number, event)
                yield disk.point(number, marks)
                disk.end(event)
    yield disk.point(len(recording.events), marks)


def replay(recording: Recording) -> Snapshot:
    """The tree when everything is kept: what the file system shows when nothing crashes."""
    last = list(crash_points(recording))[-1]
    return state_of(last, {each.number: Whole.KEPT for each in last.open})


def state_of(point: CrashPoint, choice: Fates) -> Snapshot:
    """The tree that a crash at this point leaves, when each open effect meets its fate."""
    tree = Tree(point.base)
    for each in point.pending:
        fate = Whole.KEPT if each.durable else choice[each.number]
        if fate is not Whole.DROPPED:
            tree.apply(each.effect, fate)
    return tree.snapshot()


def digest(snapshot: Snapshot, paths: Iterable[tuple[str, int]]) -> bytes:
    """Equal for equal trees."""
    found = hashlib.sha256()
    for path, number in sorted(paths):
        file = snapshot.files.get(number)
        found.update(repr((path, file is None)).encode("utf-8", "surrogateescape"))
        if file is not None:
            found.update(repr((len(file.data), sorted(file.attributes.items()))).encode())
            found.update(file.data)
    return found.digest()


# ---- what is on disk, what is only on its way ------------------------------------------------


class Disk:
    """The durable tree, and the effects since."""

    def __init__(self, before: Snapshot) -> None:
        self._base = Tree(before)
        self._snapshot = before
        self._pending: list[Pending] = []

    def point(self, number: int, marks: Sequence[str]) -> CrashPoint:
        pending = [Pending(each.number, each.effect, each.durable) for each in self._pending]
        return CrashPoint(number, self._snapshot, pending, tuple(marks))

    def begin(self, number: int, effect: Effect) -> None:
        self._pending.append(Pending(number, effect))

    def end(self, effect: Effect) -> None:
        """The call has returned."""
        if isinstance(effect, Write) and effect.synced:
            self._pending[-1].durable = True
            self._settle()

    def sync(self, file: int, *, data_only: bool) -> None:
        for each in self._pending:
            if _covers(file, each.effect, data_only=data_only):
                each.durable = True
        self._settle()

    def sync_all(self) -> None:
        for each in self._pending:
            each.durable = True
        self._settle()

    def _settle(self) -> None:
        """Move into the base what is durable and has nothing open before it in its place."""
        left: list[Pending] = []
        occupied: set[object] = set()
        for each in self._pending:
            places = _places(each.effect)
            if each.durable and not places & occupied:
                self._base.apply(each.effect, Whole.KEPT)
            else:
                left.append(each)
                occupied |= places
        self._pending = left
        self._snapshot = self._base.snapshot()


def _covers(synced: int, effect: Effect, *, data_only: bool) -> bool:
    """Whether a sync of the file or folder `synced` makes the effect durable."""
    match effect:
        case Write(file) | Resize(file):
            return file == synced
        case SetAttribute(file):
            return file == synced and not data_only
        case Create(_, folder) | Link(_, folder) | Unlink(_, folder):
            return folder == synced
        case Rename(_, folder, _, new_folder, _):
            return synced in {folder, new_folder}


def _places(effect: Effect) -> set[object]:
    """What an effect changes: effects on one place keep their order."""
    match effect:
        case Write(file) | Resize(file) | SetAttribute(file):
            return {file}
        case Create(_, folder, name) | Link(_, folder, name) | Unlink(_, folder, name):
            return {(folder, name)}
        case Rename(_, folder, name, new_folder, new_name):
            return {(folder, name), (new_folder, new_name)}


class Tree:
    """A snapshot that effects can be applied to."""

    def __init__(self, start: Snapshot) -> None:
        self._entries = {folder: dict(names) for folder, names in start.entries.items()}
        self._files = dict(start.files)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            entries={folder: dict(names) for folder, names in self._entries.items()},
            files=dict(self._files),
        )

    def apply(self, effect: Effect, fate: Fate) -> None:
        match effect:
            case Create(file, folder, name, is_folder):
                if is_folder:
                    self._entries.setdefault(file, {})
                else:
                    self._files.setdefault(file, File())
                self._names(folder)[name] = file
            case Write():
                self._write(effect, fate)
            case Resize(file, size):
                old = self._file(file)
                self._files[file] = File(old.data[:size].ljust(size, b"\0"), old.attributes)
            case SetAttribute(file, name, value):
                old = self._file(file)
                others = {key: old.attributes[key] for key in old.attributes if key != name}
                new = {} if value is None else {name: value}
                self._files[file] = File(old.data, {**others, **new})
            case Link(file, folder, name):
                self._file(file)
                self._names(folder)[name] = file
            case Unlink(_, folder, name):
                self._names(folder).pop(name, None)
            case Rename(file, folder, name, new_folder, new_name):
                self._names(folder).pop(name, None)
                self._names(new_folder)[new_name] = file

    def _write(self, write: Write, fate: Fate) -> None:
        old = self._file(write.file)
        end = write.offset + len(write.data)
        data = bytearray(old.data)
        if not isinstance(fate, Torn) or fate.grown:
            data.extend(bytes(max(0, end - len(data))))
        if isinstance(fate, Torn):
            for sector in sorted(fate.sectors):
                at = max(write.offset, sector * SECTOR_BYTES)
                piece = write.data[at - write.offset : (sector + 1) * SECTOR_BYTES - write.offset]
                data.extend(bytes(max(0, at + len(piece) - len(data))))
                data[at : at + len(piece)] = piece
        else:
            data[write.offset : end] = write.data
        self._files[write.file] = File(bytes(data), old.attributes)

    def _file(self, file: int) -> File:
        return self._files.setdefault(file, File())

    def _names(self, folder: int) -> dict[str, int]:
        return self._entries.setdefault(folder, {})


# ---- which combinations are tried ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effort:
    """How many combinations per point; the first are the ones that have found most."""

    per_point: int = 24
    chance: Random = field(default_factory=lambda: Random(0))


def fates(point: CrashPoint, effort: Effort) -> Iterator[Fates]:
    """At most `per_point` sets of choices for what is open at this point."""
    return islice(_candidates(point.open, effort.chance), effort.per_point)


def _candidates(pending: Sequence[Pending], chance: Random) -> Iterator[Fates]:
    dropped: Fates = {each.number: Whole.DROPPED for each in pending}
    kept: Fates = {each.number: Whole.KEPT for each in pending}
    yield dropped
    if not pending:
        return
    yield kept
    latest = pending[-1]
    yield {**kept, latest.number: Whole.DROPPED}
    yield {**dropped, latest.number: Whole.KEPT}
    rest = list(_single(pending[-RECENT:], kept, dropped, chance))
    chance.shuffle(rest)
    yield from rest
    while True:
        share = chance.choice((0.2, 0.5, 0.8))
        yield {each.number: _fate(each.effect, share, chance) for each in pending}


def _single(
    pending: Sequence[Pending], kept: Fates, dropped: Fates, chance: Random
) -> Iterator[Fates]:
    """Each alone, each missing, each write torn."""
    for each in pending[:-1]:
        yield {**kept, each.number: Whole.DROPPED}
        yield {**dropped, each.number: Whole.KEPT}
    for each in pending:
        if isinstance(each.effect, Write):
            sectors = _sectors(each.effect)
            half = frozenset(list(sectors)[: len(sectors) // 2])
            yield {**kept, each.number: Torn(frozenset(), grown=True)}
            if len(sectors) > 1:
                yield {**kept, each.number: Torn(half, grown=False)}
                yield {**kept, each.number: _tear(each.effect, chance)}


def _fate(effect: Effect, share: float, chance: Random) -> Fate:
    if isinstance(effect, Write) and chance.random() < 0.25:
        return _tear(effect, chance)
    return Whole.KEPT if chance.random() < share else Whole.DROPPED


def _tear(write: Write, chance: Random) -> Torn:
    sectors = [sector for sector in _sectors(write) if chance.random() < 0.5]
    return Torn(frozenset(sectors), grown=chance.random() < 0.5)


def _sectors(write: Write) -> range:
    last = write.offset + len(write.data) - 1
    return range(write.offset // SECTOR_BYTES, last // SECTOR_BYTES + 1)
