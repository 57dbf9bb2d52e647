"""Objects on a cluster that loses nodes, disks and cables, and heals (reference 5; T21 to T40)."""

from __future__ import annotations

import shutil

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab
from tests.lab.look import Spot, ask, copies, misplaced, place
from tests.probe.cluster.steps import ACCOUNT, heal, on_primaries, sign_in, spread, start, stop


def spread_object(lab: Lab, container: str) -> tuple[str, list[Spot]]:
    """A name whose three primaries are on three nodes, and these."""
    name = spread(lab, container)
    return name, place(lab, ACCOUNT, container, name).primaries


def test_t21_one_primary_down(lab: Lab, account: Account, container: str) -> None:
    """The write is taken, a handoff holds what the primary misses, and brings it home."""
    name, primaries = spread_object(lab, container)
    stop(primaries[0])
    account.put(container, name, b"while one was down")
    before = copies(lab, ACCOUNT, container, name)
    assert len(before) == 3
    assert sum(where.endswith("!") for where in before) == 1, before
    start(lab, primaries[0])
    heal(lab)
    on_primaries(lab, container, name)
    assert account.get(container, name).body == b"while one was down"
    assert misplaced(lab) == []


def test_t21_a_delete_while_one_is_down_stays_one(
    lab: Lab, account: Account, container: str
) -> None:
    """The node that slept through the deletion does not bring the object back."""
    name, primaries = spread_object(lab, container)
    account.put(container, name, b"x")
    stop(primaries[1])
    assert account.request("DELETE", container, name).status == 204
    start(lab, primaries[1])
    heal(lab)
    (file,) = on_primaries(lab, container, name)
    assert file.endswith(".ts")
    assert account.request("GET", container, name).status == 404
    assert account.names(container) == []


def test_t22_two_primaries_down_and_no_handoff(lab: Lab, account: Account, container: str) -> None:
    """With two of four nodes down there is no quorum of devices: 503, or a quorum of handoffs;
    what was acknowledged is there when all are back."""
    name, primaries = spread_object(lab, container)
    stop(primaries[0], primaries[1])
    status = account.request("PUT", container, name, body=b"maybe").status
    assert status in (201, 503)
    start(lab, primaries[0], primaries[1])
    heal(lab)
    if status == 201:
        assert account.get(container, name).body == b"maybe"
        on_primaries(lab, container, name)


def test_t23_primaries_down_is_no_404(lab: Lab, account: Account, container: str) -> None:
    name, primaries = spread_object(lab, container)
    account.put(container, name, b"x")
    stop(*primaries)
    assert account.request("GET", container, name).status == 503
    assert account.request("HEAD", container, name).status == 503
    start(lab, *primaries)
    assert account.get(container, name).body == b"x"


def test_t24_a_newer_tombstone_beats_old_data(lab: Lab, account: Account, container: str) -> None:
    """One node has old data, the others know of the deletion."""
    name, primaries = spread_object(lab, container)
    account.put(container, name, b"x")
    stop(primaries[0])
    assert account.request("DELETE", container, name).status == 204
    start(lab, primaries[0])
    newest = account.request("GET", container, name, headers={"X-Newest": "true"})
    assert newest.status == 404
    heal(lab)
    assert account.request("GET", container, name).status == 404


