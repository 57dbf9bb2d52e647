"""Serve a Handler on a socket.

The HTTP/1.1 machinery is our own: `request_head`, `chunked` and `response_head` decide (pure),
`incoming`, `outgoing` and `connection` move bytes.  docs/decisions/ says why it is not aiohttp's.
"""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from swiftish.domain.dates import http_date
from swiftish.domain.limits import KiB, Limits
from swiftish.http.access_log import AccessLog, Exchange
from swiftish.http.connection import Connection
from swiftish.http.errors import Bugs
from swiftish.http.message import Context, Handler
from swiftish.http.peers import Peers
from swiftish.http.transaction import foreign_id, transaction_id
from swiftish.runtime.clock import Clock
from swiftish.runtime.tasks import Background

BACKLOG = 4096
# Room for a header's name beside the largest value that the limits allow.
HEADER_NAME_BYTES = 256
# As many headers as Swift's own server reads.
HEADERS_MAX = 200
HEAD_BYTES_MAX = 64 * KiB
SWEEP_INTERVAL_S = 1.0
# How long the last bytes of answers may take when the server ends.
FLUSH_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long slow clients are waited for (faults T71)."""

    head_s: float = 30.0  # from the first byte of a request to the last of its head
    keepalive_s: float = 75.0  # between two requests
    write_s: float = 60.0  # for a client to read some of what fills its socket
    linger_s: float = 2.0  # for one that goes on sending what nobody wants


DEFAULT_PATIENCE = Patience()


class HttpServer:
    """Answers requests on one listening socket with `handler`.

    `context` makes the context of a request.  What the handler does not catch is a logged 500.
    `client_timeout_s` is Swift's client_timeout: how long a body's next bytes may take.
    `transaction_suffix` is appended to every transaction id.
    `peers` makes it a port for nodes of the cluster: who they are is checked, their trailers are
    kept, and their transaction ids are used.
    `observe` hears of every request when it has ended, as the access log does.
    """

    def __init__(  # noqa: PLR0913  (only the composition root calls it, by name)
        self,
        handler: Handler,
        *,
        context: Callable[[], Context],
        clock: Clock,
        limits: Limits,
        transaction_suffix: str = "",
        client_timeout_s: float = 60.0,
        patience: Patience = DEFAULT_PATIENCE,
        access_log: bool = True,
        peers: Peers | None = None,
        observe: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.handler: Handler = Bugs(handler)
        self._context = context
        self._clock = clock
        self._transaction_suffix = transaction_suffix
        self.client_timeout_s = client_timeout_s
        self.patience = patience
        self.peers = peers
        self.line_bytes_max = limits.max_header_size + HEADER_NAME_BYTES
        self.headers_max = max(HEADERS_MAX, limits.max_header_count)
        self.head_bytes_max = max(HEAD_BYTES_MAX, 4 * self.line_bytes_max)
        log = AccessLog(switched_on=access_log)
        # Who hears of each request when it has ended.
        self.listeners = [
            hear for hear in (observe, log.write if log.switched_on else None) if hear
        ]
        self.connections: set[Connection] = set()
        self.draining = False
        self.loop: asyncio.AbstractEventLoop
        self._requests = Background()
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        shortest_s = min(client_timeout_s, *dataclasses.astuple(patience))
        self._sweep_interval_s = min(SWEEP_INTERVAL_S, shortest_s / 4)
        self._all_gone: asyncio.Event | None = None
        self._second = -1
        self._date = ""

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is bound; it is ours from now on."""
        self.loop = asyncio.get_running_loop()
        self._listener = await self.loop.create_server(
            lambda: Connection(self), sock=sock, backlog=BACKLOG
        )
        self._sweep()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def drain(self, timeout_s: float) -> None:
        """Stop: accept no more, close what is idle, and let requests in flight finish.

        What has not finished after `timeout_s` is cancelled and its connection cut.
        """
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.let_go()
        await self._requests.aclose(timeout_s=timeout_s)
        await self._flush()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _flush(self) -> None:
        """Let the last bytes go out; cut those who don't read them."""
        self._all_gone = asyncio.Event()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    await self._all_gone.wait()
        for connection in list(self.connections):
            connection.cut()

    # ---- for the connections -------------------------------------------------------------------

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self._all_gone is not None and not self.connections:
            self._all_gone.set()

    def start_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self._requests.start(work, name="request")

    def new_context(self, headers: Mapping[str, str], peer: str) -> Context:
        context = self._context()
        given = foreign_id(headers.get("x-trans-id", "")) if self.peers is not None else ""
        context.transaction_id = given or transaction_id(
            self._clock.now(), self._transaction_suffix, headers.get("x-trans-id-extra", "")
        )
        context.remote_address = peer
        return context

    def date(self) -> str:
        """The Date header of now."""
        second = int(self._clock.now())
        if second != self._second:
            self._second = second
            self._date = http_date(second)
        return self._date

    def _sweep(self) -> None:
        """Give every connection that has waited too long its due."""
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now)
        self._sweeper = self.loop.call_later(self._sweep_interval_s, self._sweep)
