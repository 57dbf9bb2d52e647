"""Heads: merging, their stored form, and the way up from version 1."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.db import heads
from swiftish.db.claims import Claim
from swiftish.db.heads import Head
from swiftish.domain.rows import UnknownVersion
from swiftish.domain.timestamp import ZERO, Timestamp

moments = st.builds(Timestamp, st.integers(1, 6), st.integers(0, 1))
deletes = moments | st.just(ZERO)
metadata = st.dictionaries(
    st.sampled_from(["x-container-meta-a", "x-container-read"]),
    st.tuples(st.sampled_from(["", "1", "\udcff"]), moments),
)
claims = st.dictionaries(st.sampled_from([0, 2]), st.builds(Claim, moments, deletes, moments))
stored = st.builds(
    Head,
    id=st.just(7),
    account=st.just("a"),
    container=st.just("c\udcff"),
    created=moments,
    put=moments,
    delete=deletes,
    status_changed=moments,
    marked_deleted=st.booleans(),
    metadata=metadata,
    claims=claims,
)


def settled(head: Head) -> Head:
    """As servers leave it: a deletion has cleared what was set before it."""
    return heads.merged(head, head)


@given(stored.map(settled), stored.map(settled), stored.map(settled))
def test_merge_laws(a: Head, b: Head, c: Head) -> None:
    """Replicas that have heard of the same changes have the same head, in whatever order."""
    assert heads.merged(a, b) == heads.merged(b, a)
    assert heads.merged(heads.merged(a, b), c) == heads.merged(a, heads.merged(b, c))
    assert heads.merged(a, a) == a
    assert heads.merged(heads.merged(a, b), b) == heads.merged(a, b)


@given(stored, stored)
def test_the_rules(a: Head, b: Head) -> None:
    """Reference 2.7: the first creation, the last put and deletion, of each key the newest."""
    merged = heads.merged(a, b)
    assert merged.created == min(a.created, b.created)
    assert merged.put == max(a.put, b.put)
    assert merged.delete == max(a.delete, b.delete)
    assert merged.marked_deleted == (a.marked_deleted or b.marked_deleted)
    assert merged.metadata.keys() == a.metadata.keys() | b.metadata.keys()
    assert all(when >= merged.delete for _, when in merged.metadata.values())


@given(stored)
def test_heads_survive_storage(head: Head) -> None:
    """Nothing is lost, names that are not UTF-8 included."""
    assert heads.decode(heads.encode(head), database_id=7) == head


def version_1(*, container: str, delete: Timestamp = ZERO) -> bytes:
    """As the first swiftish wrote it."""
    moments = [Timestamp(10), Timestamp(20), delete, Timestamp(15)]
    fields = [
        1,
        *("AUTH_a", container),
        *(moment.pack() for moment in moments),
        *(2 if container else 0, False),
        {"x-container-meta-a": ("1", Timestamp(12).pack())},
    ]
    packed: bytes = msgpack.packb(fields)
    return packed


@pytest.mark.parametrize(("delete", "made"), [(ZERO, 15), (Timestamp(14), 15), (Timestamp(30), 10)])
def test_the_way_up_from_version_1(delete: Timestamp, made: int) -> None:
    """A container's policy becomes its only claim; what else was known is as it was."""
    found = heads.decode(version_1(container="c", delete=delete), database_id=3)
    assert found == Head(
        id=3,
        account="AUTH_a",
        container="c",
        created=Timestamp(10),
        put=Timestamp(20),
        delete=delete,
        status_changed=Timestamp(15),
        metadata={"x-container-meta-a": ("1", Timestamp(12))},
        claims={2: Claim(Timestamp(20), delete, Timestamp(made))},
    )
    assert found.policy_index == 2
    assert heads.decode(heads.encode(found), database_id=3) == found


def test_bytes_of_version_1() -> None:
    """What is on disks today, byte by byte: an account."""
    value = bytes.fromhex(
        "9a 01 a161 a0"
        "c410 0000000000000005 0000000000000000"
        "c410 0000000000000006 0000000000000000"
        "c410 0000000000000000 0000000000000000"
        "c410 0000000000000005 0000000000000000"
        "00 c2 81 b0 782d6163636f756e742d6d6574612d62"
        "92 a131 c410 0000000000000006 0000000000000000"
    )
    found = heads.decode(value)
    assert (found.account, found.container, found.claims) == ("a", "", {})
    assert (found.put, found.delete) == (Timestamp(6), ZERO)
    assert found.metadata == {"x-account-meta-b": ("1", Timestamp(6))}


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [3, "a", ""],
        [2, "a"],
        [2, "a", "", b"short", b"", b"", b"", False, {}, {}],
        [2, "a", "", *[ZERO.pack()] * 4, False, [], {}],
        [2, "a", "", *[ZERO.pack()] * 4, False, {}, {0: [b""]}],
        [2, "a", "", *[ZERO.pack()] * 4, False, {}, {0: [ZERO.pack()]}],
        [2, "a", "", *[b"\xff" * 16] * 4, False, {}, {}],
        [1, "a", "", *[ZERO.pack()] * 4],
    ],
)
def test_what_is_no_head(fields: list[object]) -> None:
    """A later version, or damage, is an error with a name."""
    with pytest.raises(UnknownVersion):
        heads.decode(msgpack.packb(fields))
