"""Clients that are slow, silent, or gone: deadlines, cancellation, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc

import pytest

from swiftish.http.bodies import ClientGone
from swiftish.http.connection import Connection
from swiftish.http.message import Body, Request, Response
from swiftish.http.replies import Refusal, empty, plain
from tests.unit.http.serving import QUICK, Recorder, get, put, served


class Endless(Body):
    """Zeros for ever."""

    length = 1 << 60

    async def read(self) -> bytes:
        return bytes(64 * 1024)


def test_t71_a_head_has_a_deadline() -> None:
    """One byte now and then does not buy time; a client that says nothing is just left."""

    async def go() -> None:
        handler = Recorder()
        async with served(handler, patience=QUICK) as running, running.client() as client:

            async def drip() -> None:
                for byte in get("/" + "a" * 1000):
                    await client.send(bytes([byte]))
                    await asyncio.sleep(0.02)

            async with asyncio.TaskGroup() as group:
                dripping = group.create_task(drip())
                answer = await client.answer()
                dripping.cancel()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert await client.at_end()
            async with running.client() as silent:
                assert await silent.at_end()
        assert handler.requests == []

    asyncio.run(go())


def test_t71_an_idle_connection_is_closed() -> None:
    """After keepalive_s, and without a word."""

    async def go() -> None:
        async with served(Recorder(), patience=QUICK) as running, running.client() as client:
            assert (await client.ask(get())).status == 200
            assert await client.at_end()

    asyncio.run(go())


@pytest.mark.parametrize("pause_s", [10.0, 0.02])
def test_t71_a_body_has_a_deadline(pause_s: float) -> None:
    """408 for a client that stops, and for one that sends a byte now and then."""

    async def go() -> None:
        handler = Recorder()
        async with (
            served(handler, patience=QUICK, client_timeout_s=0.2) as running,
            running.client() as client,
        ):

            async def drip() -> None:
                await client.send(get("/", b"Content-Length: 1000", method=b"PUT"))
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(pause_s)

            async with asyncio.TaskGroup() as group:
                dripping = group.create_task(drip())
                answer = await client.answer()
                dripping.cancel()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert await client.at_end()
        assert handler.bodies == []

    asyncio.run(go())


def test_a_slow_handler_does_not_use_up_its_clients_time() -> None:
    """Only what the client is waited for counts."""

    async def handler(request: Request) -> Response:
        size = 0
        while piece := await request.body.read():
            size += len(piece)
            await asyncio.sleep(0.1)
        return plain(200, str(size))

    async def go() -> None:
        async with (
            served(handler, patience=QUICK, client_timeout_s=0.2) as running,
            running.client() as client,
        ):
            await client.send(get("/", b"Content-Length: 6", method=b"PUT"))
            for _ in range(6):
                await client.send(b"x")
                await asyncio.sleep(0.11)
            assert (await client.answer()).body == b"6"

    asyncio.run(go())


def test_t71_a_client_that_does_not_read_is_cut() -> None:
    """And the response's body is closed."""

    async def go() -> None:
        closed = asyncio.Event()

        class Closing(Endless):
            async def aclose(self) -> None:
                closed.set()

        async def handler(_: Request) -> Response:
            return Response(status=200, body=Closing())

        async with served(handler, patience=QUICK) as running, running.client() as client:
            await client.send(get())
            async with asyncio.timeout(10):
                await closed.wait()

    asyncio.run(go())


def test_t72_what_is_pipelined_behind_a_busy_handler_is_bounded() -> None:
    """A client that sends ahead is not read any further."""

    async def go() -> None:
        goes = asyncio.Event()

        async def handler(_: Request) -> Response:
            await goes.wait()
            return empty(200)

        async with served(handler) as running, running.client() as client:
            count = 10_000
            client.writer.write(get() * count)
            await asyncio.sleep(0.1)
            [connection] = running.server.connections
            assert isinstance(connection, Connection)
            assert len(connection._buffer) < 1_000_000
            goes.set()
            for _ in range(count):
                assert (await client.answer()).status == 200

    asyncio.run(go())


