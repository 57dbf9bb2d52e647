"""What clients did and heard, and which states of a name that allows.

Changes are ordered by their timestamps, which the harness sees on their way to the storage nodes:
the newest counts.  A change that was acknowledged has happened.  One whose outcome nobody knows (an
answer of 5xx, a broken connection) has happened or not; it may be seen at any later moment.  One
that was refused before any node heard of it has not.

That timestamps are given in the order in which changes were made is another promise, checked by
itself (`disorder`).

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

Method: TypeAlias = Literal["PUT", "POST", "DELETE"]


class Outcome(Enum):
    DONE = "done"  # acknowledged
    UNKNOWN = "unknown"
    NONE = "none"  # it can't have happened


@dataclass(slots=True, kw_only=True, eq=False)
class Change:
    """One change of a name: `stamps` are the timestamps (raw) with which nodes were told of it.

    `began` and `ended` are true times, of the client.
    """

    id: str
    method: Method
    began: float
    ended: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    status: int = 0
    stamps: list[int] = field(default_factory=list)
    etag: str = ""
    size: int = 0
    content_type: str | None = None
    delete_at: int | None = None
    by: str = ""

    @property
    def stamp(self) -> int:
        """That of the last attempt, which is the one that was acknowledged."""
        return max(self.stamps)

    def is_done(self, by: float) -> bool:
        """Whether it was acknowledged before then."""
        return self.outcome is Outcome.DONE and self.ended is not None and self.ended < by

    def __str__(self) -> str:
        stamps = ",".join(f"{raw / 1e5:.5f}" for raw in self.stamps) or "never sent"
        ended = "…" if self.ended is None else f"{self.ended:.2f}"
        about = f" expires {self.delete_at}" if self.delete_at is not None else ""
        return (
            f"{self.began:.2f}-{ended} {self.by} {self.method} {self.id}: {self.status or '-'} "
            f"({self.outcome.value}) at {stamps}{about}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a read, or a look at the disks, has shown of an object."""

    etag: str
    put: str | None  # which PUT and which POST say, in their metadata, that they made it
    post: str | None
    content_type: str
    delete_at: int | None
    size: int


def effective(
    changes: Iterable[Change], *, above: int = -1, by: float = math.inf
) -> tuple[Change | None, list[Change]]:
    """Of the changes of one register with a stamp above that: the newest that has happened for
    certain by then, and those which are newer, if they have happened."""
    sent = [c for c in changes if c.stamps and c.outcome is not Outcome.NONE]
    done = [c for c in sent if c.stamp > above and c.is_done(by)]
    newest = max(done, key=lambda c: c.stamp, default=None)
    floor = above if newest is None else newest.stamp
    rivals = [c for c in sent if c is not newest and c.stamp >= floor and c.stamp > above]
    return newest, rivals


