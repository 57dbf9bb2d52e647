"""A memcached in a thread: as much of its meta protocol as proxy/memcache.py speaks.

It passes what the real one passes (tests/contracts/test_cache.py), and can be told to fail.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fakes.clock import FakeClock


class FakeMemcached:
    """The items of one server, which has room for `entries_max`."""

    def __init__(self, clock: FakeClock, *, entries_max: int = 100_000) -> None:
        self.clock = clock
        self.entries_max = entries_max
        self.items: dict[bytes, tuple[float, int, bytes]] = {}  # when it ends, its number, a value
        self.requests: list[bytes] = []
        self.says: bytes | None = None  # this, whatever it is asked
        self.silent = threading.Event()  # answers nothing any more
        self.address = ""
        self._lock = threading.Lock()
        self._unique = 0

    def handle(self, line: bytes, value: bytes) -> bytes:
        with self._lock:
            self.requests.append(line)
            if self.says is not None:
                return self.says
            verb, *words = line.split()
            if verb == b"flush_all":
                self.items.clear()
                return b"OK\r\n"
            key = words[0]
            found = self.items.get(key)
            if found is not None and found[0] <= self.clock.now():
                del self.items[key]
                found = None
            flags = {word[:1]: word[1:] for word in words[1:]}
            if verb == b"md":
                return b"HD\r\n" if self.items.pop(key, None) else b"NF\r\n"
            if verb == b"ms":
                if found is None:
                    return b"NF\r\n"
                if found[1] != int(flags[b"C"]):
                    return b"EX\r\n"
                self._put(key, int(flags[b"T"]), value)
                return b"HD\r\n"
            if found is None:
                found = self._put(key, int(flags[b"N"]), b"")
            return b"VA %d c%d\r\n%b\r\n" % (len(found[2]), found[1], found[2])

    def _put(self, key: bytes, life_s: int, value: bytes) -> tuple[float, int, bytes]:
        self._unique += 1
        self.items.pop(key, None)
        self.items[key] = item = (self.clock.now() + life_s, self._unique, value)
        if len(self.items) > self.entries_max:
            del self.items[next(iter(self.items))]
        return item


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    items: FakeMemcached
    sockets: set[socket.socket]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.sockets.add(self.connection)
        with suppress(OSError):
            while line := self.rfile.readline():
                words = line.split()
                value = b""
                if words[:1] == [b"ms"]:
                    value = self.rfile.read(int(words[2]) + 2)[:-2]
                if server.items.silent.is_set():
                    continue
                self.wfile.write(server.items.handle(line.strip(), value))


@contextmanager
def serving(items: FakeMemcached, *, port: int = 0) -> Iterator[FakeMemcached]:
    """Serve at `items.address` until the block ends."""
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.items, server.sockets = items, set()
        items.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield items
        finally:
            server.shutdown()
            thread.join()
            for each in server.sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
