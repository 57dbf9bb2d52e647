"""Bad bits, short files and wrong files are never served: they go to the quarantine."""

from __future__ import annotations

import errno
import itertools
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.errors import Corrupt
from tests.fakes.files import FaultyFiles, always, fail_at
from tests.fakes.object_node import Node, serving

LARGE = 2 * BLOCK_BYTES + 1000
ATTRIBUTE = "user.swiftish"


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes((byte[0] ^ 0x10,)))


def flip_attribute(path: Path, position: int) -> None:
    value = bytearray(os.getxattr(path, ATTRIBUTE))
    value[position] ^= 0x10
    os.setxattr(path, ATTRIBUTE, bytes(value))


def only_file(node: Node, suffix: str = ".data") -> Path:
    (path,) = (path for path in node.folder().iterdir() if path.suffix == suffix)
    return path


async def is_never_served(node: Node) -> None:
    """Not by any verb, not in part, not as something that never was; until it is put again."""
    for _ in range(2):
        for method in ("GET", "HEAD"):
            assert (await node.ask(method)).status == 503
        assert (await node.ask("GET", range="bytes=0-0")).status == 503
        assert (await node.ask("POST", at=100)).status == 503
    assert "reason" in node.quarantined()
    assert not node.folder().exists()
    assert (await node.ask("PUT", body=b"again", at=101)).status == 201
    assert (await node.ask("GET")).body == b"again"


@pytest.mark.parametrize("position", [0, 500, 999])
@pytest.mark.parametrize("asked", [None, "bytes=0-0", "bytes=998-998"])
def test_t49_a_flipped_bit_in_a_small_object(
    device: Path, position: int, asked: str | None
) -> None:
    """Wherever it is, and whatever is asked for: no byte leaves, and the file is put away."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(1000), at=1)
        flip(only_file(node), position)
        answer = await node.ask("GET", headers={"range": asked} if asked else {})
        assert answer.status == 503
        assert b"\0" not in answer.body
        assert node.quarantined() == ["1700000001.00000.data", "reason"]
        await is_never_served(node)

    serving(device, scenario)


def test_t49_a_flipped_bit_in_any_byte_of_the_metadata(device: Path, seed: int) -> None:
    """Marker, form, checksum, map: nothing of it is believed."""
    chance = random.Random(seed)

    async def scenario(node: Node) -> None:
        await node.ask("PUT", "probe", at=1)
        (probe,) = node.folder("probe").iterdir()
        length = len(os.getxattr(probe, ATTRIBUTE))
        for position in {0, 1, 2, 3, 10, 11, length - 1, chance.randrange(length)}:
            name = f"{position:05}"  # as long as the probe's
            await node.ask("PUT", name, body=b"data", at=1)
            (path,) = node.folder(name).iterdir()
            flip_attribute(path, position)
            assert (await node.ask("HEAD", name)).status == 503, position
            assert not node.folder(name).exists()

    serving(device, scenario)


@pytest.mark.parametrize("where", ["meta", "content type"])
def test_t49_a_flipped_bit_in_posted_metadata(device: Path, where: str) -> None:
    """The PUT's own metadata do not come back to life."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1, x_object_meta_secret="old")
        await node.ask("POST", at=2, content_type="x/y" if where == "content type" else "")
        flip_attribute(only_file(node, ".meta"), 20)
        await is_never_served(node)

    serving(device, scenario)


