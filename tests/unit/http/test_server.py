"""The server on a real socket: whole requests and responses, framing, and connections kept."""

from __future__ import annotations

import asyncio
import logging

import pytest

from swiftish.http.bodies import ClientGone, FedBody, Joined, read_all
from swiftish.http.incoming import Incoming
from swiftish.http.message import Body, Bytes, Context, DamagedBody, Request, Response
from swiftish.http.replies import Refusal, empty, plain, status_page
from tests.unit.http.serving import Recorder, get, put, served


class Pieces(Body):
    """A body of pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | Exception, length: int | None = None) -> None:
        self.length = length
        self.closed = 0
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def aclose(self) -> None:
        self.closed += 1


def answering(response: Response) -> Recorder:
    class Answering(Recorder):
        async def __call__(self, request: Request) -> Response:
            await super().__call__(request)
            return response

    return Answering()


def test_a_request_arrives_as_it_was_sent() -> None:
    """Method, decoded path, raw query, headers with any bytes, the body, and the context."""

    async def go() -> None:
        handler = Recorder()
        async with served(handler) as running:
            answer = await running.ask(
                put(
                    b"gzip\x1f\x8b",
                    b"X-A: \xff",
                    b"Content-Encoding: gzip",
                    target=b"//a/../%0A?q=%20",
                )
            )
        assert (answer.status, answer.body) == (200, b"seen")
        [request] = handler.requests
        assert (request.method, request.path, request.query) == ("PUT", "//a/../\n", "q=%20")
        assert request.headers["x-a"] == "\udcff"
        assert handler.bodies == [b"gzip\x1f\x8b"]  # T76: never inflated
        assert request.context.remote_address == "127.0.0.1"
        assert request.context.transaction_id == answer.headers["x-trans-id"]

    asyncio.run(go())


def test_every_answer_has_its_ids_and_its_date() -> None:
    """Also those to requests that never reach the handler (reference 1.0)."""

    async def go() -> None:
        handler = Recorder()
        async with served(handler, transaction_suffix="-r1") as running:
            for data in (get(), b"nonsense\r\n\r\n", get("/", b"Content-Length: x")):
                answer = await running.ask(data)
                trans_id = answer.headers["x-trans-id"]
                assert trans_id == answer.headers["x-openstack-request-id"]
                assert len(trans_id) == 2 + 21 + 1 + 10 + 3
                assert trans_id.startswith("tx")
                assert trans_id.endswith("-003b9aca00-r1")
                assert answer.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
            extra = await running.ask(get("/", b"X-Trans-Id-Extra: a b\xff" + b"c" * 40))
            assert extra.headers["x-trans-id"].endswith("-r1-a%20b%FF" + "c" * 28)
        assert len(handler.requests) == 2

    asyncio.run(go())


def test_t75_bodies_and_lengths() -> None:
    """HEAD, 204 and 304 never carry a body; lengths are as Swift says them."""

    async def go() -> None:
        cases = [
            ("GET", plain(404, "gone"), "4", b"gone"),
            ("HEAD", plain(404, "gone"), "4", b""),
            ("HEAD", Response(status=200, length=7), "7", b""),
            ("HEAD", Response(status=200, body=Pieces(b"abc", length=3)), "3", b""),
            ("GET", Response(status=204, body=Bytes(b"wrong")), "0", b""),
            ("GET", Response(status=304, body=Bytes(b"wrong"), length=5), "0", b""),
            ("PUT", empty(201), "0", b""),
            ("GET", Response(status=200, body=Pieces(b"ab", b"c", length=3)), "3", b"abc"),
            ("GET", Response(status=200, body=Pieces(b"ab", b"c")), None, b"abc"),
            ("GET", Response(status=200, body=Pieces()), None, b""),
            ("GET", Response(status=200, body=Bytes(b"x" * 100_000)), "100000", b"x" * 100_000),
        ]
        queue = [response for _, response, _, _ in cases]

        async def handler(_: Request) -> Response:
            return queue.pop(0)

        async with served(handler) as running, running.client() as client:
            for method, response, length, body in cases:
                answer = await client.ask(get(method=method.encode()), method=method)
                assert answer.status == response.status
                assert answer.headers.get("content-length") == length
                assert answer.body == body
                assert "connection" not in answer.headers
                if isinstance(response.body, Pieces):
                    assert response.body.closed

    asyncio.run(go())


@pytest.mark.parametrize(
    "body",
    [
        Pieces(b"ab", length=3),
        Pieces(b"ab", b"cd", length=3),
        Pieces(b"a", Refusal(503), length=3),
        Pieces(b"a", Refusal(503)),
        Pieces(length=3),
    ],
)
def test_a_body_that_breaks_is_never_taken_for_a_whole_one(body: Pieces) -> None:
    """T75: fewer or more bytes than announced, or an exception, cut the connection."""

    async def go() -> None:
        async with served(answering(Response(status=200, body=body))) as running:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await running.ask(get())
        assert body.closed

    asyncio.run(go())


def test_a_body_that_breaks_before_its_first_byte_can_still_be_told() -> None:
    """Then its Refusal is the answer."""

    async def go() -> None:
        response = Response(status=200, body=Pieces(Refusal(503), length=3))
        async with served(answering(response)) as running:
            assert (await running.ask(get())).status == 503

    asyncio.run(go())


def test_a_broken_source_is_a_503_or_a_cut_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OSError is what disks and nodes do to us, no bug of ours: no traceback."""

    async def go() -> None:
        early = Response(status=200, body=Pieces(DamagedBody("bad block"), length=3))
        late = Response(status=200, body=Pieces(b"a", DamagedBody("bad block"), length=3))
        async with served(answering(early)) as running:
            assert (await running.ask(get())).status == 503
        async with served(answering(late)) as running:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await running.ask(get("/late"))

    asyncio.run(go())
    assert [record.__dict__.get("path") for record in caplog.records] == ["/", "/late"]
    assert all("bad block" in record.getMessage() for record in caplog.records)
    assert all(record.exc_info is None for record in caplog.records)


