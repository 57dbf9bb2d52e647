"""What is to become of an object in the wrong storage policy (reference 2.7; T63)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.cluster.listings import ObjectEntry
from swiftish.container.misplacement import (
    COPY_OFFSET,
    DELETE_OFFSET,
    DELETE_TYPE,
    PUT_TYPE,
    ROW_END_OFFSET,
    TOMBSTONE_OFFSET,
    Misplaced,
    Step,
    container_policy,
    later,
    look,
    parse,
    weigh,
)
from swiftish.container.strays import queue_row
from swiftish.db.heads import Head
from swiftish.domain.names import Target
from swiftish.domain.timestamp import OFFSET_MAX, ZERO, Timestamp

T = Timestamp(170_000_000_000_000, 2)
OLDER, NEWER = Timestamp(T.raw, 1), Timestamp(T.raw, 3)


def misplaced(*, deleted: bool = False, timestamp: Timestamp = T) -> Misplaced:
    name = "1:/a/c/o"
    return Misplaced("0", name, 1, Target("a", "c", "o"), timestamp, timestamp, deleted)


def listed(name: str, *, etag: str = T.internal, content_type: str = PUT_TYPE) -> ObjectEntry:
    return ObjectEntry(name, etag, 0, content_type, Timestamp(T.raw))


names = st.text(min_size=1, max_size=8)


@given(names, st.integers(0, 99), st.booleans(), st.integers(0, 5))
def test_rows_are_read_as_the_replicator_writes_them(
    name: str, policy: int, deleted: bool, offset: int
) -> None:
    """Whatever is in the object's name."""
    timestamp = Timestamp(T.raw, offset)
    head = Head(id=1, account="a", container="c", created=T, put=T, status_changed=T)
    raw = name.encode("utf-8", "surrogatepass")
    row = queue_row(head, policy, raw, timestamp, deleted=deleted)
    shown = ObjectEntry(row.name, timestamp.internal, 0, row.content_type, Timestamp(T.raw))
    assert row.container == "1699999200", "the hour"
    found = parse(row.container, shown)
    assert found is not None
    assert (found.policy, found.timestamp, found.deleted) == (policy, timestamp, deleted)
    text = raw.decode("utf-8", "surrogateescape")
    assert found.target == Target("a", "c", text)


@pytest.mark.parametrize(
    "row",
    [
        listed("a/c/o"),
        listed("x:/a/c/o"),
        listed("1:/a/c"),
        listed("1:/a/c/"),
        listed("1://c/o"),
        listed("1:/a/c/o", etag="noetag"),
        listed("1:/a/c/o", etag=Timestamp(T.raw, OFFSET_MAX - 2).internal),
        listed("1:/a/c/o", content_type="text/plain"),
    ],
)
def test_rows_that_make_no_sense(row: ObjectEntry) -> None:
    """Are left alone."""
    assert parse("0", row) is None


@pytest.mark.parametrize(
    ("policy", "there", "put", "deleted"),
    [
        (1, ZERO, Step.DROP, Step.DROP),  # it is in the right place after all
        (0, ZERO, Step.FETCH, Step.DELETE),
        (0, OLDER, Step.FETCH, Step.DELETE),
        (0, T, Step.CLEAN, Step.DROP),
        (0, NEWER, Step.CLEAN, Step.DROP),
    ],
)
def test_what_is_there(policy: int, there: Timestamp, put: Step, deleted: Step) -> None:
    """Where it should be, something newer may have come, or what was to be moved already."""
    assert look(misplaced(), policy=policy, newest_there=there) is put
    assert look(misplaced(deleted=True), policy=policy, newest_there=there) is deleted


@pytest.mark.parametrize(
    ("found", "young", "old"),
    [
        (None, Step.WAIT, Step.DROP),
        (OLDER, Step.WAIT, Step.DROP),  # an old copy is not what was promised
        (T, Step.COPY, Step.COPY),
        (NEWER, Step.COPY, Step.COPY),
    ],
)
def test_what_is_here(found: Timestamp | None, young: Step, old: Step) -> None:
    """Only what is as new as the row says is copied; for the rest one waits."""
    assert weigh(misplaced(), found=found, age_s=100, reclaim_age_s=100) is young
    assert weigh(misplaced(), found=found, age_s=101, reclaim_age_s=100) is old


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ([1, 1, 1], 1),
        ([1, 1, None], 1),
        ([1, None, None], None),
        ([None, None, None], None),
        ([1, 1, 0], None),  # the replicators have not been here yet
        ([0, 0, None], 0),
    ],
)
def test_the_policy_of_a_container(said: list[int | None], policy: int | None) -> None:
    """Is known when a quorum of its replicas says so, and nobody says otherwise."""
    assert container_policy(said, needed=2) == policy


def test_the_order_of_what_is_written() -> None:
    """A tombstone is older than the end of its row, which it would otherwise begin again; and the
    copy is newer than both.  All of them are older than whatever a client does next."""
    assert 0 < TOMBSTONE_OFFSET < ROW_END_OFFSET <= DELETE_OFFSET < COPY_OFFSET
    assert later(T, COPY_OFFSET) < Timestamp(T.raw + 1)
    row = misplaced()
    again = misplaced(timestamp=later(T, TOMBSTONE_OFFSET), deleted=True)
    assert again.timestamp < row.end
    assert look(again, policy=0, newest_there=later(T, COPY_OFFSET)) is Step.DROP


def test_the_end_of_a_row_is_newer_than_the_row() -> None:
    """A row that was written again since, with a newer change, stays."""
    recorded = Timestamp(T.raw + 5)
    row = Misplaced("0", "1:/a/c/o", 1, Target("a", "c", "o"), T, recorded, False)
    assert row.end == Timestamp(T.raw + 5, 2)
    assert misplaced().end == Timestamp(T.raw, 4)
    assert DELETE_TYPE != PUT_TYPE
