"""The names of the queue of objects that are to expire (reference 2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.expiry import (
    ASYNC_DELETED,
    DELETE_AT_MAX,
    Task,
    end_of_due,
    holds_due,
    parse_task,
    queue_container,
    queue_content_type,
    queue_name,
)
from swiftish.domain.names import Target

TARGET = Target("AUTH_a", "c", "o/1")

moments = st.integers(0, DELETE_AT_MAX)
digests = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize(
    ("delete_at", "last_byte", "container"),
    [
        (1_700_000_000, 0, "1699920000"),  # the day
        (1_700_000_000, 7, "1699919993"),  # and its neighbours
        (1_700_000_000, 99, "1699919901"),
        (1_700_000_000, 100, "1699920000"),
        (5, 7, "0000000000"),
        (DELETE_AT_MAX, 0, "9999936000"),
    ],
)
def test_containers(delete_at: int, last_byte: int, container: str) -> None:
    """The day on which the object expires, less the name's hash modulo a hundred."""
    assert queue_container(delete_at, bytes(15) + bytes([last_byte])) == container


@given(moments, digests)
def test_a_container_is_due_before_what_is_in_it(delete_at: int, digest: bytes) -> None:
    """Or the expirer would not look there in time."""
    container = queue_container(delete_at, digest)
    assert len(container) == 10
    assert holds_due(container, delete_at)
    assert int(container) >= min(delete_at, delete_at - 86_400 - 100)


@pytest.mark.parametrize("name", ["", "abc", "-5", "12_3"])
def test_other_containers_are_left_alone(name: str) -> None:
    """A name that is no number is not the queue's."""
    assert not holds_due(name, 2e9)


@given(moments, moments)
def test_a_listing_ends_where_the_future_begins(now: int, delete_at: int) -> None:
    """Names sort by their time, so that one marker parts what is due from what is not."""
    is_listed = queue_name(delete_at, TARGET) < end_of_due(now)
    assert is_listed == (delete_at <= now) or now == DELETE_AT_MAX


def test_rows_are_read_as_they_are_written() -> None:
    """With whatever is in the object's name."""
    name = queue_name(1_700_000_000, TARGET)
    assert name == "1700000000-AUTH_a/c/o/1"
    task = parse_task("1699920000", name, queue_content_type(5))
    assert task == Task("1699920000", name, 1_700_000_000, TARGET)
    assert queue_content_type(5) == "text/plain;swift_expirer_bytes=5"
    task = parse_task("1699920000", name, ASYNC_DELETED)
    assert task is not None
    assert task.unconditional


@pytest.mark.parametrize(
    "name", ["", "x", "17-a", "17-a/c", "17-a//o", "17-a/c/", "x-a/c/o", "-a/c/o"]
)
def test_rows_that_make_no_sense(name: str) -> None:
    """Are nobody's task."""
    assert parse_task("1699920000", name, "text/plain") is None
