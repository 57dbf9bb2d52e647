"""Builders of Swift are taken over from their pickles, and nothing in a pickle is ever run.

Here the pickles are made with the library; tests/rings has those that Swift itself writes.
"""

import io
import os
import pickle
import pickletools
import random
import struct
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.ring import plain_pickle
from swiftish.ring.device import Device
from swiftish.ring.errors import BadBuilder
from swiftish.ring.swift_builder import import_swift

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def device(number: int, **changed: object) -> dict[str, object]:
    return {
        "id": number,
        "region": 1,
        "zone": 2,
        "ip": "10.0.0.1",
        "port": 6200,
        "device": f"d{number}",
        "weight": 100.0,
        "meta": "ü",
        "replication_ip": "10.1.0.1",
        "replication_port": 6300,
        "parts": 3,
        "parts_wanted": 0,
        **changed,
    }


def builder(**changed: object) -> dict[str, object]:
    """What Swift stores: 2.5 replicas of four partitions; device 2 is being removed."""
    devices = [device(0), None, device(2, weight=0)]
    usual: dict[str, object] = {
        "part_power": 2,
        "next_part_power": None,
        "replicas": 2.5,
        "min_part_hours": 24,
        "parts": 4,
        "devs": devices,
        "devs_changed": True,
        "dev_id_bytes": 2,
        "version": 7,
        "overload": 0.1,
        "_replica2part2dev": [array("H", row) for row in ([0, 0, 0, 0], [2, 2, 2, 2], [0, 2])],
        "_last_part_moves_epoch": 1_700_000_000,
        "_last_part_moves": array("B", [0, 1, 2, 255]),
        "_last_part_gather_start": 0,
        "_dispersion_graph": {(1,): [0, 4, 0, 0], (1, 2, "10.0.0.1", 0): [0, 4, 0, 0]},
        "dispersion": 12.5,
        "_remove_devs": [devices[2]],
        "id": "5af66154b95c4b8885df9261fd4a9e98",
    }
    return {key: value for key, value in {**usual, **changed}.items() if value is not ...}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_everything_is_taken_over(protocol: int) -> None:
    made = import_swift(pickle.dumps(builder(), protocol))
    assert (made.power, made.replicas, made.min_part_hours) == (2, 2.5, 24)
    assert (made.next_power, made.overload, made.version) == (None, 0.1, 7)
    assert (made.id, made.devices_changed) == ("5af66154b95c4b8885df9261fd4a9e98", True)
    assert made.devices == [
        Device(
            id=0,
            device="d0",
            ip="10.0.0.1",
            port=6200,
            zone=2,
            meta="ü",
            replication_ip="10.1.0.1",
            replication_port=6300,
        ),
        None,
        made.devices[2],
    ]
    assert made.device(2).weight == 0
    assert made.removed == {2}
    assert made.assignment is not None
    assert made.assignment.tolist() == [[0, 0, 0, 0], [2, 2, 2, 2], [0, 2, -1, -1]]
    assert made.moved_hours_ago is not None
    assert made.moved_hours_ago.tolist() == [0, 1, 2, 255]
    assert (made.moved_epoch, made.dispersion) == (1_700_000_000, 12.5)
    assert made.parts() == [5, 0, 5]


def test_ids_of_four_bytes_and_replicas_that_are_nowhere() -> None:
    """The highest number of either size says that there is no device."""
    wide = [array("I", [0, 2, 2**32 - 1, 0])]
    narrow = [array("H", [0, 2, 65_535, 0])]
    for rows in (wide, narrow):
        made = import_swift(pickle.dumps(builder(_replica2part2dev=rows), 2))
        assert made.assignment is not None
        assert made.assignment.tolist() == [[0, 2, -1, 0]]


def test_a_builder_that_was_never_rebalanced() -> None:
    found = builder(_replica2part2dev=None, id=None, dispersion=None, devs=[], _remove_devs=[])
    made = import_swift(pickle.dumps(found, 2))
    assert (made.assignment, made.moved_hours_ago, made.dispersion) == (None, None, None)
    assert made.id == ""


def test_a_builder_whose_partitions_were_doubled() -> None:
    """Swift turns the hours into a list then."""
    found = builder(_last_part_moves=[1, 1, 2, 2], next_part_power=2)
    made = import_swift(pickle.dumps(found, 2))
    assert made.next_power == 2
    assert made.moved_hours_ago is not None
    assert made.moved_hours_ago.tolist() == [1, 1, 2, 2]


