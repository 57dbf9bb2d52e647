"""Which files of a hash folder count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.timestamp import Timestamp
from swiftish.object.filenames import data_name, meta_name, parse, tombstone_name
from swiftish.object.hashdir import NOTHING, State, judge, reclaimable


def spell(short: str) -> str:
    """`3d`, `4t`, `5m` (a .meta without content type), `6m2` (with one as old as 2)."""
    moment, kind, rest = Timestamp(int(short[0])), short[1], short[2:]
    if kind == "d":
        return data_name(moment)
    if kind == "t":
        return tombstone_name(moment)
    return meta_name(moment, Timestamp(int(rest)) if rest else None)


def summary(names: list[str]) -> str:
    """data meta content-type-meta tombstone | obsolete, in the short spelling."""
    shorts = {spell(name): name for name in names}
    state = judge(shorts)
    kept = (state.data, state.meta, state.content_type_meta, state.tombstone)
    said = " ".join("-" if file is None else shorts[file.text] for file in kept)
    return f"{said} | {' '.join(sorted(shorts[name] for name in state.obsolete))}".strip()


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        ("", "- - - - |"),
        ("3d", "3d - - - |"),
        ("3t", "- - - 3t |"),
        ("2d 3d", "3d - - - | 2d"),
        ("2d 3t", "- - - 3t | 2d"),
        ("2t 3d", "3d - - - | 2t"),
        ("3t 3d", "- - - 3t | 3d"),  # of the same moment: deleted
        ("2t 3t", "- - - 3t | 2t"),
        ("3d 4m", "3d 4m - - |"),
        ("3d 2m", "3d - - - | 2m"),
        ("3d 3m", "3d - - - | 3m"),
        ("3d 4m 5m", "3d 5m - - | 4m"),
        ("3d 4m4 5m", "3d 5m 4m4 - |"),  # the newest says nothing of the content type
        ("3d 4m4 5m4", "3d 5m4 - - | 4m4"),
        ("3d 4m4 5m1", "3d 5m1 4m4 - |"),
        ("3d 4m4 5m5 6m", "3d 6m 5m5 - | 4m4"),
        ("3d 4m 5t", "- - - 5t | 3d 4m"),
        ("3d 5m 4t", "- 5m - 4t | 3d"),  # an orphan: a PUT newer than the tombstone may come
        ("5m", "- 5m - - |"),
        ("1d 2t 3d 4m 5d", "5d - - - | 1d 2t 3d 4m"),
    ],
)
def test_verdicts(names: str, verdict: str) -> None:
    """The rules, as a table: data, meta, content type's meta, tombstone | obsolete."""
    assert summary(names.split()) == verdict


def test_fragments_and_strangers_are_left_alone() -> None:
    """What replicated policies do not write is neither the object nor rubbish."""
    assert judge(["1700000000.00000#1#d.data", ".lock", "reason"]) == NOTHING


shorts = st.one_of(
    st.integers(1, 9).map(lambda n: f"{n}d"),
    st.integers(1, 9).map(lambda n: f"{n}t"),
    st.integers(1, 9).map(lambda n: f"{n}m"),
    st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda p: f"{max(p)}m{min(p)}"),
)


@given(st.data(), st.sets(shorts, max_size=8))
def test_all_orders_of_arrival_converge(data: st.DataObject, names: set[str]) -> None:
    """T19: whoever removes what is obsolete after each arrival ends where all the others end."""
    files = {spell(short) for short in names}
    folder: set[str] = set()
    for name in data.draw(st.permutations(sorted(files))):
        folder.add(name)
        if data.draw(st.booleans()):
            folder -= set(judge(folder).obsolete)
    folder -= set(judge(folder).obsolete)
    assert folder == files - set(judge(files).obsolete)
    assert judge(folder).obsolete == ()


@given(st.sets(shorts, max_size=8))
def test_the_stupid_twin(names: set[str]) -> None:
    """The object is the newest .data that no tombstone of its time or later has deleted."""
    files = [spell(short) for short in names]
    parsed = [file for file in map(parse, files) if file is not None]
    deleted = max((f.timestamp for f in parsed if f.kind == "ts"), default=Timestamp(0))
    alive = [f for f in parsed if f.kind == "data" and f.timestamp > deleted]
    expected = max(alive, key=lambda f: f.timestamp) if alive else None
    state = judge(files)
    assert state.data == expected
    if expected is not None:
        metas = [f.timestamp for f in parsed if f.kind == "meta"]
        newest = max([expected.timestamp, *metas])
        assert state.meta_timestamp == newest


def test_what_may_be_reclaimed() -> None:
    """Old tombstones and orphans, never anything beside an object."""
    before = Timestamp(6)
    assert reclaimable(judge([spell("5t")]), before=before) == (spell("5t"),)
    assert reclaimable(judge([spell("7t")]), before=before) == ()
    assert reclaimable(judge([spell("5m")]), before=before) == (spell("5m"),)
    assert reclaimable(judge([spell("4d"), spell("5m")]), before=before) == ()
    assert reclaimable(State(), before=before) == ()
