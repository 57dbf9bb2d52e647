"""Digests of suffixes: the same for the same files, and made anew only when something changed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swiftish.domain.hashing import HashPath
from swiftish.domain.timestamp import Timestamp
from swiftish.object import store
from swiftish.object.disk import Disk
from swiftish.object.errors import Corrupt, NoObject
from swiftish.object.index import Indexes
from swiftish.object.partitions import Partition, contents, give_up, reclaim
from swiftish.object.paths import Location
from swiftish.object.quarantine import quarantine
from swiftish.object.settings import ObjectSettings
from swiftish.object.store import Conditions, Draft
from swiftish.object.suffix_hashes import Summary, summarize
from swiftish.runtime.devices import LocalDevice
from tests.fakes.files import FaultyFiles

HASH_PATH = HashPath(prefix=b"", suffix=b"test")
PARTITION = Partition("objects", 0, 0)
NOW = 1_700_000_000.0
SETTINGS = ObjectSettings()


class Store:
    """One device's objects, and its index."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.files = FaultyFiles()
        self.device = LocalDevice(path.name, path)
        self.disk = Disk(self.device, files=self.files, settings=SETTINGS)
        self.indexes = Indexes()

    def location(self, name: str) -> Location:
        digest = HASH_PATH("a", "c", name).hex()
        return PARTITION.location(digest, f"/a/c/{name}")

    def put(self, name: str, data: bytes = b"x", *, at: float = 0.0) -> Location:
        timestamp = Timestamp.from_seconds(NOW + at)
        draft = Draft(timestamp=timestamp, content_type="text/plain", headers={})
        store.put_small(self.disk, self.location(name), conditions(at), draft, data)
        return self.location(name)

    def delete(self, name: str, *, at: float = 0.0) -> Location:
        with suppress(NoObject):
            store.delete(self.disk, self.location(name), conditions(at), if_delete_at=None)
        return self.location(name)

    def summary(self, *, now: float = NOW, thorough: bool = False) -> Summary:
        self.files.details.clear()
        index = self.indexes.environments
        return summarize(self.disk, index, PARTITION, now=now, thorough=thorough)

    def listed(self) -> list[str]:
        """The folders that were listed for the last summary."""
        found = [str(args[0]) for name, args in self.files.details if name == "listdir"]
        return [path.removeprefix(f"{self.path}/objects/") for path in found]

    def settle(self) -> None:
        """Let time pass, as far as dates say: what was done last was done a while ago."""
        top = self.path / "objects" / "0"
        for folder in (top, *top.iterdir()):
            date = folder.stat().st_mtime_ns - 3_600_000_000_000
            os.utime(folder, ns=(date, date))

    def close(self) -> None:
        self.indexes.close()
        self.device.threads.close()


def conditions(at: float) -> Conditions:
    return Conditions(
        timestamp=Timestamp.from_seconds(NOW + at), none_there=False, now=NOW + max(at, 0.0)
    )


@pytest.fixture
def objects(device: Path) -> Iterator[Store]:
    found = Store(device / "sda")
    yield found
    found.close()


@pytest.fixture
def others(device: Path) -> Iterator[Store]:
    found = Store(device / "sdb")
    yield found
    found.close()


def test_the_same_files_have_the_same_digest(objects: Store, others: Store) -> None:
    """Whatever came before them, and in whichever order; another version, or none, has another."""
    for name in ("a", "b", "c"):
        objects.put(name, at=1)
    for name in ("c", "b", "a"):
        others.put(name, at=0)
        others.put(name, at=1)
    assert objects.summary().digests == others.summary().digests
    assert objects.summary().objects == 3
    others.put("b", at=2)
    mine, theirs = objects.summary().digests, others.summary().digests
    suffix = others.location("b").digest[-3:]
    assert {s for s in mine if mine[s] != theirs.get(s)} == {suffix}


def test_t26_two_files_of_one_name_have_two_digests(objects: Store, others: Store) -> None:
    """Two writes of one moment differ in their metadata, or their bytes."""
    objects.put("a", b"one", at=1)
    others.put("a", b"two", at=1)
    assert objects.summary().digests != others.summary().digests


def test_an_unchanged_partition_is_not_looked_at(objects: Store) -> None:
    """Its date tells; no folder is listed, also by another process."""
    for number in range(5):
        objects.put(f"o{number}")
    objects.settle()
    first = objects.summary()
    assert len(objects.listed()) == 1 + 5 + 5, "the partition, its suffixes, their hash folders"
    assert objects.summary() == first
    assert objects.listed() == []
    objects.indexes.close()
    objects.indexes = Indexes()
    assert objects.summary() == first
    assert objects.listed() == []


