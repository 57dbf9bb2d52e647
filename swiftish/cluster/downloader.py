"""Reads from a replica set: the first good answer, and a Body that outlives the node it came from.

When a node breaks in the middle of a body the next candidate is asked for the bytes from there
on (cluster/download.py says which), so that the client sees one unbroken answer.
"""

import asyncio
import logging
from collections.abc import Iterator

from swiftish.cluster.calls import Calls, addressed
from swiftish.cluster.download import Download
from swiftish.cluster.nodes import Nodes, Place
from swiftish.cluster.reading import Reading
from swiftish.cluster.search import Found, Search
from swiftish.http.message import Body, Bytes, DamagedBody, Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background

log = logging.getLogger(__name__)


class DownloadBroken(ConnectionError):
    """No node could go on with a body that a client is already reading: cut the connection."""


class Reader:
    """Asks a replica set."""

    def __init__(self, calls: Calls, nodes: Nodes, background: Background) -> None:
        self._calls = calls
        self._nodes = nodes
        self._background = background

    async def read(self, place: Place, request: Request, *, newest: bool = False) -> Response:
        """The answer to a GET or HEAD of an account or a container; `request.path` is filled in.

        503 when too few nodes agree on anything.
        """
        return (await self._find(place, request, newest=newest)).response

    async def download(self, place: Place, request: Request, *, newest: bool = False) -> Response:
        """The same for an object: its body goes on when its node does not."""
        found = await self._find(place, request, newest=newest)
        response, node = found.response, found.node
        if node is None or isinstance(response.body, Bytes) or not response.ok:
            return response
        return response.replace(body=Downloader(self._calls, place, request, found))

    async def _find(self, place: Place, request: Request, *, newest: bool) -> Found:
        now = asyncio.get_running_loop().time()
        overlooked_max = place.options.overlooked_max
        reading = Reading(
            primaries=len(place.primaries), newest=newest, overlooked_max=overlooked_max
        )
        if newest:
            candidates = self._nodes.for_read(place, request.method, now=now)
            return await self._newest(place, request, candidates, reading)
        candidates = self._nodes.for_read(
            place, request.method, now=now, agreed=lambda: reading.refusal() is not None
        )
        search = Search(
            self._calls,
            self._nodes.timings,
            self._background,
            place=place,
            request=request,
            candidates=candidates,
            reading=reading,
        )
        found = await search.run()
        return found or Found(reading.refusal() or Response(status=503), None, candidates)

    async def _newest(
        self, place: Place, request: Request, candidates: Iterator[Device], reading: Reading
    ) -> Found:
        """Ask all candidates at once, and choose when all have been heard."""
        answers: list[tuple[Device, Response]] = []

        async def ask(node: Device) -> None:
            response = await self._calls.read(place.kind, node, addressed(request, place.on(node)))
            answers.append((node, response))

        try:
            async with asyncio.TaskGroup() as group:
                for node in candidates:
                    group.create_task(ask(node))
        except BaseException:  # the client is gone: what has been opened is nobody's yet
            for _, response in answers:
                await response.body.aclose()
            raise
        for node, response in answers:
            reading.judge(response, primary=place.is_primary(node))
        best = reading.best()
        found = Found(reading.refusal() or Response(status=503), None, iter(()))
        for node, response in answers:
            if response is best:
                others = [other for other, _ in answers if other is not node]
                found = Found(response, node, iter(others))
            else:
                await response.body.aclose()
        return found


class Downloader(Body):
    """The body of an object, from as many nodes as it takes."""

    def __init__(self, calls: Calls, place: Place, request: Request, found: Found) -> None:
        assert found.node is not None
        self._calls = calls
        self._place = place
        self._request = request
        self._node = found.node
        self._others = found.others
        self._body = found.response.body
        self._download = Download(found.response)
        self.length = found.response.body.length

    async def read(self) -> bytes:
        """The next piece.  Raises DownloadBroken when no node can go on."""
        download = self._download
        while download.left > 0:
            piece, blame = b"", "the body ended early"
            try:
                async with asyncio.timeout(self._calls.read_timeout_s):
                    piece = await self._body.read()
            except DamagedBody:
                blame = ""  # only this copy is bad
            except OSError as error:  # TimeoutError is one
                blame = repr(error)
            if piece:
                download.advance(len(piece))
                if download.left < 0:
                    raise DownloadBroken(f"{self._node} sends more than it announced")
                return piece
            if blame:
                self._calls.failed(self._place.kind, self._node, why=blame)
            await self._go_on_elsewhere()
        return b""

    async def aclose(self) -> None:
        await self._body.aclose()

    async def _go_on_elsewhere(self) -> None:
        await self._body.aclose()
        headers = {**self._request.headers, "range": self._download.range}
        for node in self._others:
            request = self._request.replace(path=self._place.on(node), headers=headers)
            response = await self._calls.read(self._place.kind, node, request)
            if self._download.continues(response):
                log.info("download goes on at another node", extra={"node": str(node)})
                self._node, self._body = node, response.body
                return
            await response.body.aclose()
        raise DownloadBroken(f"nobody can go on with {self._place.path!r}")
