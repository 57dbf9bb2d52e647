"""The cache of several proxies, when servers fail, lie or are slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.proxy.memcache import MemcacheCache, MemcacheSettings
from swiftish.proxy.memcache_reply import BadReply, Reply, parse_line
from swiftish.runtime.settings import BadSettings, build
from swiftish.runtime.tasks import Background
from tests.fakes.clock import FakeClock
from tests.fakes.memcached import FakeMemcached, serving


@pytest.fixture
def servers() -> Iterator[list[FakeMemcached]]:
    clock = FakeClock()
    with ExitStack() as stack:
        yield [stack.enter_context(serving(FakeMemcached(clock))) for _ in range(2)]


class Proxy:
    """One of several that share the servers."""

    def __init__(
        self,
        *servers: FakeMemcached,
        secret: bytes = b"secret",
        leave_alone_s: float = 0.2,
        io_timeout_s: float = 0.5,
    ) -> None:
        self.cache = MemcacheCache(
            MemcacheSettings(
                servers=tuple(server.address for server in servers),
                leave_alone_s=leave_alone_s,
                io_timeout_s=io_timeout_s,
            ),
            secret=secret,
            clock=servers[0].clock,
            background=Background(),
        )

    async def get(self, key: str) -> bytes | None:
        return (await self.cache.look_up(key)).value

    async def put(self, key: str, value: bytes) -> bool:
        entry = await self.cache.look_up(key)
        return await self.cache.store(key, value, ttl_s=60, generation=entry.generation)


def run(check: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(check())


def test_proxies_share(servers: list[FakeMemcached]) -> None:
    """What one stores the others find; what one drops is gone for all."""

    async def check() -> None:
        one, other = Proxy(*servers), Proxy(*servers)
        for number in range(20):
            assert await one.put(str(number), b"%d" % number)
        for number in range(20):
            assert await other.get(str(number)) == b"%d" % number
        assert all(server.items for server in servers), "both have some"
        entry = await one.cache.look_up("new")
        await other.cache.drop("new")
        assert not await one.cache.store("new", b"x", ttl_s=60, generation=entry.generation)
        await other.cache.drop("7")
        assert await one.get("7") is None

    run(check)


def test_t94_what_others_have_put_there_is_not_there(servers: list[FakeMemcached]) -> None:
    """Rubbish, another cluster's value, a value of another key, one that has ended: misses, and
    each can be replaced.  The server learns no names."""

    async def check() -> None:
        server = servers[0]
        proxy, stranger = Proxy(server), Proxy(server, secret=b"other")
        await proxy.put("/AUTH_a/private", b"read: nobody")
        await proxy.put("/AUTH_a/public", b"read: all")
        assert b"AUTH" not in b"".join([*server.items, *server.requests])
        private, public = server.items
        ends, unique, right = server.items[private]
        for wrong in (b"\x80", b"x" * 100, right[:-1], right + b"x", server.items[public][2]):
            server.items[private] = ends, unique, wrong
            assert await proxy.get("/AUTH_a/private") is None
        assert await proxy.put("/AUTH_a/private", b"new")
        assert await proxy.get("/AUTH_a/private") == b"new"
        server.clock.seconds += 60
        server.items[private] = server.clock.now() + 1000, unique, right  # kept for later
        assert await proxy.get("/AUTH_a/private") is None
        assert await stranger.get("/AUTH_a/public") is None

    run(check)


@pytest.mark.parametrize(
    "says",
    [
        b"NONSENSE\r\n",
        b"VA\r\n",
        b"VA 99999999999 c1\r\n",
        b"VA -5 c1\r\nx\r\n",
        b"VA 5 cx\r\nabcde\r\n",
        b"HD\r\nHD\r\nHD\r\n",
        b"x" * 100_000,
        b"VA 3 c1\r\nab",
        b"SERVER_ERROR out of memory\r\n",
        b"EN\r\n",
    ],
)
def test_a_server_that_talks_nonsense_is_a_miss(says: bytes, servers: list[FakeMemcached]) -> None:
    """No request fails for it, and none takes long."""

    async def check() -> None:
        server = servers[0]
        proxy = Proxy(server)
        server.says = says
        began = time.monotonic()
        assert await proxy.get("a") is None
        assert not await proxy.put("a", b"1")
        await proxy.cache.drop("a")
        assert time.monotonic() - began < 5
        server.says = None
        await asyncio.sleep(0.25)
        assert await proxy.put("a", b"2")
        assert await proxy.get("a") == b"2"

    run(check)


def test_a_server_that_hangs_costs_one_request_its_time(servers: list[FakeMemcached]) -> None:
    """Then it is left alone, and another has its keys."""

    async def check() -> None:
        proxy = Proxy(*servers)
        key = next(
            str(n) for n in range(99) if next(proxy.cache._order(proxy.cache._key(str(n)))) == 0
        )
        servers[0].silent.set()
        times = []
        for _ in range(20):
            began = time.monotonic()
            await proxy.put(key, b"1")
            times.append(time.monotonic() - began)
        assert times[0] >= 0.5
        assert max(times[1:]) < 0.5
        assert await proxy.get(key) == b"1"
        assert servers[1].items

    run(check)


def test_what_could_not_be_dropped_is_dropped_later(servers: list[FakeMemcached]) -> None:
    """When the server works again, before anything is asked of it."""

    async def check() -> None:
        server = servers[0]
        proxy = Proxy(server)
        assert await proxy.put("acl", b"old")
        server.silent.set()
        await proxy.cache.drop("acl")
        await proxy.cache.drop("other")
        server.silent.clear()
        await asyncio.sleep(0.25)
        server.requests.clear()
        assert await proxy.get("acl") is None
        assert [request[:2] for request in server.requests] == [b"md", b"md", b"mg"]

    run(check)


def test_a_server_that_restarts(servers: list[FakeMemcached]) -> None:
    """While it is away everything is a miss; then it is found again, and empty."""

    async def check() -> None:
        clock = servers[0].clock
        server = FakeMemcached(clock)
        with serving(server):
            proxy = Proxy(server, leave_alone_s=0.05)
            assert await proxy.put("a", b"1")
            before = await proxy.cache.look_up("b")
        assert await proxy.get("a") is None
        assert not await proxy.put("a", b"2")
        with serving(FakeMemcached(clock), port=int(server.address.rpartition(":")[2])):
            await asyncio.sleep(0.1)
            assert await proxy.get("a") is None
            assert not await proxy.cache.store("b", b"old", ttl_s=60, generation=before.generation)
            assert await proxy.put("a", b"3")
            assert await proxy.get("a") == b"3"

    run(check)


def test_t74_requests_that_are_cancelled_shift_no_answers(servers: list[FakeMemcached]) -> None:
    """Each request has its own answer, whoever else has left."""

    async def check() -> None:
        proxy = Proxy(servers[0], io_timeout_s=5)
        for number in range(50):
            await proxy.put(str(number), b"%d" % number)
        for turn in range(20):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(proxy.get(str(number))) for number in range(50)]
                await asyncio.sleep(0 if turn % 2 else 0.001)
                for task in tasks[turn::3]:
                    task.cancel()
            for number, task in enumerate(tasks):
                assert task.cancelled() or task.result() == b"%d" % number

    run(check)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"servers": ["10.0.0.1"]}, "memcache: servers: '10.0.0.1' is no host and port"),
        ({"servers": ["10.0.0.1:x"]}, "is no host and port"),
        ({"servers": ["[::1]:99999"]}, "is no host and port"),
        ({"io_timeout_s": 0}, "memcache: io_timeout_s must be more than 0"),
    ],
)
def test_a_wrong_choice(table: dict[str, Any], sentence: str) -> None:
    """The sentence says which."""
    with pytest.raises(BadSettings, match=sentence):
        build(MemcacheSettings, table, where="memcache")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"HD\r\n", Reply(b"HD")),
        (b"VA 5 c17 W\r\n", Reply(b"VA", 5, 17)),
        (b"VA 0 s0 c9 Z\r\n", Reply(b"VA", 0, 9)),
        (b"EN\r\n", Reply(b"EN")),
        (b"SERVER_ERROR out of memory storing object\r\n", Reply(b"SERVER_ERROR")),
    ],
)
def test_lines(line: bytes, reply: Reply) -> None:
    """As memcached has them."""
    assert parse_line(line) == reply


@given(st.one_of(st.binary(max_size=60), st.from_regex(rb"VA [0-9 c-]*\r\n", fullmatch=True)))
def test_any_line(line: bytes) -> None:
    """It is an answer or it is none."""
    try:
        reply = parse_line(line)
    except BadReply:
        return
    assert reply.size is None or 0 <= reply.size <= 1 << 20
