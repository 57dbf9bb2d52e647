"""Rings that change while clients work, and nodes that have other ones (T28, T30, T31, T38)."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from tests.functional.account import Account
from tests.functional.server import until
from tests.lab.lab import Lab, LabNode
from tests.lab.look import copies, misplaced, place, ring_of
from tests.lab.topology import PORTS
from tests.probe.cluster.load import Load
from tests.probe.cluster.steps import (
    ACCOUNT,
    QUIET,
    WHOLE,
    fill,
    heal,
    on_primaries,
    reload,
)

# The fifth node is in no ring at first.
TOPOLOGY = replace(
    WHOLE, storage=5, proxies=1, policies={"gold": 3}, settings=QUIET, outside=("n5",)
)
RINGS = ("account", "container", "object")


def join(lab: Lab, node: LabNode) -> None:
    for name in RINGS:
        for disk in node.disks:
            word = f"r1z{node.name[1:]}-{node.address}:{PORTS[name]}/{disk.path.name}"
            lab.rings.do(name, "add", word, "100")


def drain(lab: Lab, node: LabNode) -> None:
    """It is to give away all that it has: who is in no ring any more, does nothing."""
    for name in RINGS:
        lab.rings.do(name, "set_weight", f"{node.address}:{PORTS[name]}", "0", "--yes")


def leave(lab: Lab, node: LabNode) -> None:
    for name in RINGS:
        lab.rings.do(name, "remove", f"{node.address}:{PORTS[name]}", "--yes")


def rebalance(lab: Lab) -> None:
    for name in RINGS:
        lab.rings.rebalance(name)


def reload_all(lab: Lab) -> None:
    """Rather than to wait for the watchers of rings."""
    for node in lab.nodes.values():
        reload(node)


def has_new_rings(node: LabNode) -> bool:
    """In the process that serves."""
    return node.log.read_text().count("new ring loaded") >= len(RINGS)


def in_ring(lab: Lab, node: LabNode) -> int:
    """How many replicas of partitions of objects the node has."""
    ring = ring_of(lab, "object")
    return sum(
        device.ip == node.address
        for partition in range(ring.partitions)
        for device in ring.primaries(partition)
    )


def is_at_home(lab: Lab) -> bool:
    """After another pass of all who heal."""
    heal(lab)
    return misplaced(lab) == []


def test_t28_a_node_more_and_a_node_less_under_load(
    lab: Lab, account: Account, container: str
) -> None:
    """The rings are replaced while clients work and replicators move what has to: nothing fails,
    and afterwards the node that left holds nothing, and everything is at home."""
    fresh, leaving = lab.nodes["n5"], lab.nodes["n1"]
    for number in range(30):
        account.put(container, f"o{number:02}", b"%d" % number)
    before = {p: ring_of(lab, "object").primaries(p) for p in range(64)}
    # A primary that the ring has just made may have an older version than the others.
    with Load(lab, container, proxies=1, may_be_stale=True) as load:
        load.wait_for(5)
        join(lab, fresh)
        rebalance(lab)
        moved = ring_of(lab, "object")
        for partition, homes in before.items():  # T31: one replica of a partition at a time
            assert len(set(moved.primaries(partition)) - set(homes)) <= 1
        everybody = list(lab.nodes.values())  # the new node too, which has devices now
        until(lambda: all(map(has_new_rings, everybody)), what="the new rings, by themselves")
        heal(lab)
        load.wait_for(5)
        drain(lab, leaving)
        rebalance(lab)
        reload_all(lab)
        until(lambda: is_at_home(lab), what="all at home, whatever is written meanwhile")
        leave(lab, leaving)
        rebalance(lab)
        reload_all(lab)
        leaving.kill()
        load.wait_for(5)
    heal(lab)
    load.check()
    account.close()  # its connection is to a process that is gone
    assert in_ring(lab, leaving) == 0
    assert misplaced(lab) == []
    for number in range(30):
        assert account.get(container, f"o{number:02}").body == b"%d" % number
        on_primaries(lab, container, f"o{number:02}")


def test_t30_peers_with_different_rings(lab: Lab, account: Account, container: str) -> None:
    """Some nodes have the new ring and others do not: no copy is given up before those who are
    primaries by their own ring have it; never are there fewer than there should be."""
    names = [f"o{number:02}" for number in range(20)]
    for name in names:
        account.put(container, name, name.encode())
    old = lab.folder / "old-rings"
    shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(lab.rings.folder, old)
    behind = [node for node in lab.storage if node.name in ("n2", "n3")]
    for node in behind:
        node.kill()
        node.configure({"node": {"rings": str(old)}})
        lab.start(node.name)
    goes, comes = sorted((lab.nodes["n1"], lab.nodes["n5"]), key=lambda n: in_ring(lab, n) == 0)
    join(lab, comes)
    drain(lab, goes)
    rebalance(lab)
    for node in lab.nodes.values():
        if node not in behind:
            reload(node)
    account.close()  # its connection is to a process that is gone
    for _ in range(3):
        lab.once("object-replicator", errors=True)
        for name in names:
            assert len(copies(lab, ACCOUNT, container, name)) >= 3
            assert account.get(container, name).body == name.encode()
    for node in behind:
        node.kill()
        node.configure({})
        lab.start(node.name)
    heal(lab)
    heal(lab)
    assert misplaced(lab) == []
    for name in names:
        on_primaries(lab, container, name)


def test_t38_fewer_replicas_and_more_again(lab: Lab, account: Account, container: str) -> None:
    names = [f"o{number:02}" for number in range(20)]
    for name in names:
        account.put(container, name, name.encode())
    for replicas in (2, 3):
        lab.rings.do("object", "set_replicas", str(replicas))
        lab.rings.rebalance("object")
        reload_all(lab)
        account.close()  # its connection is to a process that is gone
        heal(lab)
        heal(lab)
        assert misplaced(lab) == []
        for name in names:
            on_primaries(lab, container, name)
            assert len(place(lab, ACCOUNT, container, name).primaries) == replicas
            assert account.get(container, name).body == name.encode()


def test_t40_a_rebalance_of_a_full_cluster(lab: Lab, account: Account, container: str) -> None:
    """All devices are 95 % full; a ring change still gets everything to where it belongs."""
    if not lab.on_xfs:
        pytest.skip("devices are folders here")
    names = [f"o{number:02}" for number in range(30)]
    for name in names:
        account.put(container, name, name.encode() * 20_000)
    one, other = (lab.nodes[name] for name in ("n2", "n3"))
    for _, disk in lab.disks():
        there = os.statvfs(disk.path)
        fill(disk, leave=there.f_blocks * there.f_frsize // 20)
    try:
        for weight, node in (("50", one), ("150", other)):
            for name in RINGS:
                where = f"{node.address}:{PORTS[name]}"
                lab.rings.do(name, "set_weight", where, weight, "--yes")
        rebalance(lab)
        reload_all(lab)
        assert misplaced(lab) != []
        for _ in range(3):
            lab.once("object-replicator", errors=True)
        assert misplaced(lab) == []
    finally:
        for _, disk in lab.disks():
            (disk.path / "ballast").unlink()
    account.close()  # its connection is to a process that is gone
    for name in names:
        on_primaries(lab, container, name)
        assert account.get(container, name).body == name.encode() * 20_000
