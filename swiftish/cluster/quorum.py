"""Decide when enough nodes have answered.

Feed each node's status as it arrives; ask for the verdict after each one.

Pure.
"""

from dataclasses import dataclass, field
from enum import Enum

# The classes of answers that nodes can agree on, the better ones first (reference 2.2, vote).
CLASSES = (2, 3, 4)


class Verdict(Enum):
    """Three values: "not yet" is not "no"."""

    PENDING = "pending"  # a quorum, or one of a better class, is still possible
    WON = "won"  # a quorum of nodes agree, and nothing unheard can change on what
    LOST = "lost"  # no answer can reach a quorum any more


@dataclass(slots=True, kw_only=True)
class Tally:
    """Count answers from `size` nodes until `needed` of them agree on a class."""

    size: int
    needed: int
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert 0 < self.needed <= self.size

    def add(self, status: int) -> Verdict:
        """Count one node's status; says how it stands."""
        assert len(self.statuses) < self.size
        self.statuses.append(status)
        return self.verdict()

    def verdict(self) -> Verdict:
        unheard = self.size - len(self.statuses)
        for wanted in CLASSES:
            count = self._count(wanted)
            if count >= self.needed:
                return Verdict.WON
            if count + unheard >= self.needed:
                return Verdict.PENDING
        return Verdict.LOST

    @property
    def reached(self) -> bool:
        """Whether some class has a quorum, though a better one may still reach it too.

        With an even number of nodes half of them are a quorum, so two classes can have one.
        """
        return any(self._count(wanted) >= self.needed for wanted in CLASSES)

    def status(self) -> int:
        """The highest status of the best class that has a quorum; 503 when none has."""
        for wanted in CLASSES:
            agreed = [status for status in self.statuses if status // 100 == wanted]
            if len(agreed) >= self.needed:
                return max(agreed)
        return 503

    def _count(self, wanted: int) -> int:
        return sum(1 for status in self.statuses if status // 100 == wanted)