def test_t72_answers_without_a_body_wait_for_their_client_too() -> None:
    """Who pipelines HEAD for ever and never reads does not fill our memory with answers."""

    async def go() -> None:
        async def handler(_: Request) -> Response:
            return empty(200, {"x-object-meta-a": "b" * 4000})

        async with served(handler) as running, running.client() as client:
            count = 3_000
            client.writer.write(get(method=b"HEAD") * count)
            most = 0
            for _ in range(100):
                await asyncio.sleep(0)
                [connection] = running.server.connections
                assert connection._transport is not None
                most = max(most, connection._transport.get_write_buffer_size())
            assert most < 1_000_000
            for _ in range(count):
                assert (await client.answer(method="HEAD")).status == 200

    asyncio.run(go())


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_away_cancels_its_handler(how: str) -> None:
    """Nobody would hear the answer."""

    async def go() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(_: Request) -> Response:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            raise AssertionError

        async with served(handler) as running, running.client() as client:
            await client.send(put(b"body"))
            await asked.wait()
            getattr(client, how)()
            async with asyncio.timeout(10):
                await cancelled.wait()

    asyncio.run(go())


@pytest.mark.parametrize("how", ["close", "reset", "finish"])
@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_a_body_that_ends_early_is_no_body(how: str, framing: bytes) -> None:
    """The handler gets ClientGone and no short body (6.45); who can hear it, hears 499."""

    async def go() -> None:
        fate: asyncio.Future[Refusal | str] = asyncio.get_running_loop().create_future()
        started = asyncio.Event()

        async def handler(request: Request) -> Response:
            try:
                while await request.body.read():
                    started.set()
            except Refusal as refusal:
                fate.set_result(refusal)
                return refusal.response()
            fate.set_result("a whole body")
            return empty(201)

        async with served(handler) as running, running.client() as client:
            await client.send(get("/", framing, method=b"PUT") + b"4\r\nab")
            await started.wait()
            if how == "finish":
                client.writer.write_eof()
                answer = await client.answer()
                assert (answer.status, answer.headers["connection"]) == (499, "close")
                assert await client.at_end()
            else:
                getattr(client, how)()
            async with asyncio.timeout(10):
                assert isinstance(await fate, ClientGone)

    asyncio.run(go())


def test_a_body_that_ends_early_while_nobody_reads_cancels() -> None:
    """The handler may be waiting for something that takes long."""

    async def go() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(_: Request) -> Response:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            raise AssertionError

        async with served(handler) as running, running.client() as client:
            await client.send(get("/", b"Content-Length: 9", method=b"PUT"))
            await asked.wait()
            client.reset()
            async with asyncio.timeout(10):
                await cancelled.wait()

    asyncio.run(go())


STAGES = [
    get()[:10],
    get(),
    get("/endless"),
    get("/", b"Content-Length: 100", b"Expect: 100-continue", method=b"PUT"),
    get("/", b"Content-Length: 1000000", method=b"PUT") + b"x" * 1000,
    get("/", b"Transfer-Encoding: chunked", method=b"PUT") + b"5\r\nab",
    get() * 20,
    b"nonsense\r\n\r\n",
]


def test_t74_aborted_requests_leave_nothing_behind() -> None:
    """After 10,000 of them memory, file descriptors and tasks are what they were after 2,000."""

    async def handler(request: Request) -> Response:
        if request.path == "/endless":
            return Response(status=200, body=Endless())
        while await request.body.read():
            pass
        return plain(200, "x" * 1000)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        # What goes wrong with a connection that its client resets is no news.
        loop.set_exception_handler(lambda _, context: problems.append(context))
        problems: list[object] = []
        async with served(handler, patience=QUICK) as running:
            port = running.server.port

            async def abort(stage: bytes, *, wait: bool) -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(stage)
                if wait:
                    await writer.drain()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                writer.transport.abort()
                del reader

            async def abort_many(count: int) -> tuple[int, int, int]:
                for start in range(0, count, 50):
                    async with asyncio.TaskGroup() as group:
                        for index in range(start, start + 50):
                            stage = STAGES[index % len(STAGES)]
                            group.create_task(abort(stage, wait=index % 3 != 0))
                while running.server.connections:  # noqa: ASYNC110  (nothing tells)
                    await asyncio.sleep(0.01)
                for _ in range(3):
                    await asyncio.sleep(0)
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                return memory, len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())

            await abort_many(500)
            tracemalloc.start()
            try:
                before = await abort_many(1_500)
                after = await abort_many(8_000)
            finally:
                tracemalloc.stop()
            assert after[0] - before[0] < 200_000
            assert after[1:] == before[1:]
            assert (await running.ask(get())).status == 200
        assert problems == []

    asyncio.run(go())
