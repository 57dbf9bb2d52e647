"""What one replica has to send to another, and what may go: the decisions of replication.

Push only: each side says what it has, and whoever has what the other lacks sends it.  What would be
obsolete on arrival (object/hashdir.py) is not sent, so whichever of two replicas begins, both end
with the same files.

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swiftish.cluster.here import Here
from swiftish.domain.timestamp import Timestamp
from swiftish.object.exchange.protocol import Files, Standing
from swiftish.object.filenames import FileName, parse
from swiftish.object.hashdir import State, judge
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring


def own_place(ring: Ring, partition: int, here: Here, name: str) -> Device | None:
    """The primary of the partition that this node's device of that name is; None for none."""
    for primary in ring.primaries(partition):
        if primary.device == name and here.has("object", primary):
            return primary
    return None


def differing(
    mine: Mapping[str, int], theirs: Mapping[str, int], aged: Iterable[str]
) -> frozenset[str]:
    """The suffixes of which the other replica is to be offered something.

    `aged` are those of mine with files that digests leave out for their age: the other may hold
    what they make obsolete.
    """
    return frozenset(s for s in {*mine, *aged} if theirs.get(s) != mine.get(s))


def missing(own: Files, offered: Files, *, before: Timestamp) -> tuple[str, ...]:
    """Of the files that are offered, those that a replica which has `own` lacks.

    Tombstones, and metadata without an object, older than `before` (the reclaim age) are only
    lacking where there is an object that they concern: elsewhere they would be reclaimed again.
    """
    state = judge({**own, **offered})
    winners = [file for file in state.winners if file.text in offered]
    if state.data is None and judge(own).data is None:
        winners = [file for file in winners if file.timestamp >= before]
    return tuple(f.text for f in winners if own.get(f.text) != offered[f.text])


def deletion(own: State, offered: Files) -> Timestamp | None:
    """When a replica in the state `own` has deleted the object that is offered to it, if it has.

    Whoever offers it hears of that: it may be no primary, to which nobody sends tombstones, and
    would bring the object back once they have been reclaimed.
    """
    data = data_file(offered)
    if own.tombstone is None or data is None or data.timestamp > own.tombstone.timestamp:
        return None
    return own.tombstone.timestamp


def data_file(files: Iterable[str]) -> FileName | None:
    """The `.data` among the names of the files that count."""
    found = (parse(name) for name in files if name.endswith(".data"))
    return next((file for file in found if file is not None), None)


@dataclass(slots=True, kw_only=True)
class Peer:
    """Another device of the partition: a primary, or a handoff that stands in for one.

    `suffixes` are those to offer to it, None for all.  Of the batch under way, by hash: `wanted` is
    what it still lacks, `deleted` what it has deleted, and when.
    """

    node: Device
    suffixes: frozenset[str] | None = None
    stands_in_for: "Peer | None" = None
    standing: Standing | None = None
    gone: bool = False  # its device is out of service
    lost: bool = False  # it has not answered
    full: bool = False
    wanted: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, Timestamp] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        return not (self.gone or self.lost)

    def concerns(self, digest: str) -> bool:
        return self.suffixes is None or digest[-3:] in self.suffixes

    def holds(self, digest: str) -> bool:
        """Whether it has said that it has what this device has of the object, or something newer.

        That it was not even asked means that the digests are the same.
        """
        return self.answers and digest not in self.wanted

    def given(self, digest: str, name: str) -> None:
        """It has said that it has this file now."""
        names = self.wanted[digest]
        names.remove(name)
        if not names:
            del self.wanted[digest]


def below_count(digests: Iterable[str], peers: Sequence[Peer]) -> int:
    """How many of the objects are known to be lacking, at a primary and at who stands in for it."""
    places = [
        [peer, *(other for other in peers if other.stands_in_for is peer)]
        for peer in peers
        if peer.stands_in_for is None and not peer.lost
    ]
    return sum(
        any(not any(peer.holds(digest) for peer in place) for place in places) for digest in digests
    )


def given_up(digests: Iterable[str], primaries: Sequence[Peer]) -> list[str]:
    """The objects that a handoff need not keep: all primaries hold them, each by its own ring too.

    Peers with another ring may believe that the partition is somebody else's, and give it up in
    turn (T30).
    """
    if not all(peer.standing is not None and peer.standing.primary for peer in primaries):
        return []
    return [digest for digest in digests if all(peer.holds(digest) for peer in primaries)]


def is_back_from_the_dead(
    data: FileName, digest: str, primaries: Sequence[Peer], *, away_from: float, back_at: float
) -> bool | None:
    """Whether an object of a device that was away must have been deleted meanwhile (T25).

    `primaries` are all others.  What is older than the middle of the absence was there before it.
    None when nobody can say, for not all of them have answered: then it is kept, and not sent.
    True when all of them lack it, and one was there all the time.
    """
    if data.timestamp.seconds >= (away_from + back_at) / 2:
        return False
    if any(peer.holds(digest) for peer in primaries):
        return False
    if not all(peer.answers for peer in primaries):
        return None
    return any(peer.standing and peer.standing.since <= away_from for peer in primaries)


def reclaimed_before(now: float, reclaim_age_s: float) -> Timestamp:
    """What is older than this, and only says that something is gone, may go."""
    return Timestamp.from_seconds(max(0.0, now - reclaim_age_s))
