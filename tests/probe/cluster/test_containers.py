"""Accounts and containers on a cluster that loses nodes, and heals (reference 5; T53, T60, T61)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import lmdb
import pytest

from swiftish.db import heads as db_heads
from swiftish.runtime.environment import Environment, Writer
from tests.functional.account import Account
from tests.functional.server import until
from tests.lab.lab import Lab
from tests.lab.look import Spot, ask, place
from tests.probe.cluster.steps import (
    ACCOUNT,
    SPLIT,
    Stamps,
    heads,
    heal,
    in_account,
    sign_in,
    spread,
    spread_container,
    start,
    stop,
)

TOPOLOGY = SPLIT


def test_a_container_deleted_while_a_node_slept_and_used_again(lab: Lab, account: Account) -> None:
    """Reference 5, container_failures one_node_fails: the new object brings it back everywhere."""
    name = spread_container(lab, "one-node")
    account.put_container(name)
    sleeper = place(lab, ACCOUNT, name).primaries[0]
    stop(sleeper)
    assert account.request("DELETE", name).status == 204
    start(lab, sleeper)
    account.put_container(name)
    account.put(name, "o", b"123")
    heal(lab)
    assert account.names(name) == ["o"]
    assert [s for s, _ in heads(lab, name)] == [204] * 3
    assert {h["x-container-object-count"] for _, h in heads(lab, name)} == {"1"}
    assert in_account(account, name) == {"count": 1, "bytes": 3}


def test_a_delete_that_one_primary_heard_wins(lab: Lab, account: Account) -> None:
    """Reference 5, two_nodes_fail: the others were away; there is nothing in it."""
    name = spread_container(lab, "two-nodes")
    account.put_container(name)
    found = place(lab, ACCOUNT, name)
    spot = found.primaries[0]
    path = f"/{spot.device.device}/{found.partition}/{ACCOUNT}/{name}"
    status, _, _ = ask(lab, spot, "DELETE", path, {"x-timestamp": "9000000000.00000"})
    assert status in (204, 503), "so far in the future it is refused"
    head = ask(lab, spot, "HEAD", path)[1]
    stamp = float(head["x-put-timestamp"]) + 0.001
    status, _, _ = ask(lab, spot, "DELETE", path, {"x-timestamp": f"{stamp:.5f}"})
    assert status == 204
    heal(lab)
    assert [s for s, _ in heads(lab, name)] == [404] * 3
    assert account.request("HEAD", name).status == 404
    assert in_account(account, name) is None


def test_t53_containers_down_during_a_put(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, async_update: the row arrives after the restart, once."""
    found = place(lab, ACCOUNT, container).primaries
    account.put(container, "before", b"1")
    stop(*found[:2])
    account.put(container, "during", b"22")
    start(lab, *found[:2])
    heal(lab)
    assert account.names(container) == ["before", "during"]
    assert {h["x-container-object-count"] for _, h in heads(lab, container)} == {"2"}
    assert {h["x-container-bytes-used"] for _, h in heads(lab, container)} == {"3"}
    assert in_account(account, container) == {"count": 2, "bytes": 3}


def test_t54_updates_twice_count_once(lab: Lab, account: Account, container: str) -> None:
    account.put(container, "o", b"12345")
    for _ in range(2):
        lab.once("object-updater", "container-updater", "container-replicator")
    assert {h["x-container-object-count"] for _, h in heads(lab, container)} == {"1"}
    assert in_account(account, container) == {"count": 1, "bytes": 5}


def test_metadata_from_three_sides(lab: Lab, account: Account) -> None:
    """Reference 5, db_replicator metadata_sync: each POST is heard by two primaries only."""
    name = spread_container(lab, "sides")
    account.put_container(name)
    for number, spot in enumerate(place(lab, ACCOUNT, name).primaries):
        stop(spot)
        header = {f"X-Container-Meta-Side-{number}": str(number)}
        assert account.request("POST", name, headers=header).status == 204
        account.put(name, f"o{number}", b"x")
        start(lab, spot)
    heal(lab)
    for status, headers in heads(lab, name):
        assert status == 204
        found = {n: v for n, v in headers.items() if n.startswith("x-container-meta-")}
        assert found == {f"x-container-meta-side-{n}": str(n) for n in range(3)}
        assert headers["x-container-object-count"] == "3"
    assert account.names(name) == ["o0", "o1", "o2"]


