"""What a run of Swift's tests means, given the lists of what is expected.  Pure.

A test that passes is good, unless a list says that it does not.  A test that fails is bad, unless
pending.toml names it with a reason.  So the lists can only shrink: whoever makes a test pass has to
take its line away, and nothing fails unseen.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

SKIPS_TABLE = "expected_skips"


class Verdict(Enum):
    """What one test did, beside what was expected of it."""

    PASSED = "passed"
    PENDING = "pending"  # listed, and does not pass
    SKIPPED = "skipped"  # listed among the expected skips
    FAILED = "failed"  # not listed, and failed
    SURPRISE = "passes now"  # listed, and passes: take the line away
    UNEXPECTED_SKIP = "skipped, not listed"

    @property
    def good(self) -> bool:
        return self in {Verdict.PASSED, Verdict.PENDING, Verdict.SKIPPED}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What pytest says of one test, all of its parts together."""

    outcome: str  # passed, skipped or failed
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """The lists: test → reason, by feature."""

    pending: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    skips: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Expectations:
        tables = tomllib.loads(text)
        seen: set[str] = set()
        for feature, tests in tables.items():
            if not isinstance(tests, dict):
                raise TypeError(f"pending.toml: {feature} is no table of tests")
            for test, reason in tests.items():
                if not isinstance(reason, str) or not reason.strip():
                    raise ValueError(f"pending.toml: {feature}: {test} has no reason")
                if test in seen:
                    raise ValueError(f"pending.toml: {test} is listed twice")
                seen.add(test)
        skips = tables.pop(SKIPS_TABLE, {})
        return cls(pending=tables, skips=skips)

    def feature_of(self, test: str) -> str | None:
        return next((name for name, tests in self.pending.items() if test in tests), None)

    def tests(self) -> Iterable[str]:
        yield from self.skips
        for tests in self.pending.values():
            yield from tests


def judge(test: str, result: Result, expectations: Expectations) -> Verdict:
    pending = expectations.feature_of(test) is not None
    if result.outcome == "passed":
        listed = pending or test in expectations.skips
        return Verdict.SURPRISE if listed else Verdict.PASSED
    if pending:  # without the feature in /info, most tests of it skip themselves
        return Verdict.PENDING
    if result.outcome == "skipped":
        return Verdict.SKIPPED if test in expectations.skips else Verdict.UNEXPECTED_SKIP
    return Verdict.FAILED


def merge(first: Result | None, second: Result) -> Result:
    """One result for a test out of those of its set-up, call, subtests and tear-down."""
    rank = {"passed": 0, "skipped": 1, "failed": 2}
    if first is None or rank[second.outcome] > rank[first.outcome]:
        return second
    return first


def vanished(expectations: Expectations, collected: Iterable[str]) -> list[str]:
    """Listed tests of the files that ran which are not in them: a slip of the pen."""
    known = set(collected)
    files = {test.split("::")[0] for test in known}
    return sorted(
        test for test in expectations.tests() if test.split("::")[0] in files and test not in known
    )


def proposal(results: Mapping[str, Result], expectations: Expectations) -> str:
    """What pending.toml would have to say for this run to pass.  For a person to edit."""
    features: dict[str, dict[str, str]] = defaultdict(dict)
    skips: dict[str, str] = {}
    for test, result in results.items():
        if result.outcome == "passed":
            continue
        feature = expectations.feature_of(test)
        if feature is not None:
            features[feature][test] = expectations.pending[feature][test]
        elif result.outcome == "skipped":
            skips[test] = expectations.skips.get(test, first_line(result.message))
        else:
            features["to be sorted"][test] = first_line(result.message)
    lines: list[str] = []
    for name, tests in [*sorted(features.items()), (SKIPS_TABLE, skips)]:
        lines.append(f"[{name}]" if name.replace("_", "").isalnum() else f"[{quoted(name)}]")
        lines += (f"{quoted(test)} = {quoted(reason)}" for test, reason in sorted(tests.items()))
        lines.append("")
    return "\n".join(lines)


def first_line(message: str) -> str:
    line = next(iter(message.strip().splitlines()), "") or "no reason given"
    return line if len(line) <= 160 else line[:157] + "..."


def quoted(text: str) -> str:
    kept = "".join(char if char.isprintable() else "?" for char in text)
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
