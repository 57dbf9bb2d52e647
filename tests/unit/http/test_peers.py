"""A port for nodes of the cluster, asked over raw sockets by those who are none (faults T90)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest

from swiftish.domain.limits import MiB
from swiftish.http.client import HttpClient
from swiftish.http.client_connection import NodeGone
from swiftish.http.client_heads import request_head
from swiftish.http.message import Bytes, Context, Request, Response
from swiftish.http.peer_auth import CHALLENGE_PATH, SIGNATURE, Signer, Trouble
from swiftish.http.peers import Peers, needs_key
from swiftish.runtime.seldom import EVERY_S, KEYS_MAX
from tests.fakes.clock import FakeClock
from tests.unit.http.serving import Answer, Client, Recorder, Served, get, put, served

KEY = b"of the cluster"


@dataclass
class Backend:
    """A backend port, and what it has heard."""

    running: Served
    peers: Peers
    clock: FakeClock
    handler: Recorder

    def client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        return self.running.client()

    @property
    def port(self) -> int:
        return self.running.server.port


@contextlib.asynccontextmanager
async def backend(key: bytes = KEY) -> AsyncIterator[Backend]:
    clock = FakeClock()
    peers, handler = Peers(key, clock=clock), Recorder()
    async with served(handler, peers=peers) as running:
        yield Backend(running, peers, clock, handler)


async def challenged(client: Client) -> str:
    answer = await client.ask(get(CHALLENGE_PATH))
    assert answer.status == 200
    assert len(answer.body) == 64
    return answer.body.decode()


def signed(
    signer: Signer,
    method: str = "PUT",
    target: str = "/sda/7/a",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    said = {"host": "a", "content-length": str(len(body)), **(headers or {})}
    said[SIGNATURE] = signer.sign(method, target, said)
    return request_head(method, target, said) + body


async def refused(client: Client, data: bytes, *, method: str = "PUT") -> Answer:
    """The answer to what must be refused: 401, a sentence, and the end."""
    answer = await client.ask(data, method=method)
    assert answer.status == 401
    assert answer.headers["connection"] == "close"
    assert method == "HEAD" or answer.body.endswith(b".")
    assert await client.at_end()
    return answer


def test_a_peer() -> None:
    """Asks for a challenge, signs, and is heard, as often as it likes."""

    async def go() -> None:
        async with backend() as at, at.client() as client:
            signer = Signer(KEY, await challenged(client))
            for i in range(5):
                answer = await client.ask(signed(signer, body=b"%d" % i))
                assert (answer.status, answer.body) == (200, b"seen")
            signer = Signer(KEY, await challenged(client))
            assert (await client.ask(signed(signer))).status == 200
            assert at.handler.bodies == [b"0", b"1", b"2", b"3", b"4", b""]
            assert not at.peers.refused

    asyncio.run(go())


def test_t90_no_key() -> None:
    """Whatever is asked: 401, and it never reaches the handler."""

    async def go() -> None:
        async with backend() as at:
            requests = [
                get("/sda/7/a"),
                get("/sda/7/a", method=b"HEAD"),
                put(b"abc", target=b"/sda/7/a/c/o"),
                get("/sda/7/a", method=b"REPLICATE"),
                get("/challenge", method=b"HEAD"),
                get("/challenge?x"),
                get("/%63hallenge"),
                get("/healthcheck", method=b"PUT"),
                get("/recon"),
                get("/", method=b"OPTIONS"),
                get("*", method=b"OPTIONS"),
            ]
            for data in requests:
                async with at.client() as client:
                    await refused(client, data, method=data.split(b" ")[0].decode())
                async with at.client() as client:
                    await challenged(client)
                    await refused(client, data, method=data.split(b" ")[0].decode())
            assert at.handler.requests == []
            assert at.peers.refused == {"unsigned": 2 * len(requests)}

    asyncio.run(go())


def test_monitoring_needs_no_key() -> None:
    async def go() -> None:
        async with backend() as at, at.client() as client:
            for target in ("/healthcheck", "/metrics", "/recon/diskusage", "/metrics?x=y"):
                assert (await client.ask(get(target))).status == 200
                assert (await client.ask(get(target, method=b"HEAD"), method="HEAD")).status == 200
            await refused(client, get("/healthcheck/../sda"), method="GET")

    asyncio.run(go())


@pytest.mark.parametrize("key", [b"of another", b"", KEY + b"x"])
def test_t90_a_wrong_key(key: bytes) -> None:
    async def go() -> None:
        async with backend() as at:
            async with at.client() as client:
                signer = Signer(key, await challenged(client))
                await refused(client, signed(signer))
            client_of_ours = HttpClient(key=key)
            request = Request(method="PUT", path="/sda/7/a", body=Bytes(b"x"))
            async with await client_of_ours.send("127.0.0.1", at.port, request) as response:
                assert response.status == 401
            await client_of_ours.aclose()
            assert at.handler.requests == []
            told = {"wrong": 2} if key else {"wrong": 1, "unsigned": 1}
            assert at.peers.refused == told

    asyncio.run(go())


def test_t90_a_replayed_request() -> None:
    """On the same connection, on another, and on another with a challenge of its own."""

    async def go() -> None:
        async with backend() as at:
            async with at.client() as client:
                signer = Signer(KEY, await challenged(client))
                data = signed(signer, body=b"abc")
                assert (await client.ask(data)).status == 200
                await refused(client, data)
            async with at.client() as client:
                await refused(client, data)
            async with at.client() as client:
                await challenged(client)
                await refused(client, data)
            assert len(at.handler.requests) == 1
            assert at.peers.refused == {"wrong": 2, "unchallenged": 1}

    asyncio.run(go())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"PUT ", b"DELETE "),
        (b"/sda/7/a", b"/sda/7/b"),
        (b"/sda/7/a", b"/sda/7/%61"),
        (b"/sda/7/a", b"/sda/7/a?x"),
        (b"/sda/7/a", b"http://b/sda/7/a"),
        (b"x-timestamp: 1", b"x-timestamp: 2"),
        (b"x-timestamp: 1\r\n", b""),
        (b"x-timestamp: 1", b"x-timestamp: 1\r\nx-timestamp: 1"),
        (b"x-timestamp: 1", b"x-timestamp: 1\r\nx-more: 1"),
        (b"host: a", b"host: b"),
        (b"content-length: 3", b"content-length: 2"),
        (b"content-length: 3", b"transfer-encoding: chunked"),
        (b"content-length: 3", b"content-length: 3\r\nexpect: 100-continue"),
        (b"x-backend-signature: ", b"x-backend-signature: 0"),
        (b"x-backend-signature: ", b"x-backend-signature: 0, "),
    ],
)
def test_t90_an_altered_request(old: bytes, new: bytes) -> None:
    """In its method, its target or any header."""

    async def go() -> None:
        async with backend() as at, at.client() as client:
            signer = Signer(KEY, await challenged(client))
            data = signed(signer, headers={"x-timestamp": "1"}, body=b"abc")
            assert data.replace(old, new, 1) != data
            await refused(client, data.replace(old, new, 1))
            assert at.handler.requests == []

    asyncio.run(go())


def test_what_changes_nothing() -> None:
    """How names are spelled, white space around values, and what names the connection."""

    async def go() -> None:
        async with backend() as at, at.client() as client:
            signer = Signer(KEY, await challenged(client))
            data = signed(signer, headers={"x-timestamp": "1"})
            data = data.replace(b"x-timestamp: 1", b"Connection: keep-alive\r\nX-Timestamp:1 \t")
            assert (await client.ask(data)).status == 200
            assert at.handler.requests[0].headers["x-timestamp"] == "1"

    asyncio.run(go())


def test_a_refused_body_is_not_read() -> None:
    """Nobody says 100 Continue, and what is sent all the same is thrown away."""

    async def go() -> None:
        async with backend() as at:
            async with at.client() as client:
                head = get("/", b"Content-Length: 9", b"Expect: 100-continue", method=b"PUT")
                await refused(client, head)
            async with at.client() as client:
                head = get("/", b"Content-Length: %d" % (100 * MiB), method=b"PUT")
                await client.send(head + bytes(1000))
                assert (await client.answer()).status == 401
            async with at.client() as client:  # nor is what follows taken for a request
                await refused(client, put(b"abc") + get("/healthcheck"))
            assert at.handler.requests == []

    asyncio.run(go())


def test_refusals_are_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each peer and reason in a minute; a flood of peers does not flood the log."""

    async def go() -> None:
        async with backend() as at:

            async def no_key() -> None:
                async with at.client() as client:
                    await refused(client, get(), method="GET")

            for _ in range(5):
                await no_key()
            assert len(caplog.records) == 1
            assert caplog.records[0].__dict__["peer"] == "127.0.0.1"
            assert "not signed" in caplog.records[0].__dict__["reason"]
            async with at.client() as client:
                await refused(client, signed(Signer(KEY, "x")))
            assert len(caplog.records) == 2
            at.clock.move(EVERY_S - 1)
            await no_key()
            assert len(caplog.records) == 2
            at.clock.move(1)
            await no_key()
            assert len(caplog.records) == 3
            at.clock.move(-3600)  # a clock that steps back does not silence it
            await no_key()
            assert len(caplog.records) == 4
            assert at.peers.refused == {"unsigned": 8, "unchallenged": 1}

    with caplog.at_level(logging.WARNING, logger="swiftish.http.peers"):
        asyncio.run(go())


