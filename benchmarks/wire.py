"""The CPU time of a small request to another node: our client beside aiohttp's.

    python -m benchmarks.wire [--requests N] [--rounds N]

One server process (our own, on uvloop) and one client process with a single connection, on the
loopback interface.  What is measured is the client process's CPU time, kernel included; rounds
alternate between the clients, and the median counts.  Without aiohttp its line is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection

import uvloop

from swiftish.domain.limits import Limits
from swiftish.http.bodies import read_all
from swiftish.http.client import HttpClient
from swiftish.http.message import Bytes, Context, Request, Response
from swiftish.http.peers import Peers
from swiftish.http.server import HttpServer
from swiftish.runtime.clock import SystemClock

KEY = b"benchmark"
PATH = "/sdb1/1234/AUTH_test/container/object"
DATA = b"x" * 1024
# About what a proxy says of an object, and a node of it.
ASKED = {
    "x-timestamp": "1700000000.00000",
    "x-backend-storage-policy-index": "0",
    "content-type": "application/octet-stream",
    "x-object-meta-colour": "blue",
    "x-container-host": "10.0.0.1:6201",
    "x-container-device": "sdb1",
    "x-container-partition": "77",
}
TOLD = {
    "etag": "0123456789abcdef0123456789abcdef",
    "content-type": "application/octet-stream",
    "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
    "x-timestamp": "1700000000.00000",
    "x-backend-timestamp": "1700000000.00000",
    "x-object-meta-colour": "blue",
}
Ask = Callable[[str], Awaitable[None]]


async def _answer(request: Request) -> Response:
    await read_all(request.body, size_max=len(DATA))
    data = DATA if request.method == "GET" else b""
    return Response(status=200, headers=TOLD, body=Bytes(data))


def _serve(ports: Connection) -> None:
    async def serve() -> None:
        for key in (b"", KEY):
            sock = socket.create_server(("127.0.0.1", 0))
            sock.setblocking(False)
            server = HttpServer(
                _answer,
                context=Context,
                clock=SystemClock(),
                limits=Limits(),
                access_log=False,
                peers=Peers(key, clock=SystemClock()),
            )
            await server.start(sock)
            ports.send(server.port)
        await asyncio.Event().wait()

    uvloop.run(serve())


@contextlib.asynccontextmanager
async def _ours(port: int, key: bytes) -> AsyncIterator[Ask]:
    client = HttpClient(key=key)

    async def ask(method: str) -> None:
        body = Bytes(DATA if method == "PUT" else b"")
        request = Request(method=method, path=PATH, headers=ASKED, body=body)
        response = await client.send("127.0.0.1", port, request)
        assert response.status == 200
        await read_all(response.body, size_max=len(DATA))

    try:
        yield ask
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def _aiohttp(port: int) -> AsyncIterator[Ask]:
    import aiohttp  # noqa: PLC0415  (it need not be there)

    url = f"http://127.0.0.1:{port}{PATH}"
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def ask(method: str) -> None:
            data = DATA if method == "PUT" else None
            async with session.request(method, url, headers=ASKED, data=data) as response:
                assert response.status == 200
                await response.read()

        yield ask


async def _measure(
    client: contextlib.AbstractAsyncContextManager[Ask], method: str, count: int
) -> float:
    """Microseconds of CPU per request."""
    async with client as ask:
        for _ in range(count // 10):
            await ask(method)
        began = time.process_time()
        for _ in range(count):
            await ask(method)
        return (time.process_time() - began) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(there,), daemon=True)
    server.start()
    open_port, signed_port = here.recv(), here.recv()
    clients: dict[str, Callable[[], contextlib.AbstractAsyncContextManager[Ask]]] = {
        "ours, signed": lambda: _ours(signed_port, KEY),
        "ours": lambda: _ours(open_port, b""),
    }
    with contextlib.suppress(ImportError):
        __import__("aiohttp")
        clients["aiohttp"] = lambda: _aiohttp(open_port)
    for method in ("GET", "PUT"):
        found: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(arguments.rounds):
            for name, client in clients.items():
                microseconds = uvloop.run(_measure(client(), method, arguments.requests))
                found[name].append(microseconds)
        for name, values in found.items():
            low, high = min(values), max(values)
            print(
                f"{method} 1 KiB  {name:13}{statistics.median(values):6.1f} us"
                f"  ({low:.1f} to {high:.1f})"
            )
    server.kill()


if __name__ == "__main__":
    main()
