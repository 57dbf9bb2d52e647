"""The lists of the conformance run can only shrink, and nothing fails unseen."""

import tomllib
from pathlib import Path

import pytest

from tests.conformance import judgement
from tests.conformance.judgement import (
    Expectations,
    Result,
    Verdict,
    judge,
    merge,
    proposal,
    vanished,
)

FOLDER = Path(judgement.__file__).parent
LISTS = """
[quotas]
"a.py::T::quota" = "no quotas yet"
[expected_skips]
"a.py::T::v3" = "Keystone v3 only"
"""
EXPECTED = Expectations.parse(LISTS)
passed, skipped, failed = (Result(outcome=word) for word in ("passed", "skipped", "failed"))


@pytest.mark.parametrize(
    ("test", "result", "verdict"),
    [
        ("a.py::T::core", passed, Verdict.PASSED),
        ("a.py::T::core", failed, Verdict.FAILED),
        ("a.py::T::core", skipped, Verdict.UNEXPECTED_SKIP),
        ("a.py::T::quota", failed, Verdict.PENDING),
        ("a.py::T::quota", skipped, Verdict.PENDING),
        ("a.py::T::quota", passed, Verdict.SURPRISE),
        ("a.py::T::v3", skipped, Verdict.SKIPPED),
        ("a.py::T::v3", passed, Verdict.SURPRISE),
        ("a.py::T::v3", failed, Verdict.FAILED),
    ],
)
def test_verdicts(test: str, result: Result, verdict: Verdict) -> None:
    assert judge(test, result, EXPECTED) is verdict


def test_only_the_expected_is_good() -> None:
    good = {verdict for verdict in Verdict if verdict.good}
    assert good == {Verdict.PASSED, Verdict.PENDING, Verdict.SKIPPED}


def test_the_worst_part_of_a_test_counts() -> None:
    """A test whose tear-down fails has failed; one whose call is skipped is skipped."""
    assert merge(merge(merge(None, passed), passed), failed) is failed
    assert merge(merge(merge(None, passed), skipped), passed) is skipped
    assert merge(merge(None, failed), passed) is failed


def test_a_listed_test_that_is_not_there() -> None:
    """A slip of the pen in the list is found, but only in files that were run."""
    assert vanished(EXPECTED, ["a.py::T::quota"]) == ["a.py::T::v3"]
    assert vanished(EXPECTED, ["b.py::T::other"]) == []


@pytest.mark.parametrize(
    "text",
    [
        '[quotas]\n"a.py::x" = ""',
        '[quotas]\n"a.py::x" = "why"\n[bulk]\n"a.py::x" = "why"',
        '"a.py::x" = "why"',
    ],
)
def test_lists_that_say_too_little(text: str) -> None:
    """Every listed test has one feature and one reason."""
    with pytest.raises((ValueError, TypeError), match=r"pending\.toml"):
        Expectations.parse(text)


def test_a_proposal_makes_the_same_run_good() -> None:
    results = {
        "a.py::T::quota": failed,
        "a.py::T::v3": skipped,
        'a.py::T::odd["\\x"]': Result(outcome="failed", message='said "no"\nand more'),
        "a.py::T::core": passed,
    }
    text = proposal(results, EXPECTED)
    assert tomllib.loads(text)["to be sorted"] == {'a.py::T::odd["\\x"]': 'said "no"'}
    proposed = Expectations.parse(text)
    assert all(judge(test, result, proposed).good for test, result in results.items())


def test_the_committed_lists_are_well_formed() -> None:
    """They parse, and what Swift itself skips is not among what it passes."""
    expectations = Expectations.parse((FOLDER / "pending.toml").read_text("utf-8"))
    passes = (FOLDER / "swift_passes.txt").read_text("utf-8").split()
    assert len(passes) == len(set(passes)) == 300
    assert not expectations.skips.keys() & set(passes)
