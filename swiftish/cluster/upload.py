"""What to do next while one body is streamed to several nodes.

Theory of operation.  An upload has four stages, and every node moves through them with the
upload; a node that does not keep up is dropped for good:

    OFFERING    ask candidates, in order, until `size` have accepted or said no; one that
                breaks is replaced by the next candidate, one that says no (4xx) is not
    STREAMING   pull a piece, send it to every live node, wait for all of them
    FINISHING   the body has ended; wait for answers until a quorum is decided
    DONE        one Reply has been given; nothing else ever is

A quorum must be live at all times.  When it is lost the upload replies at once.  The client is
not asked for its first piece (and so not sent 100 Continue) before a quorum of nodes has
accepted.  An object that exists (412) or is newer (409) on any node ends the upload before that
(reference 2.2, "Object PUT").

Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeAlias, TypeVar

from swiftish.cluster.quorum import Tally, Verdict

N = TypeVar("N")


# Events: what the driver has seen.
@dataclass(frozen=True, slots=True)
class Accepted(Generic[N]):
    """The node has begun to read."""

    node: N


@dataclass(frozen=True, slots=True)
class Answered(Generic[N]):
    """The node's answer, at any stage; 503 for one that broke or took too long."""

    node: N
    status: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Pulled:
    """A piece of the client's body; b"" at its end."""

    piece: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The client's body is of no use: it ended early, is too large, or came too slowly."""

    status: int


@dataclass(frozen=True, slots=True)
class Sent(Generic[N]):
    """The node has room for the next piece."""

    node: N


# Actions: what the driver must do.
@dataclass(frozen=True, slots=True)
class Offer(Generic[N]):
    node: N


@dataclass(frozen=True, slots=True)
class Pull:
    pass


@dataclass(frozen=True, slots=True)
class Send(Generic[N]):
    node: N
    piece: bytes


@dataclass(frozen=True, slots=True)
class Finish(Generic[N]):
    node: N


@dataclass(frozen=True, slots=True)
class Drop(Generic[N]):
    """End the node's upload; it must store nothing."""

    node: N


@dataclass(frozen=True, slots=True)
class Reply:
    status: int


Event: TypeAlias = Accepted[N] | Answered[N] | Pulled | Failed | Sent[N]
Action: TypeAlias = Offer[N] | Pull | Send[N] | Finish[N] | Drop[N] | Reply


class Stage(Enum):
    OFFERING = auto()
    STREAMING = auto()
    FINISHING = auto()
    DONE = auto()


@dataclass(slots=True, kw_only=True)
class Upload(Generic[N]):
    """One upload to `size` nodes, of which `quorum` must store it."""

    candidates: Iterator[N]
    size: int
    quorum: int
    stage: Stage = Stage.OFFERING
    live: list[N] = field(default_factory=list)
    waiting: list[N] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)  # 4xx from nodes that did not want it
    etags: set[str] = field(default_factory=set)
    tally: Tally | None = None

    def start(self) -> list[Action[N]]:
        """The first offers."""
        offers = [offer for _ in range(self.size) for offer in self._offer_next()]
        return offers or self._reply(503)

    def handle(self, event: Event[N]) -> list[Action[N]]:
        """Take in what happened; says what to do now."""
        if self.stage is Stage.DONE:
            return []  # stragglers
        match event:
            case Accepted(node):
                return self._accepted(node)
            case Answered(node, status, etag):
                return self._answered(node, status, etag)
            case Pulled(b""):
                return self._finish()
            case Pulled(piece):
                self.waiting = list(self.live)
                return [Send(node, piece) for node in self.live]
            case Failed(status):
                return self._reply(status)
            case Sent(node):
                self.waiting.remove(node)
                return self._pull_when_all_have_it()

    def _offer_next(self) -> list[Action[N]]:
        node = next(self.candidates, None)
        if node is None:
            return []
        self.waiting.append(node)
        return [Offer(node)]

    def _accepted(self, node: N) -> list[Action[N]]:
        assert self.stage is Stage.OFFERING
        self.waiting.remove(node)
        self.live.append(node)
        return self._begin_when_all_have_answered()

    def _begin_when_all_have_answered(self) -> list[Action[N]]:
        if self.waiting:
            return []
        for status in (412, 409):
            if status in self.refusals:
                return self._reply(status)
        if len(self.live) < self.quorum:
            return self._reply(self._refusal())
        self.stage = Stage.STREAMING
        return [Pull()]

    def _answered(self, node: N, status: int, etag: str | None) -> list[Action[N]]:
        if self.stage is Stage.FINISHING:
            return self._finished(node, status, etag)
        if node not in self.live and node not in self.waiting:
            return []
        if node in self.live:
            self.live.remove(node)
        if 400 <= status < 500:
            self.refusals.append(status)
        if self.stage is Stage.OFFERING:
            self.waiting = [each for each in self.waiting if each != node]
            offer = self._offer_next() if status // 100 != 4 else []
            return offer or self._begin_when_all_have_answered()
        was_waiting = node in self.waiting
        if was_waiting:
            self.waiting.remove(node)
        drop: list[Action[N]] = [Drop(node)]
        if len(self.live) < self.quorum:
            return [*drop, *self._reply(self._refusal())]
        return [*drop, *(self._pull_when_all_have_it() if was_waiting else [])]

    def _pull_when_all_have_it(self) -> list[Action[N]]:
        return [] if self.waiting else [Pull()]

    def _finish(self) -> list[Action[N]]:
        self.stage = Stage.FINISHING
        self.waiting = list(self.live)
        self.tally = Tally(size=self.size, needed=self.quorum)
        lost = self.size - len(self.live)
        for status in [*self.refusals, *([503] * self.size)][:lost]:
            self.tally.add(status)
        return [Finish(node) for node in self.live]

    def _finished(self, node: N, status: int, etag: str | None) -> list[Action[N]]:
        assert self.tally is not None
        if node not in self.waiting:
            return []
        self.waiting.remove(node)
        if status // 100 == 2 and etag is not None:
            self.etags.add(etag)
        if self.tally.add(status) is Verdict.PENDING:
            return []
        # Two nodes that stored different bytes: nobody knows which of them is right.
        return self._reply(500 if len(self.etags) > 1 else self.tally.status())

    def _refusal(self) -> int:
        for status in (412, 409):
            if status in self.refusals:
                return status
        return max(self.refusals) if len(self.refusals) >= self.quorum else 503

    def _reply(self, status: int) -> list[Action[N]]:
        finishing = self.stage is Stage.FINISHING
        self.stage = Stage.DONE
        undecided = [*self.live, *self.waiting]
        drops: list[Action[N]] = [] if finishing else [Drop(node) for node in _once(undecided)]
        return [*drops, Reply(status)]


def _once(nodes: list[N]) -> list[N]:
    found: list[N] = []
    for node in nodes:
        if node not in found:
            found.append(node)
    return found


def settle(statuses: list[int], etags: set[str], *, needed: int) -> int:
    """What a client hears of an upload that was sent whole: 201, or why not.

    A quorum that stored it has stored it; otherwise one node that has an object already (412)
    or a newer one (409) is reason enough.
    """
    if len(etags) > 1:
        return 500
    stored = [status for status in statuses if status // 100 == 2]
    if len(stored) >= needed:
        return max(stored)
    for status in (412, 409):
        if status in statuses:
            return status
    refused = [status for status in statuses if status // 100 == 4]
    return max(refused) if len(refused) >= needed else 503
