"""Typed calls to one node, and whose turn it is to do what."""

from __future__ import annotations

import asyncio

from swiftish.cluster.direct import Direct
from swiftish.cluster.duty import Duty
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Bytes, Request, Response
from swiftish.ring.device import Device
from swiftish.ring.ring import fixed
from tests.fakes.loop import simulate
from tests.fakes.nodes import small_ring

RING = small_ring(devices=4, replicas=3)


class Nodes:
    """Nodes that answer with a status, break, or hang."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}
        self.broken: set[str] = set()
        self.hanging: set[str] = set()
        self.asked: list[tuple[Kind, str, Request]] = []

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        self.asked.append((kind, node.device, request))
        if node.device in self.broken:
            raise ConnectionRefusedError("nobody there")
        if node.device in self.hanging:
            await asyncio.Event().wait()
        return Response(status=self.status.get(node.device, 204), body=Bytes(b"[]"))


def direct_to(nodes: Nodes) -> Direct:
    return Direct(
        transport=nodes,
        account_ring=fixed(RING),
        container_ring=fixed(RING),
        object_rings={0: fixed(RING)},
        hash_path=HashPath(prefix=b"", suffix=b"s"),
        node_timeout_s=5.0,
    )


def test_what_fails_is_an_answer() -> None:
    """503, whether a node breaks or does not answer in time; all are asked at once."""

    async def main() -> None:
        nodes = Nodes()
        direct = direct_to(nodes)
        place = direct.container("a", "c")
        first, second, third = (device.device for device in place.primaries)
        nodes.broken, nodes.hanging = {first}, {second}
        answers = await direct.ask_all(place, "HEAD", {"x": "1"})
        assert [answer.status for answer in answers] == [503, 503, 204]
        assert asyncio.get_running_loop().time() == 5.0
        assert [(kind, device) for kind, device, _ in nodes.asked] == [
            ("container", first),
            ("container", second),
            ("container", third),
        ]
        assert nodes.asked[0][2].path == f"/{first}/{place.partition}/a/c"

    simulate(main())


def test_a_row_is_taken_out_of_a_queue() -> None:
    """A quorum must have done it."""

    async def main() -> None:
        nodes = Nodes()
        direct = direct_to(nodes)
        place = direct.container(".q", "7")
        first, second, _ = (device.device for device in place.primaries)
        at = Timestamp(5, 2)
        nodes.broken = {first}
        assert await direct.delete_row(".q", "7", "a/b", at)
        nodes.status[second] = 507
        assert not await direct.delete_row(".q", "7", "a/b", at)
        _, _, request = nodes.asked[-1]
        assert request.method == "DELETE"
        assert request.path.endswith("/.q/7/a/b")
        assert request.headers["x-timestamp"] == at.internal

    simulate(main())


def test_a_policy_that_nobody_knows() -> None:
    """Has no place."""
    assert direct_to(Nodes()).object(Target("a", "c", "o"), 7) is None


def test_the_first_node_that_answers_does_it() -> None:
    """Each thing is one node's, the next one's where that is away; and it is asked once a pass."""

    async def main() -> None:
        nodes = Nodes()
        direct = direct_to(nodes)
        duties = {
            device.device: Duty(
                direct,
                kind="object",
                ring=fixed(RING),
                here=Here({"object": [device.address]}),
            )
            for device in RING.devices
            if device is not None
        }

        async def whose(name: str) -> list[str]:
            return [node for node, duty in duties.items() if await duty.is_ours("q", "1", name)]

        before = {name: await whose(name) for name in map(str, range(40))}
        assert all(len(owners) == 1 for owners in before.values())
        assert {owners[0] for owners in before.values()} == set(duties)
        assert len(nodes.asked) == 4 * 4
        nodes.broken = {"d1"}
        assert {name: await whose(name) for name in before} == before, "as found in this pass"
        for duty in duties.values():
            duty.look_again()
        after = {name: await whose(name) for name in before}
        assert {owners[0] for owners in after.values()} == set(duties) - {"d1"}
        moved = {name for name in before if after[name] != before[name]}
        assert moved == {name for name in before if before[name] == ["d1"]}
        nodes.broken = set(duties)
        for duty in duties.values():
            duty.look_again()
        assert await whose("1") == []

    simulate(main())
