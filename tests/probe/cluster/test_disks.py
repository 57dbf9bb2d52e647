"""Disks that hang, are slow, are full; transfers that are cut off (T32 to T35, T39)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swiftish.object.disk import SPACE_CHECK_INTERVAL_S
from tests.functional.account import Account
from tests.functional.server import until
from tests.lab.disks import CannotHang
from tests.lab.lab import Lab
from tests.lab.look import Place, Spot, ask, copies, place
from tests.probe.cluster.steps import ACCOUNT, fill, heal, on_primaries, spread, start, stop

SAMPLES = 300
SHARE = 0.99
SLACK_S = 0.05  # what one turn of another process on a busy machine costs


def names(lab: Lab, container: str, spot: Spot, *, on_it: bool, count: int) -> list[str]:
    """Objects that have a replica on a device, or nothing to do with it."""
    found = []
    for number in range(10_000):
        where = place(lab, ACCOUNT, container, f"o{number}").primaries
        if (str(spot) in map(str, where)) == on_it:
            found.append(f"o{number}")
        if len(found) == count:
            return found
    raise AssertionError("there are no such names")


def times(account: Account, container: str, keys: Sequence[str]) -> list[float]:
    """How long reads took, in order."""
    took = []
    for number in range(SAMPLES):
        began = time.monotonic()
        account.get(container, keys[number % len(keys)])
        took.append(time.monotonic() - began)
    return sorted(took)


def forget_caches() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def test_t32_a_disk_whose_reads_hang(lab: Lab, account: Account, container: str) -> None:
    """Requests that have to do with it go on elsewhere within the node's timeout; those that have
    not are as quick as before: the 99th percentile is within 1.5 times."""
    bad = lab_spot(lab)
    keys = names(lab, container, bad, on_it=False, count=20)
    concerned = names(lab, container, bad, on_it=True, count=20)
    for key in (*keys, *concerned):
        account.put(container, key, key.encode() * 2000)
    before = times(account, container, keys)
    forget_caches()
    try:
        bad.disk.hang(bad.node.pids())
    except CannotHang:
        pytest.skip("disks cannot be made to hang here")
    with ThreadPoolExecutor(4) as others:
        load = [others.submit(timed_get, account.again(), container, key) for key in concerned]
        after = times(account, container, keys)
        longest = max(each.result() for each in load)
    timeout_s = 3.0  # of a node, in these labs
    assert longest < 2 * timeout_s
    place_of = int(SHARE * SAMPLES)
    assert after[place_of] < 1.5 * before[place_of] + SLACK_S, (before[place_of], after[place_of])
    account.put(container, concerned[0], b"written meanwhile")
    bad.disk.release()
    until(lambda: serves(lab, bad), what="the disk is in service again")
    heal(lab)
    assert account.get(container, concerned[0]).body == b"written meanwhile"


def lab_spot(lab: Lab) -> Spot:
    """Some device."""
    return place(lab, ACCOUNT, "any", "any").primaries[0]


def serves(lab: Lab, spot: Spot) -> bool:
    found = place(lab, ACCOUNT, "any", "any")
    return ask(lab, spot, "HEAD", found.at(spot))[0] == 404


def timed_get(account: Account, container: str, key: str) -> float:
    began = time.monotonic()
    assert account.get(container, key).body == key.encode() * 2000
    return time.monotonic() - began


def test_t34_a_disk_that_is_slow(lab: Lab, account: Account, container: str) -> None:
    """A hundred times as slow as the others: reads are hedged, then begin elsewhere."""
    bad = lab_spot(lab)
    keys = names(lab, container, bad, on_it=True, count=30)
    for key in keys:
        account.put(container, key, key.encode() * 2000)
    forget_caches()
    try:
        bad.disk.slow_down(bad.node.pids(), reads_per_second=2)
    except CannotHang:
        pytest.skip("disks cannot be made slow here")
    took = sorted(timed_get(account, container, key) for key in keys)
    alone = time.monotonic()
    found = place(lab, ACCOUNT, container, keys[-1])
    assert ask(lab, bad, "GET", found.at(bad))[0] == 200
    alone = time.monotonic() - alone
    assert took[-1] < max(0.9, alone), (took, alone)
    assert took[len(took) // 2] < 0.3, took
    bad.disk.release()


def test_t35_a_replicator_is_killed_in_the_middle_of_a_file(
    lab: Lab, account: Account, container: str
) -> None:
    """Nothing of it is to be seen; the next pass brings the whole."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    target = found.primaries[0]
    body = os.urandom(8 * 1024 * 1024)
    stop(target)
    account.put(container, name, body)
    start(lab, target)
    for node in lab.storage:
        node.configure({"object": {"replicator_bytes_per_second": 1_000_000.0}})
    begun = lab.begin_once("object-replicator")
    until(lambda: bool(target.node.nameless_files()), what="a file is under way")
    for each in begun.values():
        each.kill()
    for each in begun.values():
        each.wait()
    folder = found.folder(target)
    assert not folder.is_dir() or not any(folder.iterdir())
    assert ask(lab, target, "HEAD", found.at(target))[0] == 404
    until(lambda: not target.node.nameless_files(), what="the half file is gone")
    for node in lab.storage:
        node.configure({})
    heal(lab)
    on_primaries(lab, container, name)
    assert ask(lab, target, "GET", found.at(target))[2] == body


