"""What nodes' answers say of moments; whether a change has to be sent again at a later one (T27).

A change that is older than what it meets is lost: a node answers 409, or keeps what it has.  When
that was stored before the client even asked, some clock is wrong, and the client's change is newer
whatever the clocks say.  So it is sent again, at a moment after the one that it met.

When a quorum has taken the change all the same and what one node had is not ahead of our own clock,
the two were under way at once, and either may be the newer.

Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swiftish.domain.timestamp import ZERO, BadTimestamp, Timestamp
from swiftish.http.message import Response

# Of an answer of 2xx: when what the change was to set had been set already, and so has not changed.
OVERTAKEN_BY = "x-backend-overtaken-by"

# A name that two clients write all the time can be lost to the other again and again.
ATTEMPTS_MAX = 3


def moment_of(response: Response, name: str = "x-backend-timestamp") -> Timestamp:
    """The timestamp in a header of a node's answer; ZERO when there is none, or a bad one."""
    text = response.headers.get(name)
    if text is None:
        return ZERO
    try:
        return Timestamp.parse(text)
    except BadTimestamp:
        return ZERO


@dataclass(frozen=True, slots=True)
class Met:
    """What a change of some moment met: the newest that is not older, and whether it has won."""

    newest: Timestamp
    won: bool

    def again(self, now: float) -> bool:
        """Whether to send the change again after `newest`; `now` is what our own clock says."""
        if self.newest == ZERO:
            return False
        return not self.won or self.newest.seconds > now


def met(answers: Iterable[Response], moment: Timestamp, *, needed: int) -> Met:
    """What the nodes' answers to a change say; `needed` of them must have taken it."""
    newest, taken = ZERO, 0
    for answer in answers:
        found = ZERO
        if answer.status == 409:
            found = moment_of(answer)
        elif answer.ok:
            found = moment_of(answer, OVERTAKEN_BY)
        if found >= moment:
            newest = max(newest, found)
        elif answer.ok:
            taken += 1
    return Met(newest, taken >= needed)
