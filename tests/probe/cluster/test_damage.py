"""Copies that go bad on their disks: never served, found, replaced (T18, T49 to T52)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab
from tests.lab.look import Place, Spot, ask, place
from tests.probe.cluster.steps import ACCOUNT, heal, on_primaries, spread

BODY = bytes(range(256)) * 40


def file_of(found: Place, spot: Spot) -> Path:
    (file,) = found.folder(spot).iterdir()
    return file


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    with file.open("r+b") as stream:
        stream.write(data)


def garble_attributes(file: Path) -> None:
    for name in os.listxattr(file):
        value = bytearray(os.getxattr(file, name))
        value[len(value) // 2] ^= 1
        os.setxattr(file, name, bytes(value))


def drop_attributes(file: Path) -> None:
    for name in os.listxattr(file):
        os.removexattr(file, name)


DAMAGE: Mapping[str, Callable[[Path], None]] = {
    "T49 a bit of the data": lambda file: flip(file, 5000),
    "T50 cut short": lambda file: os.truncate(file, 700),
    "T50 of no length": lambda file: os.truncate(file, 0),
    "T18 T49 a bit of the metadata": garble_attributes,
    "T18 no metadata": drop_attributes,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_t49_t50_t18_a_bad_copy(lab: Lab, account: Account, container: str, kind: str) -> None:
    """Reference 5, object_failures: the node does not serve it, clients get another copy, and the
    replicator makes a new one."""
    name = spread(lab, container)
    account.put(container, name, BODY)
    found = place(lab, ACCOUNT, container, name)
    bad = found.primaries[0]
    DAMAGE[kind](file_of(found, bad))
    assert ask(lab, bad, "GET", found.at(bad))[0] in (404, 503)
    for _ in range(4):
        assert account.get(container, name).body == BODY
    lab.once("object-replicator")
    on_primaries(lab, container, name)
    assert ask(lab, bad, "GET", found.at(bad))[2] == BODY


def test_t49_a_range_is_verified_too(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, object_failures; other than there, a range is not served unseen."""
    name = spread(lab, container)
    account.put(container, name, BODY)
    found = place(lab, ACCOUNT, container, name)
    bad = found.primaries[1]
    flip(file_of(found, bad), 5000)
    for where in ("bytes=4990-5010", "bytes=0-10"):
        status, _, body = ask(lab, bad, "GET", found.at(bad), {"range": where})
        assert status in (404, 503), body
        for _ in range(3):
            reply = account.get(container, name, {"Range": where})
            first, last = map(int, where.removeprefix("bytes=").split("-"))
            assert (reply.status, reply.body) == (206, BODY[first : last + 1])
    lab.once("object-replicator")
    on_primaries(lab, container, name)


def test_t50_post_to_a_file_of_no_length(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, object_failures: the metadata reach the good copies, and with them the new."""
    name = spread(lab, container)
    account.put(container, name, BODY)
    found = place(lab, ACCOUNT, container, name)
    bad = found.primaries[2]
    os.truncate(file_of(found, bad), 0)
    posted = account.request("POST", container, name, headers={"X-Object-Meta-Colour": "blue"})
    assert posted.status == 202
    lab.once("object-replicator")
    lab.once("object-auditor-quick", "object-replicator")
    on_primaries(lab, container, name)
    for spot in found.primaries:
        status, headers, body = ask(lab, spot, "GET", found.at(spot))
        assert (status, headers["x-object-meta-colour"], body) == (200, "blue", BODY)


def test_t50_another_object_under_this_name(lab: Lab, account: Account, container: str) -> None:
    """A write that went to the wrong place: each file knows whose it is."""
    name, other = spread(lab, container), spread(lab, container, "other")
    account.put(container, name, BODY)
    account.put(container, other, BODY[::-1])
    found, elsewhere = (place(lab, ACCOUNT, container, each) for each in (name, other))
    bad = found.primaries[0]
    shutil.copy2(file_of(elsewhere, elsewhere.primaries[0]), file_of(found, bad))
    assert ask(lab, bad, "GET", found.at(bad))[0] in (404, 503)
    assert account.get(container, name).body == BODY
    lab.once("object-auditor", "object-replicator")
    on_primaries(lab, container, name)
    assert ask(lab, bad, "GET", found.at(bad))[2] == BODY


def test_t51_the_version_before_under_the_new_name(
    lab: Lab, account: Account, container: str
) -> None:
    """The disk has lost the last write and returns what was there before."""
    name = spread(lab, container)
    account.put(container, name, BODY[::-1])
    found = place(lab, ACCOUNT, container, name)
    bad = found.primaries[0]
    old = lab.folder / "before"
    shutil.copy2(file_of(found, bad), old)
    account.put(container, name, BODY)
    shutil.copy2(old, file_of(found, bad))
    assert ask(lab, bad, "GET", found.at(bad))[0] in (404, 503)
    for _ in range(4):
        assert account.get(container, name).body == BODY
    lab.once("object-auditor", "object-replicator")
    on_primaries(lab, container, name)
    assert ask(lab, bad, "GET", found.at(bad))[2] == BODY


def test_t52_two_of_three_copies_rot(lab: Lab, account: Account, container: str) -> None:
    """The third serves, and heals both; the auditor has found them before anybody asked."""
    name = spread(lab, container)
    account.put(container, name, BODY)
    found = place(lab, ACCOUNT, container, name)
    for spot in found.primaries[:2]:
        flip(file_of(found, spot), 100)
    said = lab.once("object-auditor")
    assert said.count("quarantined=1") == 2, said
    assert account.get(container, name).body == BODY
    heal(lab)
    assert account.get(container, name).body == BODY
    on_primaries(lab, container, name)
    for spot in found.primaries[:2]:
        assert (spot.disk.path / "quarantined" / "objects" / found.digest).is_dir()


def test_t36_an_isolated_node_quarantines_nothing(
    lab: Lab, account: Account, container: str
) -> None:
    """Nobody else answers for many passes of all watchers; nothing is deleted or put away."""
    if not lab.network.can_cut:
        pytest.skip("no cables to pull here")
    for number in range(20):
        account.put(container, f"o{number}", b"%d" % number)
    node = lab.storage[1]
    before = {disk.path.name: objects_on(disk.path) for disk in node.disks}
    assert any(before.values())
    lab.network.unplug(node.number)
    node.configure({"object": {"reclaim_age_s": 1.0}})
    watchers = ("object-auditor-quick", "object-auditor", "object-replicator", "object-sweeper")
    databases = ("container-auditor", "account-auditor", "container-replicator", "account-reaper")
    said = lab.once(*watchers, *databases, "object-expirer", nodes=[node.name], errors=True)
    said += lab.once(*watchers, nodes=[node.name], errors=True)
    for disk in node.disks:
        after = objects_on(disk.path)
        assert after == before[disk.path.name], f"{after ^ before[disk.path.name]}\n{said}"
    lab.network.heal()
    node.configure({})
    heal(lab)
    for number in range(20):
        assert account.get(container, f"o{number}").body == b"%d" % number


def objects_on(disk: Path) -> set[str]:
    """All objects' files, and how many things are in the quarantine: a folder there gets another
    name when what was in it is back."""
    put_away = len(list(disk.glob("quarantined/*/*")))
    return {str(path) for path in disk.glob("objects*/*/*/*/*")} | {f"quarantined: {put_away}"}