def test_t39_a_handoffs_disk_is_full(lab: Lab, account: Account, container: str) -> None:
    """It refuses, the next one takes what a primary that is away should have, and all goes home;
    and on the full disk itself objects can still be deleted."""
    if not lab.on_xfs:
        pytest.skip("devices are folders here")
    name = spread(lab, container)
    account.put(container, name, b"x" * 10_000)
    found = place(lab, ACCOUNT, container, name)
    full = next(s for s in found.handoffs if s.node is not found.primaries[0].node)
    ballast = fill(full.disk, leave=1_000_000)
    try:
        stop(found.primaries[0])
        time.sleep(SPACE_CHECK_INTERVAL_S)  # for so long a server believes what it has seen
        account.put(container, name, b"y" * 10_000)
        there = copies(lab, ACCOUNT, container, name)
        assert f"{full}!" not in there
        assert sum(where.endswith("!") for where in there) == 1
        put = {"x-timestamp": f"{time.time():.5f}", "content-type": "text/plain"}
        assert ask(lab, full, "PUT", found.at(full), put, b"z" * 100)[0] == 507
        stamp = {"x-timestamp": f"{time.time():.5f}"}
        assert ask(lab, full, "DELETE", found.at(full), stamp)[0] in (204, 404)
    finally:
        ballast.unlink()
    start(lab, found.primaries[0])
    heal(lab)
    assert account.request("GET", container, name).status == 404  # the deletion came last
    assert spots_with(found) == []


def spots_with(found: Place) -> list[str]:
    """Handoffs that still have something of an object."""
    folders = [(spot, found.folder(spot)) for spot in found.handoffs]
    return [str(spot) for spot, folder in folders if folder.is_dir() and any(folder.iterdir())]


def test_t33_a_disk_is_pulled_out_under_a_running_server(
    lab: Lab, account: Account, container: str
) -> None:
    """The node notices, and leaves the folder below alone; others stand in; it comes back by
    itself when the disk does."""
    if not lab.on_xfs:
        pytest.skip("devices are folders here")
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    gone = found.primaries[0]
    gone.node.kill()
    gone.node.configure({"devices": {"check_interval_s": 0.2}})
    lab.start(gone.node.name)
    gone.disk.unplug()
    until(lambda: ask(lab, gone, "HEAD", found.at(gone))[0] == 507, what="the node has noticed")
    account.put(container, name, b"x")
    below = set(gone.disk.path.iterdir())
    assert not any("objects" in str(path) or path.suffix == ".mdb" for path in below), below
    gone.disk.plug()
    until(lambda: ask(lab, gone, "HEAD", found.at(gone))[0] == 404, what="the disk is back")
    heal(lab)
    on_primaries(lab, container, name)
