"""The form of an LMDB file's pages: what is wrong with it is found before LMDB is asked."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from swiftish.runtime import pages
from swiftish.runtime.environment import (
    Environment,
    EnvironmentCorrupt,
    EnvironmentForeign,
    Writer,
)
from swiftish.runtime.environment_file import PAGE_BYTES, check_metas, check_pages

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An environment with small and large values, several levels, and free pages."""
    path = tmp_path_factory.mktemp("pages") / "x.mdb"
    environment = Environment(path, names=["a", "b"])
    chance = random.Random(1)

    def fill(writer: Writer) -> None:
        for number in range(200):
            key = b"%06d" % chance.randrange(10**6)
            writer.put("ab"[number % 2], key, bytes(200 + number % 7))

    def large(writer: Writer) -> None:
        for number in range(6):
            writer.put("a", b"large%d" % number, bytes(9000))

    def fewer(writer: Writer) -> None:
        for number in range(3):
            writer.delete("a", b"large%d" % number)

    for work in [*[fill] * 20, large, fewer]:
        environment.write(work)
    environment.close()
    return path.read_bytes()


def check(path: Path, data: bytes | bytearray) -> None:
    path.write_bytes(data)
    check_pages(path, check_metas(path)[0])


def page(data: bytes, number: int) -> slice:
    del data
    return slice(number * PAGE_BYTES, (number + 1) * PAGE_BYTES)


def leaves(data: bytes) -> list[int]:
    """The numbers of the leaf pages that are in use."""
    used = []

    def read(first: int, count: int) -> bytes:
        found = data[first * PAGE_BYTES : (first + count) * PAGE_BYTES]
        if found[10] == 2:
            used.append(first)
        return found

    meta = pages.metas(lambda first, count: data[first : count * PAGE_BYTES], PAGE_BYTES)[0]
    pages.check(read, meta, page_bytes=PAGE_BYTES, pages=len(data) // PAGE_BYTES)
    return used


def test_a_sound_file(tmp_path: Path, sound: bytes) -> None:
    """Has nothing wrong with it, also while it is open and changes."""
    check(tmp_path / "x.mdb", sound)
    environment = Environment(tmp_path / "x.mdb", names=["a", "b"], check=True)
    for number in range(50):
        environment.write(partial(Writer.put, name="b", key=b"more%d" % number, value=bytes(500)))
        environment.check()
    environment.close()


def test_t8_t49_pages_that_are_not_what_was_written(tmp_path: Path, sound: bytes) -> None:
    """Of zeros, of another place, from before, with a flipped bit in its head."""
    path = tmp_path / "x.mdb"
    one, other = leaves(sound)[1:3]
    cases = {
        "zeros": bytes(PAGE_BYTES),
        "another page": sound[page(sound, other)],
        "random bytes": random.Random(2).randbytes(PAGE_BYTES),
        "other flags": sound[page(sound, one)][:10] + b"\1" + sound[page(sound, one)][11:],
        "no keys": sound[page(sound, one)][:12] + b"\x10\0" + sound[page(sound, one)][14:],
    }
    for name, wrong in cases.items():
        data = bytearray(sound)
        data[page(sound, one)] = wrong
        with pytest.raises(pages.BadPages):
            check(path, data)
        path.unlink()
        assert name


def test_keys_out_of_order(tmp_path: Path, sound: bytes) -> None:
    """A flipped bit in a key can hide all that comes after it."""
    data = bytearray(sound)
    one = leaves(sound)[1]
    at = sound.index(b"0", one * PAGE_BYTES + 2000)
    data[at] ^= 0x40
    with pytest.raises(pages.BadPages, match=r"order|entries"):
        check(tmp_path / "x.mdb", data)


def test_metas(tmp_path: Path, sound: bytes) -> None:
    """Another version is left alone; a file with one rotten meta page is corrupt."""
    path = tmp_path / "x.mdb"
    for places, error in (
        ((20,), EnvironmentCorrupt),
        ((20, PAGE_BYTES + 20), EnvironmentForeign),
        ((16, PAGE_BYTES + 16), EnvironmentCorrupt),
        ((142, PAGE_BYTES + 142), EnvironmentCorrupt),  # the last page
    ):
        data = bytearray(sound)
        for place in places:
            data[place] ^= 0x40
        path.write_bytes(data)
        with pytest.raises(error):
            Environment(path, names=["a", "b"])
        assert path.exists()


def test_whatever_is_flipped_it_is_an_error_with_a_name(
    tmp_path: Path, sound: bytes, chance: random.Random
) -> None:
    """No other exception, and no endless walk."""
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(chance.choice([1, 1, 1, 10])):
            number = chance.randrange(len(data) // PAGE_BYTES)
            place = number * PAGE_BYTES + chance.randrange(chance.choice([64, PAGE_BYTES]))
            data[place] ^= 1 << chance.randrange(8)
        try:
            check(tmp_path / "x.mdb", data)
        except (pages.BadPages, pages.OtherVersion):
            continue


SURVIVE = """
import os, random, sys
from pathlib import Path
from swiftish.runtime.environment import Environment, EnvironmentTrouble

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
sound = (folder / "sound").read_bytes()
chance = random.Random(seed)
found = 0
for number in range(60):
    data = bytearray(sound)
    at = chance.randrange(2, len(data) // 4096) * 4096
    match number % 3:
        case 0: data[at : at + 4096] = bytes(4096)
        case 1: data[at : at + 4096] = chance.randbytes(4096)
        case _: data[at + chance.randrange(64)] ^= 1 << chance.randrange(8)
    path = folder / f"{number}.mdb"
    path.write_bytes(data)
    child = os.fork()
    if not child:
        try:
            environment = Environment(path, names=["a", "b"], check=True)
            with environment.read() as reader:
                for table in "ab":
                    for key, _ in reader.scan(table):
                        reader.get(table, key)
            environment.write(lambda w: [w.put("a", b"%06d" % n, b"v") for n in range(300)])
        except EnvironmentTrouble:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status >= 0, (number, status)
    found += status
print(found)
"""


def test_t8_no_process_dies_of_what_has_been_checked(
    tmp_path: Path, sound: bytes, seed: int
) -> None:
    """LMDB alone ends the process on half of these."""
    (tmp_path / "sound").write_bytes(sound)
    command = [sys.executable, "-c", SURVIVE, str(tmp_path), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8, "of 60, a third or more in the usual case"
    assert os.sysconf("SC_PAGESIZE") == 4096
