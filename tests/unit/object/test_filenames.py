"""The spelling of an object's files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import Timestamp
from swiftish.object.filenames import FileName, data_name, meta_name, parse, tombstone_name

T = Timestamp(170000000012345)
timestamps = st.builds(Timestamp, st.integers(0, 10**15 - 1), st.integers(0, 16**16 - 1))


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("1700000000.12345.data", FileName("", T, "data")),
        ("1700000000.12345_000000000000000a.data", FileName("", Timestamp(T.raw, 10), "data")),
        ("1700000000.12345.ts", FileName("", T, "ts")),
        ("1700000000.12345.meta", FileName("", T, "meta")),
        (
            "1700000000.12345-2710.meta",
            FileName("", T, "meta", content_type_timestamp=Timestamp(T.raw - 10_000)),
        ),
        (
            "1700000000.12345_000000000000000a+0.meta",
            FileName("", Timestamp(T.raw, 10), "meta", content_type_timestamp=Timestamp(T.raw)),
        ),
        ("1700000000.12345#3.data", FileName("", T, "data", fragment=3, durable=False)),
        ("1700000000.12345#12#d.data", FileName("", T, "data", fragment=12, durable=True)),
    ],
)
def test_the_names_of_swift(text: str, file: FileName) -> None:
    """Every form that Swift writes is read."""
    found = parse(text)
    assert found is not None
    assert found.text == text
    assert (found.timestamp, found.kind) == (file.timestamp, file.kind)
    assert (found.fragment, found.durable) == (file.fragment, file.durable)
    assert found.content_type_timestamp == file.content_type_timestamp


@pytest.mark.parametrize(
    "text",
    [
        *("", "data", ".data", "x.data", ".lock", "hashes.pkl", "1700000000.12345"),
        *("1700000000.12345.durable", "1700000000.12345#x.data", "1700000000.12345#1#e.data"),
        *("1700000000.12345#1#d#d.data", "17000000000.1.ts", "1700000000.12345-zz.meta"),
        *("1700000000.12345-fffffffffffff.meta", "1700000000.1\n.data"),
    ],
)
def test_what_is_not_ours(text: str) -> None:
    """Any other name is None, never an error."""
    assert parse(text) is None


@given(timestamps, timestamps)
def test_names_can_be_read_back(one: Timestamp, other: Timestamp) -> None:
    """What is spelled is parsed; a content type's age loses nothing but its offset."""
    data, tombstone, meta = parse(data_name(one)), parse(tombstone_name(one)), None
    meta = parse(meta_name(one, other))
    assert data is not None
    assert tombstone is not None
    assert meta is not None
    assert data.timestamp == tombstone.timestamp == meta.timestamp == one
    assert meta.content_type_timestamp == Timestamp(other.raw)
    plain = parse(meta_name(one, None))
    assert plain is not None
    assert plain.content_type_timestamp is None


@given(st.text(max_size=40))
def test_no_name_is_an_error(text: str) -> None:
    """Whatever somebody leaves in a folder."""
    parse(text + ".data")
    parse(text + ".meta")
    parse(text + ".ts")