def test_an_old_builder_lacks_what_came_later() -> None:
    old = {"id": 0, "zone": 1, "ip": "10.0.0.1", "port": 6000, "device": "sda", "weight": 1}
    later = ("next_part_power", "overload", "_dispersion_graph", "dispersion", "id", "dev_id_bytes")
    found = builder(
        **dict.fromkeys(later, ...),
        devs=[old],
        _remove_devs=[],
        _replica2part2dev=[array("H", bytes(8))],
        _last_part_moves=None,
        _last_part_moves_epoch=None,
    )
    made = import_swift(pickle.dumps(found, 2))
    (only,) = made.each()
    assert (only.region, only.meta, only.replication_ip) == (1, "", "10.0.0.1")
    assert (made.overload, made.moved_epoch, made.id) == (0, 0, "")
    assert made.moved_hours_ago is not None
    assert made.moved_hours_ago.tolist() == [0, 0, 0, 0]


def old_object(start: bytes) -> bytes:
    """The very first builders were pickled as objects; `start` is how one begins."""
    state = pickle.dumps(builder(), 1)
    return start + state[:-1] + b"b."


@pytest.mark.parametrize(
    "start",
    [
        b"\x80\x02cswift.common.ring.builder\nRingBuilder\n)\x81",
        b"ccopy_reg\n_reconstructor\n(cswift.common.ring.builder\nRingBuilder\n"
        b"c__builtin__\nobject\nNtR",
    ],
)
def test_a_builder_that_was_stored_as_an_object(start: bytes) -> None:
    assert import_swift(old_object(start)).version == 7


def test_texts_and_arrays_of_python_2() -> None:
    """Its texts are bytes; so were its arrays before 2.7."""
    text = b"\x80\x02}(U\x02ipU\x02\xc3\xbcU\x01xT\x03\x00\x00\x00abcS'y'\nS'z'\nu."
    assert plain_pickle.load(text) == {"ip": "ü", "x": "abc", "y": "z"}
    assert plain_pickle.load(b"carray\narray\n(U\x01HU\x04\x01\x00\xff\xfftR.") == array(
        "H", [1, 65_535]
    )
    assert plain_pickle.load(b"carray\narray\n(U\x01HtR.") == array("H")


def test_arrays_of_another_byte_order() -> None:
    other = struct.pack(">2H", 1, 515)
    data = b"\x80\x03carray\n_array_reconstructor\n(carray\narray\nX\x01\0\0\0HK\x03C\x04%stR."
    assert plain_pickle.load(data % other) == array("H", [1, 515])


# ---- what is refused ---------------------------------------------------------------------------


class Calls:
    """Pickled, it calls something."""

    def __init__(self, called: Callable[..., object], *arguments: object) -> None:
        self._made = called, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._made


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("called", "name"),
    [
        (os.system, r"posix\.system"),
        (exec, r"(__builtin__|builtins)\.exec"),
        (open, r"(_io|io)\.open"),
    ],
)
def test_nothing_is_run(
    protocol: int, called: Callable[..., object], name: str, tmp_path: Path
) -> None:
    """Wherever it is hidden, a name that no builder needs is named, and not even imported."""
    trap = tmp_path / "sprung"
    for hidden in (
        Calls(called, f"touch {trap}"),
        builder(extra=Calls(called, f"touch {trap}")),
        builder(devs=[device(0, ip=Calls(called, f"touch {trap}"))]),
    ):
        with pytest.raises(BadBuilder, match=rf"imports '{name}', which no builder needs"):
            import_swift(pickle.dumps(hidden, protocol))
    assert not trap.exists()


