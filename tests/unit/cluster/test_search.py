"""Reads from nodes that are slow, hang or die, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from swiftish.cluster.calls import Calls
from swiftish.cluster.downloader import Reader
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.node_options import NodeOptions
from swiftish.cluster.nodes import Nodes, Place, place_of
from swiftish.cluster.timings import HEDGE_MIN_S, Timings
from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.http.message import Body, Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background
from tests.fakes.clock import LoopClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import small_ring

T = TypeVar("T")
MOMENT = "1700000000.00000"
HANGS = 3600.0


class Watched(Body):
    """Ten bytes, and whether they were closed."""

    length = 10

    def __init__(self, node: str) -> None:
        self.node = node
        self.open = True

    async def read(self) -> bytes:
        data, self.length = bytes(self.length), 0
        return data

    async def aclose(self) -> None:
        self.open = False


@dataclass
class Rig:
    """Three primaries that answer in a time of their own, and two handoffs that have nothing."""

    seconds: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    options: NodeOptions = field(default_factory=NodeOptions)

    def __post_init__(self) -> None:
        clock = LoopClock()
        self.asked: list[str] = []
        self.opened: list[Watched] = []
        self.background = Background()
        self.timings = Timings()
        self.limiter = ErrorLimiter(clock)
        calls = Calls(self, self.limiter, clock, node_timeout_s=10, read_timeout_s=4)
        self.nodes = Nodes(self.limiter, self.timings)
        self.reader = Reader(calls, self.nodes, self.background)
        self.place: Place = place_of(
            "object",
            small_ring(devices=5, replicas=3),
            HashPath(prefix=b"", suffix=b"s"),
            Target("a", "c", "o"),
            self.options,
        )
        self.primaries = [node.device for node in self.place.primaries]
        # As the first read asks them.
        self.turn = [*self.primaries[1:], self.primaries[0]]

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """The Transport."""
        self.asked.append(node.device)
        await asyncio.sleep(self.seconds.get(node.device, 0.001))
        default = 200 if node.device in self.primaries else 404
        status = self.statuses.get(node.device, default)
        if status != 200:
            return Response(status=status)
        self.opened.append(Watched(node.device))
        headers = {"etag": "e", "x-backend-data-timestamp": MOMENT}
        return Response(status=200, headers=headers, body=self.opened[-1])

    async def get(self) -> tuple[int, float]:
        """The status, and how long it took; what has lost is closed."""
        began = asyncio.get_running_loop().time()
        response = await self.reader.download(self.place, Request(method="GET", path=""))
        took = asyncio.get_running_loop().time() - began
        await response.body.aclose()
        await self.background.aclose(timeout_s=100)
        assert not any(body.open for body in self.opened)
        return response.status, took

    def first(self) -> str:
        """Whom the next read asks first."""
        turn = self.nodes._turn
        node = next(self.nodes.for_read(self.place, "GET", now=asyncio.get_running_loop().time()))
        self.nodes._turn = turn
        return node.device


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


def test_one_node_is_asked_when_it_answers() -> None:
    """No help is sent for, and nothing is left behind."""

    async def main() -> None:
        rig = Rig()
        assert await rig.get() == (200, 0.001)
        assert rig.asked == rig.turn[:1]

    run(main())


def test_t32_a_node_that_hangs_costs_half_a_second() -> None:
    """One that nothing is known of; the next has the answer, and the request to it ends."""

    async def main() -> None:
        rig = Rig()
        rig.seconds[rig.turn[0]] = HANGS
        assert await rig.get() == (200, 0.501)
        assert rig.asked == rig.turn[:2]
        assert asyncio.get_running_loop().time() == 0.501

    run(main())


def test_t34_a_node_that_has_become_slow_costs_little_and_then_nothing() -> None:
    """Four times its usual, but no less than HEDGE_MIN_S; then others are asked first."""

    async def main() -> None:
        rig = Rig()
        for _ in range(30):
            await rig.get()
        rig.seconds[rig.turn[0]] = 0.1  # a hundred times
        times = [(await rig.get())[1] for _ in range(30)]
        assert max(times) < 2 * HEDGE_MIN_S
        assert sum(seconds > 0.002 for seconds in times) <= 3
        assert rig.asked[-10:].count(rig.turn[0]) == 0

    run(main())


def test_t34_a_node_that_is_well_again_has_its_turn() -> None:
    """After some probes."""

    async def main() -> None:
        rig = Rig()
        rig.seconds[rig.turn[0]] = 0.1
        for _ in range(20):
            await rig.get()
        rig.seconds.clear()
        for _ in range(100):
            await asyncio.sleep(3)
            await rig.get()
        rig.asked.clear()
        for _ in range(9):
            await rig.get()
        assert rig.asked.count(rig.turn[0]) == 3

    run(main())


def test_all_primaries_may_hang_but_one() -> None:
    """Help is sent for again; not more than there are primaries."""

    async def main() -> None:
        rig = Rig()
        for name in rig.turn[:2]:
            rig.seconds[name] = HANGS
        assert await rig.get() == (200, 1.001)
        assert rig.asked == rig.turn

    run(main())


def test_t23_all_primaries_hang() -> None:
    """503 when their time is over, though handoffs have long said that they have nothing."""

    async def main() -> None:
        rig = Rig()
        rig.seconds = dict.fromkeys(rig.primaries, HANGS)
        status, took = await rig.get()
        assert status == 503
        assert took == pytest.approx(5.0, abs=0.1)  # the third was asked a second later
        assert len(rig.asked) == 5

    run(main())


def test_the_slow_one_may_be_first_all_the_same() -> None:
    """Whoever has the first good answer wins; the helper's request ends."""

    async def main() -> None:
        rig = Rig()
        rig.seconds = {rig.turn[0]: 0.6, rig.turn[1]: HANGS}
        assert await rig.get() == (200, 0.6)
        assert [body.node for body in rig.opened] == rig.turn[:1]

    run(main())


