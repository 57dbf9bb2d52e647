"""What is to become of objects that are in another storage policy than their container.

The queue's rows name them (reference 2.7): `<policy>:/<account>/<container>/<object>`, in a
container of the hour of the object's timestamp; the row's ETag is that timestamp, its content type
says whether it was put or deleted there.

Whatever the reconciler writes is of the object's own moment with an offset, so that it counts more
than what it replaces, and less than whatever a client has done since: a tombstone where the object
should not be (+1), the end of the queue's row (+2), a deletion where it should be (+2), the copy
(+3).  A tombstone of its own is reported as misplaced too, but is then older than the end of the
row: nothing goes round in circles.

Pure.
"""

from dataclasses import dataclass
from enum import Enum

from swiftish.cluster.listings import ObjectEntry
from swiftish.domain.names import Target
from swiftish.domain.timestamp import BadTimestamp, Timestamp

QUEUE_ACCOUNT = ".misplaced_objects"
PUT_TYPE = "application/x-put"
DELETE_TYPE = "application/x-delete"

TOMBSTONE_OFFSET = 1
ROW_END_OFFSET = 2
DELETE_OFFSET = 2
COPY_OFFSET = 3


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A row of the queue: what happened to `target` in a policy that may not be its container's.

    `recorded` is the timestamp of the row itself, as far as a listing shows it.
    """

    container: str
    name: str
    policy: int
    target: Target
    timestamp: Timestamp
    recorded: Timestamp
    deleted: bool

    @property
    def end(self) -> Timestamp:
        """When the row ends: a newer one, of a newer change, stays."""
        return later(max(self.timestamp, self.recorded), ROW_END_OFFSET)


def parse(container: str, entry: ObjectEntry) -> Misplaced | None:
    """What a row says; None for one that makes no sense."""
    policy, colon, path = entry.name.partition(":/")
    names = path.split("/", 2)
    if not (colon and policy.isascii() and policy.isdigit() and len(names) == 3 and all(names)):
        return None
    if entry.content_type not in (PUT_TYPE, DELETE_TYPE):
        return None
    try:
        timestamp = Timestamp.parse(entry.etag)
        later(timestamp, COPY_OFFSET)  # or there is no room for what will have to be written
    except BadTimestamp:
        return None
    return Misplaced(
        container,
        entry.name,
        int(policy),
        Target(*names),
        timestamp,
        entry.timestamp,
        entry.content_type == DELETE_TYPE,
    )


def later(timestamp: Timestamp, offset: int) -> Timestamp:
    """The same moment, but newer."""
    return Timestamp(timestamp.raw, timestamp.offset + offset)


class Step(Enum):
    """What to do next with a row."""

    WAIT = "wait"  # too little can be known now: look again in the next pass
    DROP = "drop"  # there is nothing to do: the row ends
    CLEAN = "clean"  # it is where it should be: a tombstone where it should not be
    DELETE = "delete"  # delete it where it should be
    FETCH = "fetch"  # see what there is to copy
    COPY = "copy"


def look(row: Misplaced, *, policy: int, newest_there: Timestamp) -> Step:
    """What to do when the container's policy is known, and the age of what that policy has."""
    if policy == row.policy:
        return Step.DROP
    if row.deleted:
        return Step.DROP if newest_there >= row.timestamp else Step.DELETE
    return Step.CLEAN if newest_there >= row.timestamp else Step.FETCH


def weigh(row: Misplaced, *, found: Timestamp | None, age_s: float, reclaim_age_s: float) -> Step:
    """What to do when the object has been looked for where it should not be; `found` is how old
    the newest copy is, None when there is none.

    An older one may be there while a newer one is out of reach.  For as long as a tombstone is kept
    that is waited for; then it is lost.
    """
    if found is not None and found >= row.timestamp:
        return Step.COPY
    return Step.DROP if age_s > reclaim_age_s else Step.WAIT


def container_policy(said: list[int | None], *, needed: int) -> int | None:
    """The policy of a container, of whose replicas each has said which it has (None: no answer, or
    it knows of no such container).

    A quorum must have said something, and all of them the same: while they do not agree, nobody
    knows where the objects are to go.
    """
    known = {policy for policy in said if policy is not None}
    if len(known) != 1 or sum(1 for policy in said if policy is not None) < needed:
        return None
    return known.pop()