@pytest.mark.parametrize("change", ["put", "post", "delete", "quarantine", "reclaim", "give up"])
def test_each_change_is_noticed(objects: Store, change: str) -> None:
    """And only the suffix that it is in is looked at again."""
    for number in range(5):
        objects.put(f"o{number}", at=-1)
    objects.delete("old", at=-SETTINGS.reclaim_age_s - 5)
    objects.settle()
    before = objects.summary()
    location = objects.location("o1")
    if change == "put":
        objects.put("o1", at=1)
    elif change == "post":
        store.post(
            *(objects.disk, location, conditions(1)),
            content_type=None,
            headers={},
            open_expired=False,
        )
    elif change == "delete":
        objects.delete("o1", at=1)
    elif change == "quarantine":
        with pytest.raises(Corrupt):
            quarantine(objects.disk, location, "for a test")
    elif change == "reclaim":
        location = objects.location("old")
        moment = Timestamp.from_seconds(NOW - SETTINGS.reclaim_age_s)
        assert reclaim(objects.disk, PARTITION, location.digest, before=moment) == 1
    else:
        found = contents(objects.disk, PARTITION, location.digest)
        assert give_up(objects.disk, PARTITION, location.digest, found)
    after = objects.summary()
    suffix = location.digest[-3:]
    if change == "reclaim":
        assert before.aged == [suffix]
        assert after.aged == []
    else:
        assert before.digests[suffix] != after.digests.get(suffix)
    looked_at = {path for path in objects.listed() if path != "0"}
    assert all(path.startswith(f"0/{suffix}") for path in looked_at)


def test_what_changes_within_a_tick_of_the_clock(objects: Store) -> None:
    """A date that is as new as the look at it is not trusted."""
    objects.put("a", at=1)
    date = (objects.path / "objects" / "0").stat().st_mtime_ns
    first = objects.summary()
    objects.put("a", at=2)
    for folder in (objects.path / "objects" / "0").glob("**/"):
        os.utime(folder, ns=(date, date))  # as a coarse clock would have it
    assert objects.summary().digests != first.digests


def test_what_a_person_removes(objects: Store) -> None:
    """Is seen by a thorough look only."""
    location = objects.put("a")
    objects.settle()
    first = objects.summary()
    for path in (objects.path / location.folder).iterdir():
        path.unlink()
    assert objects.summary() == first
    assert objects.summary(thorough=True).digests == {}
    assert objects.summary().digests == {}, "and that is what is known from now on"


def test_tombstones_leave_the_digest_with_age(objects: Store, others: Store) -> None:
    """When they may be reclaimed; replicas that have done so agree with those that have not."""
    objects.put("a")
    others.put("a")
    objects.delete("gone", at=-100)
    objects.settle()
    suffix = objects.location("gone").digest[-3:]
    assert suffix in objects.summary().digests
    later = NOW + SETTINGS.reclaim_age_s - 50
    assert objects.summary(now=later - 100).aged == []
    assert objects.summary(now=later).digests == others.summary(now=later).digests
    assert objects.summary(now=later).aged == [suffix]


def test_what_is_not_ours_changes_nothing(objects: Store, others: Store) -> None:
    """Strange names, hash folders of other partitions, obsolete files."""
    objects.put("a")
    others.put("a")
    suffix = objects.path / objects.location("a").suffix_folder
    (suffix / "lost").mkdir()
    (suffix / ("0" * 31 + "g")).mkdir()
    (suffix.parent / "xyz").mkdir()
    (suffix.parent / ".lock").touch()
    (suffix / objects.location("a").digest / "note.txt").touch()
    assert objects.summary().digests == others.summary().digests


def test_another_power_of_partitions(objects: Store) -> None:
    """What was known of a ring with other partitions is forgotten."""
    digest = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    assert digest[0] >= "8", "in the upper half"
    folder = objects.path / "objects" / "0" / digest[-3:] / digest
    folder.mkdir(parents=True)
    (folder / "1700000000.00000.ts").touch()
    objects.settle()
    assert objects.summary().digests
    halves = Partition("objects", 0, 1)
    index = objects.indexes.environments
    assert not summarize(objects.disk, index, halves, now=NOW).digests


def test_no_partition(objects: Store) -> None:
    """One that is not there, or goes, has no digests."""
    assert objects.summary().digests == {}
    objects.put("a")
    assert objects.summary().digests
    shutil.rmtree(objects.path / "objects")
    assert objects.summary().digests == {}