def test_the_log_of_refusals_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    """And so is what is remembered of them."""
    peers = Peers(KEY, clock=FakeClock())
    with caplog.at_level(logging.WARNING, logger="swiftish.http.peers"):
        for i in range(2 * KEYS_MAX):
            assert peers.refuse(f"peer {i}", Trouble.UNSIGNED).status == 401
    assert len(caplog.records) == KEYS_MAX
    assert peers.refused == {"unsigned": 2 * KEYS_MAX}


def test_without_a_key_everybody_is_a_peer() -> None:
    """Also one that has a key and asks for a challenge."""

    async def go() -> None:
        async with backend(b"") as at:
            async with at.client() as client:
                assert (await client.ask(get())).status == 200
            for key in (b"", KEY):
                client_of_ours = HttpClient(key=key)
                request = Request(method="GET", path="/")
                async with await client_of_ours.send("127.0.0.1", at.port, request) as response:
                    assert response.status == 200
                await client_of_ours.aclose()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("host", "needs"),
    [
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("::1", False),
        ("[::1]", False),
        ("localhost", False),
        ("0.0.0.0", True),  # noqa: S104  (nobody listens there)
        ("::", True),
        ("", True),
        ("10.0.0.1", True),
        ("node.example", True),
        ("localhost.example", True),
    ],
)
def test_a_key_is_needed_where_others_can_reach(host: str, needs: bool) -> None:
    assert needs_key(b"", host) is needs
    assert not needs_key(KEY, host)


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=404),
        Response(status=200),
        Response(status=200, body=Bytes(b"x" * 65)),
        Response(status=200, body=Bytes(b"x" * 100_000)),
        Response(status=401),
    ],
)
def test_a_node_without_challenges(answer: Response) -> None:
    """Is no node for a client with a key: it would have to send what it can't sign."""

    async def go() -> None:
        async def handler(request: Request) -> Response:
            assert request.path == CHALLENGE_PATH
            return answer

        client = HttpClient(key=KEY)
        async with served(handler) as running:
            with pytest.raises(NodeGone, match="no challenge"):
                await client.send(
                    "127.0.0.1", running.server.port, Request(method="GET", path="/x")
                )
            await client.aclose()

    asyncio.run(go())