def test_nothing_is_imported() -> None:
    assert "antigravity" not in sys.modules
    with pytest.raises(BadBuilder, match="imports 'antigravity"):
        plain_pickle.load(b"cantigravity\nfly\n.")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "damaged or truncated"),
        (b"\x80", "damaged or truncated"),
        (b"\x80\x02.", "does not end with one value"),
        (b"NN.", "does not end with one value"),
        (b"(N.", "does not end with one value"),
        (b"N.x", "something follows"),
        (b"0.", "damaged"),
        (b"\x85.", "damaged"),
        (b"e.", "damaged"),
        (b"Na.", "damaged"),
        (b"NNa.", "appends to what is no list"),
        (b"NNNs.", "no dictionary"),
        (b"}(Nu.", "no dictionary"),
        (b"}]Ns.", "keys are not plain"),
        (b"}N\x85\x85Ns.", "keys are not plain"),
        (b"h\x07.", "asks for 7, which it never remembered"),
        (b"P7\n.", "instruction PERSID"),
        (b"\x82\x07.", "instruction EXT1"),
        (b"(cos\nsystem\no.", "imports 'os.system'"),
        (b"(ios\nsystem\n.", "instruction INST"),
        (b"\x8f.", "instruction EMPTY_SET"),
        (b"\x97.", "instruction NEXT_BUFFER"),
        (b"NN\x93.", "imports something without a name"),
        (b"NNR.", "without arguments"),
        (b"N)R.", "calls something as no builder does"),
        (b"carray\narray\n)R.", "calls something as no builder does"),
        (b"carray\narray\n(NNtR.", "an unknown kind"),
        (b"carray\narray\n(V\xe9\nNtR.", "an unknown kind"),
        (b"carray\narray\n(VH\nNtR.", "what are no numbers"),
        (b"carray\narray\n(VH\n(NltR.", "what are no numbers"),
        (b"carray\narray\n(VH\n(J\xff\xff\xff\xffltR.", "damaged"),
        (b"carray\n_array_reconstructor\n(carray\narray\nVH\nK\x06C\x04abcdtR.", "another size"),
        (b"carray\n_array_reconstructor\n(carray\narray\nVH\nK\x02C\x03abctR.", "another size"),
        (b"carray\n_array_reconstructor\n(carray\narray\nVH\nNNtR.", "not made as arrays are"),
        (b"N}b.", "no builder"),
        (b"I" + b"9" * 5_000 + b"\n.", "damaged"),
    ],
)
def test_what_is_no_plain_data_is_named(data: bytes, complaint: str) -> None:
    with pytest.raises(BadBuilder, match=complaint):
        plain_pickle.load(data)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"devs": ...}, "not of a builder"),
        ({"devs": {}}, "no list of devices"),
        ({"devs": [7]}, "not described"),
        ({"devs": [{"id": 0}]}, "lacks its"),
        ({"devs": [device(0, ip=[1])]}, "not described as it must be"),
        ({"devs": [device(0, weight="much")]}, "described wrongly"),
        ({"devs": [device(0), device(0)]}, "device 1 says that it is device 0"),
        ({"part_power": 33}, "part_power is 33"),
        ({"part_power": None}, "part_power is missing"),
        ({"part_power": 2.5}, "not a whole number"),
        ({"part_power": 3}, "parts are not as many"),
        ({"next_part_power": 9}, "next partition power is 9"),
        ({"replicas": float("nan")}, "replicas"),
        ({"replicas": 0}, "replicas"),
        ({"min_part_hours": -1}, "min_part_hours"),
        ({"_last_part_moves_epoch": float("inf")}, "_last_part_moves_epoch"),
        ({"_remove_devs": [3]}, "devices to remove"),
        ({"_remove_devs": 3}, "devices to remove"),
        ({"_remove_devs": [{"id": 1}]}, "removes device 1, which is not there"),
        ({"_replica2part2dev": 7}, "table is not what it must be"),
        ({"_replica2part2dev": [7]}, "table is not what it must be"),
        ({"_replica2part2dev": [array("H")]}, "another length"),
        ({"_replica2part2dev": [array("H", [0])]}, "another length"),
        ({"_replica2part2dev": [array("H", [0] * 4), array("H", [0] * 5)]}, "longer"),
        ({"_replica2part2dev": [array("H", [1] * 4)]}, "names device 1, which is not there"),
        ({"_replica2part2dev": [array("H", [9] * 4)]}, "names device 9, which is not there"),
        ({"_replica2part2dev": [array("I", [2**32 - 2] * 4)]}, "is not there"),
        ({"_last_part_moves": [0, 0, 0]}, "when partitions moved"),
        ({"_last_part_moves": [0, 0, 0, 256]}, "not what it must be"),
        ({"_last_part_moves": array("H", [0, 0, 0, 256])}, "when partitions moved"),
        ({"_last_part_moves": "0000"}, "not what it must be"),
    ],
)
def test_what_does_not_fit_together_is_named(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadBuilder, match=complaint):
        import_swift(pickle.dumps(builder(**changed), 2))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_truncated_file_is_refused_wherever_it_ends(protocol: int) -> None:
    data = pickle.dumps(builder(), protocol)
    for size in range(len(data)):
        with pytest.raises(BadBuilder):
            import_swift(data[:size])


