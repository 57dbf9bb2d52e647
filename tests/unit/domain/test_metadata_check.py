"""The metadata that one request may carry."""

from __future__ import annotations

import pytest

from swiftish.domain.limits import Limits
from swiftish.domain.metadata_check import BadMetadata, Kind, check_metadata

LIMITS = Limits()
KINDS: tuple[Kind, ...] = ("account", "container", "object")


def refused(kind: Kind, headers: dict[str, str]) -> bool:
    try:
        check_metadata(headers, kind, LIMITS)
    except BadMetadata:
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_limits(kind: Kind) -> None:
    """Up to each limit it is allowed, one byte more is refused; sizes are bytes."""
    prefix = f"x-{kind}-meta-"
    tables = [
        ({f"{prefix}{'n' * 128}": "v"}, {f"{prefix}{'n' * 129}": "v"}),
        ({f"{prefix}{'é' * 64}": "v"}, {f"{prefix}{'é' * 64}n": "v"}),
        ({f"{prefix}n": "v" * 256}, {f"{prefix}n": "v" * 257}),
        ({f"{prefix}n": "é" * 128}, {f"{prefix}n": "é" * 128 + "v"}),
        ({f"{prefix}{i}": "v" for i in range(90)}, {f"{prefix}{i}": "v" for i in range(91)}),
        (
            {f"{prefix}{i:02}": "v" * 254 for i in range(16)},
            {f"{prefix}{i:02}": "v" * 254 for i in range(16)} | {f"{prefix}n": ""},
        ),
        ({"x-other": "v" * 8192}, {"x-other": "v" * 8193}),
    ]
    for allowed, too_much in tables:
        assert not refused(kind, allowed)
        assert refused(kind, too_much)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_name(kind: Kind) -> None:
    """`X-Object-Meta-: x` names nothing."""
    assert refused(kind, {f"x-{kind}-meta-": "x"})
    assert not refused(kind, {f"x-{kind}-meta-a": ""})


def test_utf8() -> None:
    """Accounts and containers hold text, objects any bytes."""
    for kind in KINDS:
        for bad in ({f"x-{kind}-meta-a": "\udcff"}, {f"x-{kind}-meta-\udcff": "a"}):
            assert refused(kind, bad) == (kind != "object")
        assert not refused(kind, {f"x-{kind}-meta-é": "😀"})


def test_other_metadata_is_not_counted() -> None:
    """An object's metadata are no business of a container's limits."""
    assert not refused("container", {f"x-object-meta-{i}": "v" * 300 for i in range(100)})
