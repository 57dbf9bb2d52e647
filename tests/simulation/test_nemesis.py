"""T104, T29: a cluster under a nemesis, and whether the checker would notice (faults B1, I1-I7).

Each run is a process of its own, where sets are in the same order each time: so a seed is the whole
of it.  `make soak` does the same for an hour.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.nemesis.model import Change, Method, Name, Outcome, Seen

ROOT = Path(__file__).resolve().parents[2]
# Seeds by which known bugs are found; where one of them finds none any more, a next one may.
FOUND_BY = {"quorum-of-one": 4, "handoff-removed-early": 2, "update-dropped": 1}
RUNS_MAX = 4


def nemesis(*options: str) -> tuple[int, str]:
    """The exit status and the report of some runs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.nemesis", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_t104_nothing_is_wrong_after_all_that(seed: int) -> None:
    """A fresh seed each time; the report says which."""
    status, report = nemesis("--seed", str(seed % 10**9), "--runs", "1", "--days", "1")
    assert status == 0, report


@pytest.mark.parametrize("seed_of_a_bug", sorted(FOUND_BY.values()))
def test_t29_the_same_without_a_bug(seed_of_a_bug: int) -> None:
    """What the checker says of the runs below is due to the bugs."""
    status, report = nemesis("--harsh", "--seed", str(seed_of_a_bug))
    assert status == 0, report
    found = re.search(r"(\d+) changes acknowledged", report)
    assert found is not None
    assert int(found[1]) > 100, "next to nothing has happened"


@pytest.mark.parametrize("bug", sorted(FOUND_BY))
def test_known_bugs_are_found(bug: str) -> None:
    """Within a few runs."""
    options = ("--harsh", "--stop", "--seed", str(FOUND_BY[bug]), "--runs", str(RUNS_MAX))
    status, report = nemesis(*options, "--mutant", bug)
    assert status == 1, report
    assert "FAILED" in report, report


# ---- the model itself -------------------------------------------------------------------------


def change(number: str, method: Method, stamp: int, outcome: Outcome = Outcome.DONE) -> Change:
    return Change(
        id=number,
        method=method,
        began=stamp - 1.0,
        ended=stamp + 0.5,
        outcome=outcome,
        stamps=[stamp],
        etag=number if method == "PUT" else "",
        content_type="t" if method == "PUT" else None,
    )


def seen(put: str, *, post: str | None = None) -> Seen:
    by = None if post else put
    return Seen(etag=put, put=by, post=post, content_type="t", delete_at=None, size=0)


UNKNOWN, NONE = Outcome.UNKNOWN, Outcome.NONE
PUTS = [change("a", "PUT", 10), change("b", "PUT", 20)]


@pytest.mark.parametrize(
    ("changes", "state", "is_right"),
    [
        ([], None, True),
        (PUTS, seen("b"), True),
        (PUTS, seen("a"), False),  # I3
        (PUTS, None, False),  # I1
        ([*PUTS, change("d", "DELETE", 30)], None, True),
        ([*PUTS, change("d", "DELETE", 30)], seen("b"), False),  # it is back
        ([*PUTS, change("d", "DELETE", 30, UNKNOWN)], seen("b"), True),
        ([*PUTS, change("d", "DELETE", 30, UNKNOWN)], None, True),
        ([*PUTS, change("d", "DELETE", 15, UNKNOWN)], None, False),
        ([*PUTS, change("c", "PUT", 30, UNKNOWN)], seen("c"), True),
        ([*PUTS, change("c", "PUT", 15, UNKNOWN)], seen("c"), False),
        ([*PUTS, change("c", "PUT", 30, NONE)], seen("c"), False),
        ([*PUTS, change("p", "POST", 30)], seen("b", post="p"), True),
        ([*PUTS, change("p", "POST", 30)], seen("b"), False),
        ([*PUTS, change("p", "POST", 15)], seen("b"), True),
        ([*PUTS, change("p", "POST", 15)], seen("b", post="p"), False),  # I2
        ([*PUTS, change("p", "POST", 30, UNKNOWN)], seen("b"), True),
        (PUTS, Seen(etag="b", put="a", post=None, content_type="t", delete_at=None, size=0), False),
        (PUTS, seen("x"), False),  # I7
    ],
)
def test_which_states_are_allowed(
    changes: list[Change], state: Seen | None, is_right: bool
) -> None:
    name = Name("/a/c/o")
    name.changes = changes
    wrong = name.wrong_state(state, 1000.0)
    assert (wrong is None) is is_right, wrong
