"""The theory of crash states, on recordings made by hand; and that the recorder misses nothing."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tests.probe.crash import snapshot, subject_calls, tracer
from tests.probe.crash.events import (
    EMPTY,
    ROOT,
    Create,
    CreateUnnamed,
    Event,
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
    dump,
    load_all,
)
from tests.probe.crash.model import Effort, crash_points, fates, state_of
from tests.probe.crash.recorder import CannotRecord, record

F, G, D = 1, 2, 3  # two files and a folder

NOTHING = "-"


def ends(*events: Event, before: Snapshot = EMPTY) -> set[str]:
    """All trees that a crash after these calls may leave, in short: `path=contents attributes`."""
    point = list(crash_points(Recording(before=before, events=events)))[-1]
    effort = Effort(per_point=400, chance=Random(1))
    return {show(state_of(point, choice)) for choice in fates(point, effort)}


def show(state: Snapshot) -> str:
    parts: list[str] = []
    for path, number in sorted(snapshot.walk(state)):
        file = state.files.get(number)
        if file is None:
            parts.append(f"{path}/")
        else:
            text = file.data.replace(b"\0", b"0").decode()
            parts.append(f"{path}={text}{''.join(f' {name}' for name in file.attributes)}")
    return ", ".join(parts) or NOTHING


def create(file: int, name: str, folder: int = ROOT) -> Event:
    return Create(file, folder, name, is_folder=False)


def write(file: int, text: str, at: int = 0, *, synced: bool = False) -> Event:
    return Write(file, at, text.encode(), synced)


def sync(file: int, *, data_only: bool = False) -> Event:
    return Sync(file, data_only)


def test_without_a_sync_everything_is_open() -> None:
    """A name, contents and attributes are there or not, each for itself; a write also in part."""
    assert ends(create(F, "f"), write(F, "ab"), SetAttribute(F, "x", b"")) == {
        NOTHING,
        "f=",
        "f= x",
        "f=ab",
        "f=ab x",
        "f=00",
        "f=00 x",
    }


def test_fsync_covers_contents_and_not_the_name() -> None:
    assert ends(create(F, "f"), write(F, "ab"), SetAttribute(F, "x", b""), sync(F)) == {
        NOTHING,
        "f=ab x",
    }


def test_fdatasync_leaves_attributes_out() -> None:
    events = [create(F, "f"), sync(ROOT), write(F, "ab"), SetAttribute(F, "x", b"")]
    assert ends(*events, sync(F, data_only=True)) == {"f=ab", "f=ab x"}


def test_a_folders_sync_covers_its_names_only() -> None:
    assert ends(create(F, "f"), write(F, "ab"), sync(ROOT)) == {"f=", "f=ab", "f=00"}


def test_a_new_folder_needs_its_parents_sync() -> None:
    made = (Create(D, ROOT, "d", is_folder=True), create(F, "f", D), sync(D))
    assert ends(*made) == {NOTHING, "d/, d/f="}
    assert ends(*made, sync(ROOT)) == {"d/, d/f="}


def test_a_file_without_a_name_is_linked_whole_once_synced() -> None:
    assert ends(CreateUnnamed(F), write(F, "ab"), sync(F), Link(F, ROOT, "f")) == {NOTHING, "f=ab"}


def test_a_rename_is_atomic() -> None:
    """Before it the old file has the name, after it the new one, and nothing between."""
    both = Snapshot(entries={ROOT: {"f": F, "g": G}}, files={F: File(b"new"), G: File(b"old")})
    rename = Rename(F, ROOT, "f", ROOT, "g")
    assert ends(rename, before=both) == {"f=new, g=old", "g=new"}
    assert ends(rename, sync(ROOT), before=both) == {"g=new"}


def test_syncfs_covers_all() -> None:
    made = (Create(D, ROOT, "d", is_folder=True), create(F, "f", D), write(F, "ab"))
    assert ends(*made, SyncAll()) == {"d/, d/f=ab"}


def test_a_synced_write_covers_itself_only() -> None:
    """O_DSYNC makes its own bytes durable; an earlier write of the file stays open."""
    there = Snapshot(entries={ROOT: {"f": F}}, files={F: File(b"....")})
    assert ends(write(F, "ab", 0), write(F, "cd", 2, synced=True), before=there) == {
        "f=..cd",
        "f=abcd",
    }


def test_later_writes_win_where_they_overlap() -> None:
    """What is durable is not undone by an earlier write that was open."""
    there = Snapshot(entries={ROOT: {"f": F}}, files={F: File(b"..")})
    assert ends(write(F, "ab", 0), write(F, "cd", 0, synced=True), before=there) == {"f=cd"}


def test_a_synced_write_under_way_may_be_lost() -> None:
    """A crash during the call: it has promised nothing yet."""
    there = Snapshot(entries={ROOT: {"f": F}}, files={F: File(b"..")})
    events = [write(F, "ab", 0, synced=True)]
    during = next(crash_points(Recording(before=there, events=events)))
    states = {show(state_of(during, choice)) for choice in fates(during, Effort())}
    assert states == {"f=..", "f=ab"}


def test_a_write_is_torn_at_sectors() -> None:
    there = Snapshot(entries={ROOT: {"f": F}}, files={F: File(b"." * 1024)})
    whole = write(F, "x" * 1024)
    found = {text.removeprefix("f=") for text in ends(whole, before=there)}
    old, new = "." * 512, "x" * 512
    assert found == {old + old, old + new, new + old, new + new}


def test_removing_and_resizing_are_open_too() -> None:
    there = Snapshot(entries={ROOT: {"f": F, "g": G}}, files={F: File(b"ab"), G: File()})
    assert ends(Unlink(G, ROOT, "g"), Resize(F, 1), before=there) == {
        "f=ab, g=",
        "f=a, g=",
        "f=ab",
        "f=a",
    }


def test_what_was_promised_counts_from_the_mark_on() -> None:
    events = [create(F, "f"), Mark("begin 0"), sync(ROOT), Mark("done 0")]
    points = list(crash_points(Recording(before=EMPTY, events=events)))
    assert [point.marks for point in points] == [
        (),
        ("begin 0",),
        ("begin 0", "done 0"),
        ("begin 0", "done 0"),
    ]


def test_events_survive_being_kept() -> None:
    events: Sequence[Event] = [
        Create(F, ROOT, "\udcff", is_folder=False),
        CreateUnnamed(F),
        Write(F, 2**40, b"\0\xff", synced=True),
        Resize(F, 0),
        SetAttribute(F, "user.x", None),
        Link(F, D, "a"),
        Unlink(F, D, "a"),
        Rename(F, D, "a", ROOT, "b"),
        Sync(F, data_only=True),
        SyncAll(),
        Mark("begin 1"),
    ]
    assert load_all(b"".join(map(dump, events))) == events


def test_the_recorder_misses_no_call(device: Path) -> None:
    """What is replayed is what is on the disk (`record` compares), with four threads at once."""
    recording = record(device, subject_calls.__name__)
    kinds = {type(event) for event in recording.events}
    assert len(kinds) == 11
    marks = [event.text for event in recording.events if isinstance(event, Mark)]
    assert len(marks) == len(set(marks)) == 2 * subject_calls.THREADS * subject_calls.ROUNDS


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import os; os.symlink('a', {root!r} + '/b')", "symlink"),
        (
            "import mmap; f = open({root!r} + '/b', 'w+b'); f.truncate(9); "
            "mmap.mmap(f.fileno(), 9)",
            "is mapped writable",
        ),
        ("raise SystemExit('it failed')", "it failed"),
    ],
)
def test_what_the_model_has_no_word_for_is_refused(
    device: Path, program: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that could spoil the model passes in silence."""
    root = device / "root"
    root.mkdir()
    (device / "subject.py").write_text(program.format(root=str(root)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(device), *sys.path]))
    with pytest.raises(CannotRecord, match=complaint):
        record(root, "subject")


def test_where_tracing_is_forbidden_the_reason_is_told(device: Path) -> None:
    """A tracer that is traced itself may not trace: it says so in a sentence, and fails."""
    root = device / "root"
    root.mkdir()
    events = str(device / "events")
    with pytest.raises(CannotRecord, match="needs the system call ptrace, and this machine"):
        record(root, tracer.__name__, events, "--", sys.executable, "-c", "pass")
