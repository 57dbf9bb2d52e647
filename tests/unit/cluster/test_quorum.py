"""When enough nodes have answered, and which answer the client sees."""

from __future__ import annotations

import itertools

import pytest

from swiftish.cluster.best_response import DELETE_OVERRIDES, best_response
from swiftish.cluster.quorum import Tally, Verdict
from swiftish.domain.policy import quorum_size
from swiftish.http.message import Response

ok, acc, gone, con, no = 201, 202, 404, 409, 503


def after(*statuses: int, size: int = 3) -> Verdict:
    tally = Tally(size=size, needed=quorum_size(size))
    for status in statuses:
        tally.add(status)
    return tally.verdict()


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([], Verdict.PENDING),
        ([ok], Verdict.PENDING),
        ([ok, ok], Verdict.WON),
        ([ok, no], Verdict.PENDING),
        ([ok, no, ok], Verdict.WON),
        ([ok, no, no], Verdict.LOST),
        ([no, no], Verdict.LOST),
        ([gone, gone], Verdict.WON),
        ([gone, con], Verdict.WON),
        ([ok, gone], Verdict.PENDING),
        ([ok, gone, no], Verdict.LOST),
    ],
)
def test_three_nodes(statuses: list[int], verdict: Verdict) -> None:
    """Two of three decide; one that broke agrees with nobody."""
    assert after(*statuses) is verdict


def test_two_nodes_wait_for_the_better_class() -> None:
    """Half is a quorum of two, so a 404 does not win while a 2xx may still come."""
    tally = Tally(size=2, needed=1)
    assert tally.add(gone) is Verdict.PENDING
    assert tally.reached
    assert tally.add(ok) is Verdict.WON
    assert tally.status() == ok


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_order_of_answers_does_not_matter(size: int) -> None:
    """A verdict, once given, is what all answers together would have said."""
    needed = quorum_size(size)
    for statuses in itertools.product((ok, 304, gone, con, no), repeat=size):
        whole = Tally(size=size, needed=needed, statuses=list(statuses))
        early = Tally(size=size, needed=needed)
        verdict = Verdict.PENDING
        for status in statuses:
            verdict = early.add(status)
            if verdict is not Verdict.PENDING:
                break
        assert verdict is whole.verdict()
        assert early.status() // 100 == whole.status() // 100


def vote(*statuses: int, delete: bool = False) -> int:
    best = best_response(
        [Response(status=status) for status in statuses],
        needed=quorum_size(len(statuses)),
        overrides=DELETE_OVERRIDES if delete else {},
    )
    return best.status if best else 503


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([ok, ok, no], ok),
        ([ok, acc, no], acc),
        ([ok, no, no], 503),
        ([gone, gone, ok], gone),
        ([gone, con, ok], con),
        ([ok, gone, no], 503),
        ([no, gone], gone),
        ([gone, ok], ok),
        ([no], 503),
    ],
)
def test_vote(statuses: list[int], status: int) -> None:
    """The highest status of the best class that has a quorum."""
    assert vote(*statuses) == status


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([204, 204, gone], 204),
        ([204, gone, no], 204),
        ([gone, gone, gone], gone),
        ([204, gone, gone], gone),
        ([gone, gone, no], gone),
        ([gone, no, no], 503),
        ([204, no, no], 503),
        ([con, gone, 204], con),
        ([con, gone, no], con),
    ],
)
def test_vote_on_a_delete(statuses: list[int], status: int) -> None:
    """Who has nothing to delete agrees with who has deleted, where there is no quorum without."""
    assert vote(*statuses, delete=True) == status
