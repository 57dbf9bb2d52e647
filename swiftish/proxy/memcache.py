"""The cache that the proxies of several machines share: memcached servers.

Theory of the generations.  Whoever looks up a key that is not there leaves an empty entry in its
place, which memcached gives a number of its own, and may store a value only in place of that very
entry.  A drop deletes the entry, so stores that began before it find nothing to replace, or another
entry, and are refused; when memcached needs room and forgets an empty entry, so are they.  All of
it is one round trip: `mg … N`, `ms … C`, `md`.

A key has an order of servers, its own; the first that works has it.  A server that fails is left
alone for a while: that costs one request its time, not all of them.  What could not be dropped
there meanwhile is dropped before anything else is asked of it again.

What a server holds is signed with the cluster's secret, along with the key and when it ends: what
anybody else has put there, or moved to another key, is not there (T94).  Keys are hashes, so the
server learns no names either.

One connection to each server carries all requests, in their order; answers to those that nobody
waits for any more are read and thrown away.  (Of two clients that are packages one hands a
connection on with an answer still to come when a request is cancelled, so that the next request
would get that; the other knows neither the meta protocol nor when to leave a server alone.)
"""

import asyncio
import logging
import math
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest

from swiftish.domain.limits import KiB
from swiftish.proxy.cache import Entry
from swiftish.proxy.memcache_reply import LINE_BYTES_MAX, BadReply, Reply, parse_line
from swiftish.runtime.clock import Clock
from swiftish.runtime.tasks import Background

log = logging.getLogger(__name__)

VALUE_BYTES_MAX = 64 * KiB
EMPTY_LIFE_S = 60  # longer than anybody fetches what it is about to store
LIFE_S_MAX = 30 * 86_400  # memcached takes a longer one for a date
SERVERS_TRIED = 3
OWED_MAX = 1000  # drops; beyond, everything is dropped
NOWHERE = 0  # the generation of what can't be stored

_SIGNATURE_BYTES = 16
_EXPIRES = struct.Struct(">d")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcacheSettings:
    """`servers` are `host:port`, the same in all proxies; none: memcached is not used."""

    servers: tuple[str, ...] = ()
    connect_timeout_s: float = 0.3
    io_timeout_s: float = 2.0
    leave_alone_s: float = 10.0  # a server that has failed

    def __post_init__(self) -> None:
        for server in self.servers:
            host, _, port = server.rpartition(":")
            if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
                raise ValueError(f"servers: {server!r} is no host and port, such as 10.0.0.1:11211")
        for name in ("connect_timeout_s", "io_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0.")


class MemcacheCache:
    """A Cache for all proxies that have the same servers and the same `secret`.

    Made after forking; `close` ends the connections, and comes before `background` is closed.
    """

    def __init__(
        self, settings: MemcacheSettings, *, secret: bytes, clock: Clock, background: Background
    ) -> None:
        assert settings.servers, "a cache needs a server"
        self._secret = blake2b(secret, digest_size=32).digest()
        self._clock = clock
        self._servers = [_Server(name, settings, background) for name in settings.servers]
        self._key = lru_cache(8192)(self._hashed)

    async def look_up(self, key: str) -> Entry:
        hashed = self._key(key)
        for number in self._order(hashed):
            try:
                reply = await self._servers[number].ask(
                    b"mg %b c v N%d\r\n" % (hashed, EMPTY_LIFE_S)
                )
            except OSError:
                continue
            if not reply.unique:
                break  # the server has no room even for an empty entry
            generation = reply.unique * len(self._servers) + number
            return Entry(self._opened(hashed, reply.value), generation)
        return Entry(None, NOWHERE)

    async def store(self, key: str, value: bytes, *, ttl_s: float, generation: int) -> bool:
        if generation == NOWHERE or len(value) > VALUE_BYTES_MAX:
            return False
        hashed = self._key(key)
        sealed = self._sealed(hashed, _EXPIRES.pack(self._clock.now() + ttl_s) + value)
        life_s = min(LIFE_S_MAX, math.ceil(ttl_s) + 1)
        unique, number = divmod(generation, len(self._servers))
        head = b"ms %b %d C%d T%d\r\n" % (hashed, len(sealed), unique, life_s)
        try:
            reply = await self._servers[number].ask(head + sealed + b"\r\n")
        except OSError:
            return False
        return reply.code == b"HD"

    async def drop(self, key: str) -> None:
        hashed = self._key(key)
        for number in self._order(hashed):
            server = self._servers[number]
            try:
                await server.ask(_drop(hashed))
            except OSError:
                server.owe(hashed)
            else:
                return

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _order(self, hashed: bytes) -> Iterator[int]:
        """The servers to try for a key, by their numbers."""
        servers = self._servers
        if len(servers) == 1:
            return iter((0,))
        ranked = sorted(range(len(servers)), key=lambda number: servers[number].rank(hashed))
        return iter(ranked[:SERVERS_TRIED])

    def _hashed(self, key: str) -> bytes:
        data = key.encode("utf-8", "surrogateescape")
        return blake2b(data, digest_size=16, key=self._secret, person=b"key").hexdigest().encode()

    def _signature(self, hashed: bytes, data: bytes) -> bytes:
        digest = blake2b(hashed, digest_size=_SIGNATURE_BYTES, key=self._secret, person=b"value")
        digest.update(data)
        return digest.digest()

    def _sealed(self, hashed: bytes, data: bytes) -> bytes:
        return self._signature(hashed, data) + data

    def _opened(self, hashed: bytes, sealed: bytes) -> bytes | None:
        """The value, if it is ours, for this key, and has not ended."""
        signature, data = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
        if len(data) < _EXPIRES.size or not compare_digest(
            signature, self._signature(hashed, data)
        ):
            return None
        expires: float = _EXPIRES.unpack_from(data)[0]
        return data[_EXPIRES.size :] if expires > self._clock.now() else None


