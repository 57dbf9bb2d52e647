"""Nodes that are restarted, reloaded and killed under load (reference 5, signals; T28, T101).

A failed request here is one that a good client would have seen fail (load.py).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.functional.account import Account
from tests.functional.server import alive, children, until
from tests.lab.lab import Lab, LabNode
from tests.lab.look import object_folders
from tests.lab.topology import Settings
from tests.probe.cluster.load import Load
from tests.probe.cluster.steps import heal, reload

REPLICATING: Settings = {
    "services": {"workers": ["object-replicator", "container-replicator", "account-replicator"]},
    "object": {"replicator_interval_s": 0.5},
}


def restart(lab: Lab, node: LabNode) -> None:
    assert node.stop() == 0, node.log_tail()
    lab.start(node.name)


def test_t101_reload_under_load(lab: Lab, account: Account, container: str) -> None:
    """SIGHUP, to each node in turn: the old processes finish what they have begun, and nobody is
    refused in between."""
    with Load(lab, container, proxies=1) as load:
        load.wait_for(5)
        for node in lab.nodes.values():
            reload(node)
            load.wait_for(5)
    load.check()


def test_t101_rolling_restart_under_load(lab: Lab, account: Account, container: str) -> None:
    """SIGTERM and a new start, each node in turn, proxies too: clients go to the other proxy."""
    with Load(lab, container, may_be_stale=True) as load:
        load.wait_for(5)
        for node in lab.nodes.values():
            restart(lab, node)
            load.wait_for(5)
    heal(lab)
    load.check()


def test_t101_a_child_is_killed_under_load(lab: Lab, account: Account, container: str) -> None:
    """A storage node's serving process is gone, and comes back by itself, with the same port."""
    node = lab.storage[0]
    with Load(lab, container, may_be_stale=True) as load:
        load.wait_for(5)
        (child,) = children(node.process.pid)
        os.kill(child, signal.SIGKILL)
        until(
            lambda: bool(set(children(node.process.pid)) - {child}), what="another child is there"
        )
        load.wait_for(10)
    heal(lab)
    load.check()


def test_hung_processes_end_in_time(lab: Lab, account: Account) -> None:
    """Reference 5, hung daemon: a child that stands still does not keep the node from ending."""
    node = lab.storage[0]
    node.configure({"server": {"drain_timeout_s": 1.0}})
    restart(lab, node)
    pids = node.pids()
    for pid in children(node.process.pid):
        os.kill(pid, signal.SIGSTOP)
    assert node.stop() == 0
    assert not any(map(alive, pids))


def test_workers_that_run_for_ever_refill_a_wiped_device(
    lab: Lab, account: Account, container: str
) -> None:
    """Reference 5, replication_servers_working: somebody has removed all of a device's objects
    under running servers; the replicators of the others bring them back by themselves."""
    for number in range(20):
        account.put(container, f"o{number}", b"%d" % number)
    node = lab.storage[0]
    disk = node.disks[0]
    before = folders_of(lab, node, disk.path.name)
    assert before
    node.kill()
    disk.format()
    for each in lab.storage:
        each.configure(REPLICATING)
        if each is not node:
            reload(each)
    lab.start(node.name)
    until(
        lambda: folders_of(lab, node, disk.path.name) >= before,
        what="all objects are back on the device",
        timeout_s=60,
    )


def folders_of(lab: Lab, node: LabNode, disk: str) -> set[str]:
    here = f"{node.name}/{disk}"
    return {path.name for where, path in object_folders(lab) if where == here and full(path)}


def full(path: Path) -> bool:
    try:
        return any(path.iterdir())
    except FileNotFoundError:
        return False
