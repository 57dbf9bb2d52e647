"""Recordings of programs that forget one thing, made out of a recording of one that does not.

The checker must find a violation in each of them; if it does not, it has no power over that part
of the product, whatever it says of the rest.

Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.probe.crash.events import (
    ROOT,
    Create,
    CreateUnnamed,
    Event,
    Link,
    Mark,
    Recording,
    Sync,
    SyncAll,
    Unlink,
    Write,
)


def _folders(recording: Recording) -> set[int]:
    made = {e.file for e in recording.events if isinstance(e, Create) and e.is_folder}
    return {ROOT, *recording.before.entries, *made}


def _keep(recording: Recording, wanted: Callable[[Event], bool]) -> Recording:
    return replace(recording, events=[event for event in recording.events if wanted(event)])


def without_file_syncs(recording: Recording) -> Recording:
    """Forgets to sync the contents of files."""
    folders = _folders(recording)
    return _keep(recording, lambda e: not (isinstance(e, Sync) and e.file not in folders))


def without_folder_syncs(recording: Recording) -> Recording:
    """Forgets to sync the names of files."""
    folders = _folders(recording)
    return _keep(recording, lambda e: not (isinstance(e, Sync) and e.file in folders))


def without_ancestor_syncs(recording: Recording) -> Recording:
    """Syncs only the folders that hold files, not the folders that hold folders."""
    parents = {e.folder for e in recording.events if isinstance(e, Create) and e.is_folder}
    return _keep(recording, lambda e: not (isinstance(e, Sync) and e.file in parents))


def without_any_syncs(recording: Recording) -> Recording:
    """Never syncs, and has no O_DSYNC either."""
    events = [replace(e, synced=False) if isinstance(e, Write) else e for e in recording.events]
    kept = [event for event in events if not isinstance(event, Sync | SyncAll)]
    return replace(recording, events=kept)


def without_synced_writes(recording: Recording) -> Recording:
    """Opens nothing with O_DSYNC, and relies on the syncs."""
    events = [replace(e, synced=False) if isinstance(e, Write) else e for e in recording.events]
    return replace(recording, events=events)


def names_first(recording: Recording) -> Recording:
    """Gives a file its name before anything is in it."""
    links = {e.file: e for e in reversed(recording.events) if isinstance(e, Link)}
    events: list[Event] = []
    for event in recording.events:
        if isinstance(event, Link) and links.get(event.file) is event:
            continue
        events.append(event)
        if isinstance(event, CreateUnnamed) and event.file in links:
            events.append(links[event.file])
    return replace(recording, events=events)


def removals_first(recording: Recording) -> Recording:
    """Removes what is old before the new is durable: at the begin of the same operation.

    Only for a recording in which one operation follows the other.
    """
    events: list[Event] = []
    for operation in _operations(recording.events):
        inside = {event.file for event in operation if isinstance(event, Link | Create)}
        early = [e for e in operation if isinstance(e, Unlink) and e.file not in inside]
        events += [operation[0], *early]
        events += [event for event in operation[1:] if event not in early]
    return replace(recording, events=events)


def _operations(events: Sequence[Event]) -> list[list[Event]]:
    """Split before each mark that begins an operation."""
    found: list[list[Event]] = [[]]
    for event in events:
        if isinstance(event, Mark) and event.text.startswith("begin") and found[-1]:
            found.append([])
        found[-1].append(event)
    return found
