"""What is held against a node."""

import pytest

from swiftish.cluster.calls import Calls
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.transport import LocalTransport
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from tests.fakes.clock import LoopClock
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
    ],
)
def test_a_damaged_copy_is_not_held_against_its_node(response: Response, blamed: bool) -> None:
    """T49: reads of one bad file, however many, must not keep new objects away from the device."""

    async def answer(_: Request) -> Response:
        return response

    async def scene() -> bool:
        limiter = ErrorLimiter(LoopClock())
        calls = Calls(LocalTransport({"object": answer}), limiter, node_timeout_s=10)
        for _ in range(20):
            await calls.send("object", NODE, Request(method="GET", path="/d1/0/a/c/o"))
        return limiter.limited("object", NODE)

    assert simulate(scene()) is blamed
