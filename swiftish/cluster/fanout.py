"""One small request to a replica set, until its quorum is decided.

Each replica's request goes to a primary and, where that one breaks, to the next candidate.  When
the quorum is decided the client has its answer; the requests that are still under way go on in
the background, so that a slow node gets the change too.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from swiftish.cluster.best_response import best_response
from swiftish.cluster.calls import Calls, addressed
from swiftish.cluster.nodes import Place
from swiftish.cluster.quorum import Tally, Verdict
from swiftish.http.message import Bytes, Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background

# How long to wait for the rest once a quorum agrees, where the rest could still change on what.
POST_QUORUM_TIMEOUT_S = 0.5
# Answers to changes are words for a person; nobody reads more of them.
ANSWER_BYTES_MAX = 64 * 1024


@dataclass(slots=True)
class _Round:
    """One fanout under way."""

    tally: Tally
    patient: bool  # hear everyone before giving up: some answers count twice
    answers: list[Response] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, response: Response) -> None:
        self.answers.append(response)
        verdict = self.tally.add(response.status)
        if self.tally.reached or (verdict is Verdict.LOST and not self.patient) or self.complete:
            self.heard.set()

    @property
    def complete(self) -> bool:
        return len(self.answers) == self.tally.size


class Fanout:
    """Sends small requests to replica sets."""

    def __init__(self, calls: Calls, background: Background) -> None:
        self._calls = calls
        self._background = background

    async def send(
        self,
        place: Place,
        requests: Sequence[Request],
        candidates: Iterator[Device],
        *,
        needed: int,
        overrides: Mapping[int, int] | None = None,
    ) -> Response:
        """Send `requests`, one per replica, and return the answer that `needed` of them agree on.

        Their paths are filled in here.  503 when no quorum agrees.
        """
        answers = await self.gather(
            place, requests, candidates, needed=needed, patient=bool(overrides)
        )
        return best_response(answers, needed=needed, overrides=overrides or {}) or Response(
            status=503
        )

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
        """The answers heard until the quorum was decided; all of them, if it never was.

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
        await under_way.heard.wait()
        if under_way.tally.verdict() is Verdict.PENDING:
            under_way.heard.clear()
            try:
                async with asyncio.timeout(POST_QUORUM_TIMEOUT_S):
                    while under_way.tally.verdict() is Verdict.PENDING:
                        await under_way.heard.wait()
                        under_way.heard.clear()
            except TimeoutError:
                pass
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
