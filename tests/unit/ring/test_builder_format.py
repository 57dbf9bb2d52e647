"""Builder files: nothing is lost, and what is damaged or made up is a BadBuilder."""

import random
import struct
import zlib
from dataclasses import fields
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.checksums import xxh3_64
from swiftish.ring.builder import Builder
from swiftish.ring.builder_format import MARKER, decode_builder, encode_builder
from swiftish.ring.device import Device
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.table import NOWHERE

HEAD_BYTES = len(MARKER) + 8


def builder(*, power: int = 3, highest: int = 4) -> Builder:
    """2.5 replicas on devices 0, 2 and the highest; what is left of a removal; a rare weight."""
    made = Builder.create(power=power, replicas=2.5, min_part_hours=24)
    for number in (0, 2, highest):
        made.add(Device(id=number, device=f"d{number}", ip="fe80::1", port=6200, meta="ü", zone=7))
    made.set_weight(2, 0.1)
    made.remove(0)
    table = np.full((3, 2**power), NOWHERE, np.int32)
    table[0], table[1], table[2, : 2**power // 2] = 0, 2, highest
    made.assignment = table
    made.moved_hours_ago = np.arange(2**power).astype(np.uint8)
    made.moved_epoch, made.dispersion = 1_700_000_000, 3.25
    made.id, made.hash_id, made.overload, made.next_power = "abc", "0123", 0.1, power + 1
    return made


def same(one: Builder, two: Builder) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(two, field.name))
        if isinstance(getattr(one, field.name), np.ndarray)
        else getattr(one, field.name) == getattr(two, field.name)
        for field in fields(Builder)
    )


def packed(document: object) -> bytes:
    payload: bytes = msgpack.packb(document)
    return MARKER + struct.pack(">Q", xxh3_64(payload)) + payload


def unpacked(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgpack.unpackb(data[HEAD_BYTES:])
    return found


@pytest.mark.parametrize("highest", [4, 70_000])
def test_there_and_back(highest: int) -> None:
    """Every field comes back, ids of two bytes or four; equal builders are equal files."""
    made = builder(highest=highest)
    data = encode_builder(made)
    again = decode_builder(data)
    assert same(again, made)
    assert encode_builder(again) == data


def test_what_was_read_may_be_changed() -> None:
    again = decode_builder(encode_builder(builder()))
    again.pretend_min_part_hours_passed()
    assert again.moved_hours_ago is not None
    assert set(again.moved_hours_ago.tolist()) == {255}


def test_a_builder_that_was_never_rebalanced() -> None:
    made = Builder.create(power=32, replicas=3, min_part_hours=1)
    assert same(decode_builder(encode_builder(made)), made)


def test_a_builder_that_could_not_be_read_again_is_not_written() -> None:
    made = builder()
    made.moved_hours_ago = None
    with pytest.raises(RingError, match="but not both"):
        encode_builder(made)
    named = Builder.create(power=1, replicas=1, min_part_hours=1)
    named.add(Device(id=0, device="d\udcff"))
    with pytest.raises(RingError, match="can't be stored"):
        encode_builder(named)


def test_any_flipped_bit_and_any_truncation_is_found() -> None:
    data = encode_builder(builder())
    for size in range(len(data)):
        with pytest.raises(BadBuilder):
            decode_builder(data[:size])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadBuilder):
            decode_builder(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a builder"),
        (b"hello, world", "not a builder"),
        (b"SRB\x09rest", "version 9 of the builder format"),
        (b"\x80\x02}q\x00.", "`swiftish ring NEW import FILE`"),
        (packed([1]), "no map"),
        (packed({}), "power is missing"),
        (MARKER + struct.pack(">Q", xxh3_64(b"\xc1")) + b"\xc1", "can't be read"),
    ],
)
def test_what_is_no_builder_is_named(data: bytes, complaint: str) -> None:
    with pytest.raises(BadBuilder, match=complaint):
        decode_builder(data)


