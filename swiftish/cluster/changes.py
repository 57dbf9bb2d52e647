"""Small changes of accounts, containers and objects: sent to the replicas, and voted on.

Every change has a moment, which orders it among all others.  It is taken here, and again when the
change meets something newer that was there before it (cluster/moments.py says when).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from swiftish.cluster.best_response import DELETE_OVERRIDES, best_of_posts, best_response
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.moments import ATTEMPTS_MAX, Met, met
from swiftish.cluster.nodes import Nodes, Place
from swiftish.domain.policy import quorum_size
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Request, Response
from swiftish.runtime.clock import Clock, too_far_ahead

log = logging.getLogger(__name__)

T = TypeVar("T")


async def in_time(
    clock: Clock, given: Timestamp | None, attempt: Callable[[Timestamp], Awaitable[tuple[T, Met]]]
) -> T:
    """The result of `attempt` at a moment that is after all that it has met.

    An internal actor has `given` a moment of its own; then there is one attempt.
    """
    attempts = 1
    while True:
        result, found = await attempt(given or clock.timestamp())
        now = clock.now()
        if given or attempts == ATTEMPTS_MAX or not found.again(now):
            return result
        if too_far_ahead(found.newest, now):
            return result
        clock.observe(found.newest)
        attempts += 1
        log.info("met a newer change, trying again", extra={"newer": found.newest.internal})


class Changes:
    """Sends small changes.  `requests` are one for each replica, without path and timestamp."""

    def __init__(self, fanout: Fanout, nodes: Nodes, clock: Clock) -> None:
        self._fanout = fanout
        self._nodes = nodes
        self._clock = clock

    async def send(
        self, place: Place, requests: Sequence[Request], *, given: Timestamp | None = None
    ) -> Response:
        """A change of an account or a container; 503 when no quorum agrees."""

        async def attempt(moment: Timestamp) -> tuple[Response | None, Met]:
            answers = await self._fanout.gather(
                place,
                _stamped(requests, moment),
                self._nodes.for_change(place),
                needed=place.quorum,
            )
            found = met(answers, moment, needed=place.quorum)
            return best_response(answers, needed=place.quorum), found

        return await in_time(self._clock, given, attempt) or Response(status=503)

    async def post(
        self, place: Place, requests: Sequence[Request], *, given: Timestamp | None = None
    ) -> Response:
        """New metadata for an object (reference 2.2, "Object POST").

        Where a primary has not got the object and another has, a handoff may have it.
        """
        needed = place.quorum

        async def attempt(moment: Timestamp) -> tuple[Response | None, Met]:
            stamped = _stamped(requests, moment)
            candidates = self._nodes.for_change(place)
            answers = await self._fanout.gather(place, stamped, candidates, needed=needed)
            done = sum(1 for answer in answers if answer.ok)
            missing = sum(1 for answer in answers if answer.status == 404)
            if 0 < done < needed and missing:
                answers += await self._fanout.gather(
                    place, stamped[:missing], candidates, needed=missing
                )
            return best_of_posts(answers, needed=needed), met(answers, moment, needed=needed)

        return await in_time(self._clock, given, attempt) or Response(status=503)

    async def delete(
        self, place: Place, requests: Sequence[Request], *, given: Timestamp | None = None
    ) -> Response:
        """A tombstone for an object, also where an upload may have left it to be moved later
        (reference 2.2, "Object DELETE"); 404 when nobody had it."""
        last = requests[-1]
        alone = last.replace(headers=_without_updates(last))
        everywhere = [*requests, *([alone] * place.local_delete_handoffs)]
        needed = quorum_size(len(everywhere))

        async def attempt(moment: Timestamp) -> tuple[Response | None, Met]:
            answers = await self._fanout.gather(
                place,
                _stamped(everywhere, moment),
                self._nodes.for_change(place),
                needed=needed,
                patient=True,
            )
            best = best_response(answers, needed=needed, overrides=DELETE_OVERRIDES)
            return best, met(answers, moment, needed=needed)

        return await in_time(self._clock, given, attempt) or Response(status=503)


def _stamped(requests: Sequence[Request], moment: Timestamp) -> list[Request]:
    stamp = {"x-timestamp": moment.internal}
    return [request.replace(headers={**request.headers, **stamp}) for request in requests]


def _without_updates(request: Request) -> dict[str, str]:
    """Its headers, without the containers to tell: the primaries tell them all."""
    return {
        name: value
        for name, value in request.headers.items()
        if not name.startswith("x-container-")
    }