def test_two_answers_at_once() -> None:
    """One is served, the other closed."""

    async def main() -> None:
        rig = Rig()
        rig.seconds = {rig.turn[0]: 0.75, rig.turn[1]: 0.25}
        assert (await rig.get())[0] == 200

    run(main())


def test_a_helper_that_finds_nothing_does_not_end_the_search() -> None:
    """404 and 503 quickly from others, and the slow one has it."""

    async def main() -> None:
        rig = Rig()
        rig.seconds[rig.turn[0]] = 2.0
        rig.statuses = {rig.turn[1]: 404, rig.turn[2]: 503}
        assert await rig.get() == (200, 2.0)
        rig.statuses = dict.fromkeys(rig.primaries, 404)
        assert (await rig.get())[0] == 404

    run(main())


def test_the_caller_finds_nothing_and_waits_for_its_helpers() -> None:
    """The helper's node is slow too, and has the answer."""

    async def main() -> None:
        rig = Rig()
        rig.seconds = {rig.turn[0]: 0.6, rig.turn[1]: 3.0}
        rig.statuses = {rig.turn[0]: 404, rig.turn[2]: 404}
        assert await rig.get() == (200, 3.5)

    run(main())


def test_t74_a_client_that_leaves_leaves_nothing_open() -> None:
    """At whatever moment, also at the one at which a helper has found something."""

    async def main() -> None:
        for step in range(0, 1200, 25):
            rig = Rig()
            rig.seconds = {rig.turn[0]: HANGS, rig.turn[1]: 0.5}
            await rig.background.aclose(timeout_s=1)
            try:
                async with asyncio.timeout(step / 1000):
                    await rig.get()
            except TimeoutError:
                pass
            await rig.background.aclose(timeout_s=100)
            assert not any(body.open for body in rig.opened)
            assert len(rig.background) == 0

    run(main())


def test_without_concurrent_reads_one_waits() -> None:
    """Until the node's time is over."""

    async def main() -> None:
        rig = Rig(options=NodeOptions(concurrent_reads=False))
        rig.seconds[rig.turn[0]] = HANGS
        assert await rig.get() == (200, 4.001)

    run(main())


def test_t32_reads_that_do_not_need_the_device_take_no_longer() -> None:
    """And those that do take a moment longer, until it is known that it hangs."""

    async def main() -> None:
        rig = Rig()
        for _ in range(30):
            await rig.get()
        rig.seconds[rig.primaries[0]] = HANGS
        times = []
        for _ in range(200):
            needs_it = rig.first() == rig.primaries[0]
            took = (await rig.get())[1]
            times.append((needs_it, took))
        assert max(took for needs_it, took in times if not needs_it) == pytest.approx(0.001)
        assert sum(took > 0.002 for _, took in times) <= 3

    run(main())


def test_a_body_goes_on_at_a_node_that_was_too_slow_before() -> None:
    """In need nobody is forgotten."""

    async def main() -> None:
        rig = Rig()
        rig.seconds = {rig.turn[0]: 0.6}
        rig.statuses = {rig.turn[2]: 503}
        response = await rig.reader.download(rig.place, Request(method="GET", path=""))
        others = response.body._others  # type: ignore[attr-defined]
        assert rig.turn[0] in [node.device for node in others]
        await response.body.aclose()
        await rig.background.aclose(timeout_s=100)

    run(main())
