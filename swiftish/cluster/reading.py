"""What to make of the answers to one read (reference 2.2, "Reading rules" and "Vote").

Answers are judged one by one.  The first good one is served, unless the newest is wanted: then
all are heard.  What is known to be deleted is not served from a node that has not heard of it.

A handoff that has nothing knows nothing: its 404 counts only when it holds a tombstone.  And a
primary may be empty because the ring has just given it the partition: so many such 404s are
overlooked (one, unless the settings say otherwise), when there are other primaries.

Pure.
"""

from enum import Enum

from swiftish.cluster.best_response import best_response
from swiftish.cluster.moments import moment_of
from swiftish.domain.policy import quorum_size
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.message import Response

_AGES = ("x-backend-data-timestamp", "x-backend-timestamp", "x-put-timestamp", "x-timestamp")


class Judgement(Enum):
    SERVE = "serve"  # good: give this one to the client
    KEEP = "keep"  # good so far; hear the others too
    PASS = "pass"  # ask the next node  # noqa: S105


class Reading:
    """The answers to one read so far, from a name with `primaries` primaries."""

    def __init__(self, *, primaries: int, newest: bool, overlooked_max: int = 1) -> None:
        self._primaries = primaries
        self._overlooked_max = min(overlooked_max, primaries - 1)
        self._newest = newest
        self._good: list[Response] = []
        self._bad: list[Response] = []
        self._overlooked = 0
        self._tombstone = ZERO  # the newest deletion heard of

    def judge(self, response: Response, *, primary: bool) -> Judgement:
        """Take in one node's answer.  A node that timed out or broke is a 503."""
        status = response.status
        if (200 <= status < 400 or status == 416) and not _is_hollow(response):
            if not self._newest and not self._is_deleted(response):
                return Judgement.SERVE
            self._good.append(response)
            return Judgement.KEEP
        deleted = ZERO
        if status == 404 or status // 100 == 2:
            deleted = moment_of(response)
            if not primary and deleted == ZERO:
                return Judgement.PASS
            if deleted == ZERO and self._overlooked < self._overlooked_max:
                self._overlooked += 1
                return Judgement.PASS
        elif status >= 500 and not primary:
            return Judgement.PASS
        self._tombstone = max(self._tombstone, deleted)
        self._bad.append(response if status // 100 != 2 else Response(status=404))
        return Judgement.PASS

    def best(self) -> Response | None:
        """The newest good answer that is not known to be deleted, when all have been heard."""
        alive = [response for response in self._good if not self._is_deleted(response)]
        return max(alive, key=_age, default=None)

    def refusal(self) -> Response | None:
        """What to say when nothing good was found; None: too few agree, a 503."""
        stale = len(self._good)  # each of them is a node that will have to forget it
        heard = [*self._bad, *(Response(status=404) for _ in range(stale))]
        size = max(len(heard), self._primaries - self._overlooked)
        return best_response(heard, needed=quorum_size(size))

    def _is_deleted(self, response: Response) -> bool:
        return self._tombstone != ZERO and _age(response)[0] < self._tombstone


def _is_hollow(response: Response) -> bool:
    """A database that was made by a metadata update before its PUT arrived: there is nothing."""
    put = response.headers.get("x-put-timestamp")
    return put is not None and put.strip("0.") == ""


def _age(response: Response) -> tuple[Timestamp, Timestamp]:
    """When its data were written, then when anything of it was."""
    for name in _AGES:
        if name in response.headers:
            return moment_of(response, name), moment_of(response)
    return ZERO, ZERO