def test_a_lost_disk_of_databases_is_refilled(lab: Lab, account: Account, container: str) -> None:
    """T7: its peers know everything that was on it."""
    for number in range(20):
        account.put(container, f"o{number:02}", b"x")
    node = next(n for n in lab.storage if n.name.startswith("c"))
    node.kill()
    for disk in node.disks:
        disk.format()
    lab.start(node.name)
    heal(lab)
    assert {h["x-container-object-count"] for _, h in heads(lab, container)} == {"20"}
    assert len(account.names(container)) == 20
    assert in_account(account, container) == {"count": 20, "bytes": 20}


def test_all_nodes_fail(lab: Lab, account: Account) -> None:
    """Reference 5, container_failures: what is known of a container serves uploads while nobody
    has it, until a failed POST casts doubt on that."""
    proxy = lab.proxies[0]
    proxy.kill()
    remembers = {"recheck_account_s": 600.0, "recheck_container_s": 600.0}
    proxy.configure({"proxy": remembers})
    lab.start(proxy.name)
    account = sign_in(lab)
    name = spread_container(lab, "all-fail")
    found = place(lab, ACCOUNT, name).primaries
    account.put_container(name)
    account.put(name, "before", b"1")
    stop(*found)
    assert account.request("GET", name).status == 503
    account.put(name, "during", b"22")
    assert account.request("POST", name, headers={"X-Container-Meta-A": "1"}).status == 503
    assert account.request("PUT", name, "after", body=b"3").status == 503
    start(lab, *found)
    heal(lab)
    assert account.names(name) == ["before", "during"]
    assert {h["x-container-object-count"] for _, h in heads(lab, name)} == {"2"}
    account.close()


def test_locked_databases(lab: Lab, account: Account) -> None:
    """Reference 5, locked_container_dbs; here a transaction that somebody holds open for writing:
    with one replica locked a change succeeds, with all locked it fails in time."""
    name = spread_container(lab, "locked")
    account.put_container(name)
    homes = place(lab, ACCOUNT, name).primaries
    change = {"X-Container-Meta-A": "1"}
    with locked(homes[0]):
        assert account.request("POST", name, headers=change).status == 204
    with locked(*homes):
        began = time.monotonic()
        # 404 is what handoffs say who answer for primaries that do not.
        late = account.request("POST", name, headers={"X-Container-Meta-A": "2"})
        assert late.status in (404, 503)
        assert time.monotonic() - began < 15
        assert account.request("HEAD", name).status == 204  # readers wait for nobody
    assert account.request("POST", name, headers={"X-Container-Meta-A": "3"}).status == 204
    heal(lab)
    assert {h["x-container-meta-a"] for _, h in heads(lab, name)} == {"3"}


@contextmanager
def locked(*spots: Spot) -> Iterator[None]:
    """Writers to the containers of these devices wait."""
    with ExitStack() as stack:
        for spot in spots:
            path = str(spot.disk.path / "containers.mdb")
            environment = stack.enter_context(lmdb.open(path, subdir=False, max_dbs=1))
            stack.enter_context(environment.begin(write=True))
        yield


def test_a_container_that_was_made_on_handoffs(lab: Lab, account: Account) -> None:
    """Reference 5, async missing_container: all its primaries are away, so is the object's row."""
    name = spread_container(lab, "on-handoffs")
    found = place(lab, ACCOUNT, name)
    others = [spot for spot in found.primaries if spot.node is not found.handoffs[0].node]
    stop(*others[:2])
    account.put_container(name)
    account.put(name, "o", b"123")
    start(lab, *others)
    heal(lab)
    assert [s for s, _ in heads(lab, name)] == [204] * 3
    assert account.names(name) == ["o"]
    assert {h["x-container-object-count"] for _, h in heads(lab, name)} == {"1"}
    assert in_account(account, name) == {"count": 1, "bytes": 3}