DEVICE = [0, "d0", "10.0.0.1", 6200, 1, 1, 1.0, "", "", 0]
EIGHT_ZEROS = zlib.compress(bytes(8))


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("power", 33, "power is 33"),
        ("power", 4, "another size"),
        ("power", True, "power is missing, or of the wrong kind"),
        ("next_power", 5, "next partition power"),
        ("replicas", 0.5, "number of replicas"),
        ("replicas", float("nan"), "number of replicas"),
        ("min_part_hours", 256, "min_part_hours"),
        ("overload", -0.1, "overload"),
        ("overload", float("inf"), "overload"),
        ("version", -1, "version"),
        ("version", 2**63, "version"),
        ("dispersion", float("nan"), "dispersion"),
        ("removed", [1], "removes device 1, which is not there"),
        ("removed", [0, 0], "devices to remove"),
        ("removed", ["x"], "devices to remove"),
        ("devices", [7], "not described"),
        ("devices", [DEVICE[:-1]], "not described"),
        ("devices", [[*DEVICE[:3], "6200", *DEVICE[4:]]], "whose port is '6200'"),
        ("devices", [None, DEVICE], "device 1 says that it is device 0"),
        ("devices", [[*DEVICE[:6], float("nan"), *DEVICE[7:]]], "a weight of nan"),
        ("devices", [[*DEVICE[:6], 1e300, *DEVICE[7:]]], "a weight of 1e"),
        ("devices", [DEVICE], "removes|names device"),
        ("moved_hours_ago", None, "but not both"),
        ("moved_hours_ago", b"", "another size"),
        ("moved_hours_ago", bytes(8), "can't be uncompressed"),
        ("moved_hours_ago", zlib.compress(bytes(9)), "another size"),
        ("moved_hours_ago", EIGHT_ZEROS + b"x", "another size"),
        ("moved_hours_ago", EIGHT_ZEROS[:-1], "another size"),
        ("table", None, "but not both"),
        ("table", [1, 2], "not what it must be"),
        ("table", [0, 2, b""], "a size that can't be"),
        ("table", [1, 3, bytes(24)], "a size that can't be"),
        ("table", [129, 2, bytes(16 * 129)], "a size that can't be"),
        ("table", [1, 2, b"\1" * 16], "names device 257"),
        ("table", [1, 2, b"\1\0" * 4 + bytes(8)], "names device 1, which"),
        ("table", [1, 4, b"\xfe" * 32], "a device that is not there"),
    ],
)
def test_a_crafted_file_is_looked_at(key: str, value: object, complaint: str) -> None:
    """With a right checksum, too: no later command can stumble over what was let in."""
    document = {**unpacked(encode_builder(builder())), key: value}
    with pytest.raises(BadBuilder, match=complaint):
        decode_builder(packed(document))


def test_a_small_file_can_not_ask_for_much_memory() -> None:
    document = unpacked(encode_builder(builder()))
    claims = {**document, "power": 32, "table": [3, 4, bytes(100)]}
    with pytest.raises(BadBuilder, match="another size"):
        decode_builder(packed(claims))
    bomb = {**document, "moved_hours_ago": zlib.compress(bytes(2**24))}
    with pytest.raises(BadBuilder, match="another size"):
        decode_builder(packed(bomb))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(unpacked(encode_builder(builder())))), ANYTHING)
def test_any_value_is_looked_at(key: str, value: object) -> None:
    """Whatever it is, the builder can be worked with, or it is refused."""
    document = {**unpacked(encode_builder(builder())), key: value}
    try:
        again = decode_builder(packed(document))
    except BadBuilder:
        return
    assert len(again.parts()) == 5
    again.balances()
    decode_builder(encode_builder(again))


@given(st.binary(max_size=60))
def test_any_payload_is_looked_at(payload: bytes) -> None:
    with pytest.raises(BadBuilder):
        decode_builder(MARKER + struct.pack(">Q", xxh3_64(payload)) + payload)


def test_chance_in_the_payload(chance: random.Random) -> None:
    """Bytes changed under a right checksum: a BadBuilder, or a builder that can be written."""
    data = encode_builder(builder())
    for _ in range(1_000):
        payload = bytearray(data[HEAD_BYTES:])
        for _ in range(chance.randrange(1, 4)):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        checksum = struct.pack(">Q", xxh3_64(bytes(payload)))
        try:
            again = decode_builder(MARKER + checksum + payload)
        except BadBuilder:
            continue
        encode_builder(again)
