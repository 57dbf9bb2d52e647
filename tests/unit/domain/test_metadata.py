"""Metadata of accounts and containers: the laws of merging, the limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.limits import Limits
from swiftish.domain.metadata import Metadata, TooMuchMetadata, check, cleared, merge, present
from swiftish.domain.timestamp import Timestamp

metadata = st.dictionaries(
    st.sampled_from("abc"),
    st.tuples(st.sampled_from(["", "x", "y"]), st.builds(Timestamp, st.integers(1, 3))),
)


@given(metadata, metadata, metadata)
def test_merge_laws(a: Metadata, b: Metadata, c: Metadata) -> None:
    """Replicas that have seen the same changes hold the same metadata."""
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a


def test_an_empty_value_removes() -> None:
    """And its timestamp keeps an older value from coming back."""
    old, new = Timestamp(1), Timestamp(2)
    merged = merge({"k": ("", new)}, {"k": ("x", old)})
    assert present(merged) == {}
    assert present(merge(merged, {"k": ("y", Timestamp(3))})) == {"k": "y"}
    assert present(cleared({"k": ("x", old), "later": ("y", Timestamp(9))}, new)) == {"later": "y"}


def test_limits_count_what_is_there_and_user_metadata_only() -> None:
    """Removed keys and system metadata are free; names count without their prefix."""
    limits = Limits(max_meta_count=2, max_meta_overall_size=10)
    now = Timestamp(1)

    def checked(**values: str) -> None:
        check(
            {name.replace("_", "-"): (value, now) for name, value in values.items()},
            prefix="x-meta-",
            limits=limits,
        )

    checked(x_meta_a="1", x_meta_b="2", x_meta_c="", x_sysmeta_d="x" * 100)
    checked(x_meta_a="123456789")
    with pytest.raises(TooMuchMetadata, match="max 2"):
        checked(x_meta_a="1", x_meta_b="2", x_meta_c="3")
    with pytest.raises(TooMuchMetadata, match="max 10"):
        checked(x_meta_a="1234567890")
    with pytest.raises(TooMuchMetadata, match="max 10"):
        checked(x_meta_a="\u00fc" * 5)  # bytes, not characters
