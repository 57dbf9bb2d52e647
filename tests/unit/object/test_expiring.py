"""What the expirer does with which row, and in which order."""

from __future__ import annotations

import pytest

from swiftish.domain.expiry import Task
from swiftish.domain.names import Target
from swiftish.object.expiring import Outcome, interleaved, is_due, is_in_share, outcome
from swiftish.object.settings import ExpirerSettings

DONE, MOOT, KEEP = Outcome.DONE, Outcome.MOOT, Outcome.KEEP
WEEK_S = 604_800.0


def task(name: str, *, at: int = 100, unconditional: bool = False) -> Task:
    account, container, _ = name.split("/")
    return Task("0", f"{at}-{name}", at, Target(account, container, "o"), unconditional)


@pytest.mark.parametrize(
    ("status", "young", "old"),
    [
        (204, DONE, DONE),
        (200, DONE, DONE),
        (404, KEEP, MOOT),
        (412, KEEP, MOOT),
        (409, MOOT, MOOT),
        (503, KEEP, KEEP),
        (507, KEEP, KEEP),
        (403, KEEP, KEEP),
    ],
)
def test_what_an_answer_means(status: int, young: Outcome, old: Outcome) -> None:
    """As long as a replica may not have heard of the object, "there is none" proves nothing."""
    assert outcome(status, age_s=WEEK_S, reclaim_age_s=WEEK_S) is young
    assert outcome(status, age_s=WEEK_S + 1, reclaim_age_s=WEEK_S) is old


def test_delays() -> None:
    """A container's delay counts before its account's; an unconditional task has none."""
    delays = {"a": 50.0, "a/c": 10.0}
    due = {
        name: [now for now in (99, 100, 110, 150) if is_due(task(name), now, delays)]
        for name in ("a/c/o", "a/d/o", "b/c/o")
    }
    assert due == {"a/c/o": [110, 150], "a/d/o": [150], "b/c/o": [100, 110, 150]}
    assert is_due(task("a/d/o", unconditional=True), 100, delays)


def test_shares_are_disjoint_and_whole() -> None:
    """Each task is that of exactly one process."""
    tasks = [task(f"a/c{number}/o") for number in range(100)]
    shares = [[t for t in tasks if is_in_share(t, processes=3, process=p)] for p in range(3)]
    assert sum(map(len, shares)) == 100
    assert {t.name for share in shares for t in share} == {t.name for t in tasks}
    assert min(map(len, shares)) > 20


def test_containers_take_turns() -> None:
    """So that none has to hear of all its deletions at once."""
    tasks = [
        task(f"a/{c}/{number}", at=number) for c in "xyz" for number in range({"x": 3}.get(c, 1))
    ]
    assert [t.target.container for t in interleaved(tasks)] == ["x", "y", "z", "x", "x"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0},
        {"tasks_per_second": -1},
        {"concurrency": 0},
        {"process": 1},
        {"processes": 2, "process": 2},
        {"delay_reaping_s": {"a": -1.0}},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    """Are refused."""
    with pytest.raises(ValueError, match="must"):
        ExpirerSettings(**wrong)  # type: ignore[arg-type]
