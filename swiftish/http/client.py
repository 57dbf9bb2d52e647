"""Requests to other nodes, over kept-alive connections (docs/decisions/0005-own-http-client.md).

A body in memory goes out with its head in one write.  Others are pulled and streamed; large ones,
and those of unknown length, are offered first (Expect: 100-continue), so that a node which refuses
costs nothing: nothing has been pulled.  Trailers are asked for when the body has ended.
"""

import asyncio

from swiftish.domain.limits import MiB
from swiftish.http.chunked import last_chunk
from swiftish.http.client_connection import ClientConnection, NodeGone, Prepared, Unheard
from swiftish.http.client_heads import sendable, target_of
from swiftish.http.message import Bytes, Request, Response, no_trailers

# A body that is larger is offered.
UNASKED_BYTES_MAX = MiB
# How many connections to one port are kept while nobody needs them, and how long.  A server keeps
# them for longer, so that it is seldom the one who closes.
IDLE_MAX = 64
IDLE_S_MAX = 60.0
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class HttpClient:
    """Sends requests to nodes.  With a `key` it signs them (http/peer_auth.py).

    It is made after forking, and closed in the loop that it was used in.
    """

    def __init__(self, *, key: bytes = b"", connect_timeout_s: float = 0.5) -> None:
        self._key = key
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[str, list[ClientConnection]] = {}
        self._connections: set[ClientConnection] = set()
        self._all_gone: asyncio.Event | None = None  # from `aclose` on

    async def send(self, ip: str, port: int, request: Request) -> Response:
        """The answer, as soon as its head has come; how long to wait is for the caller to say.

        Raises NodeGone (an OSError) when there is no answer, and what `request.body.read()`
        raises.  Reading the answer's body raises BrokenBody (a ConnectionError) when it ends early;
        closing it before its end, and cancelling, cost the connection.

        A kept connection may end just when it is used.  Then the request goes out once more, on a
        new one, if nothing of its body has been pulled: the node may have seen it twice, which
        requests that carry their timestamp can bear.
        """
        node = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        prepared = _prepared(node, request)
        connection = self._kept(node)
        if connection is not None:
            try:
                return await connection.exchange(prepared)
            except Unheard:
                if prepared.begun:
                    raise
        connection = await self._connect(node, ip, port)
        return await connection.exchange(prepared)

    async def aclose(self) -> None:
        """Cut all connections, also those in use, and wait until they are gone."""
        self._all_gone = asyncio.Event()
        for connection in list(self._connections):
            connection.cut()
        if self._connections:
            await self._all_gone.wait()

    def _kept(self, node: str) -> ClientConnection | None:
        """A connection that is kept, if there is one: the one that was used last."""
        idle = self._idle.get(node)
        if not idle:
            return None
        oldest = asyncio.get_running_loop().time() - IDLE_S_MAX
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.cut()
        return None

    async def _connect(self, node: str, ip: str, port: int) -> ClientConnection:
        if self._all_gone is not None:
            raise NodeGone("the client is closed")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(self, node), ip, port
                )
        except OSError as error:  # TimeoutError is one
            raise NodeGone(f"{node}: no connection: {error!r}") from error
        self._connections.add(connection)
        if self._key:
            await connection.ask_challenge(self._key)
        connection.pooled = True
        return connection

    # ---- for the connections -------------------------------------------------------------------

    def release(self, connection: ClientConnection) -> None:
        idle = self._idle.setdefault(connection.node, [])
        if len(idle) >= IDLE_MAX or self._all_gone is not None:
            connection.cut()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)

    def forget(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        idle = self._idle.get(connection.node, [])
        if connection in idle:
            idle.remove(connection)
        if self._all_gone is not None and not self._connections:
            self._all_gone.set()


def _prepared(node: str, request: Request) -> Prepared:
    """What will be said to a node, and how."""
    headers = {"host": node, **sendable(request.headers)}
    if (transaction := request.context.transaction_id) != "-":
        headers.setdefault("x-trans-id", transaction)
    prepared = Prepared(
        method=request.method, target=target_of(request.path, request.query), headers=headers
    )
    body = request.body
    offered = body.length is None or body.length > UNASKED_BYTES_MAX
    chunked = body.length is None or request.trailers is not no_trailers
    if isinstance(body, Bytes) and not offered:
        data = body.take()
        trailers = request.trailers() if chunked else {}
        if trailers:
            headers["transfer-encoding"] = "chunked"
            end = last_chunk(trailers)
            prepared.data = (b"%x\r\n" % len(data), data, b"\r\n", end) if data else (end,)
        elif data or request.method not in _WITHOUT_BODY:
            headers["content-length"] = str(len(data))
            prepared.data = (data,)
        return prepared
    prepared.data = None
    prepared.body = body
    prepared.trailers = request.trailers
    prepared.offered = offered
    prepared.chunked = chunked
    if chunked:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(body.length)
    if offered:
        headers["expect"] = "100-continue"
    return prepared
