"""Timestamps: forms and order (reference 2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import OFFSET_MAX, RAW_MAX, BadTimestamp, Timestamp

timestamps = st.builds(Timestamp, st.integers(0, RAW_MAX), st.integers(0, OFFSET_MAX))


@given(timestamps, timestamps)
def test_every_form_has_the_same_order(a: Timestamp, b: Timestamp) -> None:
    """Numbers, text and packed bytes sort alike, so files and keys sort like time."""
    assert (a < b) == (a.internal < b.internal) == (a.pack() < b.pack())


@given(timestamps)
def test_forms_round_trip(t: Timestamp) -> None:
    assert Timestamp.parse(t.internal) == t
    assert Timestamp.unpack(t.pack()) == t
    assert Timestamp.parse(t.normal) == Timestamp(t.raw)


@given(st.integers(0, RAW_MAX))
def test_listings_are_read(raw: int) -> None:
    """`last_modified` says all but the offset."""
    assert Timestamp.from_iso(Timestamp(raw, 5).iso) == Timestamp(raw)


@pytest.mark.parametrize("text", ["", "x", "2023-13-14T22:13:20.123450"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(BadTimestamp):
        Timestamp.from_iso(text)


def test_spellings() -> None:
    t = Timestamp.parse("1700000000.12345")
    assert t.normal == t.internal == "1700000000.12345"
    assert Timestamp(t.raw, 10).internal == "1700000000.12345_000000000000000a"
    assert t.iso == "2023-11-14T22:13:20.123450"
    assert t.seconds_ceiling == 1700000001
    assert Timestamp.parse("1700000000").seconds_ceiling == 1700000000
    assert Timestamp.from_seconds(0.1).normal == "0000000000.10000"


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.2.3", "1_2_3", "1_zz", "12345678901", "1e5", "٣", "1." + "٣"]
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(BadTimestamp):
        Timestamp.parse(text)