def test_a_bug_in_a_body_cuts_and_is_reported() -> None:
    """What is no Refusal goes to the loop's handler, and the connection is cut."""

    async def go() -> None:
        reports: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, c: reports.append(c["exception"])
        )
        bug = ZeroDivisionError()
        response = Response(status=200, body=Pieces(b"a", bug, length=3))
        async with served(answering(response)) as running:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await running.ask(get())
            await asyncio.sleep(0)
        assert reports == [bug]

    asyncio.run(go())


def test_a_bug_in_the_handler_is_a_500() -> None:
    """And the connection goes on."""

    async def handler(_: Request) -> Response:
        raise ZeroDivisionError

    async def go() -> None:
        logging.getLogger("swiftish.http.errors").addHandler(logging.NullHandler())
        async with served(handler) as running, running.client() as client:
            for _ in range(2):
                answer = await client.ask(get())
                assert answer.status == 500
                assert answer.headers["x-trans-id"].encode() in answer.body

    asyncio.run(go())


def test_pipelined_requests_are_answered_in_order() -> None:
    """All of them, however the bytes come, with bodies of both kinds between them."""

    async def echo(request: Request) -> Response:
        body = await read_all(request.body, size_max=1000)
        await asyncio.sleep(0)
        return plain(200, f"{request.path} {body.decode()}")

    async def go() -> None:
        data = b"".join(
            [
                get("/1"),
                put(b"two", target=b"/2"),
                get("/3", b"Transfer-Encoding: chunked", method=b"PUT"),
                b"2\r\nth\r\n3\r\nree\r\n0\r\n\r\n",
                b"\r\n",
                get("/4"),
            ]
        )
        async with served(echo) as running:
            for step in (len(data), 1, 13):
                async with running.client() as client:
                    for at in range(0, len(data), step):
                        await client.send(data[at : at + step])
                        if step == 1:
                            await asyncio.sleep(0)
                    answers = [(await client.answer()).body for _ in range(4)]
                    assert answers == [b"/1 ", b"/2 two", b"/3 three", b"/4 "]

    asyncio.run(go())


def test_http_10() -> None:
    """Closed after the answer, unless asked otherwise; no chunks."""

    async def go() -> None:
        async with served(answering(Response(status=200, body=Pieces(b"ab", b"c")))) as running:
            answer = await running.ask(b"GET / HTTP/1.0\r\n\r\n")
            assert answer.body == b"abc"
            assert answer.headers["connection"] == "close"
            assert "transfer-encoding" not in answer.headers
        async with served(Recorder()) as running, running.client() as client:
            for _ in range(2):
                answer = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert answer.headers["connection"] == "keep-alive"

    asyncio.run(go())


def test_keep_alive_is_said_to_those_who_ask() -> None:
    """As Swift does, and its tests want; to others it goes without saying."""

    async def go() -> None:
        async with served(Recorder()) as running, running.client() as client:
            assert "connection" not in (await client.ask(get())).headers
            answer = await client.ask(get("/", b"Connection: Keep-Alive"))
            assert answer.headers["connection"] == "keep-alive"

    asyncio.run(go())


