"""The network between nodes and proxies: links that are cut, either way; calls that break.

A request is a task of the node that serves it.  Whoever asked may give up: then the node hears of
that, if the way to it is free.  When a node dies, all of its calls break.  What is under way when a
link is cut waits for the link, or breaks at once, as the cut says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from swiftish.cluster.transport import Kind
from swiftish.http.bodies import ClientGone
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device
from tests.simulation.nemesis.asking import ClientContext

if TYPE_CHECKING:
    from tests.simulation.nemesis.cluster import NemesisCluster, NemesisNode

T = TypeVar("T")

Cut = Literal["refuse", "drop"]
LATENCY_S = 0.02


class Network:
    """Who reaches whom; `latency` of each way is drawn from `chance`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._cuts: dict[tuple[str, str], list[Cut]] = {}
        self._changed = asyncio.Event()
        self.delays = True

    def cut(self, source: str, target: str, how: Cut) -> None:
        """One way; cuts of one way add up."""
        self._cuts.setdefault((source, target), []).append(how)
        self._notify()

    def mend(self, source: str, target: str, how: Cut) -> None:
        cuts = self._cuts.get((source, target), [])
        if how in cuts:
            cuts.remove(how)
        if not cuts:
            self._cuts.pop((source, target), None)
        self._notify()

    def clear(self) -> None:
        self._cuts.clear()
        self._notify()

    def is_open(self, source: str, target: str) -> bool:
        return not self._cuts.get((source, target))

    async def travel(self, source: str, target: str) -> None:
        """Get from one to the other.  Raises ConnectionResetError; waits while packets vanish."""
        while cuts := self._cuts.get((source, target)):
            if "refuse" in cuts:
                raise ConnectionResetError(f"no way from {source} to {target}")
            await self._changed.wait()
        if self.delays and self.chance.random() < 0.3:
            await asyncio.sleep(LATENCY_S * self.chance.random())

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Call:
    """One request to one node, from `source`."""

    def __init__(self, network: Network, source: str, node: NemesisNode) -> None:
        self.network = network
        self.source = source
        self.node = node
        self.is_left = False  # whoever asked has gone, and the node may not know
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        node.calls.add(self)

    def end(self) -> None:
        """The node is gone."""
        if not self.broken.done():
            self.broken.set_result(None)

    async def get_through(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the node's part.  Raises ConnectionResetError when the node dies meanwhile."""
        task = self.node.serve(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.broken}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.is_left = True
            if self.network.is_open(self.source, self.node.name):
                task.cancel()
            raise
        if self.broken.done():
            task.cancel()
            raise ConnectionResetError(f"{self.node.name} has died")
        if task.cancelled():
            raise ConnectionResetError(f"{self.node.name} has hung up")
        return task.result()

    async def send(self, kind: Kind, request: Request) -> Response:
        node, network = self.node, self.network
        await network.travel(self.source, node.name)
        if self.broken.done():
            raise ConnectionRefusedError(f"{node.name} is down")
        if not isinstance(request.body, Bytes):
            request = request.replace(body=_Upload(self, request.body))
        response = await self.get_through(_call(node, kind, request))
        try:
            await network.travel(node.name, self.source)
        except BaseException:
            await response.body.aclose()
            raise
        if isinstance(response.body, Bytes):
            self.node.calls.discard(self)
            return response
        return response.replace(body=_Download(self, response.body))


async def _call(node: NemesisNode, kind: Kind, request: Request) -> Response:
    return await node.handlers[kind](request)


async def _read(body: Body) -> bytes:
    return await body.read()


class _Upload(Body):
    """A request's body, as the node reads it."""

    def __init__(self, call: Call, source: Body) -> None:
        self.length = source.length
        self._call = call
        self._source = source

    async def read(self) -> bytes:
        """Raises ClientGone when whoever sends it has gone away, or can't be reached."""
        call = self._call
        if call.is_left:
            raise ClientGone
        piece = await self._source.read()
        try:
            await call.network.travel(call.source, call.node.name)
        except ConnectionError:
            raise ClientGone from None
        if call.is_left:
            raise ClientGone
        return piece

    async def aclose(self) -> None:
        await self._source.aclose()


class _Download(Body):
    """An answer's body, as whoever asked reads it."""

    def __init__(self, call: Call, source: Body) -> None:
        self.length = source.length
        self._call = call
        self._source = source

    async def read(self) -> bytes:
        call = self._call
        if call.broken.done():
            raise ConnectionResetError(f"{call.node.name} has died")
        piece = await call.get_through(_read(self._source))
        await call.network.travel(call.node.name, call.source)
        return piece

    async def aclose(self) -> None:
        self._call.node.calls.discard(self._call)
        await self._source.aclose()


class View:
    """The Transport of somebody."""

    def __init__(self, cluster: NemesisCluster, source: str) -> None:
        self._cluster = cluster
        self._source = source

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        cluster = self._cluster
        cluster.sent[kind, request.method] += 1
        if isinstance(request.context, ClientContext) and self._source in cluster.gates:
            request.context.note(kind, request)
        there = cluster.nodes[node.device]
        if node.device == self._source:
            return await there.handlers[kind](request)
        call = Call(cluster.network, self._source, there)
        if there.dead:
            call.end()
        try:
            return await call.send(kind, request)
        except ConnectionError as error:
            there.calls.discard(call)
            return plain(503, str(error))
