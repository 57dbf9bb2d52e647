"""Typed calls to the whole cluster, through any Handler."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from swiftish.cluster.client import Refused, SwiftClient, Unavailable
from swiftish.cluster.listings import BadListing, ContainerEntry, ObjectEntry
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Bytes, Request, Response
from tests.fakes.loop import simulate
from tests.fakes.nodes import Pieces

OBJECT = Target("a", "c", "o ?")


class Answers:
    """A Handler that gives one answer after the other, the last of them for ever."""

    def __init__(self, *answers: Response | int) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Response(status=answer) if isinstance(answer, int) else answer


def run(answers: Answers, script: Callable[[SwiftClient], Coroutine[Any, Any, None]]) -> None:
    simulate(script(SwiftClient(answers)))


def page(*rows: object) -> Response:
    """A listing whose body comes in pieces, as from another node."""
    return Response(status=200, body=Pieces(orjson.dumps(rows), piece=10))


def test_listings() -> None:
    """Pages of typed rows; nothing is no error."""
    answers = Answers(
        page({"name": "c", "count": 2, "bytes": 3, "last_modified": "-"}),
        page(
            {
                "name": "ö",
                "hash": "e",
                "bytes": 5,
                "content_type": "x/y",
                "last_modified": "2023-11-14T22:13:20.123450",
            }
        ),
        404,
    )

    async def script(client: SwiftClient) -> None:
        assert await client.list_containers("a", marker="b&", limit=7) == [
            ContainerEntry("c", 2, 3)
        ]
        moment = Timestamp.parse("1700000000.12345")
        expected = [ObjectEntry("ö", "e", 5, "x/y", moment)]
        assert await client.list_objects("a", "c", end_marker="z") == expected
        assert await client.list_objects("a", "c") == []

    run(answers, script)
    assert [(r.method, r.path, r.query) for r in answers.asked] == [
        ("GET", "/v1/a", "marker=b%26&limit=7"),
        ("GET", "/v1/a/c", "end_marker=z"),
        ("GET", "/v1/a/c", ""),
    ]


@pytest.mark.parametrize("body", [b"<html>", b"7", b'[{"name": "c"}]', b"[7]"])
def test_what_is_no_listing_is_the_fault_of_who_gave_it(body: bytes) -> None:
    """An error like that of any node that breaks."""

    async def script(client: SwiftClient) -> None:
        with pytest.raises(BadListing):
            await client.list_containers("a")

    run(Answers(Response(status=200, body=Bytes(body))), script)


def test_what_fails_for_the_moment_is_tried_again() -> None:
    """Three times, with pauses; then it is raised."""
    answers = Answers(503, 507, 204)

    async def script(client: SwiftClient) -> None:
        assert (await client.delete(OBJECT, {"x-timestamp": "1"})).status == 204
        answers.answers = [503]
        with pytest.raises(Unavailable) as caught:
            await client.head(OBJECT)
        assert caught.value.status == 503

    run(answers, script)
    assert len(answers.asked) == 6
    assert {(r.path, r.headers.get("x-timestamp")) for r in answers.asked[:3]} == {
        ("/v1/a/c/o ?", "1")
    }


def test_a_refusal_is_raised_at_once() -> None:
    """Unless the caller expects it."""
    answers = Answers(409)

    async def script(client: SwiftClient) -> None:
        with pytest.raises(Refused) as caught:
            await client.put_container("a", "c")
        assert caught.value.status == 409
        assert (await client.delete(OBJECT, also=(409,))).status == 409
        assert len(answers.asked) == 2

    run(answers, script)


def test_a_body_is_sent_once() -> None:
    """What has been read can't be sent again."""
    answers = Answers(503)

    async def script(client: SwiftClient) -> None:
        with pytest.raises(Unavailable):
            await client.put_object(OBJECT, Bytes(b"abc"))
        [asked] = answers.asked
        assert asked.headers["content-length"] == "3"

    run(answers, script)


def test_the_body_of_an_object_is_left_to_the_caller() -> None:
    """Who closes it."""
    body = Pieces(b"x" * 100, piece=10)

    async def script(client: SwiftClient) -> None:
        async with await client.get_object(OBJECT) as response:
            assert await response.body.read() == b"x" * 10
        assert body.closed

    run(Answers(Response(status=200, body=body)), script)