def test_connection_close() -> None:
    """Said and done."""

    async def go() -> None:
        async with served(Recorder()) as running, running.client() as client:
            answer = await client.ask(get("/", b"Connection: close"))
            assert answer.headers["connection"] == "close"
            assert await client.at_end()

    asyncio.run(go())


# ---- 100-continue, and bodies that nobody reads ------------------------------------------------


def test_t73_continue_is_said_when_the_body_is_wanted() -> None:
    """Not before: whoever answers first spares the client the upload."""

    async def go() -> None:
        asked = asyncio.Event()
        wants = asyncio.Event()

        async def handler(request: Request) -> Response:
            asked.set()
            await wants.wait()
            return plain(201, str(len(await read_all(request.body, size_max=10))))

        offer = get("/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT")
        async with served(handler) as running, running.client() as client:
            await client.send(offer)
            await asked.wait()
            reading = asyncio.ensure_future(client.reader.read(1000))
            done, _ = await asyncio.wait([reading], timeout=0.05)
            assert not done
            wants.set()
            assert await reading == b"HTTP/1.1 100 Continue\r\n\r\n"
            answer = await client.ask(b"hello" + get())
            assert (answer.status, answer.body) == (201, b"5")
            assert (await client.answer()).status == 201  # the connection goes on

    asyncio.run(go())


def test_t73_an_offer_that_is_declined() -> None:
    """The final status comes at once and the connection closes: the client may send the body."""

    async def go() -> None:
        async def handler(_: Request) -> Response:
            return status_page(401)

        for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            async with served(handler) as running, running.client() as client:
                offer = get("/", framing, b"Expect: 100-continue", method=b"PUT")
                answer = await client.ask(offer)
                assert (answer.status, answer.headers["connection"]) == (401, "close")
                assert await client.at_end()

    asyncio.run(go())


def test_t73_a_body_that_came_unasked_needs_no_continue() -> None:
    """RFC 9110 10.1.1; and HTTP/1.0 clients get none."""

    async def go() -> None:
        async with served(Recorder()) as running:
            answer = await running.ask(put(b"hello", b"Expect: 100-continue"))
            assert answer.status == 200

    asyncio.run(go())


def test_a_small_body_that_nobody_read_is_drained() -> None:
    """And the connection goes on; its bytes are never taken for a request."""

    async def go() -> None:
        async def handler(_: Request) -> Response:
            return empty(401)

        evil = get("/evil")
        async with served(handler) as running, running.client() as client:
            head = get("/", b"Content-Length: %d" % len(evil), method=b"PUT")
            answer = await client.ask(head + evil[:5])
            assert answer.status == 401
            assert "connection" not in answer.headers
            assert (await client.ask(evil[5:] + get("/next"))).status == 401
            client.writer.write_eof()
            assert await client.at_end()

    asyncio.run(go())


def test_what_was_thrown_away_is_never_taken_for_the_end_of_a_body() -> None:
    """Who still reads after the answer is told so, also when all of the body had come."""

    class NoSource:
        def send_continue(self) -> None: ...
        def pause_reading(self) -> None: ...
        def resume_reading(self) -> None: ...
        def wait_for_body(self, incoming: Incoming) -> None: ...
        def body_came(self, incoming: Incoming) -> None: ...

    async def go() -> None:
        incoming = Incoming(NoSource(), None, expects_continue=False)
        incoming.feed(b"5\r\nhello\r\n")
        assert await incoming.read() == b"hello"
        incoming.feed(b"5\r\nworld\r\n0\r\n\r\n")
        incoming.discard()
        with pytest.raises(ClientGone):
            await incoming.read()

    asyncio.run(go())


def test_a_large_body_that_nobody_read_closes() -> None:
    """The answer reaches a client that goes on sending for a while."""

    async def go() -> None:
        async def handler(_: Request) -> Response:
            return status_page(413)

        async with served(handler) as running, running.client() as client:
            await client.send(get("/", b"Content-Length: 10000000", method=b"PUT"))
            await client.send(b"x" * 300_000)
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert await client.at_end()

    asyncio.run(go())