def test_empty_device_and_handoff(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, empty_device_handoff: a primary is away, a handoff has the new write, and serves
    it when it is asked; afterwards the primary has it and the handoff does not."""
    name, primaries = spread_object(lab, container)
    stop(primaries[0])
    account.put(container, name, b"from the handoff")
    found = place(lab, ACCOUNT, container, name)
    (here,) = [w for w in copies(lab, ACCOUNT, container, name) if w.endswith("!")]
    handoff = next(spot for spot in found.handoffs if str(spot) == here.rstrip("!"))
    status, _, body = ask(lab, handoff, "GET", found.at(handoff))
    assert (status, body) == (200, b"from the handoff")
    start(lab, primaries[0])
    heal(lab)
    on_primaries(lab, container, name)
    assert ask(lab, handoff, "GET", found.at(handoff))[0] == 404


def test_a_lost_disk_is_refilled(lab: Lab, account: Account, container: str) -> None:
    """All of a device is gone; its replacement gets everything back from its peers."""
    for number in range(30):
        account.put(container, f"o{number}", b"%d" % number * 100)
    node = lab.storage[0]
    disk = node.disks[0]
    before = {p.name for p in disk.path.glob("objects/*/*/*") if any(p.iterdir())}
    assert before
    node.kill()
    disk.format()
    lab.start(node.name)
    heal(lab)
    after = {p.name for p in disk.path.glob("objects/*/*/*") if any(p.iterdir())}
    assert after >= before
    for number in range(30):
        assert account.get(container, f"o{number}").body == b"%d" % number * 100
    assert len(account.names(container)) == 30


def test_t33_a_device_that_is_not_mounted_is_not_written_to(
    lab: Lab, account: Account, container: str
) -> None:
    """What is below the mount point is the system's own disk."""
    if not lab.on_xfs:
        pytest.skip("devices are folders here")
    name, primaries = spread_object(lab, container)
    primaries[0].node.kill()
    primaries[0].disk.unplug()
    lab.start(primaries[0].node.name)
    account.put(container, name, b"x")
    assert list(primaries[0].disk.path.iterdir()) == []
    primaries[0].node.kill()
    primaries[0].disk.plug()
    lab.start(primaries[0].node.name)
    heal(lab)
    on_primaries(lab, container, name)


def test_t26_both_sides_of_a_split_write(lab: Lab, account: Account, container: str) -> None:
    """The newest wins everywhere once the cable is back, and the loser's bytes are gone."""
    if not lab.network.can_cut:
        pytest.skip("no cables to pull here")
    name, _ = spread_object(lab, container)
    left, right = (lab.nodes[n] for n in ("p1", "p2"))
    sides = ([left, *lab.storage[:2]], [right, *lab.storage[2:]])
    for one in sides[0]:
        for two in sides[1]:
            lab.network.cut(one.number, two.number)
            lab.network.cut(two.number, one.number)
    other = sign_in(lab, proxy=1)
    first = account.request("PUT", container, name, body=b"left").status
    second = other.request("PUT", container, name, body=b"right").status
    other.close()
    lab.network.heal()
    heal(lab)
    written = [b for status, b in ((first, b"left"), (second, b"right")) if status == 201]
    if written:
        assert account.get(container, name).body == written[-1]
        on_primaries(lab, container, name)


def test_metadata_of_a_post_that_a_primary_missed(
    lab: Lab, account: Account, container: str
) -> None:
    """Reference 5, metadata replication: newest data, and the newest metadata over them."""
    name, primaries = spread_object(lab, container)
    account.put(container, name, b"x", {"X-Object-Meta-A": "1"})
    stop(primaries[2])
    post = account.request("POST", container, name, headers={"X-Object-Meta-A": "2"})
    assert post.status == 202
    start(lab, primaries[2])
    heal(lab)
    on_primaries(lab, container, name)
    path = place(lab, ACCOUNT, container, name).at(primaries[2])
    status, headers, _ = ask(lab, primaries[2], "HEAD", path)
    assert (status, headers["x-object-meta-a"]) == (200, "2")


def test_a_file_that_is_gone_comes_back(lab: Lab, account: Account, container: str) -> None:
    """Somebody removed a hash folder, which only a thorough pass can find."""
    for node in lab.storage:
        node.configure({"object": {"replicator_thorough_every": 1}})
    name, primaries = spread_object(lab, container)
    account.put(container, name, b"x")
    shutil.rmtree(place(lab, ACCOUNT, container, name).folder(primaries[1]))
    heal(lab)
    on_primaries(lab, container, name)
