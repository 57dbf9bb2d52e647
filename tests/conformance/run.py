"""OpenStack Swift's own functional tests against this server: `make conformance`.

    python -m tests.conformance.run [options]

Starts `swiftish serve` with settings.toml, runs Swift's tests against it one file after the other
(they share accounts, and tests.py empties them), and holds the results to pending.toml.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import suite as swift_tests
from tests.conformance import target
from tests.conformance.judgement import (
    Expectations,
    Result,
    Verdict,
    first_line,
    judge,
    proposal,
    vanished,
)

HERE = Path(__file__).parent
FILES = ("test_account.py", "test_container.py", "test_object.py", "test_protocol.py", "tests.py")
RUNS_KEPT = 5
MARKS = {
    Verdict.PASSED: ".",
    Verdict.PENDING: "p",
    Verdict.SKIPPED: "s",
    Verdict.FAILED: "F",
    Verdict.SURPRISE: "!",
    Verdict.UNEXPECTED_SKIP: "S",
}
MARKS_PER_LINE = 60


@dataclass(kw_only=True)
class Report:
    """All that was learned, file by file."""

    expectations: Expectations
    results: dict[str, Result] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)  # what is wrong with the run itself

    def verdicts(self, name: str | None = None) -> dict[str, Verdict]:
        return {
            test: judge(test, result, self.expectations)
            for test, result in self.results.items()
            if name is None or test.startswith(f"{name}::")
        }


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    # Whoever ends this run ends its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    expectations = Expectations.parse((HERE / "pending.toml").read_text("utf-8"))
    report = Report(expectations=expectations)
    logs = folder_for_logs()
    say(f"logs in {logs}")
    try:
        suite = swift_tests.prepare(say)
        with server(options, logs) as url:
            say(f"server at {url}")
            target.write_test_config(logs / "test.conf", url)
            for name in options.files:
                run_one(suite, name, report=report, logs=logs, expression=options.expression)
    except (swift_tests.SuiteBroken, target.ServerBroken) as error:
        report.broken.append(str(error))
    if options.junitxml:
        write_junit(report, options.junitxml)
    if options.update_pending:
        print("\n# ---- a proposal for pending.toml; give every line a reason of its own ----\n")
        print(proposal(report.results, expectations))
    return show(report)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--server", metavar="URL", help="test this running server instead")
    parser.add_argument(
        "--files", nargs="+", default=FILES, metavar="FILE", help="only these files"
    )
    parser.add_argument(
        "-k", dest="expression", metavar="EXPR", help="only these tests (pytest's -k)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes of our server")
    parser.add_argument("--update-pending", action="store_true", help="print a new pending.toml")
    parser.add_argument("--junitxml", type=Path, metavar="FILE", help="write a report for machines")
    return parser.parse_args(arguments)


def folder_for_logs() -> Path:
    runs = swift_tests.cache_folder() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for old in sorted(runs.iterdir(), key=lambda path: path.stat().st_mtime)[: -(RUNS_KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))


def server(options: argparse.Namespace, logs: Path) -> AbstractContextManager[str]:
    if options.server:
        return nullcontext(target.auth_url(options.server))
    say("starting swiftish serve…")
    return target.own_server(workers=options.workers, log=logs / "server.log")


def run_one(
    suite: swift_tests.Suite, name: str, *, report: Report, logs: Path, expression: str | None
) -> None:
    print(f"{name} ", end="", flush=True)
    shown = 0

    def progress(test: str, result: Result) -> None:
        nonlocal shown
        if shown and shown % MARKS_PER_LINE == 0:
            print(f"\n{'':<{len(name)}} ", end="")
        shown += 1
        print(MARKS[judge(test, result, report.expectations)], end="", flush=True)

    started = time.monotonic()
    try:
        run = swift_tests.run_file(
            suite,
            name,
            config=logs / "test.conf",
            log=logs / f"{name}.log",
            options=["-k", expression] if expression else [],
            progress=progress,
        )
    finally:
        print()
    report.wall_s[name] = time.monotonic() - started
    report.results.update(run.results)
    if not expression:
        report.broken += (
            f"pending.toml names {test}, which is not there"
            for test in vanished(report.expectations, run.collected)
        )
        if never := sorted(set(run.collected) - run.results.keys()):
            report.broken.append(f"{name}: {len(never)} tests never ran, such as {never[0]}")


def show(report: Report) -> int:
    """The table, what went wrong, and the line that counts."""
    verdicts = report.verdicts()
    print(f"\n{'':<20} {'passed':>7} {'pending':>8} {'skipped':>8} {'failed':>7} {'wall':>8}")
    for name, wall_s in report.wall_s.items():
        print_row(name, report.verdicts(name), wall_s)
    if len(report.wall_s) > 1:
        print_row("all", verdicts, sum(report.wall_s.values()))
    swift = set((HERE / "swift_passes.txt").read_text("utf-8").split())
    passed = {test for test, verdict in verdicts.items() if verdict is Verdict.PASSED}
    asked = swift & verdicts.keys()
    print(f"\nof the {len(asked)} that Swift itself passes here, {len(asked & passed)} pass")
    bad = {test: verdict for test, verdict in verdicts.items() if not verdict.good}
    for test, verdict in sorted(bad.items()):
        said = first_line(report.results[test].message)
        text = "take its line out of pending.toml" if verdict is Verdict.SURPRISE else said
        print(f"{verdict.value.upper()} {test}: {text}")
    for trouble in report.broken:
        print(f"BROKEN {trouble}")
    counts = Counter(verdicts.values())
    skipped = counts[Verdict.PENDING] + counts[Verdict.SKIPPED]
    failed = len(bad) + len(report.broken)
    print(f"\n{counts[Verdict.PASSED]} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not verdicts else 0


def print_row(name: str, verdicts: dict[str, Verdict], wall_s: float) -> None:
    counts = Counter(verdicts.values())
    failed = sum(count for verdict, count in counts.items() if not verdict.good)
    print(
        f"{name:<20} {counts[Verdict.PASSED]:>7} {counts[Verdict.PENDING]:>8} "
        f"{counts[Verdict.SKIPPED]:>8} {failed:>7} {wall_s:>6.0f} s"
    )


def write_junit(report: Report, path: Path) -> None:
    verdicts = report.verdicts()
    bad = sum(not verdict.good for verdict in verdicts.values())
    skipped = sum(verdict in {Verdict.PENDING, Verdict.SKIPPED} for verdict in verdicts.values())
    root = ET.Element(
        "testsuite",
        name="conformance",
        tests=str(len(verdicts) + len(report.broken)),
        failures=str(bad),
        errors=str(len(report.broken)),
        skipped=str(skipped),
    )
    for test, verdict in verdicts.items():
        case = ET.SubElement(root, "testcase", name=test)
        if not verdict.good:
            ET.SubElement(case, "failure", message=verdict.value)
        elif verdict is not Verdict.PASSED:
            ET.SubElement(case, "skipped", message=verdict.value)
    ET.ElementTree(root).write(path, encoding="utf-8")


def say(text: str) -> None:
    print(f"conformance: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
