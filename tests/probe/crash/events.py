"""What a traced program did to its files, call by call.

A *file* is a number: an inode, folders too, given when it is first seen.  Folder 0 is the root of
what is recorded.  A name is text as the file system has it (surrogate escapes for what is not
UTF-8).  Every event is a call that succeeded, in the order in which the calls took effect.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, TypeAlias

import msgpack

ROOT = 0


@dataclass(frozen=True, slots=True)
class Create:
    """A new file or folder with a name: open(O_CREAT), mkdir."""

    file: int
    folder: int
    name: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class CreateUnnamed:
    """open(O_TMPFILE)."""

    file: int


@dataclass(frozen=True, slots=True)
class Write:
    """write and its relatives; `synced` when the descriptor is O_DSYNC or O_SYNC."""

    file: int
    offset: int
    data: bytes
    synced: bool


@dataclass(frozen=True, slots=True)
class Resize:
    """ftruncate, open(O_TRUNC), or fallocate beyond the end."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class SetAttribute:
    """An extended attribute set, or removed when `value` is None."""

    file: int
    name: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Link:
    """link: one more name."""

    file: int
    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """unlink or rmdir: one name less."""

    file: int
    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """rename: what had the new name loses it."""

    file: int
    folder: int
    name: str
    new_folder: int
    new_name: str


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync (or fdatasync: `data_only`) of one file or folder."""

    file: int
    data_only: bool


@dataclass(frozen=True, slots=True)
class SyncAll:
    """syncfs or sync."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the subject said: `begin 3`, `done 3`."""

    text: str


Event: TypeAlias = (
    Create
    | CreateUnnamed
    | Write
    | Resize
    | SetAttribute
    | Link
    | Unlink
    | Rename
    | Sync
    | SyncAll
    | Mark
)
KINDS: tuple[type[Event], ...] = (
    *(Create, CreateUnnamed, Write, Resize, SetAttribute),
    *(Link, Unlink, Rename, Sync, SyncAll, Mark),
)


@dataclass(frozen=True, slots=True)
class File:
    """Contents: bytes and extended attributes."""

    data: bytes = b""
    attributes: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Folders and files at one moment: entries by folder, contents by file."""

    entries: Mapping[int, Mapping[str, int]]
    files: Mapping[int, File]


EMPTY = Snapshot(entries={ROOT: {}}, files={})


@dataclass(frozen=True, slots=True)
class Recording:
    """All that happened below one folder, from what was there before."""

    before: Snapshot
    events: Sequence[Event]


def dump(event: Event) -> bytes:
    """One event as it is kept in a file of events."""
    packed: bytes = msgpack.packb(
        [KINDS.index(type(event)), *astuple(event)], unicode_errors="surrogateescape"
    )
    return packed


def load_all(data: bytes) -> list[Event]:
    """The events of a file of events."""
    unpacker = msgpack.Unpacker(
        raw=False, unicode_errors="surrogateescape", max_buffer_size=0, use_list=True
    )
    unpacker.feed(data)
    rows: list[list[Any]] = list(unpacker)
    return [KINDS[kind](*fields) for kind, *fields in rows]


class Labels:
    """Names for people: what a file was called when it got its last name."""

    def __init__(self, recording: Recording) -> None:
        self._labels = {ROOT: "."}
        for folder, entries in sorted(recording.before.entries.items()):
            for name, file in entries.items():
                self._name(file, folder, name)
        for event in recording.events:
            match event:
                case Create(file, folder, name) | Link(file, folder, name):
                    self._name(file, folder, name)
                case Rename(file, _, _, folder, name):
                    self._name(file, folder, name)
                case CreateUnnamed(file):
                    self._labels[file] = f"unnamed-{file}"
                case _:
                    pass

    def _name(self, file: int, folder: int, name: str) -> None:
        self._labels[file] = f"{self[folder]}/{name}".removeprefix("./")

    def __getitem__(self, file: int) -> str:
        return self._labels.get(file, f"file-{file}")

    def describe(self, event: Event) -> str:
        """One line for one event."""
        match event:
            case Sync(file, data_only):
                return f"{'fdatasync' if data_only else 'fsync'} {self[file]}"
            case SyncAll():
                return "syncfs"
            case Mark(text):
                return f"-- {text}"
            case CreateUnnamed(file):
                return f"open(O_TMPFILE), later {self[file]}"
            case Write() | Resize() | SetAttribute():
                return self._describe_contents(event)
            case _:
                return self._describe_name(event)

    def _describe_contents(self, event: Write | Resize | SetAttribute) -> str:
        label = self[event.file]
        match event:
            case Write(_, offset, data, synced):
                how = ", through O_DSYNC" if synced else ""
                return f"write {label}: {len(data)} bytes at {offset}{how}"
            case Resize(_, size):
                return f"set the size of {label} to {size}"
            case SetAttribute(_, name, None):
                return f"remove attribute {name} of {label}"
            case SetAttribute(_, name, value):
                return f"set attribute {name} of {label} ({len(value or b'')} bytes)"

    def _describe_name(self, event: Create | Link | Unlink | Rename) -> str:
        old = f"{self[event.folder]}/{event.name}".removeprefix("./")
        match event:
            case Create(is_folder=is_folder):
                return f"{'mkdir' if is_folder else 'create'} {old}"
            case Link(file):
                return f"link {old} (file {file})"
            case Unlink(file):
                return f"unlink {old} (file {file})"
            case Rename(new_folder=folder, new_name=name):
                return f"rename {old} to {self[folder]}/{name}".replace("to ./", "to ")
