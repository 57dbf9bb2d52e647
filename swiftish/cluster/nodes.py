"""Where a name lives, and the nodes to ask about it, in order.

Primaries first, then handoffs, without those that failed too often lately; at most
`request_node_count` of them (twice the replicas).  Nodes that are left alone come back, last of
all, when too few others are primaries to agree: sparing them is meant to save time, and must not
turn a cluster off.  On one machine with one disk there is nobody else to ask.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.transport import Kind
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.domain.policy import quorum_size
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring


@dataclass(slots=True, kw_only=True)
class Place:
    """The partition of a name and its primaries; `path` is the name's own, decoded."""

    kind: Kind
    ring: Ring
    partition: int
    primaries: list[Device]
    path: str

    def on(self, node: Device) -> str:
        """The backend path of the name on a node."""
        return f"/{node.device}/{self.partition}{self.path}"

    @property
    def quorum(self) -> int:
        return quorum_size(len(self.primaries))

    def is_primary(self, node: Device) -> bool:
        return any(primary is node for primary in self.primaries)


def place_of(kind: Kind, ring: Ring, hash_path: HashPath, target: Target) -> Place:
    """Find a name in its ring."""
    partition = ring.partition(hash_path(target.account, target.container, target.object))
    return Place(
        kind=kind,
        ring=ring,
        partition=partition,
        primaries=ring.primaries(partition),
        path=target.path,
    )


class Nodes:
    """Orders the nodes of places.  Reads begin at another primary each time."""

    def __init__(self, limiter: ErrorLimiter) -> None:
        self._limiter = limiter
        self._turn = 0

    def for_write(self, place: Place) -> Iterator[Device]:
        """Candidates for a change, the primaries in replica order."""
        return self._candidates(place, place.primaries)

    def for_read(self, place: Place) -> Iterator[Device]:
        """Candidates for a read: the primaries in turn, so that all carry the load."""
        primaries = place.primaries
        if len(primaries) > 1:
            self._turn += 1
            first = self._turn % len(primaries)
            primaries = primaries[first:] + primaries[:first]
        return self._candidates(place, primaries)

    def _candidates(self, place: Place, primaries: list[Device]) -> Iterator[Device]:
        limited, kind = self._limiter.limited, place.kind
        left = 2 * len(primaries)
        spared = []
        for node in primaries:
            if limited(kind, node):
                spared.append(node)
            else:
                left -= 1
                yield node
        for node in place.ring.handoffs(place.partition):
            if left <= 0:
                break
            if not limited(kind, node):
                left -= 1
                yield node
        if len(primaries) - len(spared) < place.quorum:
            yield from spared
