"""Builds the states that a crash may leave, asks a judge about each, and tells what was wrong."""

import faulthandler
import os
import resource
import shutil
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

from tests.probe.crash import snapshot
from tests.probe.crash.events import (
    CreateUnnamed,
    Event,
    Labels,
    Mark,
    Recording,
    Snapshot,
    Sync,
    SyncAll,
    Write,
)
from tests.probe.crash.model import (
    CrashPoint,
    Effort,
    Fates,
    Torn,
    Whole,
    crash_points,
    digest,
    fates,
    state_of,
)

# Given a folder with a state and what the subject had said: what is wrong with it, or None.
Judge: TypeAlias = Callable[[Path, Sequence[str]], str | None]

CALLS_SHOWN = 60
TRIALS_AT_ONCE = 3  # on two cores: one is being built meanwhile


@dataclass(frozen=True, slots=True)
class Violation:
    """A legal state that breaks a promise."""

    complaint: str
    report: str


@dataclass(slots=True)
class Findings:
    """What an exploration came to."""

    points: int = 0
    states: int = 0  # different ones, each judged once per promise
    violations: list[Violation] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"{len(self.violations)} violations in {self.states} states of {self.points} moments"
        return "\n\n".join([head, *(each.report for each in self.violations)])


def explore(
    recording: Recording,
    judge: Judge,
    scratch: Path,
    *,
    effort: Effort,
    violations_max: int = 3,
) -> Findings:
    """Ask `judge` about the states after every prefix of the recording, below `scratch`.

    Stops after `violations_max` violations: the first is the one to read.
    """
    findings = Findings()
    running: deque[_Trial] = deque()
    for point, choice, state in _states(recording, effort, findings):
        folder = scratch / f"state-{findings.states}"
        folder.mkdir()
        snapshot.write(state, folder)
        running.append(_Trial(point, choice, folder, judge))
        if len(running) >= TRIALS_AT_ONCE:
            _collect(running.popleft(), recording, findings)
        if len(findings.violations) >= violations_max:
            break
    for trial in running:
        _collect(trial, recording, findings)
    return findings


def _states(
    recording: Recording, effort: Effort, findings: Findings
) -> Iterator[tuple[CrashPoint, Fates, Snapshot]]:
    """Each different state once for each thing the subject had said."""
    seen: set[tuple[bytes, int]] = set()
    for point in crash_points(recording):
        findings.points += 1
        for choice in fates(point, effort):
            state = state_of(point, choice)
            key = digest(state, snapshot.walk(state)), len(point.marks)
            if key not in seen:
                seen.add(key)
                findings.states += 1
                yield point, choice, state


def _collect(trial: "_Trial", recording: Recording, findings: Findings) -> None:
    complaint = trial.verdict()
    shutil.rmtree(trial.folder)
    if complaint is not None:
        report = _report(recording, trial.point, trial.choice, complaint)
        findings.violations.append(Violation(complaint, report))


class _Trial:
    """A judge at work on one state, in a process of its own.

    The code under test is as it is after a restart, and what it does to itself (a read beyond the
    end of a mapped file ends the process) is one more complaint.
    """

    def __init__(self, point: CrashPoint, choice: Fates, folder: Path, judge: Judge) -> None:
        self.point = point
        self.choice = choice
        self.folder = folder
        self._reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _judge_and_exit(judge, folder, point.marks, writer)
        os.close(writer)

    def verdict(self) -> str | None:
        """Wait for it."""
        with open(self._reader, "rb") as reader:
            said = reader.read().decode()
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(status):
            return f"opening it ends the process: {signal.Signals(os.WTERMSIG(status)).name}"
        return said or None


def _judge_and_exit(judge: Judge, folder: Path, marks: Sequence[str], writer: int) -> NoReturn:
    said = ""
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        said = judge(folder, marks) or ""
    except BaseException:  # noqa: BLE001  (it is told in the parent)
        said = f"opening it raised what nobody expects: {traceback.format_exc()}"
    finally:
        with open(writer, "wb") as output:
            output.write(said.encode("utf-8", "backslashreplace"))
        os._exit(0)


def _report(recording: Recording, point: CrashPoint, choice: Fates, complaint: str) -> str:
    """The calls up to the crash, and what became of each."""
    labels = Labels(recording)
    upto = min(point.number + 1, len(recording.events))
    lines: list[str] = []
    for number, event in enumerate(recording.events[:upto]):
        lost = number in choice and choice[number] is not Whole.KEPT
        if lost or number >= upto - CALLS_SHOWN:
            fate = _fate(event, number, choice)
            lines.append(f"  {number:4} {fate:<9} {labels.describe(event)}")
    return "\n".join(
        [
            f"A crash during call {point.number} may leave a state that breaks a promise:",
            f"  {complaint}",
            "The calls, and what is left of each (durable: a sync covers it):",
            *lines,
        ]
    )


def _fate(event: Event, number: int, choice: Fates) -> str:
    if isinstance(event, CreateUnnamed | Mark | Sync | SyncAll):
        return ""
    fate = choice.get(number)
    if fate is None:
        return "durable"
    if isinstance(fate, Torn):
        assert isinstance(event, Write)
        return f"TORN {len(fate.sectors)}{'+' if fate.grown else ''}"
    return fate.value