def test_t69_bad_chunks_are_400_and_close() -> None:
    """The handler learns it from the body."""

    async def go() -> None:
        handler = Recorder()
        head = get("/", b"Transfer-Encoding: chunked", method=b"PUT")
        async with served(handler) as running, running.client() as client:
            answer = await client.ask(head + b"2\r\nab\r\n-1\r\n")
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert await client.at_end()
        assert len(handler.requests) == 1
        assert handler.bodies == []

    asyncio.run(go())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"x" * 70_000, 431),
        (get("/", *[b"X-%d: %s" % (i, b"a" * 8000) for i in range(9)]), 431),
        (get("/", *[b"X-A: b"] * 1000), 431),
        (get("/", b"Transfer-Encoding: xchunked"), 400),
        (get("/", b"Expect: x"), 417),
        (get("/", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
    ],
)
def test_t69_t72_a_bad_head_never_reaches_the_handler(data: bytes, status: int) -> None:
    """One answer, then the end, and what came after it is not looked at."""

    async def go() -> None:
        handler = Recorder()
        async with served(handler) as running:
            async with running.client() as client:
                answer = await client.ask(data + get("/smuggled"))
                assert (answer.status, answer.headers["connection"]) == (status, "close")
                assert await client.at_end()
            assert (await running.ask(get())).status == 200
        assert [request.path for request in handler.requests] == ["/"]

    asyncio.run(go())


# ---- back-pressure -----------------------------------------------------------------------------


def test_an_upload_is_read_no_faster_than_its_handler() -> None:
    """What waits in memory is bounded, and nothing is lost."""

    async def go() -> None:
        most = 0
        goes = asyncio.Event()

        async def handler(request: Request) -> Response:
            nonlocal most
            await goes.wait()
            size = 0
            while piece := await request.body.read():
                size += len(piece)
                most = max(most, getattr(request.body, "_buffered", 0))
            return plain(201, str(size))

        total = 20_000_000
        async with served(handler) as running, running.client() as client:
            client.writer.write(get("/", b"Content-Length: %d" % total, method=b"PUT"))
            client.writer.write(bytes(total))
            await asyncio.sleep(0.1)
            goes.set()
            assert (await client.answer()).body == str(total).encode()
        assert most < 2_000_000

    asyncio.run(go())


def test_a_response_is_made_no_faster_than_its_client_reads() -> None:
    """The body is pulled when there is room, and not before."""

    async def go() -> None:
        body = FedBody(length=50_000_000)
        fed = 0

        async def feed() -> None:
            nonlocal fed
            for _ in range(50):
                await body.feed(bytes(1_000_000))
                fed += 1
            body.finish()

        async with (
            served(answering(Response(status=200, body=body))) as running,
            running.client() as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(feed())
            await client.send(get())
            await asyncio.sleep(0.1)
            assert fed < 40
            assert len((await client.answer()).body) == 50_000_000

    asyncio.run(go())


def test_joined_parts_go_out_whole() -> None:
    """A body of bodies, chunked because nobody knows its length."""

    async def part(data: bytes) -> Body:
        return Bytes(data)

    async def go() -> None:
        body = Joined([lambda: part(b"a" * 70_000), lambda: part(b""), lambda: part(b"b")])
        async with served(answering(Response(status=200, body=body))) as running:
            assert (await running.ask(get())).body == b"a" * 70_000 + b"b"

    asyncio.run(go())


# ---- the end -----------------------------------------------------------------------------------


def test_draining_lets_requests_finish() -> None:
    """Idle connections close at once; a request in flight gets its answer, and is the last."""

    async def go() -> None:
        asked, goes = asyncio.Event(), asyncio.Event()

        async def handler(_: Request) -> Response:
            asked.set()
            await goes.wait()
            return plain(200, "done")

        async with served(handler) as running, running.client() as busy, running.client() as idle:
            await busy.send(get())
            await asked.wait()
            port = running.server.port
            async with asyncio.TaskGroup() as group:
                group.create_task(running.server.drain(10.0))
                assert await idle.at_end()
                with pytest.raises(ConnectionError):
                    await asyncio.open_connection("127.0.0.1", port)
                goes.set()
                answer = await busy.answer()
                assert (answer.body, answer.headers["connection"]) == (b"done", "close")
                assert await busy.at_end()

    asyncio.run(go())


def test_draining_does_not_wait_for_ever() -> None:
    """What does not finish in time is cancelled."""

    async def go() -> None:
        fate: list[str] = []
        asked = asyncio.Event()

        async def handler(_: Request) -> Response:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                fate.append("cancelled")
                raise
            raise AssertionError

        async with served(handler) as running, running.client() as client:
            await client.send(get())
            await asked.wait()
            await running.server.drain(0.05)
            assert await client.at_end()
        assert fate == ["cancelled"]

    asyncio.run(go())


def test_a_context_of_its_own() -> None:
    """The proxy brings its own kind of context."""

    class Mine(Context):
        pass

    async def go() -> None:
        handler = Recorder()
        async with served(handler, context=Mine) as running:
            await running.ask(get())
        assert isinstance(handler.requests[0].context, Mine)

    asyncio.run(go())
