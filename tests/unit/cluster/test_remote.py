"""Which node is asked, where, and what becomes of those that can't be; backend ports under fire."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest

from swiftish.cluster.backend_app import BackendApp, PartitionCall
from swiftish.cluster.documents import asked, reply
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.remote import NodeTransport, address
from swiftish.cluster.transport import Kind
from swiftish.domain.limits import KiB, MiB
from swiftish.http.bodies import read_all
from swiftish.http.client import HttpClient
from swiftish.http.message import Body, Bytes, Handler, Request, Response
from swiftish.http.peers import Peers
from swiftish.http.replies import empty, plain
from swiftish.ring.device import Device
from swiftish.runtime.devices import Devices
from tests.fakes.clock import FakeClock
from tests.fakes.object_node import ONE, Node, Pieces, serving
from tests.unit.http.serving import Served, served

KEY = b"of the cluster"
NEAR = Device(id=0, device="sda", ip="10.0.0.1", port=6200)
GET = Request(method="GET", path="/sda/7/a/c/o")


@contextlib.asynccontextmanager
async def backend(handler: Handler, *, key: bytes = KEY) -> AsyncIterator[tuple[Served, Device]]:
    """A backend port, and a device that is there."""
    async with served(handler, peers=Peers(key, clock=FakeClock())) as running:
        yield running, Device(id=1, device="sda", port=running.server.port)


@contextlib.asynccontextmanager
async def transport(
    *, here: Here = EVERYTHING, key: bytes = KEY, kinds: tuple[Kind, ...] = ()
) -> AsyncIterator[NodeTransport]:
    """Its own services answer 299."""

    async def own(_: Request) -> Response:
        return empty(299)

    client = HttpClient(key=key)
    yield NodeTransport(dict.fromkeys(kinds, own), here, client)
    await client.aclose()


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, ("10.0.0.1", 6200)),
        ("REPLICATE", {}, ("10.9.0.1", 6300)),
        ("PUT", {"x-backend-use-replication-network": "True"}, ("10.9.0.1", 6300)),
        ("PUT", {"x-backend-use-replication-network": "false"}, ("10.0.0.1", 6200)),
    ],
)
def test_workers_have_a_network_of_their_own(
    method: str, headers: dict[str, str], expected: tuple[str, int]
) -> None:
    """Where the ring has one for the device."""
    request = Request(method=method, path="/", headers=headers)
    far = Device(
        id=0,
        device="sda",
        ip="10.0.0.1",
        port=6200,
        replication_ip="10.9.0.1",
        replication_port=6300,
    )
    assert address(far, request) == expected
    assert address(NEAR, request) == ("10.0.0.1", 6200)


def test_a_device_that_is_here_is_a_call() -> None:
    """If the service is; what is elsewhere is asked there."""

    async def handler(_: Request) -> Response:
        return empty(201)

    async def go() -> None:
        async with backend(handler) as (_, far):
            here = Here({"object": [NEAR.address], "account": [far.address]})
            async with transport(here=here, kinds=("object", "container")) as made:
                assert (await made.send("object", NEAR, GET)).status == 299
                assert (await made.send("object", far, GET)).status == 201
                assert (await made.send("container", far, GET)).status == 201
                assert (await made.send("account", far, GET)).status == 201, "no service here"
            async with transport(kinds=("object",)) as made:
                assert (await made.send("object", far, GET)).status == 299

    asyncio.run(go())


def test_a_node_that_is_down_or_refuses_us_is_a_503(caplog: pytest.LogCaptureFixture) -> None:
    """Its 401 must not be taken for an answer to a client; the log says what is wrong."""

    async def handler(_: Request) -> Response:
        raise AssertionError

    async def go() -> None:
        async with backend(handler) as (_, far):
            for key in (b"", b"of another"):
                async with transport(key=key) as made:
                    answer = await made.send("object", far, GET)
                    assert answer.status == 503
        async with transport() as made:
            assert (await made.send("object", far, GET)).status == 503
        ours = [record for record in caplog.records if record.name == "swiftish.cluster.remote"]
        assert [record.message for record in ours] == [
            "a node refuses our key",
            "a node refuses our key",
            "no answer",
        ]

    with caplog.at_level(logging.INFO, logger="swiftish.cluster.remote"):
        asyncio.run(go())


def test_a_source_that_breaks_is_not_the_nodes_fault() -> None:
    """Also when it is the answer of another node."""

    class Breaks(Body):
        length = 1 << 20
        pieces = 0

        async def read(self) -> bytes:
            self.pieces += 1
            if self.pieces > 3:
                raise ConnectionResetError("its disk broke")
            return bytes(1000)

    async def handler(request: Request) -> Response:
        if request.method == "GET":
            return Response(status=200, body=Breaks())
        await request.body.read()
        return empty(201)

    async def go() -> None:
        async with backend(handler) as (_, far), transport() as made:
            response = await made.send("object", far, GET)
            copy = Request(method="PUT", path="/sda/7/a/c/p", body=response.body)
            with pytest.raises(ConnectionError, match="ended"):
                await made.send("object", far, copy)
            await response.body.aclose()

    asyncio.run(go())


@pytest.mark.parametrize("size", [0, 1000, 200_000, 3 * MiB])
@pytest.mark.parametrize("whole", [True, False])
def test_an_object_over_the_wire(device: Path, size: int, whole: bool) -> None:
    """Its ETag follows as a trailer, its row is told, and it is read back, whole and in part."""
    data = random.Random(size).randbytes(size)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()

    async def scenario(node: Node) -> None:
        headers = {"x-timestamp": "1700000001.00000", "x-backend-etag-follows": "yes", **ONE}
        async with backend(node.service.handler) as (_, far), transport(here=Here({})) as made:

            async def ask(method: str, **more: str) -> tuple[Response, bytes]:
                request = Request(method=method, path="/sda/3/a/c/o", headers=more)
                async with await made.send("object", far, request) as response:
                    return response, await read_all(response.body, size_max=size)

            for name, status in (("wrong", 400), ("etag", 201)):
                trailers = {name: etag, "x-object-sysmeta-a": "b"}
                request = Request(
                    method="PUT",
                    path="/sda/3/a/c/o",
                    headers=headers,
                    body=Bytes(data) if whole else Pieces(*cut(data)),
                    trailers=trailers.copy,
                )
                async with await made.send("object", far, request) as response:
                    assert response.status == status
            response, body = await ask("GET")
            assert (response.status, response.headers["etag"], body) == (200, etag, data)
            assert response.headers["x-object-sysmeta-a"] == "b"
            response, body = await ask("HEAD")
            assert (response.status, response.length, body) == (200, size, b"")
            if size:
                response, body = await ask("GET", range="bytes=-500")
                assert (response.status, body) == (206, data[-500:])
        assert len(node.containers.rows) == 1

    serving(device, scenario)


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 64 * KiB] for at in range(0, len(data), 64 * KiB)]


# ---- bad input to a backend port ---------------------------------------------------------------


async def replicate(call: PartitionCall) -> Response:
    """A verb between workers, of the usual kind."""
    document = await asked(call.request.body, size_max=100_000)
    if not isinstance(document, dict):
        return plain(400, "not what was asked for")
    return reply({"seen": len(document)})


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"", 400),
        (b"\xc1", 400),
        (b"\x81\xa1a", 400),
        (b"\x93\x01\x02", 400),
        (b"\x81\xa1a\x01\x00", 400),
        (b"\xdf\xff\xff\xff\xff", 400),
        (b"\xc6\xff\xff\xff\xff", 400),
        (b"\x91" * 5000, 400),
        (b"<html>", 400),
        (b"\xa3\xff\xfe\xfd", 400),
        (b"\x90", 400),
        (bytes(200_000), 413),
        (msgpack.packb({"a": 1}), 200),
    ],
    ids=lambda value: repr(value[:10]) if isinstance(value, bytes) else value,
)
def test_t90_garbage_for_a_document(device: Path, garbage: bytes, status: int) -> None:
    """Is refused, and the next request is answered."""
    (device / "sda").mkdir()
    devices = Devices(device, ["sda"])
    app = BackendApp(devices, {}, {"REPLICATE": replicate}, clock=FakeClock())

    async def go() -> None:
        async with backend(app) as (_, far), transport(here=Here({})) as made:
            for data, expected in ((garbage, status), (msgpack.packb({}), 200)):
                request = Request(method="REPLICATE", path="/sda/7", body=Bytes(data))
                async with await made.send("object", far, request) as response:
                    assert response.status == expected

    asyncio.run(go())
    devices.close()


def test_t89_a_foreign_host_in_a_header(device: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is never contacted; it is counted, and there is one line in the log."""
    called: list[object] = []

    async def scenario(node: Node) -> None:
        async def foreign(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.append(reader)
            writer.close()

        listener = await asyncio.start_server(foreign, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        headers = {
            "x-timestamp": "1700000001.00000",
            "x-container-host": f"127.0.0.1:{port}",
            "x-container-device": "sdc",
            "x-container-partition": "2",
        }
        async with backend(node.service.handler) as (_, far), transport(here=Here({})) as made:
            for name in ("o", "p"):
                request = Request(
                    method="PUT", path=f"/sda/7/a/c/{name}", headers=headers, body=Bytes(b"abc")
                )
                async with await made.send("object", far, request) as response:
                    assert response.status == 201
        assert node.containers.rows == []
        assert node.service.named.unknown == 2
        listener.close()
        await listener.wait_closed()

    with caplog.at_level(logging.WARNING):
        serving(device, scenario)
    assert called == []
    lines = [record for record in caplog.records if record.message == "not in the ring"]
    assert len(lines) == 1