@pytest.mark.parametrize("with_peers", [True, False])
def test_trailers_are_for_peers(with_peers: bool) -> None:
    """Those of a client mean nothing, however it sends them; bad ones of a peer are a 400."""
    coded = b"3\r\nabc\r\n0\r\nEtag: x\r\n\r\n"

    async def go() -> None:
        handler = Recorder()
        peers = Peers(b"", clock=FakeClock()) if with_peers else None
        async with served(handler, peers=peers) as running, running.client() as client:
            head = get("/", b"Transfer-Encoding: chunked", method=b"PUT")
            assert (await client.ask(head + coded)).status == 200
            await client.send(head)
            await asyncio.sleep(0.01)
            assert (await client.ask(coded)).status == 200
            assert handler.bodies == [b"abc", b"abc"]
            told = {"etag": "x"} if with_peers else {}
            assert [request.trailers() for request in handler.requests] == [told, told]
            assert isinstance(handler.requests[0].body, Bytes) is with_peers
            bad = coded.replace(b"Etag", b"Content-Length")
            assert (await client.ask(head + bad)).status == (400 if with_peers else 200)

    asyncio.run(go())


def test_transaction_ids_are_passed_on_by_peers() -> None:
    """A client's are not used; what is no id is not either."""

    async def go() -> None:
        for peers in (Peers(b"", clock=FakeClock()), None):
            handler = Recorder()
            async with served(handler, peers=peers) as running:
                answer = await running.ask(get("/", b"X-Trans-Id: tx1-%20"))
                assert (answer.headers["x-trans-id"] == "tx1-%20") is (peers is not None)
                for bad in (b"\xff", b"x" * 1000, b""):
                    answer = await running.ask(get("/", b"X-Trans-Id: " + bad))
                    assert answer.headers["x-trans-id"].startswith("tx")
                answer = await running.ask(get("/", b"X-Trans-Id: a b=c"))
                assert " " not in answer.headers["x-trans-id"]
            if peers is not None:
                assert handler.requests[0].context.transaction_id == "tx1-%20"

    asyncio.run(go())


def test_a_client_says_its_transaction() -> None:
    async def go() -> None:
        async with backend() as at:
            client = HttpClient(key=KEY)
            context = Context(transaction_id="txabc")
            request = Request(method="GET", path="/", context=context)
            async with await client.send("127.0.0.1", at.port, request) as response:
                assert response.status == 200
            await client.aclose()
            assert at.handler.requests[0].context.transaction_id == "txabc"

    asyncio.run(go())
