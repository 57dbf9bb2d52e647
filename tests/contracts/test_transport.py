"""What every Transport promises, checked on a call and on a request over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from swiftish.cluster.here import Here
from swiftish.cluster.remote import NodeTransport
from swiftish.cluster.transport import LocalTransport, Transport
from swiftish.domain.limits import KiB, Limits, MiB
from swiftish.http.bodies import FedBody, read_all
from swiftish.http.client import HttpClient
from swiftish.http.errors import Bugs
from swiftish.http.message import Body, Bytes, Context, Request, Response
from swiftish.http.peers import Peers
from swiftish.http.replies import Refusal, plain
from swiftish.http.server import HttpServer
from swiftish.ring.device import Device
from tests.fakes.clock import FakeClock

GIVE_UP_S = 20.0
KEY = b"of the cluster"
PREFIX = "/sda/7/AUTH_a/c/"


class Source(Body):
    """`size` bytes in pieces, of which it is known how many were pulled; it may break."""

    def __init__(
        self,
        size: int,
        *,
        start: int = 0,
        piece: int = 64 * KiB,
        known: bool = True,
        breaks_at: int | None = None,
        error: Exception | None = None,
    ) -> None:
        self.length = size if known else None
        self.pulled = 0
        self.closed = asyncio.Event()
        self._data = pattern(start + size)[start:]
        self._piece = piece
        self._breaks_at = breaks_at
        self._error = error or ConnectionResetError("the disk broke")

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        end = self.pulled + self._piece
        if self._breaks_at is not None:
            if self.pulled >= self._breaks_at:
                raise self._error
            end = min(end, self._breaks_at)
        piece = self._data[self.pulled : end]
        self.pulled += len(piece)
        return piece

    async def aclose(self) -> None:
        self.closed.set()


def pattern(size: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    return random.Random(7).randbytes(size)


@dataclass
class Service:
    """An object service of a kind: does what the last part of the path says."""

    requests: list[Request] = field(default_factory=list)
    body: bytes = b""
    in_memory: bool = False
    trailers: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    failure: BaseException | None = None
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.asked.set()
        what = request.path.rpartition("/")[2]
        act: Callable[[Request], Awaitable[Response]] = getattr(self, f"_{what}", self._store)
        try:
            return await act(request)
        except BaseException as error:
            self.failure = error
            self.failed.set()
            raise

    async def _store(self, request: Request) -> Response:
        assert not request.trailers()
        self.in_memory = isinstance(request.body, Bytes)
        self.body = await read_all(request.body, size_max=100 * MiB)
        self.trailers = dict(request.trailers())
        return Response(status=201, headers={"etag": "e" * 32, "x-empty": ""})

    async def _store_trailers(self, request: Request) -> Response:
        self.in_memory = isinstance(request.body, Bytes)
        self.body = await read_all(request.body, size_max=100 * MiB)
        self.trailers = dict(request.trailers())
        return Response(status=201)

    async def _refuse(self, request: Request) -> Response:
        del request
        return plain(507, "full")

    async def _refuse_halfway(self, request: Request) -> Response:
        await request.body.read()
        return plain(507, "full")

    async def _wait(self, request: Request) -> Response:
        await self.may_go_on.wait()
        self.body = await read_all(request.body, size_max=100 * MiB)
        return Response(status=201)

    async def _big(self, request: Request) -> Response:
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        self.source = Source(8 * MiB - start, start=start)
        return Response(status=206 if start else 200, body=self.source)

    async def _breaks(self, request: Request) -> Response:
        self.source = Source(8 * MiB, breaks_at=3 * MiB)
        return Response(status=200, body=self.source)

    async def _endless(self, request: Request) -> Response:
        self.source = Source(64 * MiB)
        return Response(status=200, body=self.source)

    async def _unknown(self, request: Request) -> Response:
        return Response(status=200, body=Source(MiB, known=False))

    async def _head(self, request: Request) -> Response:
        return Response(status=200, headers={"etag": "x"}, length=12345)

    async def _nothing(self, request: Request) -> Response:
        return Response(status=204, headers={"x-timestamp": "1"})

    async def _bug(self, request: Request) -> Response:
        raise LookupError("a bug")

    async def _missing(self, request: Request) -> Response:
        return plain(404, "no such thing ü", {"x-backend-timestamp": "1.00000"})


@dataclass
class Setting:
    transport: Transport
    service: Service
    node: Device

    async def ask(
        self,
        method: str,
        what: str,
        body: Body | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        trailers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> Response:
        request = Request(
            method=method,
            path=PREFIX + what,
            query=query,
            headers=headers or {},
            body=body if isinstance(body, Body) else Bytes(body),
            context=Context(transaction_id="tx123-%20x"),
        )
        if trailers is not None:
            request = request.replace(trailers=lambda: trailers)
        return await self.transport.send("object", self.node, request)


Scenario = Callable[[Setting], Awaitable[None]]
Check = Callable[[Scenario], None]


@contextlib.asynccontextmanager
async def called() -> AsyncIterator[Setting]:
    service = Service()
    yield Setting(LocalTransport({"object": Bugs(service)}), service, Device(id=0, device="sda"))


@contextlib.asynccontextmanager
async def over_http() -> AsyncIterator[Setting]:
    service = Service()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    clock = FakeClock()
    server = HttpServer(
        service,
        context=Context,
        clock=clock,
        limits=Limits(),
        access_log=False,
        peers=Peers(KEY, clock=clock),
    )
    await server.start(sock)
    client = HttpClient(key=KEY)
    node = Device(id=0, device="sda", port=server.port)
    nowhere = Here({"object": ["10.0.0.1:6200"]})
    try:
        yield Setting(NodeTransport({"object": refuse_calls}, nowhere, client), service, node)
    finally:
        await client.aclose()
        await server.drain(GIVE_UP_S)


async def refuse_calls(request: Request) -> Response:
    raise AssertionError(f"called: {request}")


@pytest.fixture(params=["called", "over_http"])
def check(request: pytest.FixtureRequest) -> Check:
    """Runs a scenario on one of the transports."""
    setting = {"called": called, "over_http": over_http}[request.param]

    def run(scenario: Scenario) -> None:
        async def go() -> None:
            async with asyncio.timeout(GIVE_UP_S), setting() as made:
                await scenario(made)

        asyncio.run(go())

    return run


async def text_of(response: Response) -> bytes:
    async with response:
        return await read_all(response.body, size_max=100 * MiB)


def test_a_small_put(check: Check) -> None:
    """Whole, in memory, with its headers; an empty value is a value."""

    async def scenario(at: Setting) -> None:
        sent = {"x-timestamp": "1.00000", "x-object-meta-a": "ü \udcff", "x-object-meta-b": ""}
        for size in (0, 1, 1000, 60_000):
            data = pattern(size)
            response = await at.ask("PUT", "o", data, headers=sent)
            assert await text_of(response) == b""
            assert (response.status, response.headers) == (201, {"etag": "e" * 32, "x-empty": ""})
            assert at.service.body == data
            request = at.service.requests[-1]
            assert (request.method, request.path) == ("PUT", PREFIX + "o")
            assert sent.items() <= request.headers.items()
            assert request.context.transaction_id == "tx123-%20x"
        assert at.service.in_memory

    check(scenario)


@pytest.mark.parametrize("size", [0, 3, MiB, 3 * MiB])
def test_a_put_with_trailers(check: Check, size: int) -> None:
    """They are asked for once the body has ended, whatever kind of body it is."""

    async def scenario(at: Setting) -> None:
        trailers = {"etag": "0" * 32, "x-object-sysmeta-a": "ü\udcff"}
        bodies: list[Body] = [Bytes(pattern(size)), Source(size), Source(size, known=False)]
        for body in bodies:
            response = await at.ask("PUT", "store_trailers", body, trailers=trailers)
            assert response.status == 201
            assert at.service.body == pattern(size)
            assert at.service.trailers == trailers
        response = await at.ask("PUT", "o", Source(size))
        assert response.status == 201
        assert at.service.body == pattern(size)

    check(scenario)


def test_trailers_are_known_at_the_end(check: Check) -> None:
    """Not before."""

    async def scenario(at: Setting) -> None:
        body = FedBody()
        trailers: dict[str, str] = {}
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(at.ask("PUT", "store_trailers", body, trailers=trailers))
            await body.feed(b"abc")
            await body.feed(b"def")
            trailers["etag"] = "late"
            body.finish()
        assert asked.result().status == 201
        assert (at.service.body, at.service.trailers) == (b"abcdef", {"etag": "late"})

    check(scenario)


@pytest.mark.parametrize("known", [True, False])
def test_t73_a_refusal_costs_no_upload(check: Check, known: bool) -> None:
    """Nothing of a body is pulled that nobody reads, and the next request is answered."""

    async def scenario(at: Setting) -> None:
        for _ in range(3):
            body = Source(3 * MiB, known=known)
            response = await at.ask("PUT", "refuse", body)
            assert (response.status, await text_of(response)) == (507, b"full")
            assert body.pulled == 0
        assert (await at.ask("PUT", "o", b"x")).status == 201

    check(scenario)


def test_a_node_has_accepted_a_body_when_it_first_reads(check: Check) -> None:
    """The uploader relies on it: nothing is pulled before that."""

    async def scenario(at: Setting) -> None:
        body = FedBody()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(at.ask("PUT", "wait", body))
            await at.service.asked.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            assert not body.accepted.is_set()
            at.service.may_go_on.set()
            await body.accepted.wait()
            await body.feed(b"abc")
            body.finish()
        assert asked.result().status == 201
        assert at.service.body == b"abc"

    check(scenario)


def test_an_answer_before_the_end_of_the_body(check: Check) -> None:
    """It is heard at once, though the source has nothing to give; the rest is not sent."""

    async def scenario(at: Setting) -> None:
        body = FedBody()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(at.ask("PUT", "refuse_halfway", body))
            await body.feed(b"abc")
        response = asked.result()
        assert (response.status, await text_of(response)) == (507, b"full")
        assert (await at.ask("PUT", "o", b"x")).status == 201

    check(scenario)


@pytest.mark.parametrize("error", [Refusal(499), Refusal(408), OSError("the source")])
@pytest.mark.parametrize("known", [True, False])
def test_what_the_body_raises_passes_through(check: Check, error: Exception, known: bool) -> None:
    """And the service never takes what it got for the whole."""

    async def scenario(at: Setting) -> None:
        body = Source(3 * MiB, known=known, breaks_at=2 * MiB, error=error)
        try:
            response = await at.ask("PUT", "o", body)
        except (Refusal, OSError) as caught:
            assert caught is error  # noqa: PT017  (a call makes an answer of a Refusal)
        else:
            assert response.status in {499, 408, 500}
        await at.service.failed.wait()
        assert isinstance(at.service.failure, Refusal | OSError)
        assert at.service.body == b""
        assert (await at.ask("PUT", "o", b"x")).status == 201

    check(scenario)


def test_a_get_is_streamed(check: Check) -> None:
    """Its length is known, every byte arrives, and the source is closed."""

    async def scenario(at: Setting) -> None:
        for _ in range(2):
            response = await at.ask("GET", "big")
            assert (response.status, response.body.length) == (200, 8 * MiB)
            assert await text_of(response) == pattern(8 * MiB)
            assert at.service.source is not None
            await at.service.source.closed.wait()
        response = await at.ask("GET", "unknown")
        assert response.body.length is None
        assert await text_of(response) == pattern(MiB)

    check(scenario)


def test_a_get_is_not_read_ahead_of_its_reader(check: Check) -> None:
    """Back-pressure: what nobody pulls stays where it is, but for what buffers hold."""

    async def scenario(at: Setting) -> None:
        response = await at.ask("GET", "endless")
        async with response:
            await response.body.read()
            assert at.service.source is not None
            before = -1
            while before != at.service.source.pulled:
                before = at.service.source.pulled
                await asyncio.sleep(0.05)
            assert at.service.source.pulled < 32 * MiB
        await at.service.source.closed.wait()

    check(scenario)


def test_a_get_that_breaks_is_resumed(check: Check) -> None:
    """A body that ends early raises OSError, after what came; a range is the rest."""

    async def scenario(at: Setting) -> None:
        response = await at.ask("GET", "breaks")
        data, error = b"", None
        try:
            while piece := await response.body.read():
                data += piece
        except OSError as caught:
            error = caught
        assert error is not None
        await response.body.aclose()
        assert len(data) <= 3 * MiB
        assert data == pattern(len(data))
        rest = await at.ask("GET", "big", headers={"range": f"bytes={len(data)}-"})
        assert rest.status == 206
        assert data + await text_of(rest) == pattern(8 * MiB)

    check(scenario)


def test_t74_an_early_close_reaches_the_source(check: Check) -> None:
    """And the next request is answered."""

    async def scenario(at: Setting) -> None:
        for _ in range(3):
            response = await at.ask("GET", "endless")
            assert await response.body.read()
            await response.body.aclose()
            await response.body.aclose()
            assert at.service.source is not None
            await at.service.source.closed.wait()
            assert (await at.ask("PUT", "o", b"x")).status == 201

    check(scenario)


@pytest.mark.parametrize("body", [b"", b"x", None])
def test_t74_a_request_that_is_cancelled(check: Check, body: bytes | None) -> None:
    """Its service is cancelled; the next request is answered."""

    async def scenario(at: Setting) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await at.ask("PUT", "wait", Source(3 * MiB) if body is None else body)
        await at.service.failed.wait()
        assert isinstance(at.service.failure, asyncio.CancelledError)
        assert (await at.ask("PUT", "o", b"x")).status == 201

    check(scenario)


def test_t75_head_and_nothing(check: Check) -> None:
    """HEAD has a length and no body; 204 has neither."""

    async def scenario(at: Setting) -> None:
        for _ in range(2):
            response = await at.ask("HEAD", "head")
            assert (response.status, response.length, response.headers) == (
                200,
                12345,
                {"etag": "x"},
            )
            assert await text_of(response) == b""
            response = await at.ask("GET", "nothing")
            assert (response.status, response.headers) == (204, {"x-timestamp": "1"})
            assert await text_of(response) == b""

    check(scenario)


@pytest.mark.parametrize(
    "name",
    [
        *("a b", "%41", "%", "%%zz", "?", "#", "a?b#c&d=e", "//", "a//b/", ".", "..", "../x"),
        *("\n", "a\r\nb", "\0", "\t", "ü", "\udcff\udcfe", "\u202e", "+", '"', "\\", "é"),
        *("\x7f", ";:@=,!$'()*~", "[]{}|^`<>", "n" * 1024, "\u65e5" * 341),
    ],
)
def test_t59_names_of_any_bytes(check: Check, name: str) -> None:
    """Exactly these arrive."""

    async def scenario(at: Setting) -> None:
        response = await at.ask("PUT", name, b"x", query="limit=1&marker=%20%3F?#")
        assert response.status == 201
        [request] = at.service.requests
        assert request.path == PREFIX + name
        assert request.query == "limit=1&marker=%20%3F?#"

    check(scenario)


def test_errors_have_their_headers_and_words(check: Check) -> None:
    """A status is an answer, not an exception; a bug is a 500."""

    async def scenario(at: Setting) -> None:
        response = await at.ask("GET", "missing")
        assert response.status == 404
        assert response.headers["x-backend-timestamp"] == "1.00000"
        assert await text_of(response) == "no such thing ü".encode()
        response = await at.ask("GET", "bug")
        assert response.status == 500
        await response.body.aclose()

    check(scenario)


def test_no_service(check: Check) -> None:
    """A node without the service, or one that is down, is a 503."""

    async def scenario(at: Setting) -> None:
        request = Request(method="GET", path="/sda/1/a")
        closed = Device(id=1, device="sda", port=1)
        response = await at.transport.send("account", closed, request)
        assert response.status == 503

    check(scenario)


def test_many_at_once(check: Check) -> None:
    """Each has its own answer."""

    async def scenario(at: Setting) -> None:
        async with asyncio.TaskGroup() as group:
            puts = [group.create_task(at.ask("PUT", f"o{i}", b"x" * i)) for i in range(50)]
            gets = [group.create_task(at.ask("GET", "missing")) for _ in range(50)]
        assert {put.result().status for put in puts} == {201}
        assert {get.result().status for get in gets} == {404}
        for get in gets:
            await get.result().body.aclose()

    check(scenario)
