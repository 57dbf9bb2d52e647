"""What is held against a node."""

import pytest

from swiftish.cluster.calls import Calls
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.transport import LocalTransport
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from tests.fakes.clock import FakeClock, LoopClock
from tests.fakes.loop import simulate

NODE = Device(id=0, device="d1")


@pytest.mark.parametrize(
    ("response", "blamed"),
    [
        (Response(status=503), True),
        (Response(status=507), True),
        (Response(status=500), True),
        (Response(status=404), False),
        (Response(status=503, headers={"x-backend-damaged": "true"}), False),
        (Response(status=503, headers={"x-backend-ahead-of": "1700000000.00000"}), False),
    ],
)
def test_a_damaged_copy_is_not_held_against_its_node(response: Response, blamed: bool) -> None:
    """T49: reads of one bad file, however many, must not keep new objects away from the device.
    T27: nor must changes by a proxy whose clock is wrong."""

    async def answer(_: Request) -> Response:
        return response

    async def scene() -> bool:
        limiter = ErrorLimiter(LoopClock())
        clock = LoopClock()
        calls = Calls(LocalTransport({"object": answer}), limiter, clock, node_timeout_s=10)
        for _ in range(20):
            await calls.send("object", NODE, Request(method="GET", path="/d1/0/a/c/o"))
        return limiter.limited("object", NODE)

    assert simulate(scene()) is blamed


def test_t27_the_clock_hears_of_what_is_seen() -> None:
    """What this process changes from now on is newer than what it has read; not by years."""
    clock = FakeClock()
    moments = iter(["1700003600.00000", "bad", "1700000001.00000", "1999999999.00000", None])

    async def answer(_: Request) -> Response:
        moment = next(moments)
        return Response(status=200, headers={"x-backend-timestamp": moment} if moment else {})

    async def scene() -> None:
        calls = Calls(
            LocalTransport({"object": answer}), ErrorLimiter(clock), clock, node_timeout_s=10
        )
        for _ in range(5):
            await calls.read("object", NODE, Request(method="GET", path="/d1/0/a/c/o"))
            assert clock.timestamp().normal.startswith("1700003600.000")

    simulate(scene())
