"""Ring files: both versions there and back; whatever is wrong with one is a BadRing."""

import gzip
import hashlib
import json
import random
import struct
import sys
import zlib
from array import array
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.ring.device import Device, from_document, to_document
from swiftish.ring.errors import BadRing, RingError
from swiftish.ring.even import even_ring
from swiftish.ring.format import decode, encode
from swiftish.ring.ring import Ring
from swiftish.ring.sections import MTIME, Sections

EIGHT = [
    from_document(to_document(Device(id=i, device=f"d{i + 1}", port=6200, zone=1 + i // 2)))
    for i in range(8)
]
SMALL = even_ring(EIGHT, replicas=3, power=4)
HOLES = Ring(
    devices=[EIGHT[0], None, EIGHT[2]],
    rows=[array("H", [0, 2, 0, 2]), array("H", [2, 0])],
    power=2,
    version=7,
    next_power=3,
    hash_id="0123456789abcdef",
)
both = pytest.mark.parametrize("version", [1, 2])


def large_ids() -> Ring:
    devices: list[Device | None] = [None] * 70_000
    for number in (3, 69_999):
        devices[number] = from_document({**to_document(EIGHT[0]), "id": number})
    return Ring(devices=devices, rows=[array("I", [3, 69_999]), array("I", [69_999])], power=1)


def first(document: dict[str, object], rows: bytes, *, magic: bytes = b"R1NG\0\1") -> bytes:
    """A file of version 1, of parts that need not fit together."""
    text = json.dumps(document).encode()
    return gzip.compress(magic + struct.pack(">I", len(text)) + text + rows)


def description(**changed: object) -> dict[str, object]:
    """Of a ring of two partitions on one device."""
    usual: dict[str, object] = {
        "devs": [to_document(EIGHT[0])],
        "part_shift": 31,
        "replica_count": 1,
        "byteorder": "little",
    }
    return {key: value for key, value in {**usual, **changed}.items() if value is not ...}


# ---- what is written can be read ---------------------------------------------------------------


@both
@pytest.mark.parametrize("ring", [SMALL, HOLES, even_ring(EIGHT, replicas=1, power=0)])
def test_there_and_back(ring: Ring, version: int) -> None:
    """Nothing is lost, and equal rings are equal files."""
    data = encode(ring, version=version)
    assert decode(data) == ring
    assert encode(decode(data), version=version) == data


def test_a_file_does_not_tell_when_it_was_made() -> None:
    """Its time of making is the one of all of Swift's rings."""
    assert {int.from_bytes(encode(SMALL, version=v)[4:8], "little") for v in (1, 2)} == {MTIME}


def test_ids_over_65534_need_version_2() -> None:
    ring = large_ids()
    assert decode(encode(ring, version=2)) == ring
    with pytest.raises(RingError, match=r"device 69999 has partitions.*version 2 is needed"):
        encode(ring, version=1)


def test_there_are_two_versions() -> None:
    with pytest.raises(RingError, match="no version 3"):
        encode(SMALL, version=3)


@both
def test_only_we_look_for_the_hash_id(version: int) -> None:
    """It is a key of its own where it is known, and left out where it is not."""
    plain = zlib.decompress(encode(HOLES, version=version), 31)
    assert b'"swiftish_hash_id": "0123456789abcdef"' in plain
    assert b"swiftish" not in zlib.decompress(encode(SMALL, version=version), 31)


@both
def test_anybody_can_gunzip_it(version: int) -> None:
    plain = gzip.decompress(encode(SMALL, version=version))
    assert plain.startswith(b"R1NG" + struct.pack(">H", version))
    assert b'"device": "d8"' in plain


def test_version_2_can_be_read_from_its_index() -> None:
    """31 bytes before the end is where the index is; there inflating begins, as Swift does it."""
    data = encode(SMALL, version=2)
    (at,) = struct.unpack(">Q", zlib.decompressobj(-15).decompress(data[-31:]))
    plain = zlib.decompressobj(-15).decompress(data[at:])
    index = json.loads(plain[8 : 8 + int.from_bytes(plain[:8], "big")])
    assert sorted(index) == ["swift/ring/assignments", "swift/ring/devices", "swift/ring/metadata"]
    for start, plain_start, end, plain_end, method, checksum in index.values():
        section = zlib.decompressobj(-15).decompress(data[start:end])
        assert len(section) == plain_end - plain_start
        assert (method, hashlib.sha256(section).hexdigest()) == ("sha256", checksum)


def test_a_text_that_is_none_is_refused_before_it_is_stored() -> None:
    broken = Device(id=0, device="d\udcff")
    with pytest.raises(RingError, match="device"):
        encode(Ring(devices=[broken], rows=[array("H", [0])], power=0))


# ---- what others have written ------------------------------------------------------------------


def test_a_ring_from_before_there_were_versions_regions_and_byte_orders() -> None:
    old = {"id": 0, "zone": 3, "ip": "10.0.0.1", "port": 6000, "device": "sda", "weight": 1}
    rows = array("H", [0, 0]).tobytes()
    ring = decode(first(description(devs=[old], byteorder=...), rows))
    (device,) = ring.devices
    assert device is not None
    assert (ring.version, ring.next_power, ring.hash_id) == (0, None, "")
    assert (device.region, device.meta, device.weight) == (1, "", 1.0)
    assert (device.replication_ip, device.replication_port) == ("10.0.0.1", 6000)


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_ring_from_a_machine_of_another_byte_order(order: str) -> None:
    devices = [to_document(device) for device in EIGHT]
    row = array("H", [1, 2])
    if order != sys.byteorder:
        row.byteswap()
    ring = decode(first(description(devs=devices, byteorder=order), row.tobytes()))
    assert ring.rows == (array("H", [1, 2]),)


def test_devices_of_every_kind_are_those_of_from_document() -> None:
    """The quick way and the thorough one come to the same."""
    unusual = {**to_document(EIGHT[1]), "weight": 3, "replication_ip": None, "extra": [1]}
    for second in (to_document(EIGHT[1]), unusual):
        documents = [to_document(EIGHT[0]), second, None]
        ring = decode(first(description(devs=documents), bytes(4)))
        assert ring.devices[1] == from_document(second)


# ---- what is wrong -----------------------------------------------------------------------------


@both
@pytest.mark.parametrize("ring", [SMALL, HOLES])
def test_a_truncated_file_is_refused_wherever_it_ends(ring: Ring, version: int) -> None:
    data = encode(ring, version=version)
    for size in range(len(data)):
        with pytest.raises(BadRing):
            decode(data[:size])


@both
def test_a_flipped_bit_never_makes_another_ring(version: int) -> None:
    """Every bit once; a few are of no use to gzip, or say when the file was made and by whom."""
    data = encode(HOLES, version=version)
    refused = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(bytes(damaged)) == HOLES
        except BadRing:
            refused += 1
    assert refused > 8 * (len(data) - 40)


@both
def test_chance_never_makes_another_ring(version: int, chance: random.Random) -> None:
    """Bytes changed, left out, doubled and swapped: a BadRing, or the ring itself."""
    data = encode(SMALL, version=version)
    for _ in range(1_000):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            at, length = chance.randrange(len(damaged)), chance.randrange(8)
            damaged[at : at + length] = chance.randbytes(chance.randrange(8))
        with suppress(BadRing):
            assert decode(bytes(damaged)) == SMALL


@given(st.binary(max_size=200))
def test_any_bytes_are_no_ring(data: bytes) -> None:
    with pytest.raises(BadRing):
        decode(data)


@given(st.binary(max_size=100), st.integers(0, 3))
def test_any_bytes_in_gzip_are_no_ring(data: bytes, version: int) -> None:
    with pytest.raises(BadRing):
        decode(gzip.compress(b"R1NG" + struct.pack(">H", version) + data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = ("devs", "part_shift", "replica_count", "byteorder", "version", "next_part_power")


@given(st.sampled_from([*KEYS, "swiftish_hash_id"]), JSON)
def test_any_value_in_the_description_is_looked_at(key: str, value: object) -> None:
    """Whatever it is, the ring is one that can be used, or it is refused."""
    try:
        ring = decode(first(description(**{key: value}), bytes(4)))
    except BadRing:
        return
    assert [device.id for device in ring.primaries(1)] == [0]
    assert list(ring.handoffs(1)) == []


@given(st.sampled_from(sorted(to_document(EIGHT[0]))), JSON)
def test_any_value_in_a_device_is_looked_at(key: str, value: object) -> None:
    devices = [{**to_document(EIGHT[0]), key: value}]
    try:
        ring = decode(first(description(devs=devices), bytes(4)))
    except BadRing:
        return
    assert isinstance(ring.primaries(1)[0], Device)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"devs": ...}, "no list of devices"),
        ({"devs": [7]}, "not described"),
        ({"devs": [{**to_document(EIGHT[0]), "id": 4}]}, "device 0 says that it is device 4"),
        ({"devs": [None]}, "device 0, which was removed"),
        ({"devs": []}, "device 0, which is not described"),
        ({"part_shift": 33}, "above 32"),
        ({"part_shift": -1}, "part_shift"),
        ({"part_shift": 0}, "truncated"),
        ({"part_shift": 32}, "more bytes than it says"),
        ({"replica_count": 0}, "more bytes than it says"),
        ({"replica_count": 2}, "shorter than it says"),
        ({"replica_count": 1e9}, "replica_count"),
        ({"replica_count": 10**9}, "larger than it can be"),
        ({"byteorder": "middle"}, "byte order"),
        ({"byteorder": ["little"]}, "byte order"),
        ({"version": -1}, "version"),
        ({"next_part_power": 5}, "next partition power is 5 after 1"),
        ({"swiftish_hash_id": 5}, "not a text"),
    ],
)
def test_what_does_not_fit_together_is_named(changed: dict[str, object], complaint: str) -> None:
    assert decode(first(description(), bytes(4))).partitions == 2
    with pytest.raises(BadRing, match=complaint):
        decode(first(description(**changed), bytes(4)))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not a ring, or truncated"),
        (b"hello", "not a ring, or truncated"),
        (gzip.compress(b"hello, world"), "magic number"),
        (first(description(), bytes(4), magic=b"R1NG\0\3"), "version 3 can't be read"),
        (first(description(), bytes(3)), "within a number"),
        (first(description(), bytes(2)), "truncated"),
        (first(description(), bytes(6)), "more bytes than it says"),
        (first(description(), bytes(4)) + b"x", "something follows"),
        (gzip.compress(b"R1NG\0\1" + struct.pack(">I", 3) + b"[1]"), "not what it must be"),
        (gzip.compress(b"R1NG\0\1" + struct.pack(">I", 2) + b"[["), "can't be read"),
        (gzip.compress(b"R1NG\0\1" + struct.pack(">I", 2**31)), "too long"),
        (gzip.compress(gzip.decompress(encode(SMALL, version=2))), "was compressed anew"),
    ],
)
def test_what_is_not_a_whole_ring_is_named(data: bytes, complaint: str) -> None:
    with pytest.raises(BadRing, match=complaint):
        decode(data)


def test_a_small_file_can_not_ask_for_much_memory() -> None:
    """What it says of itself must be possible, and no more than that is uncompressed."""
    bomb = gzip.compress(b"R1NG\0\1" + struct.pack(">I", 2) + b"{}" + bytes(2**22))
    with pytest.raises(BadRing, match="part_shift"):
        decode(bomb)
    with pytest.raises(BadRing, match="more bytes"):
        decode(first(description(), bytes(2**22)))
    claims = description(part_shift=0, replica_count=3)  # three times four thousand million
    with pytest.raises(BadRing, match="larger than it can be"):
        decode(first(claims, bytes(2**16)))


def test_sections_of_others_are_checked_and_left_alone() -> None:
    """Whoever adds a section to a ring does no harm; one that is damaged is found."""
    sections = Sections(encode(SMALL, version=2))
    names = ["swift/ring/metadata", "swift/ring/devices"]
    pieces = list(sections.read_all({names[1]: 1_000}))
    assert {name for name, _ in pieces} == {names[1]}
    assert max(len(piece) for _, piece in pieces) == 1_000
    assert b"".join(piece for _, piece in pieces) == sections.read(names[1])
    with pytest.raises(BadRing, match="lacks its section a/b"):
        sections.read("a/b")