def _drop(hashed: bytes) -> bytes:
    return b"md %b\r\n" % hashed


class _Server:
    """One memcached: whether it works, and the connection to it."""

    def __init__(self, name: str, settings: MemcacheSettings, background: Background) -> None:
        host, _, port = name.rpartition(":")
        self._name = name
        self._host, self._port = host.strip("[]"), int(port)
        self._settings = settings
        self._background = background
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._alone_until = -math.inf
        self._owed: dict[bytes, None] = {}

    def rank(self, hashed: bytes) -> bytes:
        """The server's place in the order of a key: the lowest is the first."""
        return blake2b(hashed, digest_size=8, key=self._name.encode()[:64]).digest()

    def owe(self, hashed: bytes) -> None:
        """Drop a key before anything else is asked."""
        if len(self._owed) <= OWED_MAX:
            self._owed[hashed] = None

    async def ask(self, request: bytes) -> Reply:
        """Raises OSError, at once while the server is left alone."""
        self._check()
        try:
            async with asyncio.timeout(self._settings.io_timeout_s):
                connection = await self._connected()
                return await connection.ask(request)
        except OSError as error:  # TimeoutError is one
            self._fail(error)
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check(self) -> None:
        if asyncio.get_running_loop().time() < self._alone_until:
            raise ConnectionError(f"{self._name} is left alone")

    def _fail(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._alone_until:  # the first to notice
            self._alone_until = now + self._settings.leave_alone_s
            log.warning("memcached failed", extra={"node": self._name, "reason": repr(error)})
        self.close()

    async def _connected(self) -> "_Connection":
        async with self._connecting:
            if self._connection is None or not self._connection.alive:
                self._check()
                async with asyncio.timeout(self._settings.connect_timeout_s):
                    reader, writer = await asyncio.open_connection(
                        self._host, self._port, limit=LINE_BYTES_MAX
                    )
                self._connection = _Connection(reader, writer)
                self._background.start(self._connection.listen(), name=f"memcached {self._name}")
            if self._owed:
                await self._pay(self._connection)
            return self._connection

    async def _pay(self, connection: "_Connection") -> None:
        """Drop what could not be dropped before."""
        while self._owed:
            owed = next(iter(self._owed))
            everything = len(self._owed) > OWED_MAX
            await connection.ask(b"flush_all\r\n" if everything else _drop(owed))
            if everything:
                self._owed.clear()
            self._owed.pop(owed, None)


class _Connection:
    """Requests go out in their order, and answers come back in it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.alive = True
        self._reader = reader
        self._writer = writer
        self._waiting: deque[asyncio.Future[Reply]] = deque()

    async def ask(self, request: bytes) -> Reply:
        """Raises ConnectionError when the connection ends first, BadReply."""
        if not self.alive:
            raise ConnectionResetError("the connection has ended")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(request)
        return await future

    async def listen(self) -> None:
        """Hand the answers to those who wait for them, until the connection ends."""
        why: OSError = ConnectionResetError("memcached has closed the connection")
        try:
            while line := await self._reader.readline():
                reply = parse_line(line)
                if reply.size is not None:
                    value = await self._reader.readexactly(reply.size + 2)
                    reply = Reply(reply.code, reply.size, reply.unique, value[:-2])
                if not self._waiting:
                    raise BadReply("an answer that nobody has asked for")
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (OSError, ValueError) as error:  # ValueError: a line beyond all bounds
            why = error if isinstance(error, OSError) else BadReply(str(error))
        except asyncio.IncompleteReadError as error:
            why = BadReply(str(error))
        finally:
            self.close()
            for future in self._waiting:
                if not future.done():
                    future.set_exception(why)

    def close(self) -> None:
        """End the connection; who waits hears of it."""
        if self.alive:
            self.alive = False
            self._writer.close()
