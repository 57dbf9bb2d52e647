"""When a change has to be sent again."""

from __future__ import annotations

import pytest

from swiftish.cluster.moments import OVERTAKEN_BY, met, moment_of
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.message import Response

OURS = Timestamp.from_seconds(1000)
NOW = 1001.0


def answer(status: int, seconds: float | None = None) -> Response:
    headers = {}
    if seconds is not None:
        name = OVERTAKEN_BY if status == 202 else "x-backend-timestamp"
        headers[name] = Timestamp.from_seconds(seconds).internal
    return Response(status=status, headers=headers)


ok, had = answer(201), answer(409, 4600)  # an hour ahead of us
raced, same, old = answer(409, 1000.5), answer(409, 1000), answer(409, 900)
conflict, no, late = answer(409), answer(503), answer(202, 4600)


@pytest.mark.parametrize(
    ("answers", "again"),
    [
        ([ok, ok, ok], False),
        ([ok, no, no], False),
        ([had, had, had], True),
        ([ok, ok, had], True),  # one would make it old again
        ([ok, ok, raced], False),  # both were under way at once, and ours has won
        ([ok, raced, raced], True),
        ([ok, same, same], True),
        ([ok, old, old], False),  # of something else than its age
        ([conflict, conflict, conflict], False),  # not empty; another policy
        ([late, late, late], True),  # taken, and without effect
        ([answer(202, 1000)] * 3, True),
        ([answer(204, 1000)] * 3, False),  # a deletion tells its own moment
        ([answer(404, 4600)] * 3, False),  # deleted already, and later
        ([no, no, had], True),
    ],
)
def test_t27_what_has_met_a_newer_change_is_sent_again(
    answers: list[Response], again: bool
) -> None:
    """Unless a quorum has taken it, and the newer one may have come meanwhile."""
    assert met(answers, OURS, needed=2).again(NOW) is again


def test_a_moment_that_is_none() -> None:
    """Is no reason for anything."""
    bad = Response(status=409, headers={"x-backend-timestamp": "tomorrow"})
    assert moment_of(bad) == ZERO
    assert moment_of(Response(status=409)) == ZERO
