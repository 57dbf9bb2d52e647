"""One read of a replica set: the first good answer, without waiting long for nodes that are slow.

Searchers walk the candidates together, each asking the next one that nobody has asked yet, until
one has an answer to serve.  At first there is one searcher, which is the caller itself.  Whenever a
node takes longer than it should (cluster/timings.py says when) one more sets out, in a task of its
own; there are never more than there are primaries.  Whoever finds first has won: the others'
requests are cancelled, and what they have been answered is closed.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from swiftish.cluster.calls import Calls, addressed
from swiftish.cluster.nodes import Place
from swiftish.cluster.reading import Judgement, Reading
from swiftish.cluster.timings import Timings
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, which node gave it, and who else could be asked."""

    response: Response
    node: Device | None
    others: Iterator[Device]


class Search:
    """One read under way."""

    def __init__(
        self,
        calls: Calls,
        timings: Timings,
        background: Background,
        *,
        place: Place,
        request: Request,
        candidates: Iterator[Device],
        reading: Reading,
    ) -> None:
        self._calls = calls
        self._timings = timings
        self._background = background
        self._place = place
        self._request = request
        self._candidates = candidates
        self._reading = reading
        self._searchers_max = len(place.primaries) if place.options.concurrent_reads else 1
        self._helpers: list[asyncio.Task[None]] = []
        self._passed_over: list[Device] = []  # they were too slow: asked again only in need
        self._found: Found | None = None
        self._waiting = asyncio.timeout(None)  # of the caller, which a helper ends

    async def run(self) -> Found | None:
        """The first good answer; None when nobody has one, and `reading` has heard them all."""
        if self._searchers_max == 1:
            await self._walk()
            return self._found
        self._timings.count_read()
        try:
            async with self._waiting:
                await self._walk()
                for helper in self._helpers:  # more may set out meanwhile
                    if self._found is not None:
                        break
                    await asyncio.wait([helper])
        except TimeoutError:
            if self._found is None:  # not the end that a helper has set
                raise
        except BaseException:  # the client is gone: what has been opened is nobody's yet
            if self._found is not None:
                await self._found.response.body.aclose()
            raise
        finally:
            for helper in self._helpers:
                helper.cancel()
        return self._found

    async def _walk(self) -> None:
        """Ask one candidate after the other until somebody has found something."""
        place, loop = self._place, asyncio.get_running_loop()
        for node in self._candidates:
            response = await self._ask(node, loop)
            if self._found is None:
                verdict = self._reading.judge(response, primary=place.is_primary(node))
                if verdict is Judgement.SERVE:
                    others = chain(self._candidates, self._passed_over)
                    self._found = Found(response, node, others)
                    return
            await response.body.aclose()
            if self._found is not None:
                return

    async def _ask(self, node: Device, loop: asyncio.AbstractEventLoop) -> Response:
        place, timings, method = self._place, self._timings, self._request.method
        asked = loop.time()
        hedge: asyncio.TimerHandle | None = None
        if len(self._helpers) + 1 < self._searchers_max:
            after_s = timings.hedge_after_s(
                place.kind, method, node, at_most_s=place.options.hedge_s, now=asked
            )
            hedge = loop.call_later(after_s, self._send_help)
        try:
            request = addressed(self._request, place.on(node))
            response = await self._calls.read(place.kind, node, request)
        except asyncio.CancelledError:
            now = loop.time()
            timings.outlasted(place.kind, method, node, now - asked, now=now)
            self._passed_over.append(node)
            raise
        finally:
            if hedge is not None:
                hedge.cancel()
        now = loop.time()
        if response.status < 500:
            timings.took(place.kind, method, node, now - asked, now=now)
        else:
            timings.outlasted(place.kind, method, node, now - asked, now=now)
        return response

    def _send_help(self) -> None:
        room = len(self._helpers) + 1 < self._searchers_max
        if room and self._found is None and self._timings.may_hedge():
            self._helpers.append(self._background.start(self._help(), name="hedged read"))

    async def _help(self) -> None:
        await self._walk()
        if self._found is not None and self._waiting.when() is None:
            self._waiting.reschedule(asyncio.get_running_loop().time())
