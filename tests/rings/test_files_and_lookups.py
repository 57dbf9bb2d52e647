"""Rings and ring files are Swift's: whoever made one, both find the same devices in it."""

from __future__ import annotations

import random
from array import array
from pathlib import Path
from typing import Any

import pytest

from swiftish.domain.hashing import HashPath
from swiftish.ring.device import Device, from_document, to_document
from swiftish.ring.errors import RingError
from swiftish.ring.even import even_ring
from swiftish.ring.format import decode, encode
from swiftish.ring.ring import Ring
from tests.rings.specs import Oracle, built_by_us, random_spec

NAMES = 1_000
BATCHES = range(20)
BATCH = 10  # rings; in each, one with large ids
LETTERS = "ab/ 0ü漢€😀.-_%"


def random_names(chance: random.Random) -> list[list[str]]:
    """Accounts, containers and objects, of whatever a client may call them."""

    def name(extra: str) -> str:
        return "".join(chance.choices(LETTERS + extra, k=chance.randrange(1, 12)))

    names = []
    for _ in range(NAMES):
        parts = ["AUTH_" + name("").replace("/", "x"), name("").replace("/", "x"), name("/\n")]
        names.append(parts[: chance.choice([1, 2, 3, 3])])
    return names


def random_secret(chance: random.Random) -> bytes:
    return bytes(chance.randrange(256) for _ in range(chance.randrange(1, 20)))


def check_lookups(
    ring: Ring, answer: dict[str, Any], names: list[list[str]], path: HashPath
) -> None:
    partitions = [ring.partition(path(*name)) for name in names]
    assert partitions == answer["partitions"]
    for partition, (primaries, handoffs) in answer["nodes"].items():
        found = [device.id for device in ring.primaries(int(partition))]
        assert found == primaries, partition
        found = [device.id for device in ring.handoffs(int(partition))]
        assert found == handoffs, partition


def check(
    ring: Ring, *, oracle: Oracle, chance: random.Random, folder: Path, theirs: list[str]
) -> None:
    """Our files of the ring and theirs are the same ring to both, and looked up alike."""
    ours = []
    for version in (1, 2):
        path = folder / f"ours{version}.ring.gz"
        try:
            path.write_bytes(encode(ring, version=version))
        except RingError:
            assert version == 1
            assert len(ring.devices) > 65_535
            continue
        ours.append(str(path))
        assert decode(path.read_bytes()) == ring
    theirs = theirs or oracle("save", path=ours[0], folder=str(folder))["paths"]
    for saved in theirs:
        assert decode(Path(saved).read_bytes()) == ring
    prefix, suffix, names = random_secret(chance), random_secret(chance), random_names(chance)
    answer = oracle(
        "look_up",
        paths=[*ours, *theirs],
        names=names,
        prefix=prefix.decode("latin-1"),
        suffix=suffix.decode("latin-1"),
    )
    assert answer["different"] == []
    assert answer["devices"] == [device.id for device in ring.devices if device is not None]
    assert (answer["version"], answer["next_power"]) == (ring.version, ring.next_power)
    check_lookups(ring, answer, names, HashPath(prefix=prefix, suffix=suffix))


@pytest.mark.parametrize("batch", BATCHES)
def test_rings_that_swift_has_built(
    batch: int, oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    """Devices with holes, fractions of replicas, a power that is being increased: all of it."""
    for number in range(BATCH // 2):
        spec = random_spec(chance, large_ids=number == 0)
        built = oracle("build", spec=spec.document(), folder=str(tmp_path))
        ring = decode(Path(built["paths"][-1]).read_bytes())
        assert [list(row) for row in ring.rows] == built["_replica2part2dev"]
        assert list(ring.devices) == [each and from_document(each) for each in built["devs"]]
        assert (ring.power, ring.next_power) == (built["part_power"], built["next_part_power"])
        check(ring, oracle=oracle, chance=chance, folder=tmp_path, theirs=built["paths"])


@pytest.mark.parametrize("batch", BATCHES)
def test_rings_that_we_have_built(
    batch: int, oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    """The same, the other way round."""
    for number in range(BATCH // 2):
        spec = random_spec(chance, large_ids=number == 0)
        ring = built_by_us(spec).ring()
        check(ring, oracle=oracle, chance=chance, folder=tmp_path, theirs=[])


@pytest.mark.parametrize("power", [16, 17, 18])
def test_a_large_ring(power: int, oracle: Oracle, chance: random.Random, tmp_path: Path) -> None:
    """Beyond 65,536 partitions the walk for handoffs takes longer steps, and may miss a device."""
    devices = [
        from_document(to_document(Device(id=n, device=f"d{n}", zone=n % 4, region=1 + (n == 39))))
        for n in range(40)
    ]
    row = array("H", chance.choices(range(38), k=2**power))
    for rare in (38, 39):
        row[chance.randrange(2**power)] = rare
    short = array("H", chance.choices(range(38), k=2**power // 3))
    ring = Ring(devices=devices, rows=[row, row[::-1], short], power=power)
    path = tmp_path / "large.ring.gz"
    path.write_bytes(encode(ring))
    names = random_names(chance)[:30]
    answer = oracle("look_up", paths=[str(path)], names=names, prefix="x", suffix="")
    check_lookups(ring, answer, names, HashPath(prefix=b"x", suffix=b""))


@pytest.mark.parametrize(("count", "replicas"), [(1, 1), (4, 3), (9, 2)])
def test_the_ring_of_one_machine(
    count: int, replicas: int, oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    """What `swiftish serve` makes on its first start."""
    devices = [
        from_document(to_document(Device(id=number, device=f"d{number + 1}", zone=number // 2)))
        for number in range(count)
    ]
    ring = even_ring(devices, replicas=replicas, hash_id="0123456789abcdef")
    for version in (1, 2):  # Swift does not keep our key: the files are not compared
        path = tmp_path / f"even{version}.ring.gz"
        path.write_bytes(encode(ring, version=version))
        names = random_names(chance)
        answer = oracle("look_up", paths=[str(path)], names=names, prefix="", suffix="x")
        check_lookups(ring, answer, names, HashPath(prefix=b"", suffix=b"x"))