def test_t49_a_flipped_bit_in_the_trailer(device: Path) -> None:
    """Is found before the first block is read."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(LARGE), at=1)
        flip(only_file(node), LARGE + 9)
        assert (await node.ask("HEAD")).status == 200, "HEAD says nothing about the bytes"
        assert (await node.ask("GET", range="bytes=0-0")).status == 503
        await is_never_served(node)

    serving(device, scenario)


def test_t49_a_flipped_bit_in_a_later_block(device: Path) -> None:
    """Good blocks leave, the bad one does not, and ranges of good blocks are served."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(LARGE), at=1)
        flip(only_file(node), BLOCK_BYTES + 5)
        good = await node.ask("GET", range=f"bytes={2 * BLOCK_BYTES}-{2 * BLOCK_BYTES + 9}")
        assert (good.status, good.body) == (206, bytes(10))
        response = await node.open("GET")
        assert response.status == 200
        assert await response.body.read() == bytes(BLOCK_BYTES)
        with pytest.raises(Corrupt):
            await response.body.read()
        await response.body.aclose()
        assert node.quarantined() == ["1700000001.00000.data", "reason"]
        answer = await node.ask("GET", range=f"bytes={BLOCK_BYTES}-{BLOCK_BYTES}")
        assert answer.status == 503
        await is_never_served(node)

    serving(device, scenario)


@pytest.mark.parametrize(
    ("size", "change"),
    [(0, 1), *itertools.product([1, 10, 1000, LARGE], [-1, 1, -(10**9)])],
)
def test_t50_files_of_another_length(device: Path, size: int, change: int) -> None:
    """Cut off, emptied or with something after the end."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(size), at=1)
        path = only_file(node)
        os.truncate(path, max(0, path.stat().st_size + change))
        await is_never_served(node)

    serving(device, scenario)


def test_t49_a_flipped_bit_in_the_length_of_metadata_in_the_file(device: Path) -> None:
    """Is damage, and no reason to read gigabytes into memory."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(10), at=1, x_object_meta_a="v" * 70_000)
        path = only_file(node)
        os.truncate(path, 3 * 2**30)
        flip_attribute(path, 3)  # 256 MiB more
        tracemalloc.start()
        assert (await node.ask("GET")).status == 503
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
        tracemalloc.stop()
        await is_never_served(node)

    serving(device, scenario)


def test_t50_the_right_bytes_under_the_wrong_name(device: Path) -> None:
    """A write that went astray leaves a sound file in the wrong place."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"mine", at=1)
        await node.ask("PUT", "other", body=b"your", at=1)
        (other,) = node.folder("other").iterdir()
        path = only_file(node)
        path.unlink()
        other.rename(path)
        await is_never_served(node)

    serving(device, scenario)


def test_t51_an_older_file_under_a_newer_name(device: Path) -> None:
    """The timestamp is in the metadata too."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"mine", at=1)
        path = only_file(node)
        path.rename(path.with_name("1700000009.00000.data"))
        await is_never_served(node)

    serving(device, scenario)


def test_t18_no_metadata_at_all(device: Path) -> None:
    """ENODATA is a damaged object, not an error of the server."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"mine", at=1)
        os.removexattr(only_file(node), ATTRIBUTE)
        await is_never_served(node)

    serving(device, scenario)


def test_a_file_where_a_folder_should_be(device: Path) -> None:
    """Goes to the quarantine as well."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"mine", at=1)
        only_file(node).unlink()
        node.folder().rmdir()
        node.folder().write_bytes(b"")
        await is_never_served(node)

    serving(device, scenario)


@pytest.mark.parametrize("code", [errno.EIO, errno.EUCLEAN, errno.ENODATA])
def test_b3_12_a_disk_that_cannot_read(device: Path, code: int) -> None:
    """Whichever call of a GET fails: quarantine, no loop; what was opened is closed."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        for name in ("listdir", "open", "getxattr", "pread", "fstat"):
            size = LARGE if name == "fstat" else 1000
            await node.ask("PUT", name, body=bytes(size), at=1)
            files.fault = fail_at(0, code, names=frozenset({name}))
            assert (await node.ask("GET", name)).status in (503, 507), name
            assert files.opened == set()
            files.fault = fail_at(-1, code)
            if name != "fstat":
                assert (await node.ask("GET", name)).status == 503, "it is in quarantine"

    serving(device, scenario, files=files)


def test_out_of_descriptors_is_no_damage(device: Path) -> None:
    """EMFILE is 503, and when it is over the object is there as ever."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        files.fault = always(errno.EMFILE, names=frozenset({"open", "listdir"}))
        assert (await node.ask("GET")).status == 503
        files.fault = fail_at(-1, 0)
        assert (await node.ask("GET")).body == b"data"
        assert node.quarantined() == []

    serving(device, scenario, files=files)


