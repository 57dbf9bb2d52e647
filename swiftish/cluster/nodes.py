"""Where a name lives, and the nodes to ask about it, in order.

Primaries first, then handoffs, without those that failed too often lately; at most
`request_nodes` of them (twice the replicas), and no fewer than there are replicas.  Primaries that
are left alone come back, last of all, when there is no quorum without them: sparing them is meant
to save time, and must not turn a cluster off.  On one machine with one disk there is nobody else to
ask; a disk that was replaced a moment ago may have the only copy that can be reached; and when all
nodes are restarted one after the other, those that are back are still spared.

With write affinity an upload is first offered to local nodes, handoffs among them; the replicators
take it to where it belongs (reference 2.2).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.node_options import DEFAULTS, NodeOptions
from swiftish.cluster.timings import Timings
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
    options: NodeOptions = DEFAULTS

    def on(self, node: Device) -> str:
        """The backend path of the name on a node."""
        return f"/{node.device}/{self.partition}{self.path}"

    @property
    def quorum(self) -> int:
        return quorum_size(len(self.primaries))

    def is_primary(self, node: Device) -> bool:
        return any(primary is node for primary in self.primaries)

    @property
    def handoffs(self) -> Iterator[Device]:
        return self.ring.handoffs(self.partition)

    @property
    def everybody(self) -> Iterator[Device]:
        return chain(self.primaries, self.handoffs)

    @property
    def local_delete_handoffs(self) -> int:
        """To how many local handoffs a DELETE goes too (reference 2.2, "Object DELETE")."""
        affinity, asked = self.options.write_affinity, self.options.local_delete_handoffs
        if not affinity:
            return 0
        if asked is not None:
            return asked
        return sum(1 for node in self.primaries if not affinity.is_local(node))


def place_of(
    kind: Kind, ring: Ring, hash_path: HashPath, target: Target, options: NodeOptions = DEFAULTS
) -> Place:
    """Find a name in its ring."""
    partition = ring.partition(hash_path(target.account, target.container, target.object))
    return Place(
        kind=kind,
        ring=ring,
        partition=partition,
        primaries=ring.primaries(partition),
        path=target.path,
        options=options,
    )


class Nodes:
    """Orders the nodes of places.  Reads begin at another primary each time."""

    def __init__(self, limiter: ErrorLimiter, timings: Timings | None = None) -> None:
        self.timings = timings or Timings()
        self._limiter = limiter
        self._turn = 0

    def for_upload(self, place: Place) -> Iterator[Device]:
        """Candidates for an object's data: the primaries in replica order, local nodes first."""
        return self._candidates(place, _local_first(place))

    def for_change(self, place: Place) -> Iterator[Device]:
        """Candidates for a change: the primaries in replica order, then handoffs, and of those
        first the local ones, to which an upload may have gone."""
        return self._candidates(place, chain(place.primaries, _handoffs(place)))

    def for_read(
        self, place: Place, method: str, *, now: float, agreed: Callable[[], bool] | None = None
    ) -> Iterator[Device]:
        """Candidates for a read: the primaries as the settings say, but slow ones last.

        `agreed` says, when all others have been asked, whether those that are spared need not be.
        """
        order = chain(self._sorted(place, method, now), _handoffs(place))
        return self._candidates(place, order, agreed)

    def _sorted(self, place: Place, method: str, now: float) -> Sequence[Device]:
        primaries, options = place.primaries, place.options
        if len(primaries) < 2:
            return primaries
        self._turn += 1
        first = self._turn % len(primaries)
        turned = primaries[first:] + primaries[:first]
        if options.sorting == "timing":
            turned = self.timings.quickest_first(place.kind, method, turned, now=now)
        elif options.sorting == "affinity":
            turned.sort(key=options.read_affinity.distance)
        return self.timings.slow_last(place.kind, method, turned, now=now)

    def _candidates(
        self, place: Place, order: Iterable[Device], agreed: Callable[[], bool] | None = None
    ) -> Iterator[Device]:
        spared: list[Device] = []
        return _Candidates(place, self._ready(place, order, spared), spared, agreed)

    def _ready(
        self, place: Place, order: Iterable[Device], spared: list[Device]
    ) -> Iterator[Device]:
        """Those that may be asked; the primaries among the others are added to `spared`."""
        limited, kind = self._limiter.limited, place.kind
        unseen = len(place.primaries)
        left = max(unseen, place.options.request_nodes.of(unseen))
        for node in order:
            primary = unseen > 0 and place.is_primary(node)
            unseen -= primary
            if limited(kind, node):
                if primary:
                    spared.append(node)
            elif left > 0:
                left -= 1
                yield node
            if left <= 0 and not unseen:
                break


class _Candidates(Iterator[Device]):
    """Those that are ready, and then, in need, those that are spared.

    The requests to all replicas of a name share one: each takes a candidate, and another when that
    one breaks.  So whoever finds none stands for a replica that will not be there.  Others may
    still find one later.
    """

    def __init__(
        self,
        place: Place,
        ready: Iterator[Device],
        spared: list[Device],
        agreed: Callable[[], bool] | None,
    ) -> None:
        self._ready = ready
        self._spared = spared
        self._agreed = agreed
        self._missing = 0
        self._missing_max = len(place.primaries) - place.quorum

    def __next__(self) -> Device:
        node = next(self._ready, None)
        if node is not None:
            return node
        if self._missing == 0 and len(self._spared) > self._missing_max:
            self._missing_max = -1  # there can't be a quorum of the others
        self._missing += 1
        if not self._spared or not self._is_in_need():
            raise StopIteration
        return self._spared.pop(0)

    def _is_in_need(self) -> bool:
        if self._agreed is not None:
            return not self._agreed()
        return self._missing > self._missing_max


def _local_first(place: Place) -> Iterator[Device]:
    """The primaries and handoffs, but so many local ones of them first."""
    affinity = place.options.write_affinity
    count = place.options.local_nodes.of(len(place.primaries)) if affinity else 0
    local: list[Device] = []
    for node in filter(affinity.is_local, place.everybody) if count else ():
        local.append(node)
        yield node
        if len(local) == count:
            break
    yield from (node for node in place.everybody if node not in local)


def _handoffs(place: Place) -> Iterator[Device]:
    """In ring order, but those first to which an upload may have gone instead of a primary."""
    affinity = place.options.write_affinity
    local: list[Device] = []
    if affinity:
        count = max(1, place.local_delete_handoffs)
        local += islice(filter(affinity.is_local, place.handoffs), count)
        yield from local
    yield from (node for node in place.handoffs if node not in local)