class Name:
    """The history of one object."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.changes: list[Change] = []
        self.early_s = 0.0  # by how much a clock was ahead, at most: so early it may have expired

    def by_etag(self, etag: str) -> Iterator[Change]:
        return (c for c in self.changes if c.method == "PUT" and c.etag == etag)

    def by_id(self, number: str | None) -> Change | None:
        return next((c for c in self.changes if c.id == number), None)

    def data(self) -> list[Change]:
        """The changes of the object as such, with what the expirer may have done too early."""
        own = [c for c in self.changes if c.method != "POST"]
        return [*own, *(self._expired(c) for c in self.changes if self._may_expire_early(c))]

    def _may_expire_early(self, change: Change) -> bool:
        return change.delete_at is not None and self.early_s > 0

    def _expired(self, change: Change) -> Change:
        assert change.delete_at is not None
        return Change(
            id=f"expiry of {change.id}",
            method="DELETE",
            began=change.delete_at - self.early_s,
            ended=float(change.delete_at),
            stamps=[change.delete_at * 100_000],
        )

    # ---- what may be there -----------------------------------------------------------------

    def wrong_version(self, seen: Seen) -> str | None:
        """Why this can't ever have been the object (I2, I7): None when it was one PUT's bytes, with
        the metadata of that PUT or of one POST after it."""
        puts = list(self.by_etag(seen.etag))
        if not puts:
            return f"nobody has written these {seen.size} bytes, {seen.etag}"
        if all(put.outcome is Outcome.NONE for put in puts):
            return f"these bytes are of a PUT that was refused: {puts[0]}"
        if all(put.size != seen.size for put in puts):
            return f"it has {seen.size} bytes, not {puts[0].size}"
        if (seen.put is None) == (seen.post is None):
            return f"metadata of PUT {seen.put} and of POST {seen.post}"
        return self._wrong_metadata(seen, puts)

    def _wrong_metadata(self, seen: Seen, puts: list[Change]) -> str | None:
        if seen.put is not None:
            put = next((put for put in puts if put.id == seen.put), None)
            if put is None:
                return f"the bytes of {puts[0].id} with the metadata of {seen.put}"
            return _wrong_expiry(seen, put)
        post = self.by_id(seen.post)
        if post is None or post.outcome is Outcome.NONE:
            return f"metadata of a POST {seen.post} that never was"
        if all(post.stamp <= min(put.stamps, default=0) for put in puts):
            return f"the POST is older than the PUT: {post}, {puts[0]}"
        return _wrong_expiry(seen, post)

    def wrong_state(
        self, seen: Seen | None, now: float, *, asked: float | None = None
    ) -> str | None:
        """Why this can't be the object at `now`, when all is well and has settled (I1, I3).

        It was asked for at `asked`: what was acknowledged since then need not be seen.
        """
        by = now if asked is None else asked
        newest, rivals = effective(self.data(), by=by)
        winners = [c for c in (newest, *rivals) if c is not None]
        if seen is None:
            return self._wrongly_gone(winners, newest, now)
        if (wrong := self.wrong_version(seen)) is not None:
            return wrong
        shown = [c for c in winners if c.method == "PUT" and c.etag == seen.etag]
        if not shown:
            return f"it is an old version; the newest is {newest}"
        if seen.delete_at is not None and seen.delete_at <= by:
            return f"it has expired at {seen.delete_at}"
        complaints = [self._wrong_post(seen, put, by) for put in shown]
        return None if None in complaints else complaints[0]

    def _wrongly_gone(self, winners: list[Change], newest: Change | None, now: float) -> str | None:
        if newest is None or any(c.method == "DELETE" for c in winners):
            return None
        early = now + self.early_s
        for put in winners:
            post, rivals = self._posts(put, now)
            metadata = [c for c in (post or put, *rivals) if c is not None]
            if any(c.delete_at is not None and c.delete_at <= early for c in metadata):
                return None
        return f"it is gone; the newest is {newest}"

    def _posts(self, put: Change, by: float) -> tuple[Change | None, list[Change]]:
        posts = (c for c in self.changes if c.method == "POST")
        return effective(posts, above=max(put.stamps), by=by)

    def _wrong_post(self, seen: Seen, put: Change, by: float) -> str | None:
        post, rivals = self._posts(put, by)
        if put.outcome is not Outcome.DONE or len(put.stamps) > 1:  # it may be older than we know
            every = (c for c in self.changes if c.method == "POST")
            rivals += [c for c in every if c.stamps and c.stamp > min(put.stamps)]
        allowed = {c.id for c in (post, *rivals) if c is not None}
        if seen.post is None and post is not None:
            return f"the metadata of {post} are lost"
        if seen.post is not None and seen.post not in allowed:
            return f"it has the metadata of {self.by_id(seen.post)}, and not of {post}"
        return self._wrong_type(seen, put, by)

    def _wrong_type(self, seen: Seen, put: Change, by: float) -> str | None:
        """The content type is a register of its own (reference 2.3, POST)."""
        typed = (c for c in self.changes if c.method == "POST" and c.content_type is not None)
        post, rivals = effective(typed, above=min(put.stamps), by=by)
        allowed = {(post or put).content_type, *(c.content_type for c in rivals)}
        if put.outcome is not Outcome.DONE or len(put.stamps) > 1:
            allowed.add(put.content_type)
        if seen.content_type not in allowed:
            return f"its type is {seen.content_type}, not {(post or put).content_type}"
        return None

    def report(self) -> str:
        """All that happened to it."""
        return "\n".join(f"      {change}" for change in self.changes)


def _wrong_expiry(seen: Seen, made_by: Change) -> str | None:
    if seen.delete_at == made_by.delete_at:
        return None
    return f"it expires at {seen.delete_at}, not at {made_by.delete_at}"


class Owner:
    """The history of a container or an account: whether it exists, and one item of metadata."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.changes: list[Change] = []

    def wrong_existence(self, exists: bool) -> str | None:
        """Of a container without objects: one that has some exists."""
        newest, rivals = effective(c for c in self.changes if c.method != "POST")
        allowed = {c.method == "PUT" for c in (newest, *rivals) if c is not None}
        if newest is None:
            allowed.add(False)
        if exists in allowed:
            return None
        return f"it {'exists' if exists else 'is gone'}; the newest change is {newest}"

    def wrong_metadata(self, seen: str | None) -> str | None:
        """Which change says that it made the metadata; only of what is never deleted."""
        if any(c.method == "DELETE" for c in self.changes):
            return None
        newest, rivals = effective(self.changes)
        allowed = {c.id for c in (newest, *rivals) if c is not None}
        if seen in allowed or (seen is None and newest is None):
            return None
        return f"its metadata are of {seen}, not of {newest}"

    def report(self) -> str:
        """All that happened to it."""
        return "\n".join(f"      {change}" for change in self.changes)


