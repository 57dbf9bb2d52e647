"""What is made of the answers to a read: fault tables that read like pictures."""

from __future__ import annotations

import pytest

from swiftish.cluster.reading import Judgement, Reading
from swiftish.http.message import Response

T1, T2, T3 = "1700000001.00000", "1700000002.00000", "1700000003.00000"


def has(stamp: str, meta: str | None = None) -> Response:
    return Response(
        status=200,
        headers={"x-backend-data-timestamp": stamp, "x-backend-timestamp": meta or stamp},
    )


def deleted(stamp: str) -> Response:
    return Response(status=404, headers={"x-backend-timestamp": stamp})


none, dead = Response(status=404), Response(status=503)


def read(primaries: list[Response], handoffs: list[Response], *, newest: bool = False) -> Response:
    reading = Reading(primaries=len(primaries), newest=newest)
    for primary, answers in ((True, primaries), (False, handoffs)):
        for answer in answers:
            if reading.judge(answer, primary=primary) is Judgement.SERVE:
                return answer
    best = reading.best() if newest else None
    return best or reading.refusal() or Response(status=503)


@pytest.mark.parametrize(
    ("primaries", "handoffs", "status"),
    [
        ([has(T1), dead, dead], [], 200),
        ([dead, dead, has(T1)], [], 200),
        ([none, none, none], [none, none], 404),
        ([none], [], 404),
        ([none, none], [], 404),
        ([none, dead], [], 503),
        ([dead, dead, dead], [none, none, none], 503),  # T23, B3(7)
        ([none, dead, dead], [none, none, none], 503),
        ([none, none, dead], [], 404),
        ([dead, dead, dead], [has(T1)], 200),  # T21: it was stored on a handoff
        ([none, none, none], [has(T1)], 200),
        ([deleted(T2), has(T1), has(T1)], [], 404),  # T24, B3(9)
        ([deleted(T1), has(T2), has(T2)], [], 200),  # put again since
        ([deleted(T1), dead, dead], [], 503),
        ([deleted(T1), deleted(T1), dead], [], 404),
        ([dead, dead, dead], [deleted(T1)], 503),
        ([Response(status=507)] * 3, [none], 503),
    ],
)
def test_t23_t24_reads(primaries: list[Response], handoffs: list[Response], status: int) -> None:
    """The first good answer; nothing that is known to be deleted; 404 only from those who know."""
    assert read(primaries, handoffs).status == status


@pytest.mark.parametrize(
    ("primaries", "answer"),
    [
        ([has(T1), has(T2), has(T1)], T2),
        ([has(T1), dead, dead], T1),
        ([has(T1), has(T2), deleted(T3)], None),
        ([has(T1), deleted(T2), has(T3)], T3),
        ([has(T1, meta=T2), has(T1, meta=T3), has(T1)], T3),
    ],
)
def test_newest_wins(primaries: list[Response], answer: str | None) -> None:
    """X-Newest hears everyone: the newest data, then the newest metadata; deletions count."""
    found = read(primaries, [], newest=True)
    if answer is None:
        assert found.status == 404
    else:
        assert found.headers["x-backend-timestamp"] == answer


def test_a_database_that_was_never_put_is_not_there() -> None:
    """A put timestamp of zero is a 404 (reference 2.2)."""
    hollow = Response(status=204, headers={"x-put-timestamp": "0000000000.00000"})
    assert read([hollow], []).status == 404
