"""The LMDB commit under the crash checker: no legal state loses or mixes what was acknowledged.

First the environment by itself, then the container server on top of it.
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.probe.crash import mutants, subject_containers, subject_rows
from tests.probe.crash.events import Recording
from tests.probe.crash.explorer import Findings, explore
from tests.probe.crash.model import Effort
from tests.probe.crash.recorder import record

ROUNDS = 20


def recorded(device: Path, seed: int, *, rounds: int, made: bool, sync: str) -> Recording:
    """`made`: the environment is there and durable before the recording begins."""
    root = device / "recorded"
    root.mkdir()
    if made:
        subject_rows.open_environment(root).close()
    return record(root, subject_rows.__name__, sync, str(rounds), str(seed))


def examine(device: Path, recording: Recording, seed: int, *, rounds: int) -> Findings:
    scratch = device / "states"
    scratch.mkdir()
    judge = partial(subject_rows.judge, planned=subject_rows.rounds(rounds, seed))
    return explore(recording, judge, scratch, effort=Effort(chance=random.Random(seed)))


def test_t2_a_commit_survives_any_crash(device: Path, seed: int) -> None:
    """Rows, log and totals agree in every legal state, and nothing acknowledged is missing."""
    recording = recorded(device, seed, rounds=ROUNDS, made=True, sync="synced")
    findings = examine(device, recording, seed, rounds=ROUNDS)
    assert findings.violations == [], str(findings)
    assert findings.states > 500


def test_t2_a_crash_while_an_environment_is_made(device: Path, seed: int) -> None:
    """An environment that was not whole yet is made anew at the next start, not refused for ever;
    one that has acknowledged something is there."""
    recording = recorded(device, seed, rounds=2, made=False, sync="synced")
    findings = examine(device, recording, seed, rounds=2)
    assert findings.violations == [], str(findings)


def test_a_commit_without_sync_is_found(device: Path, seed: int) -> None:
    """The same environment with sync=False loses rows, and the checker says so."""
    recording = recorded(device, seed, rounds=ROUNDS, made=True, sync="unsynced")
    findings = examine(device, recording, seed, rounds=ROUNDS)
    assert findings.violations, f"{findings.states} states, and nothing found"


@pytest.mark.parametrize(
    "fault", [mutants.without_file_syncs, mutants.without_synced_writes, mutants.without_any_syncs]
)
def test_each_forgotten_sync_is_found(
    device: Path, seed: int, fault: Callable[[Recording], Recording]
) -> None:
    """The commit without its fdatasync, without its O_DSYNC, without both."""
    recording = fault(recorded(device, seed, rounds=ROUNDS, made=True, sync="synced"))
    findings = examine(device, recording, seed, rounds=ROUNDS)
    assert findings.violations, f"{findings.states} states, and nothing found"


def test_t2_a_containers_rows_survive_any_crash(device: Path, seed: int) -> None:
    """Each name shows its newest acknowledged row or one that was under way, the totals are the
    sums of the rows, and the listing is in order."""
    root, scratch = device / "recorded", device / "states"
    root.mkdir()
    scratch.mkdir()
    subject_containers.prepare(root)
    recording = record(root, subject_containers.__name__, str(seed))
    judge = partial(subject_containers.judge, planned=subject_containers.plan(seed))
    effort = Effort(per_point=12, chance=random.Random(seed))
    findings = explore(recording, judge, scratch, effort=effort)
    assert findings.violations == [], str(findings)
    assert findings.states > 500
