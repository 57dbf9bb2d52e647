"""Updates of rows, alone and together, and what is made of hostile ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from swiftish.cluster.backend_app import BackendApp, Call, PartitionCall
from swiftish.cluster.documents import packed, reply
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.transport import Kind, LocalTransport
from swiftish.cluster.updates import TIMEOUT_S, Updates, updates_of
from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import empty
from swiftish.ring.device import Device
from swiftish.runtime.clock import FUTURE_MAX_S
from swiftish.runtime.devices import Devices
from swiftish.runtime.tasks import Background
from tests.fakes.clock import EPOCH_S, FakeClock
from tests.fakes.loop import simulate

T = TypeVar("T")
NODE = Device(id=0, device="d1")


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


class Server:
    """Takes rows whose names do not begin with x."""

    def __init__(self, root: Path) -> None:
        (root / "d1").mkdir()
        self.requests: list[str] = []
        self.devices = Devices(root, ["d1"])
        self.handler: Handler = BackendApp(
            self.devices, {"PUT": self._put}, {"UPDATE": self._update}, clock=FakeClock()
        )

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request.method)
        await asyncio.sleep(1)
        return await self.handler(request)

    async def _put(self, call: Call) -> Response:
        return empty(_status(call))

    async def _update(self, call: PartitionCall) -> Response:
        return reply([_status(each) for each in await updates_of(call)])


def _status(call: Call) -> int:
    assert call.object is not None
    return 404 if call.object.startswith("x") else 201


def row(name: str) -> Request:
    return Request(method="PUT", path=f"/d1/7/a/c/{name}", headers={"x-size": "1"})


def test_together_as_alone(tmp_path: Path) -> None:
    """Each row has its own status; one that is refused keeps no other from its place."""

    async def main() -> None:
        server = Server(tmp_path)
        updates = Updates(
            "container", LocalTransport({"container": server}), Background(), Here({})
        )
        names = ["one", "two", "xthree", "fo/ur", "five"]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(updates.send(NODE, row(name))) for name in names]
        assert [task.result() for task in tasks] == [201, 201, 404, 201, 201]
        assert server.requests == ["PUT", "UPDATE"]
        server.devices.close()

    run(main())


def test_to_a_device_of_this_node_each_by_itself(tmp_path: Path) -> None:
    """At once, however many are under way."""

    async def main() -> None:
        server = Server(tmp_path)
        transport = LocalTransport({"container": server})
        updates = Updates("container", transport, Background(), EVERYTHING)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(updates.send(NODE, row(str(n)))) for n in range(5)]
        assert [task.result() for task in tasks] == [201] * 5
        assert server.requests == ["PUT"] * 5
        assert asyncio.get_running_loop().time() == 1
        server.devices.close()

    run(main())


class Odd:
    """A node that says something else, hangs or dies."""

    def __init__(self, answer: Response | Exception | None) -> None:
        self.answer = answer

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        await asyncio.sleep(1 if self.answer is not None else 1000)
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer.replace(body=Bytes(b"\xc1 no document"))


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (Response(status=507), [507, 507, 507]),
        (ConnectionResetError(), [503, 503, 503]),
        (None, [503, 503, 503]),
        (Response(status=200), [200, 503, 503]),
    ],
)
def test_a_node_that_does_not_take_them(
    answer: Response | Exception | None, statuses: list[int]
) -> None:
    """All are told; nobody waits for ever."""

    async def main() -> None:
        updates = Updates("container", Odd(answer), Background(), Here({}))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(updates.send(NODE, row(str(n)))) for n in range(3)]
        assert [task.result() for task in tasks] == statuses
        assert asyncio.get_running_loop().time() <= 2 * TIMEOUT_S

    run(main())


@pytest.mark.parametrize("document", [[201], [201, "204"], [201, 1000], [201, True], {}, 5, None])
def test_an_answer_that_is_none(document: object) -> None:
    """As if there were none."""

    async def main() -> None:
        async def answer(request: Request) -> Response:
            await asyncio.sleep(1)
            return empty(201) if request.method == "PUT" else reply(document)

        updates = Updates(
            "container", LocalTransport({"container": answer}), Background(), Here({})
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(updates.send(NODE, row(str(n)))) for n in range(3)]
        assert [task.result() for task in tasks] == [201, 503, 503]

    run(main())


GOOD = ["PUT", "/d1/7/a/c/o", {}]


@pytest.mark.parametrize(
    "document",
    [
        b"\xc1 not msgpack",
        5,
        {},
        [],
        [[]],
        [GOOD, 5],
        [["PUT", "/d1/7/a/c/o"]],
        [[1, "/d1/7/a/c/o", {}]],
        [["PUT", "/d1/7/a/c/o", {"a": 1}]],
        [["PUT", "/d2/7/a/c/o", {}]],  # another device
        [["PUT", "/d1/x/a/c/o", {}]],
        [["PUT", "/d1/7/a", {}]],
        [["PUT", "d1/7/a/c/o", {}]],
        [["PUT", "/d1/7//c/o", {}]],
        [GOOD] * 257,
    ],
)
def test_t79_an_update_that_makes_no_sense(tmp_path: Path, document: object) -> None:
    """400, and nothing is done."""

    async def main() -> None:
        server = Server(tmp_path)
        data = document if isinstance(document, bytes) else packed(document)
        answer = await server(Request(method="UPDATE", path="/d1/7", body=Bytes(data)))
        assert answer.status == 400
        server.devices.close()

    run(main())


def test_t27_a_change_from_too_far_ahead_is_refused(tmp_path: Path) -> None:
    """503, and by whose clock it was too far: another server may know better.  A change with a
    moment like that would block its name for years."""

    async def main() -> None:
        (tmp_path / "d1").mkdir()
        devices = Devices(tmp_path, ["d1"])

        async def put(call: Call) -> Response:
            return empty(201, {"x-timestamp": call.timestamp().internal})

        app = BackendApp(devices, {"PUT": put}, clock=FakeClock())
        for ahead_s, status in ((0, 201), (3600, 201), (FUTURE_MAX_S + 1, 503)):
            stamp = {"x-timestamp": f"{EPOCH_S + ahead_s:.5f}"}
            answer = await app(Request(method="PUT", path="/d1/7/a/c", headers=stamp))
            assert answer.status == status
            if status == 503:
                assert answer.headers["x-backend-ahead-of"] == f"{EPOCH_S:.5f}"
        bad = await app(Request(method="PUT", path="/d1/7/a/c", headers={"x-timestamp": "soon"}))
        assert bad.status == 400
        devices.close()

    run(main())
