"""The crash checker itself allows what is legal and finds each known fault."""

import random
from functools import partial
from pathlib import Path

import pytest

from tests.probe.crash import subject_files
from tests.probe.crash.explorer import Findings, explore
from tests.probe.crash.model import Effort
from tests.probe.crash.recorder import record

OPERATIONS = 20


def examine(device: Path, variant: str, seed: int) -> Findings:
    root, scratch = device / "recorded", device / "states"
    root.mkdir()
    scratch.mkdir()
    recording = record(root, subject_files.__name__, variant, str(OPERATIONS), str(seed))
    puts = subject_files.operations(OPERATIONS, seed)
    judge = partial(subject_files.judge, puts=puts)
    return explore(recording, judge, scratch, effort=Effort(chance=random.Random(seed)))


@pytest.mark.parametrize("variant", subject_files.SOUND)
def test_a_sound_store_passes(device: Path, seed: int, variant: str) -> None:
    """A store that syncs what it must breaks no promise in any legal state."""
    findings = examine(device, variant, seed)
    assert findings.violations == [], str(findings)
    assert findings.states > 80


@pytest.mark.parametrize("fault", subject_files.FAULTS)
def test_each_fault_is_found(device: Path, seed: int, fault: str) -> None:
    """A store that forgets one thing is found out, and the report shows what was lost."""
    findings = examine(device, fault, seed)
    assert findings.violations, f"{fault}: {findings.states} states, and nothing found"
    report = findings.violations[0].report
    assert any(word in report for word in (" DROPPED ", " TORN ", " kept ")), report
