"""Bread, health and transaction ids."""

from __future__ import annotations

import asyncio
import logging

import pytest

from swiftish.domain.names import BadPath
from swiftish.http.bodies import ClientGone, TooLong, read_all
from swiftish.http.errors import Bugs, Refusals
from swiftish.http.health import HealthCheck
from swiftish.http.message import Context, Request, Response
from swiftish.http.replies import Refusal, empty
from swiftish.http.transaction import transaction_id


def raising(error: BaseException) -> Bugs:
    async def app(_: Request) -> Response:
        raise error

    return Bugs(Refusals(app))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refusal(404, "gone", {"x-a": "b"}), 404),
        (ClientGone(), 499),
        (TooLong(5), 413),
        (BadPath(412, "Bad URL"), 412),
    ],
)
def test_what_is_raised_becomes_an_answer(error: Exception, status: int) -> None:
    """With its text and headers."""
    answer = asyncio.run(raising(error)(Request(method="GET", path="/")))
    assert answer.status == status
    if status == 404:
        assert answer.headers["x-a"] == "b"


def test_a_bug_is_logged_under_its_transaction(caplog: pytest.LogCaptureFixture) -> None:
    """The client learns the id and nothing else."""
    request = Request(method="GET", path="/a", context=Context(transaction_id="tx1"))
    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(raising(ZeroDivisionError("inside"))(request))
    assert answer.status == 500
    body = asyncio.run(read_all(answer.body, size_max=1000))
    assert b"tx1" in body
    assert b"inside" not in body
    [record] = caplog.records
    assert record.__dict__["transaction"] == "tx1"
    assert record.exc_info is not None


def test_cancellation_is_no_bug() -> None:
    """It passes through both."""
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(raising(asyncio.CancelledError())(Request(method="GET", path="/")))


def test_healthcheck() -> None:
    """GET and HEAD of this path only."""

    async def app(_: Request) -> Response:
        return empty(404)

    async def go() -> None:
        check = HealthCheck(app)
        answer = await check(Request(method="GET", path="/healthcheck"))
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
        assert await read_all(answer.body, size_max=5) == b"OK"
        assert (await check(Request(method="HEAD", path="/healthcheck"))).length == 2
        assert (await check(Request(method="PUT", path="/healthcheck"))).status == 404
        assert (await check(Request(method="GET", path="/healthcheck/"))).status == 404

    asyncio.run(go())


def test_transaction_ids() -> None:
    """Shaped as Swift's, and never the same."""
    ids = {transaction_id(1.5) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 34 and each.endswith("-0000000001") for each in ids)
    assert all(set(each[2:23]) <= set("0123456789abcdef") for each in ids)
    assert transaction_id(1.5, "-eu", "a\r\nb" + "c" * 99).endswith("-eu-a%0D%0Ab" + "c" * 28)