def test_what_contains_itself_is_no_matter() -> None:
    """Neither a list in itself, nor one so deep that no recursion would come to its end."""
    endless: list[Any] = []
    endless.append(endless)
    assert import_swift(pickle.dumps(builder(extra=endless), 2)).version == 7
    with pytest.raises(BadBuilder, match="not described"):
        import_swift(pickle.dumps(builder(devs=[endless]), 2))
    with pytest.raises(BadBuilder, match="not described"):
        import_swift(pickle.dumps(builder(devs=[device(0, ip=endless)]), 2))
    deep = 100_000
    plain_pickle.load(b"]" * deep + b"a" * (deep - 1) + b".")
    plain_pickle.load(b")" + b"\x85" * deep + b".")


def test_laughs_are_not_counted_out() -> None:
    """Lists of lists of lists, each twice in the next: nobody writes them out."""
    laughs: list[Any] = ["ha"]
    for _ in range(100):
        laughs = [laughs, laughs]
    started = time.perf_counter()
    with pytest.raises(BadBuilder, match="not described as it must be"):
        import_swift(pickle.dumps(builder(devs=[device(0, ip=laughs)]), 2))
    for _ in range(100):
        laughs = [tuple(laughs), tuple(laughs)]
    with pytest.raises(BadBuilder, match="keys are not plain"):
        plain_pickle.load(b"}" + pickle.dumps(tuple(laughs), 2)[:-1] + b"Ns.")
    assert time.perf_counter() - started < 5


def test_a_file_can_not_ask_for_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one byte makes much, there is a limit; lengths that are not there are not believed."""
    monkeypatch.setattr(plain_pickle, "CONTAINERS_MAX", 1_000)
    monkeypatch.setattr(plain_pickle, "REMEMBERED_MAX", 1_000)
    for greedy in (b"]", b"(", b")\x85", b"}"):
        with pytest.raises(BadBuilder, match="more than 1000 lists"):
            plain_pickle.load(greedy * 1_001)
    with pytest.raises(BadBuilder, match="remembers more than 1000"):
        plain_pickle.load(b"N" + b"\x94" * 1_001)
    with pytest.raises(BadBuilder, match="remembers more than 1000"):
        plain_pickle.load(b"N" + b"".join(b"r" + struct.pack("<I", n) for n in range(1_001)))
    for length in (2**31, 2**62, 2**64 - 1):
        with pytest.raises(BadBuilder, match="damaged"):
            plain_pickle.load(b"\x8e" + struct.pack("<Q", length) + b"x.")
    monkeypatch.setattr(plain_pickle, "BYTES_MAX", 100)
    with pytest.raises(BadBuilder, match="longer than 100 bytes"):
        plain_pickle.load(bytes(101))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.lists(st.integers(-(2**31), 2**31), min_size=3),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN, st.sampled_from(PROTOCOLS))
def test_plain_data_is_what_pickle_says_it_is(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert plain_pickle.load(data) == value
    optimized = pickletools.optimize(data)
    assert plain_pickle.load(optimized) == value


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        plain_pickle.load(data)
    except BadBuilder:
        return


def test_chance_is_read_or_refused(chance: random.Random) -> None:
    """Bytes changed in real ones: a builder, or a BadBuilder."""
    for _ in range(1_000):
        damaged = bytearray(pickle.dumps(builder(), chance.choice(PROTOCOLS)))
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            made = import_swift(bytes(damaged))
        except BadBuilder:
            continue
        assert len(made.parts()) == len(made.devices)


def test_the_twin_of_this_reader_agrees() -> None:
    """What pickle itself makes of a builder, with the same names allowed."""

    class Careful(pickle.Unpickler):  # noqa: S301 -- of what this test has made
        def find_class(self, module: str, name: str) -> object:
            assert (module, name) in {("array", "array"), ("array", "_array_reconstructor")}
            return super().find_class(module, name)

    for protocol in PROTOCOLS:
        data = pickle.dumps(builder(), protocol)
        assert plain_pickle.load(data) == Careful(io.BytesIO(data)).load() == builder()