def test_orphan_container(lab: Lab, account: Account) -> None:
    """No account was told of it: the updater does, and nobody stumbles over it before."""
    name = spread_container(lab, "orphan")
    found = place(lab, ACCOUNT, name)
    said = {"x-timestamp": Stamps()(), "x-backend-storage-policy-index": "0"}
    for spot in found.primaries:
        assert ask(lab, spot, "PUT", found.at(spot), said)[0] == 201
    assert in_account(account, name) is None
    lab.once("account-reaper", "container-auditor", "account-auditor", "container-replicator")
    lab.once("container-updater", "account-replicator")
    assert in_account(account, name) == {"count": 0, "bytes": 0}
    assert account.request("DELETE", name).status == 204
    heal(lab)
    assert in_account(account, name) is None


@pytest.mark.parametrize("round_", range(3))
def test_t60_deleted_while_objects_are_put(lab: Lab, account: Account, round_: int) -> None:
    """The container is there with what was acknowledged, or it is not there: no orphans either."""
    name = spread_container(lab, f"racing-{round_}")
    account.put_container(name)
    statuses: dict[str, int] = {}
    writers = [
        Thread(target=put_one, args=(account.again(), name, f"o{n}", statuses)) for n in "ab"
    ]
    for writer in writers:
        writer.start()
    deleted = account.request("DELETE", name).status
    for writer in writers:
        writer.join()
    assert deleted in (204, 409)
    assert set(statuses.values()) <= {201, 404, 503}
    heal(lab)
    there = {status for status, _ in heads(lab, name)}
    acknowledged = sorted(o for o, status in statuses.items() if status == 201)
    if there == {404}:
        assert deleted == 204
        assert all(account.request("GET", name, o).status == 404 for o in statuses)
        return
    assert there == {204}
    assert account.names(name) == acknowledged
    for o in acknowledged:
        assert account.get(name, o).body == o.encode()


def put_one(account: Account, container: str, name: str, statuses: dict[str, int]) -> None:
    statuses[name] = account.request("PUT", container, name, body=name.encode()).status


def test_t62_totals_that_have_drifted(lab: Lab, account: Account, container: str) -> None:
    """The auditor counts the rows, and puts the totals right; the account hears of it."""
    for number in range(7):
        account.put(container, f"o{number}", b"12")
    heal(lab)
    found = place(lab, ACCOUNT, container)
    wrong = found.primaries[0]

    def drift(writer: Writer) -> None:
        head = db_heads.find(writer, bytes.fromhex(found.digest))
        assert head is not None
        totals = db_heads.find_totals(writer, head.id)
        totals.by_policy[0] = [99, 12345]
        db_heads.save_totals(writer, head.id, totals)

    path = wrong.disk.path / "containers.mdb"
    environment = Environment(path, names=db_heads.TABLES)
    environment.write(drift)
    environment.close()
    assert heads(lab, container)[0][1]["x-container-object-count"] == "99"
    lab.once("container-auditor", errors=True)
    heal(lab)
    assert {h["x-container-object-count"] for _, h in heads(lab, container)} == {"7"}
    assert {h["x-container-bytes-used"] for _, h in heads(lab, container)} == {"14"}
    assert in_account(account, container) == {"count": 7, "bytes": 14}


def test_t55_killed_between_the_object_and_its_row(
    lab: Lab, account: Account, container: str
) -> None:
    """The containers stand still, so the row cannot be sent; then the object's nodes lose power."""
    name = spread(lab, container)
    homes = place(lab, ACCOUNT, container, name)
    listed_by = {spot.node.name: spot.node for spot in place(lab, ACCOUNT, container).primaries}
    for node in listed_by.values():
        node.pause()
    statuses: dict[str, int] = {}
    writer = Thread(target=put_one, args=(account.again(), container, name, statuses))
    writer.start()
    folders = [homes.folder(spot) for spot in homes.primaries]
    wait = "all have the object"
    with suppress(AssertionError):  # perhaps it asks the containers first
        until(lambda: all(f.is_dir() and any(f.iterdir()) for f in folders), what=wait, timeout_s=5)
    stop(*homes.primaries)
    for node in listed_by.values():
        node.resume()
    writer.join()
    start(lab, *homes.primaries)
    heal(lab)
    readable = account.request("GET", container, name).status == 200
    assert statuses[name] in (201, 503, 404)
    assert account.names(container) == ([name] if readable else [])
    assert readable or statuses[name] != 201
