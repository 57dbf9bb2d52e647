"""One small request to a replica set, until its quorum is decided.

Each replica's request goes to a primary and, where that one breaks, to the next candidate.  When
the quorum is decided the rest have a moment more, so that where all is well the client's next
request finds its change on every replica; then the client has its answer, and requests that are
still under way go on in the background: a slow node gets the change too.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from swiftish.cluster.calls import Calls, addressed
from swiftish.cluster.nodes import Place
from swiftish.cluster.quorum import Tally, Verdict
from swiftish.http.message import Bytes, Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background

# How long to wait for the rest once a quorum agrees (reference 2.2, post_quorum_timeout).
POST_QUORUM_TIMEOUT_S = 0.5
# Answers to changes are words for a person; nobody reads more of them.
ANSWER_BYTES_MAX = 64 * 1024


@dataclass(slots=True)
class _Round:
    """One fanout under way."""

    tally: Tally
    patient: bool  # hear everyone before giving up: some answers count twice
    answers: list[Response] = field(default_factory=list)
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    all_heard: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, response: Response) -> None:
        self.answers.append(response)
        verdict = self.tally.add(response.status)
        if self.complete:
            self.all_heard.set()
        if self.tally.reached or (verdict is Verdict.LOST and not self.patient) or self.complete:
            self.decided.set()

    @property
    def complete(self) -> bool:
        return len(self.answers) == self.tally.size


class Fanout:
    """Sends small requests to replica sets."""

    def __init__(
        self,
        calls: Calls,
        background: Background,
        *,
        post_quorum_timeout_s: float = POST_QUORUM_TIMEOUT_S,
    ) -> None:
        self.post_quorum_timeout_s = post_quorum_timeout_s
        self._calls = calls
        self._background = background

    async def gather(
        self,
        place: Place,
        requests: Sequence[Request],
        candidates: Iterator[Device],
        *,
        needed: int,
        patient: bool = False,
        data: bytes = b"",
    ) -> list[Response]:
        """Send `requests`, one per replica; the answers heard until the quorum was decided and a
        moment after.  Their paths are filled in here.

        `patient`: a quorum that can no longer be reached is no reason to stop listening.
        `data` is the body of each of them.
        """
        if len(requests) == 1:
            return [await self._persist(place, requests[0], candidates, data)]
        under_way = _Round(Tally(size=len(requests), needed=needed), patient)
        for request in requests:
            self._background.start(
                self._one(place, request, candidates, data, under_way),
                name=f"{request.method} {place.kind}",
            )
        await under_way.decided.wait()
        if not under_way.complete and under_way.tally.verdict() is not Verdict.LOST:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.post_quorum_timeout_s):
                    await under_way.all_heard.wait()
        return list(under_way.answers)

    async def _one(
        self,
        place: Place,
        request: Request,
        candidates: Iterator[Device],
        data: bytes,
        under_way: _Round,
    ) -> None:
        response = Response(status=503)
        try:
            response = await self._persist(place, request, candidates, data)
        finally:  # also when our own code breaks: nobody may wait for ever
            under_way.add(response)

    async def _persist(
        self, place: Place, request: Request, candidates: Iterator[Device], data: bytes
    ) -> Response:
        """One replica's request, tried on one candidate after the other until one answers."""
        for node in candidates:
            response = await self._calls.send(
                place.kind, node, addressed(request, place.on(node), Bytes(data))
            )
            if response.status < 500:
                return await collected(response)
            await response.body.aclose()
        return Response(status=503)


async def collected(response: Response) -> Response:
    """The same answer with its (small) body in memory."""
    if isinstance(response.body, Bytes):
        return response
    pieces = []
    size = 0
    async with response:
        while size < ANSWER_BYTES_MAX and (piece := await response.body.read()):
            pieces.append(piece)
            size += len(piece)
    return response.replace(body=Bytes(b"".join(pieces)[:ANSWER_BYTES_MAX]))