def test_a_disk_that_cannot_even_quarantine(device: Path) -> None:
    """Nothing is served all the same."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        flip(only_file(node), 0)
        files.fault = always(errno.EROFS, names=frozenset({"mkdir", "rename"}))
        for _ in range(3):
            assert (await node.ask("GET")).status == 503
        assert files.opened == set()

    serving(device, scenario, files=files)


def test_a_folder_is_not_put_away_because_descriptors_are_short(device: Path) -> None:
    """It may hold a newer object, whose upload is just being acknowledged."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        flip(only_file(node), 0)
        files.fault = fail_at(1, errno.EMFILE, names=frozenset({"listdir"}))
        assert (await node.ask("GET")).status == 503
        assert node.names() == ["+1.data"]
        await is_never_served(node)

    serving(device, scenario, files=files)


def test_a_newer_object_is_not_put_away_with_a_bad_old_one(device: Path) -> None:
    """Whoever still reads the old file finds it bad; the new one is none of its business."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=bytes(LARGE), at=1)
        flip(only_file(node), 2 * BLOCK_BYTES)
        response = await node.open("GET")
        await response.body.read()
        await node.ask("PUT", body=b"newer", at=2)
        await response.body.read()
        with pytest.raises(Corrupt):
            await response.body.read()
        await response.body.aclose()
        assert node.quarantined() == []
        assert (await node.ask("GET")).body == b"newer"

    serving(device, scenario)


def test_older_files_that_still_lie_about_do_not_come_back(device: Path) -> None:
    """When the newest version is bad, one that was to be removed is not served in its place."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"old", at=1)
        files.fault = always(errno.EIO, names=frozenset({"unlink"}))
        assert (await node.ask("PUT", body=b"new", at=2)).status == 201
        files.fault = fail_at(-1, 0)
        assert node.names() == ["+1.data", "+2.data"]
        flip(node.folder() / "1700000002.00000.data", 0)
        await is_never_served(node)

    serving(device, scenario, files=files)


def test_a_lost_object_can_be_deleted(device: Path) -> None:
    """It was there, so it is 204, and then it is as deleted as any other."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"data", at=1)
        flip(only_file(node), 0)
        assert (await node.ask("DELETE", at=2)).status == 204 or node.quarantined()
        assert (await node.ask("GET")).status == 404
        await node.ask("PUT", "two", body=b"data", at=1)
        (path,) = node.folder("two").iterdir()
        flip(path, 0)
        assert (await node.ask("GET", "two")).status == 503
        assert (await node.ask("DELETE", "two", at=2)).status == 204
        assert (await node.ask("GET", "two")).status == 404

    serving(device, scenario)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_quarantine_that_is_cut_short(device: Path, renames: int) -> None:
    """Wherever it stops, the older version is not what is left."""
    files = FaultyFiles()

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"old", at=1)
        files.fault = always(errno.EIO, names=frozenset({"unlink"}))
        assert (await node.ask("PUT", body=b"new", at=2)).status == 201
        assert (await node.ask("POST", at=3)).status == 202
        flip(node.folder() / "1700000002.00000.data", 0)
        files.fault = fail_at(renames, errno.EIO, names=frozenset({"rename"}))
        for _ in range(3):
            assert (await node.ask("GET")).status == 503
        assert (await node.ask("PUT", body=b"again", at=4)).status == 201
        assert (await node.ask("GET")).body == b"again"

    serving(device, scenario, files=files)
