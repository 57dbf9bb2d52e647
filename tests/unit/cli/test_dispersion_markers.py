"""Markers: names in partitions of their own, without a list."""

from __future__ import annotations

import hashlib

import pytest

from swiftish.cli.dispersion_markers import (
    Findings,
    Record,
    container_marker,
    markers,
    object_marker,
)
from swiftish.domain.hashing import partition_of
from swiftish.domain.names import Target


def digest(target: Target) -> bytes:
    return hashlib.md5(target.path.encode(), usedforsecurity=False).digest()


@pytest.mark.parametrize(
    ("power", "share", "count"),
    [(10, 0.01, 10), (10, 1.0, 1024), (0, 0.01, 1), (16, 0.01, 655), (4, 0.001, 1)],
)
def test_how_many(power: int, share: float, count: int) -> None:
    assert Record.of(power, share) == Record(power=power, count=count)


def test_each_is_in_a_partition_of_its_own() -> None:
    for name_of in (container_marker, object_marker(3)):
        found = markers(Record(power=8, count=256), digest, name_of)
        assert {partition_of(digest(each), power=8) for each in found} == set(range(256))


def test_fewer_are_the_first_of_more() -> None:
    more = markers(Record(power=8, count=100), digest, container_marker)
    assert markers(Record(power=8, count=10), digest, container_marker) == more[:10]


def test_a_record_is_kept_as_text() -> None:
    record = Record(power=10, count=7)
    assert Record.parse(str(record)) == record
    for bad in ("", "10", "10 0", "33 1", "2 5", "a b", "1 1 1"):
        with pytest.raises(ValueError):  # noqa: PT011  (its text is nobody's business)
            Record.parse(bad)


def test_findings() -> None:
    found = Findings(ring="objects of policy gold")
    found.add({"d1": "", "d2": "", "d3": ""})
    assert found.is_well
    found.add({"d1": "not there", "d2": "", "d3": "no answer"})
    found.add({"d1": "not there", "d2": "", "d3": ""})
    assert not found.is_well
    assert found.document() == {
        "ring": "objects of policy gold",
        "markers": 3,
        "copies_expected": 9,
        "copies_found": 6,
        "missing": {"0": 1, "1": 1, "2": 1},
        "lacking": [
            {"device": "d1", "why": "not there", "copies": 2},
            {"device": "d3", "why": "no answer", "copies": 1},
        ],
    }
    lines = found.text().splitlines()
    assert lines[0] == "objects of policy gold: 6 of 9 copies found (66.67 %), of 3 markers"
    assert lines[1:3] == ["  1 marker without 1 copy", "  1 marker without 2 copies"]
    assert ["d1", "2", "not", "there"] in [line.split() for line in lines]
