"""What one replica sends to another: whoever begins, and in whatever order, all end the same."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.cluster.here import EVERYTHING, Here
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.object.exchange.protocol import Standing
from swiftish.object.filenames import data_name, meta_name, parse, tombstone_name
from swiftish.object.hashdir import judge
from swiftish.object.replication_plan import (
    Peer,
    below_count,
    differing,
    given_up,
    is_back_from_the_dead,
    missing,
    own_place,
)
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring

moments = st.integers(1, 6).map(Timestamp)
names = st.one_of(
    moments.map(data_name),
    moments.map(tombstone_name),
    st.tuples(moments, st.none() | moments).map(lambda pair: meta_name(*pair)),
)
folders = st.dictionaries(names, st.integers(1, 3), max_size=5)


def take(own: dict[str, int], offered: dict[str, int], *, before: Timestamp = ZERO) -> bool:
    """Send what is missing, as the exchange does; whether there was anything."""
    state = judge(offered)
    offered = {file.text: offered[file.text] for file in state.winners}
    wanted = missing(effective(own), offered, before=before)
    for name in wanted:
        own[name] = max(own.get(name, 0), offered[name])  # object/writer.py, two of one name
    for name in judge(own).obsolete:
        del own[name]
    return bool(wanted)


def effective(files: dict[str, int]) -> dict[str, int]:
    return {file.text: files[file.text] for file in judge(files).winners}


@given(folders, folders)
def test_two_replicas(one: dict[str, int], two: dict[str, int]) -> None:
    """After an exchange both ways both have the files that count of both, and nothing to send."""
    both = {name: max(one.get(name, 0), two.get(name, 0)) for name in {*one, *two}}
    expected = effective(both)
    take(two, one)
    take(one, two)
    take(two, one)
    assert effective(one) == effective(two) == expected
    assert not take(two, one)
    assert not take(one, two)


@given(st.lists(folders, min_size=3, max_size=4), st.randoms(use_true_random=False))
def test_any_order(replicas: list[dict[str, int]], chance: random.Random) -> None:
    """However the exchanges among several replicas are ordered, they end in the same state."""
    everything: dict[str, int] = {}
    for replica in replicas:
        for name, check in replica.items():
            everything[name] = max(check, everything.get(name, 0))
    pairs = [(i, j) for i in range(len(replicas)) for j in range(len(replicas)) if i != j]
    quiet = False
    while not quiet:
        chance.shuffle(pairs)
        quiet = not sum(take(replicas[j], replicas[i]) for i, j in pairs)
    assert all(effective(replica) == effective(everything) for replica in replicas)


@given(folders, folders, moments)
def test_nothing_is_brought_back_that_was_reclaimed(
    own: dict[str, int], offered: dict[str, int], before: Timestamp
) -> None:
    """Old tombstones only go where there is an object; and what they concern goes with them."""
    held = effective(own)
    wanted = missing(held, effective(offered), before=before)
    for name in wanted:
        file = parse(name)
        assert file is not None
        is_old = file.kind != "data" and file.timestamp < before
        has_object = any(name.endswith(".data") for name in (*held, *wanted))
        assert has_object or not is_old


def test_digests_that_differ() -> None:
    """Those that the other lacks or has otherwise; not those that only it has; old tombstones only
    where the other has something."""
    mine = {"000": 1, "001": 2, "002": 3}
    assert differing(mine, {"000": 1, "001": 9, "fff": 4}, []) == {"001", "002"}
    assert differing(mine, mine, ["abc"]) == frozenset()
    assert differing(mine, {**mine, "abc": 5}, ["abc"]) == {"abc"}


def peer(number: int, *, primary: bool = True, since: float = 0.0, **more: object) -> Peer:
    found = Peer(
        node=Device(id=number, device=f"d{number}"), standing=Standing(primary=primary, since=since)
    )
    for name, value in more.items():
        setattr(found, name, value)
    return found


LACKS: dict[str, list[str]] = {"h": ["1.data"]}


@pytest.mark.parametrize(
    ("peers", "gone"),
    [
        ([peer(1), peer(2), peer(3)], True),
        ([peer(1), peer(2), peer(3, wanted=LACKS)], False),
        ([peer(1), peer(2), peer(3, lost=True)], False),
        ([peer(1), peer(2), peer(3, gone=True)], False),
        ([peer(1), peer(2), peer(3, primary=False)], False),
        ([peer(1), peer(2), peer(3, standing=None)], False),
        ([peer(1)], True),
    ],
)
def test_t30_what_a_handoff_gives_up(peers: list[Peer], *, gone: bool) -> None:
    """What all primaries hold, if each says that it is one."""
    assert given_up(["h"], peers) == (["h"] if gone else [])


def test_objects_below_their_count() -> None:
    """A stand-in counts for the primary that it stands in for; silence is no knowledge."""
    one = peer(1)
    lacking, gone = peer(2, wanted=LACKS), peer(3, gone=True)
    stand_in = peer(4, stands_in_for=gone)
    lacking_stand_in = peer(4, stands_in_for=gone, wanted=LACKS)
    assert below_count(["h"], [one]) == 0
    assert below_count(["h", "i"], [one, lacking]) == 1
    assert below_count(["h", "i"], [one, peer(2, lost=True)]) == 0
    assert below_count(["h", "i"], [one, gone]) == 2
    assert below_count(["h", "i"], [one, gone, stand_in]) == 0
    assert below_count(["h", "i"], [one, gone, lacking_stand_in]) == 1


AWAY = 1000.0
BACK = 2000.0


@pytest.mark.parametrize(
    ("written", "peers", "verdict"),
    [
        (900, [peer(1, wanted=LACKS), peer(2, wanted=LACKS)], True),
        (1100, [peer(1, wanted=LACKS), peer(2, wanted=LACKS)], True),  # just before it went
        (1900, [peer(1, wanted=LACKS), peer(2, wanted=LACKS)], False),  # after it came back
        (900, [peer(1, wanted=LACKS), peer(2)], False),  # it is there
        (900, [peer(1, wanted=LACKS), peer(2, lost=True)], None),
        (900, [peer(1, wanted=LACKS), peer(2, gone=True)], None),
        (900, [peer(1, wanted=LACKS, since=1999), peer(2, wanted=LACKS, since=1999)], False),
        (900, [peer(1, wanted=LACKS, since=1999), peer(2, wanted=LACKS, since=5)], True),
        (900, [], False),
    ],
)
def test_t25_back_from_the_dead(written: float, peers: list[Peer], *, verdict: bool | None) -> None:
    """An object from before the absence that nobody has who was there all the time."""
    data = parse(data_name(Timestamp.from_seconds(written)))
    assert data is not None
    found = is_back_from_the_dead(data, "h", peers, away_from=AWAY, back_at=BACK)
    assert found is verdict


def test_own_place() -> None:
    """A primary of that name that is here; names alone say nothing when there are many nodes."""
    devices = [Device(id=n, ip=f"10.0.0.{n}", port=6200, device="sda") for n in range(3)]
    ring = Ring(devices=devices, rows=[array("H", [0, 1]), array("H", [1, 2])], power=1)
    here = Here({"object": ["10.0.0.2:6200"]})
    assert own_place(ring, 0, here, "sda") is None
    assert own_place(ring, 1, here, "sda") is devices[2]
    assert own_place(ring, 1, here, "sdb") is None
    assert own_place(ring, 0, EVERYTHING, "sda") is devices[0]
