"""Object metadata as bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import Timestamp
from swiftish.object.current import merge
from swiftish.object.errors import BadMetadata
from swiftish.object.metadata import (
    ATTRIBUTE_BYTES_MAX,
    INLINE_BYTES_MAX,
    PART_BYTES,
    Metadata,
    bytes_in_file,
    decode,
    encode,
    in_file,
    parts_of,
    spread,
)

COMMON = Metadata(
    name="/AUTH_0123456789abcdef0123456789abcdef/photos/2023/summer/IMG_1234.jpg",
    timestamp=Timestamp(170000000012345),
    content_length=123_456,
    etag="d41d8cd98f00b204e9800998ecf8427e",
    content_type="application/vnd.some.type; charset=utf-8",
    checksum=2**64 - 1,
    headers={"x-object-meta-mtime": "1700000000.123456", "x-object-meta-colour": "red"},
)
headers = st.dictionaries(
    st.sampled_from(["x-object-meta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"]).flatmap(
        lambda p: st.text(max_size=9).map(lambda n: p + n)
    )
    | st.sampled_from(["content-encoding", "x-delete-at", "x-object-manifest"]),
    st.binary(max_size=30).map(lambda b: b.decode("utf-8", "surrogateescape")),
    max_size=6,
)
metadata = st.builds(
    Metadata,
    name=st.binary(max_size=60).map(lambda b: "/a/c/" + b.decode("utf-8", "surrogateescape")),
    timestamp=st.builds(Timestamp, st.integers(0, 10**15 - 1), st.integers(0, 16**16 - 1)),
    content_length=st.none() | st.integers(0, 2**50),
    etag=st.none() | st.text(max_size=40) | st.binary(min_size=16, max_size=16).map(bytes.hex),
    content_type=st.none() | st.text(max_size=40),
    content_type_timestamp=st.none() | st.builds(Timestamp, st.integers(0, 10**15 - 1)),
    checksum=st.none() | st.integers(0, 2**64 - 1),
    headers=headers,
)


def test_the_common_object_fits_the_inode() -> None:
    """A name of 70 bytes, a content type of 40, two items of metadata: one value of <= 254."""
    values = spread(encode(COMMON))
    assert values is not None
    assert [len(value) <= INLINE_BYTES_MAX for value in values] == [True]


@given(metadata)
def test_every_field_comes_back(value: Metadata) -> None:
    """Bytes that are not UTF-8 included."""
    assert decode(encode(value)) == value


@given(st.data())
def test_t49_a_flipped_bit_is_found(data: st.DataObject) -> None:
    """Wherever it is, in the checksum or in what it is of."""
    encoded = bytearray(encode(COMMON))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(BadMetadata):
        decode(bytes(encoded))


@given(st.binary(max_size=100))
def test_garbage_is_bad_metadata(data: bytes) -> None:
    """Never another error."""
    with pytest.raises(BadMetadata):
        decode(data)
    try:
        parts_of(data)
    except BadMetadata:
        return
    assert data.startswith(b"S\x01")


@pytest.mark.parametrize("size", [0, 1, 100, 250, 251, 252, 500, 740, 747, 748, 4096, 65_000])
def test_t17_values_of_attributes(size: int) -> None:
    """The values, one after another, are the metadata; none is of an unfortunate size."""
    encoded = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    values = spread(encoded)
    assert values is not None
    assert parts_of(values[0]) == len(values)
    assert b"".join((values[0][3:], *values[1:])) == encoded
    if len(values) > 1:
        assert all(len(value) <= PART_BYTES for value in values)
    elif size + 3 > INLINE_BYTES_MAX:
        assert size + 3 > 3 * PART_BYTES


def test_metadata_too_large_for_any_attribute() -> None:
    """Go into the file, and the attribute says how many bytes of it they are."""
    encoded = bytes(ATTRIBUTE_BYTES_MAX)
    assert spread(encoded) is None
    first = in_file(encoded)
    assert parts_of(first) == 0
    assert bytes_in_file(first) == len(encoded)


def test_a_post_replaces_metadata_and_nothing_else() -> None:
    """User metadata and allowed headers are the POST's, the rest is the PUT's."""
    kept = {"x-object-sysmeta-a": "1", "x-static-large-object": "True"}
    replaced = {"x-object-meta-b": "2", "x-delete-at": "5", "content-encoding": "gzip"}
    data = replace(COMMON, headers={**kept, **replaced})
    meta = Metadata(
        name=COMMON.name,
        timestamp=Timestamp(COMMON.timestamp.raw + 5),
        headers={"x-object-meta-c": "3"},
    )
    current = merge(data, meta)
    assert current.headers == {**kept, "x-object-meta-c": "3"}
    assert current.content_type == COMMON.content_type
    assert current.timestamp == meta.timestamp


def test_the_newest_content_type_counts() -> None:
    """That of a PUT, a POST, or an earlier POST; one older than the PUT does not."""

    def at(age: int, content_type: str | None, since: int = 0) -> Metadata:
        moment = Timestamp(COMMON.timestamp.raw + since) if content_type else None
        return Metadata(
            name=COMMON.name,
            timestamp=Timestamp(COMMON.timestamp.raw + age),
            content_type=content_type,
            content_type_timestamp=moment,
        )

    assert merge(COMMON, at(5, "new", 5)).content_type == "new"
    assert merge(COMMON, at(5, None), at(4, "old", 4)).content_type == "old"
    assert merge(COMMON, at(5, "older than the data", -1)).content_type == COMMON.content_type
