"""Rows: the laws of merging, and that the stored form loses nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.rows import (
    DELETED_TYPE,
    ContainerRow,
    ObjectRow,
    UnknownVersion,
    decode_container,
    decode_row,
    encode_container,
    encode_row,
    listing_entries,
    merge,
    merge_containers,
)
from swiftish.domain.timestamp import ZERO, Timestamp

# Few moments, so that many meet.
moments = st.builds(Timestamp, st.integers(1, 5), st.integers(0, 2))


def live_row(moments: list[Timestamp], size: int, etag: str, content_type: str) -> ObjectRow:
    data, kind, meta = moments
    return ObjectRow(data, size, etag, False, content_type, max(data, kind), max(data, meta))


live = st.builds(
    live_row,
    st.lists(moments, min_size=3, max_size=3),
    st.integers(0, 3),
    st.sampled_from(["a" * 32, "d41d8cd98f00b204e9800998ecf8427e", 'odd; "etag"']),
    st.sampled_from(["text/plain", "a/b; x=\u00fc", ""]),
)
dead = st.builds(ObjectRow.tombstone, moments)
rows = live | dead
container_rows = st.builds(
    ContainerRow,
    put_timestamp=moments,
    delete_timestamp=moments | st.just(ZERO),
    objects=st.integers(0, 2),
    bytes=st.integers(0, 2),
    policy_index=st.integers(0, 1),
    reported=moments,
)


@given(rows, rows, rows)
def test_merge_laws(a: ObjectRow, b: ObjectRow, c: ObjectRow) -> None:
    """Replicas that have seen the same rows hold the same row, in whatever order they came."""
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@given(container_rows, container_rows, container_rows)
def test_merge_laws_of_containers(a: ContainerRow, b: ContainerRow, c: ContainerRow) -> None:
    """The same for what accounts know of containers."""
    assert merge_containers(a, b) == merge_containers(b, a)
    assert merge_containers(merge_containers(a, b), c) == merge_containers(
        a, merge_containers(b, c)
    )
    assert merge_containers(a, a) == a


def test_two_uploads_of_one_moment_are_not_mixed() -> None:
    """The type that is shown is that of the bytes that are shown."""
    at = Timestamp(3)
    small = ObjectRow(at, 1, "a", False, "text/zzz", at, at)
    large = ObjectRow(at, 2, "a", False, "text/aaa", at, at)
    assert merge(small, large) == large
    assert merge(ObjectRow.tombstone(at), large) == ObjectRow.tombstone(at)


def test_each_group_of_fields_has_its_own_timestamp() -> None:
    """A POST of a new content type survives a PUT that is older than it, and no longer."""
    put = ObjectRow(Timestamp(3), 1, "a", False, "text/plain", Timestamp(3), Timestamp(3))
    post = ObjectRow(Timestamp(1), 9, "z", False, "image/png", Timestamp(5), Timestamp(6))
    both = merge(put, post)
    assert both[:5] == (Timestamp(3), 1, "a", False, "image/png")
    assert both[5:] == (Timestamp(5), Timestamp(6))
    later = ObjectRow(Timestamp(7), 2, "b", False, "text/html", Timestamp(7), Timestamp(7))
    assert merge(both, later) == later
    gone = merge(both, ObjectRow.tombstone(Timestamp(6)))
    assert gone.deleted
    assert gone.content_type == DELETED_TYPE


@given(rows, st.integers(1, 2**60))
def test_rows_survive_storage(row: ObjectRow, sequence: int) -> None:
    """What was encoded is decoded, with all its timestamps and its place in the log."""
    assert decode_row(encode_row(row, sequence), deleted=row.deleted) == (row, sequence)


@given(container_rows, st.integers(1, 2**60))
def test_container_rows_survive_storage(row: ContainerRow, sequence: int) -> None:
    """The same for accounts."""
    assert decode_container(encode_container(row, sequence)) == (row, sequence)


@given(st.lists(st.tuples(st.text(min_size=1), st.none() | live)))
def test_entries_are_json(listed: list[tuple[str, ObjectRow | None]]) -> None:
    """A page put together from stored bytes is what a JSON library would have made."""
    page = [(name.encode(), None if row is None else encode_row(row, 1)) for name, row in listed]
    want = [
        {"subdir": name}
        if row is None
        else {
            "name": name,
            "hash": row.etag,
            "bytes": row.size,
            "content_type": row.content_type,
            "last_modified": row.metadata_timestamp.iso,
        }
        for name, row in listed
    ]
    assert json.loads(listing_entries(page)) == want


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x09" + b"x" * 40, b"\x01\x00" + b"{" * 40])
def test_a_damaged_row_is_an_error_with_a_name(value: bytes) -> None:
    """What the disk did is not our bug."""
    with pytest.raises(UnknownVersion):
        decode_row(value, deleted=False)
    with pytest.raises(UnknownVersion):
        decode_container(value)


def test_text_that_is_not_utf8_does_no_harm() -> None:
    """JSON can't hold it: what is stored has a replacement, and merging it again is stable."""
    odd = ObjectRow(ZERO, 0, "\udcff", False, "a/\udcff", ZERO, ZERO)
    stored, _ = decode_row(encode_row(odd, 1), deleted=False)
    assert (stored.etag, stored.content_type) == ("\ufffd", "a/\ufffd")
