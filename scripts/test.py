"""Run the parts of the test suite in order, show each as it goes, and sum them up.

    scripts/test.py [PART…] [-- OPTIONS]      no part: all of them

Every part runs, also after one that failed.  Options after `--` go to each part's command as they
are.  The last line is a count over all parts, and the exit status 0 only when nothing failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NOTHING_COLLECTED = 5  # pytest's exit status for "no tests"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One heading: a command, and how to count what it did."""

    title: str
    command: tuple[str, ...]
    folders: tuple[str, ...] = ()  # pytest runs these; those that are missing are left out


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one part came to."""

    passed: int
    failed: int
    skipped: int
    wall_s: float


SOURCES = ("swiftish", "tests", "scripts", "benchmarks", "compose")

PARTS = {
    "format": Part(title="format (ruff format)", command=("ruff", "format", "--check", ".")),
    "lint": Part(title="lint (ruff check)", command=("ruff", "check", ".")),
    "types": Part(title="types (mypy --strict)", command=("mypy",), folders=SOURCES),
    "unit": Part(
        title="unit tests",
        command=("pytest", "-q", "--timeout=60"),
        folders=("tests/test_tidy.py", "tests/unit"),
    ),
    "contracts": Part(
        title="contracts and transcripts",
        command=("pytest", "-q", "--timeout=120"),
        folders=("tests/contracts", "tests/transcripts"),
    ),
    "rings": Part(
        title="rings (cross-checked with OpenStack Swift's own ring code)",
        command=("pytest", "-q", "--timeout=600", "--durations=5"),
        folders=("tests/rings",),
    ),
    "simulation": Part(
        title="simulation", command=("pytest", "-q", "--timeout=300"), folders=("tests/simulation",)
    ),
    "functional": Part(
        title="functional tests",
        command=("pytest", "-q", "--timeout=600", "--durations=5"),
        folders=("tests/functional",),
    ),
    "probe": Part(
        title="probe tests (real processes, real faults)",
        command=("pytest", "-q", "--timeout=600", "--durations=5"),
        folders=("tests/probe",),
    ),
    "conformance": Part(
        title="conformance (OpenStack Swift's functional tests)",
        command=("python", "-m", "tests.conformance.run"),
    ),
}


def main(arguments: Sequence[str]) -> int:
    names, options = split_at_dashes(arguments)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    outcomes = {name: run(PARTS[name], options) for name in names or PARTS}
    print_summary(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes.values()) else 0


def split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return list(arguments), []
    at = arguments.index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def run(part: Part, options: Sequence[str]) -> Outcome:
    print(f"\n==== {part.title} {'=' * max(0, 72 - len(part.title))}", flush=True)
    folders = [folder for folder in part.folders if holds_python(ROOT / folder)]
    if part.folders and not folders:
        print("nothing here yet")
        return Outcome(passed=0, failed=0, skipped=0, wall_s=0.0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "junit.xml"
        counted = part.command[0] == "pytest" or "conformance" in part.title
        command = [str(BIN / part.command[0]), *part.command[1:]]
        if counted:
            command += [f"--junitxml={report}"]
        # Unbuffered, so that progress shows while it happens, in CI too.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        status = subprocess.run(
            [*command, *options, *folders], cwd=ROOT, env=environment, check=False
        ).returncode
        wall_s = time.monotonic() - started
        if not counted:
            return Outcome(
                passed=int(not status), failed=int(bool(status)), skipped=0, wall_s=wall_s
            )
        return count(report, status, wall_s=wall_s)


def holds_python(path: Path) -> bool:
    return (path.suffix == ".py" and path.exists()) or any(path.rglob("*.py"))


def count(report: Path, status: int, *, wall_s: float) -> Outcome:
    """Counts from a junit file; a run that ended badly counts at least one failure."""
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    if report.exists():
        for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 -- our own file
            for key in totals:
                totals[key] += int(suite.get(key, "0"))
    failed = totals["failures"] + totals["errors"]
    if status not in {0, NOTHING_COLLECTED}:
        failed = max(failed, 1)
    passed = max(0, totals["tests"] - totals["failures"] - totals["errors"] - totals["skipped"])
    return Outcome(passed=passed, failed=failed, skipped=totals["skipped"], wall_s=wall_s)


def print_summary(outcomes: dict[str, Outcome]) -> None:
    print(f"\n==== summary {'=' * 65}")
    for name, outcome in outcomes.items():
        verdict = "FAILED" if outcome.failed else "ok" if outcome.passed else "nothing run"
        print(
            f"{name:<12} {outcome.passed:>6} passed {outcome.failed:>4} failed "
            f"{outcome.skipped:>4} skipped {outcome.wall_s:>7.1f} s   {verdict}"
        )
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes.values())
        for key in ("passed", "failed", "skipped")
    )
    wall_s = sum(outcome.wall_s for outcome in outcomes.values())
    print(f"in all {wall_s:.0f} s")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