@dataclass(slots=True)
class Troubles:
    """When something else than a clock was wrong."""

    spans: list[tuple[float, float | None]] = field(default_factory=list)

    def between(self, begin: float, end: float) -> bool:
        return any(b <= end and (e is None or e >= begin) for b, e in self.spans)


def disorder(changes: Iterable[Change], troubles: Troubles, *, skewed: bool) -> Iterator[str]:
    """Changes that were acknowledged one after the other have timestamps in that order (T27).

    Where clocks differ, only if all of both went well: else the later need not have met the
    earlier.  For changes that set the same thing: data, or metadata.
    """
    done = [c for c in changes if c.outcome is Outcome.DONE and c.stamps]
    for later in done:
        for earlier in done:
            assert later.ended is not None
            if earlier.ended is None or earlier.ended >= later.began:
                continue
            if earlier.stamp < later.stamp:
                continue
            if skewed and troubles.between(earlier.began, later.ended):
                continue
            yield f"{later} comes after {earlier}, and counts less"


class Model:
    """All names."""

    def __init__(self) -> None:
        self.objects: dict[str, Name] = {}
        self.containers: dict[str, Owner] = {}
        self.accounts: dict[str, Owner] = {}
        self.troubles = Troubles()
        self.early_s = 0.0
        self.skewed = False  # whether clocks ever differed

    def object(self, path: str) -> Name:
        name = self.objects.setdefault(path, Name(path))
        name.early_s = self.early_s
        return name

    def container(self, path: str) -> Owner:
        return self.containers.setdefault(path, Owner(path))

    def account(self, path: str) -> Owner:
        return self.accounts.setdefault(path, Owner(path))

    def acknowledged(self) -> set[int]:
        """The timestamps of all changes of objects that a quorum has taken."""
        changes = (c for name in self.objects.values() for c in name.changes)
        return {c.stamp for c in changes if c.outcome is Outcome.DONE and c.stamps}

    def clock_was_ahead(self, seconds: float) -> None:
        """From now on objects may have expired so early."""
        self.early_s = max(self.early_s, seconds)
        for name in self.objects.values():
            name.early_s = self.early_s
