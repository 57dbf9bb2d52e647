"""What an operator may choose about the nodes of a ring: whom to ask first, and how many at most.

Pure.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from swiftish.cluster.affinity import ReadAffinity, WriteAffinity

Sorting: TypeAlias = Literal["shuffle", "timing", "affinity"]


@dataclass(frozen=True, slots=True)
class NodeCount:
    """A number of nodes: so many, or so many times the replicas."""

    number: int
    times_replicas: bool

    @classmethod
    def parse(cls, text: str) -> "NodeCount":
        """Read `2 * replicas` or `6`.  Raises ValueError with a sentence."""
        number, star, what = (part.strip() for part in text.lower().partition("*"))
        good = number.isascii() and number.isdigit() and 0 < int(number[:9]) == int(number)
        if not good or (star and what != "replicas"):
            raise ValueError(f"{text!r} is no number of nodes: say '2 * replicas', or '6'.")
        return cls(int(number), bool(star))

    def of(self, replicas: int) -> int:
        return self.number * replicas if self.times_replicas else self.number


TWICE = NodeCount(2, times_replicas=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """The defaults are those of reference 2.14, but that reads are hedged.

    `sorting` is the order of the primaries for a read: in turn (`shuffle`), the quickest first
    (`timing`), or the nearest (`affinity`).  At most `request_nodes` are asked.

    Uploads go to local nodes first, `local_nodes` of them at most; DELETEs also go to
    `local_delete_handoffs` local handoffs, where the object may still be (None: as many as there
    are primaries elsewhere).

    `concurrent_reads`: ask another node too when one takes long, after `hedge_s` at the latest.
    `overlooked_max`: how many primaries that have nothing may be new to the partition.
    """

    sorting: Sorting = "shuffle"
    read_affinity: ReadAffinity = field(default_factory=ReadAffinity)
    request_nodes: NodeCount = TWICE
    write_affinity: WriteAffinity = field(default_factory=WriteAffinity)
    local_nodes: NodeCount = TWICE
    local_delete_handoffs: int | None = None
    concurrent_reads: bool = True
    hedge_s: float = 0.5
    overlooked_max: int = 1


DEFAULTS = NodeOptions()
