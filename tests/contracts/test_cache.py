"""What every Cache promises, checked on each of them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from swiftish.domain.limits import KiB, MiB
from swiftish.proxy.cache import Cache
from swiftish.proxy.memcache import MemcacheCache, MemcacheSettings
from swiftish.proxy.shared_cache import TABLES, VALUE_BYTES_MAX, SharedCache
from swiftish.runtime.environment import Environment
from swiftish.runtime.tasks import Background
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import FakeClock
from tests.fakes.memcached import FakeMemcached, serving

MakeCache = Callable[[int], Cache]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(
        tmp_path / "cache.mdb", names=TABLES, sync=False, map_size_bytes=8 * MiB
    )
    yield environment
    environment.close()


@pytest.fixture
def fake_memcached(clock: FakeClock) -> Iterator[FakeMemcached]:
    with serving(FakeMemcached(clock)) as items:
        yield items


@pytest.fixture
def real_memcached() -> Iterator[str]:
    """The address of one, where there is the program."""
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("there is no memcached on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "root"]
    with subprocess.Popen(command) as process:
        try:
            for _ in range(500):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.01)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def memcache(address: str, clock: FakeClock) -> MemcacheCache:
    settings = MemcacheSettings(servers=(address,))
    return MemcacheCache(settings, secret=b"s", clock=clock, background=Background())


@pytest.fixture(params=["memory", "shared", "memcached", "real memcached"])
def make_cache(request: pytest.FixtureRequest, clock: FakeClock) -> MakeCache:
    if request.param == "memory":
        return lambda entries_max: MemoryCache(clock, entries_max=entries_max)
    if request.param == "memcached":
        items = request.getfixturevalue("fake_memcached")

        def small(entries_max: int) -> MemcacheCache:
            items.entries_max = entries_max
            return memcache(items.address, clock)

        return small
    if request.param == "real memcached":
        address = request.getfixturevalue("real_memcached")
        return lambda _: memcache(address, clock)
    environment = request.getfixturevalue("environment")
    return lambda entries_max: SharedCache(environment, clock, entries_max=entries_max)


@pytest.fixture
def cache(make_cache: MakeCache) -> Cache:
    return make_cache(100)


def test_what_is_stored_is_found_until_it_ends(cache: Cache, clock: FakeClock) -> None:
    """A value lives for its time; keys are any text; an empty value is a value."""

    async def check() -> None:
        for key, value in (("a", b"1"), ("/A/c\udcff\n" * 300, b""), ("b", bytes(range(256)))):
            entry = await cache.look_up(key)
            assert entry.value is None
            assert await cache.store(key, value, ttl_s=10, generation=entry.generation)
            assert (await cache.look_up(key)).value == value
        clock.seconds += 9.9
        assert (await cache.look_up("a")).value == b"1"
        clock.seconds += 0.1
        entry = await cache.look_up("a")
        assert entry.value is None
        assert await cache.store("a", b"2", ttl_s=10, generation=entry.generation)
        assert (await cache.look_up("a")).value == b"2"

    asyncio.run(check())


def test_a_store_that_began_before_a_drop_is_refused(cache: Cache) -> None:
    """A reader looked up, a writer dropped: what the reader then stores would be stale."""

    async def check() -> None:
        before = await cache.look_up("acl")
        await cache.drop("acl")
        assert not await cache.store("acl", b"stale", ttl_s=60, generation=before.generation)
        assert (await cache.look_up("acl")).value is None
        after = await cache.look_up("acl")
        assert await cache.store("acl", b"fresh", ttl_s=60, generation=after.generation)
        # And once more, now that there is an entry.
        await cache.drop("acl")
        assert (await cache.look_up("acl")).value is None
        assert not await cache.store("acl", b"stale", ttl_s=60, generation=after.generation)

    asyncio.run(check())


def test_a_drop_concerns_its_own_key(cache: Cache) -> None:
    """Other keys keep their values, and their readers may go on to store."""

    async def check() -> None:
        other = await cache.look_up("other")
        await cache.drop("acl")
        assert await cache.store("other", b"value", ttl_s=60, generation=other.generation)
        await cache.drop("acl")
        assert (await cache.look_up("other")).value == b"value"

    asyncio.run(check())


def test_a_drop_outlives_the_room_for_it(make_cache: MakeCache, clock: FakeClock) -> None:
    """However many entries come after a drop, a store that began before it is refused."""

    async def check() -> None:
        cache = make_cache(20)
        before = await cache.look_up("acl")
        await cache.drop("acl")
        for step in range(300):
            entry = await cache.look_up(str(step))
            await cache.store(str(step), b"x", ttl_s=5, generation=entry.generation)
            clock.seconds += 10
            assert not await cache.store("acl", b"stale", ttl_s=60, generation=before.generation)
        after = await cache.look_up("acl")
        assert await cache.store("acl", b"fresh", ttl_s=60, generation=after.generation)

    asyncio.run(check())


def test_entries_are_bounded(make_cache: MakeCache) -> None:
    """There are never many more than entries_max; the one just stored is there."""

    async def check() -> None:
        cache = make_cache(50)
        for step in range(500):
            entry = await cache.look_up(str(step))
            assert await cache.store(str(step), b"x", ttl_s=60, generation=entry.generation)
            assert (await cache.look_up(str(step))).value == b"x"
        if isinstance(cache, MemcacheCache):
            return  # it is for the server to say how many it has room for
        found = [await cache.look_up(str(step)) for step in range(500)]
        assert 25 <= sum(entry.value is not None for entry in found) <= 52

    asyncio.run(check())


def test_nothing_stale_is_ever_found(make_cache: MakeCache, chance: Random) -> None:
    """Whatever the order of look-ups, changes, drops and stores: a value that was changed, and
    dropped after the change, is never found again."""

    async def check() -> None:
        cache = make_cache(8)
        truth = dict.fromkeys("abcdefghijklmnop", 0)
        fetched: list[tuple[str, bytes, int]] = []
        for _ in range(3000):
            key = chance.choice(list(truth))
            match chance.randrange(4):
                case 0:
                    truth[key] += 1
                    await cache.drop(key)
                case 1 if fetched:
                    name, value, generation = fetched.pop(chance.randrange(len(fetched)))
                    await cache.store(name, value, ttl_s=60, generation=generation)
                case _:
                    entry = await cache.look_up(key)
                    if entry.value is None:
                        fetched.append((key, str(truth[key]).encode(), entry.generation))
                    else:
                        assert entry.value == str(truth[key]).encode()

    asyncio.run(check())


# ---- only where several processes share it ---------------------------------------------------


def test_a_full_file_system_costs_no_request(environment: Environment, clock: FakeClock) -> None:
    """When there is no room, older entries go; stores may be refused, drops never."""

    async def check() -> None:
        cache = SharedCache(environment, clock)
        first = await cache.look_up("first")
        stored = 0
        for step in range(500):
            entry = await cache.look_up(str(step))
            value = bytes(60 * KiB)
            stored += await cache.store(str(step), value, ttl_s=60, generation=entry.generation)
            await cache.drop("first")
        assert stored > 100
        assert not await cache.store("first", b"stale", ttl_s=60, generation=first.generation)

    asyncio.run(check())


def test_a_value_that_is_too_large_is_not_kept(environment: Environment, clock: FakeClock) -> None:
    """It is asked for again each time."""

    async def check() -> None:
        cache = SharedCache(environment, clock)
        value = bytes(VALUE_BYTES_MAX + 1)
        assert not await cache.store("a", value, ttl_s=60, generation=0)
        assert (await cache.look_up("a")).value is None

    asyncio.run(check())


def test_a_second_worker_sees_a_drop_at_once(environment: Environment, clock: FakeClock) -> None:
    """Two caches over one environment are one cache."""

    async def check() -> None:
        one, other = SharedCache(environment, clock), SharedCache(environment, clock)
        entry = await one.look_up("acl")
        assert await one.store("acl", b"v", ttl_s=60, generation=entry.generation)
        assert (await other.look_up("acl")).value == b"v"
        await other.drop("acl")
        assert (await one.look_up("acl")).value is None
        assert not await one.store("acl", b"stale", ttl_s=60, generation=entry.generation)

    asyncio.run(check())
