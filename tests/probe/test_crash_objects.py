"""The object commit under the crash checker: no legal state breaks what was promised (I1-I3)."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.probe.crash import mutants, node, subject_objects
from tests.probe.crash.events import Recording
from tests.probe.crash.explorer import Findings, explore
from tests.probe.crash.model import Effort
from tests.probe.crash.recorder import record

# How many states per moment: enough for about a thousand in each test.
EFFORT = {"sequence": 12, "parallel": 16, "race": 12, "large": 10}


def recorded(device: Path, kind: str, seed: int) -> Recording:
    root = device / "recorded"
    root.mkdir()
    node.prepare(root)
    return record(root, subject_objects.__name__, kind, str(seed))


def examine(device: Path, recording: Recording, kind: str, seed: int) -> Findings:
    scratch = device / "states"
    scratch.mkdir()
    judge = partial(subject_objects.judge, planned=subject_objects.plan(kind, seed))
    effort = Effort(per_point=EFFORT[kind], chance=random.Random(seed))
    return explore(recording, judge, scratch, effort=effort)


@pytest.mark.parametrize("kind", EFFORT)
def test_t1_t2_t3_t19_an_object_survives_any_crash(device: Path, seed: int, kind: str) -> None:
    """In every legal state each name shows one whole version: the newest acknowledged, or a newer
    one that was under way; and what the container has not heard is pending."""
    findings = examine(device, recorded(device, kind, seed), kind, seed)
    assert findings.violations == [], str(findings)
    assert findings.states > (20 if kind == "large" else 300)


@pytest.mark.parametrize(
    "fault",
    [
        mutants.without_file_syncs,
        mutants.without_folder_syncs,
        mutants.without_ancestor_syncs,
        mutants.names_first,
        mutants.removals_first,
    ],
)
def test_each_forgotten_step_is_found(
    device: Path, seed: int, fault: Callable[[Recording], Recording]
) -> None:
    """The same commit with one sync left out, or in another order, is found to be broken."""
    recording = fault(recorded(device, "sequence", seed))
    findings = examine(device, recording, "sequence", seed)
    assert findings.violations, f"{findings.states} states, and nothing found"
