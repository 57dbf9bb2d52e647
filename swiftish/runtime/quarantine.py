"""A device's quarantine: what could not be trusted, with the reason beside it.  Blocking.

    quarantined/<kind>/<name>[-<n>]/reason

Kinds are `objects[-<policy>]`, `accounts`, `containers` and `index`.  An object's folder holds its
files and is called by its hash; a table's the whole file, or one database of it.  Nothing is ever
removed from here but by people.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

QUARANTINE = "quarantined"
REASON = "reason"  # the file that says why
COPIES_MAX = 1000
REASON_BYTES_MAX = 10_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One folder of the quarantine; `since` in seconds since the epoch."""

    kind: str
    name: str
    reason: str
    since: float
    path: Path


def counts(device: Path) -> dict[str, int]:
    """How many things of each kind are in a device's quarantine: one listing for each kind.

    Raises OSError.
    """
    return {kind: len(os.listdir(device / QUARANTINE / kind)) for kind in _names(device)}


def entries(device: Path) -> Iterator[Quarantined]:
    """All that is in a device's quarantine, by kind and name.  Raises OSError."""
    for kind in _names(device):
        for name in sorted(os.listdir(device / QUARANTINE / kind)):
            path = device / QUARANTINE / kind / name
            reason, since = "", 0.0
            with suppress(OSError):  # or whoever moves it there is not so far yet
                since = path.stat().st_mtime
                with (path / REASON).open("rb") as file:
                    reason = file.read(REASON_BYTES_MAX).decode("utf-8", "replace").strip()
            yield Quarantined(kind=kind, name=name, reason=reason, since=since, path=path)


def new_place(device: Path, kind: str, name: str, reason: str) -> Path:
    """A new folder in the quarantine, durable, with the reason in it.  Raises OSError."""
    top = device / QUARANTINE
    for folder in (top, top / kind):
        folder.mkdir(exist_ok=True)
    for count in range(COPIES_MAX):
        place = top / kind / (f"{name}-{count}" if count else name)
        try:
            place.mkdir()
        except FileExistsError:
            continue
        with (place / REASON).open("wb") as file:
            file.write(f"{reason}\n".encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        for folder in (place, top / kind, top, device):
            _sync(folder)
        return place
    raise FileExistsError(f"{top / kind / name} has been quarantined {COPIES_MAX} times")


def _names(device: Path) -> list[str]:
    try:
        return sorted(os.listdir(device / QUARANTINE))
    except FileNotFoundError:
        return []


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
