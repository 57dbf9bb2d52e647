"""What is counted of requests to storage nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swiftish.cluster.calls import Calls
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.measured import MeasuredTransport
from swiftish.cluster.transport import LocalTransport
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.metrics import Registry, rendered
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.prometheus import total

NODE = Device(id=0, device="d1")
GET = Request(method="GET", path="/d1/0/a/c/o")


@dataclass
class Counted:
    """After some reads."""

    text: str
    timeouts: int
    failures: int
    limited: int

    def requests(self, result: str) -> float:
        labels = {"service": "object", "method": "GET", "result": result}
        return total(self.text, "swiftish_backend_requests_total", **labels)


def counted(answer: Callable[[Request], Awaitable[Response]], times: int = 1) -> Counted:
    """So many reads through the usual calls."""
    registry = Registry()
    transport = MeasuredTransport(LocalTransport({"object": answer}), registry)

    async def scene() -> Counted:
        clock = LoopClock()
        limiter = ErrorLimiter(clock, errors_max=10)
        calls = Calls(transport, limiter, clock, node_timeout_s=10)
        for _ in range(times):
            await calls.send("object", NODE, GET)
        return Counted(
            rendered(registry.snapshot()),
            calls.timeouts["object"],
            limiter.failures["object"],
            limiter.limited_now()["object"],
        )

    return simulate(scene())


def test_answers_are_counted_by_the_class_of_their_status() -> None:
    async def answer(_: Request) -> Response:
        return Response(status=404)

    found = counted(answer, 3)
    assert found.requests("4xx") == 3
    assert found.requests("2xx") == 0
    assert (found.failures, found.limited) == (0, 0)


def test_a_node_that_hangs_is_given_up_and_that_is_a_timeout() -> None:
    async def answer(_: Request) -> Response:
        await asyncio.sleep(3600)
        raise AssertionError

    found = counted(answer, 11)
    assert found.requests("given up") == 11
    assert found.timeouts == 11
    assert (found.failures, found.limited) == (11, 1)


def test_what_breaks_is_counted_and_raised() -> None:
    async def answer(_: Request) -> Response:
        raise ConnectionError

    found = counted(answer, 2)
    assert found.requests("broken") == 2
    assert found.timeouts == 0
    assert (found.failures, found.limited) == (2, 0)


def test_a_node_that_is_out_of_space_is_left_alone_at_once() -> None:
    async def answer(_: Request) -> Response:
        return Response(status=507)

    found = counted(answer)
    assert found.requests("5xx") == 1
    assert (found.failures, found.limited) == (1, 1)
