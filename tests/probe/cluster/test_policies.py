"""Containers that were made in two policies, on two sides of a split (reference 5,
merge_policy_index; T63)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab
from tests.lab.look import ask, place
from tests.probe.cluster.steps import (
    ACCOUNT,
    SPLIT,
    Stamps,
    heads,
    spread_container,
    tells,
)

TOPOLOGY = SPLIT


class Halves:
    """A container of which one primary was made in policy 1, later, and two in policy 0."""

    def __init__(self, lab: Lab, stem: str) -> None:
        self.lab = lab
        self.name = spread_container(lab, stem)
        self.container = place(lab, ACCOUNT, self.name)
        self.stamp = Stamps()
        older, newer = self.stamp(), self.stamp()
        for number, spot in enumerate(self.container.primaries):
            headers = {
                "x-timestamp": newer if number == 0 else older,
                "x-backend-storage-policy-index": "1" if number == 0 else "0",
            }
            assert ask(lab, spot, "PUT", self.container.at(spot), headers)[0] == 201

    def change(self, method: str, key: str, policy: int, body: bytes = b"") -> None:
        """Of an object, by a proxy on one side: in its policy, told to that side's containers."""
        found = place(self.lab, ACCOUNT, self.name, key, policy=policy)
        side = self.container.primaries[:1] if policy else self.container.primaries[1:2]
        headers = {
            "x-timestamp": self.stamp(),
            "x-backend-storage-policy-index": str(policy),
            "content-type": "text/plain",
            **tells(self.container, *side),
        }
        for spot in found.primaries:
            status, _, _ = ask(self.lab, spot, method, found.at(spot), headers, body)
            assert status in (201, 204, 404)

    def reconcile(self) -> None:
        """Replicas agree, objects move, the queue empties."""
        for _ in range(2):
            self.lab.once("object-updater", "container-replicator", "container-updater")
            self.lab.once("container-reconciler")
        for _ in range(2):
            self.lab.once("object-updater", "container-replicator", "container-updater")
        self.lab.once("object-replicator")
        assert {h["x-backend-storage-policy-index"] for _, h in heads(self.lab, self.name)} == {"0"}

    def files(self, key: str, policy: int) -> set[str]:
        found = place(self.lab, ACCOUNT, self.name, key, policy=policy)
        folders = [found.folder(spot) for spot in found.primaries]
        return {f.suffix for folder in folders if folder.is_dir() for f in folder.iterdir()}


def test_t63_each_side_has_objects(lab: Lab, account: Account) -> None:
    """They end in one policy, each with its own bytes, and the other policy forgets them."""
    halves = Halves(lab, "both")
    for policy in (0, 1):
        halves.change("PUT", f"in-{policy}", policy, b"bytes of %d" % policy)
    halves.reconcile()
    assert account.names(halves.name) == ["in-0", "in-1"]
    for policy in (0, 1):
        assert account.get(halves.name, f"in-{policy}").body == b"bytes of %d" % policy
    assert halves.files("in-1", 0) == {".data"}
    assert halves.files("in-1", 1) == {".ts"}
    assert queue_is_empty(lab)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("PUT", 0), ("PUT", 1)], 1),
        ([("PUT", 1), ("PUT", 0)], 0),
        ([("PUT", 0), ("PUT", 1), ("DELETE", 0)], None),
        ([("PUT", 0), ("PUT", 1), ("DELETE", 1)], None),
        ([("PUT", 0), ("DELETE", 1)], None),
        ([("PUT", 1), ("DELETE", 0), ("PUT", 1)], 1),
    ],
    ids=lambda value: "-".join(f"{m}{p}" for m, p in value) if isinstance(value, list) else "",
)
def test_t63_one_object_changed_on_both_sides(
    lab: Lab,
    account: Account,
    request: pytest.FixtureRequest,
    changes: Sequence[tuple[str, int]],
    expected: int | None,
) -> None:
    """The last change wins, whichever side it was on; `expected`: whose bytes are the object."""
    halves = Halves(lab, f"one-{request.node.name.partition('[')[2].rstrip(']')}")
    for number, (method, policy) in enumerate(changes):
        halves.change(method, "o", policy, b"%d %d" % (policy, number))
    halves.reconcile()
    reply = account.request("GET", halves.name, "o")
    if expected is None:
        assert reply.status == 404
        assert account.names(halves.name) == []
    else:
        last = max(n for n, change in enumerate(changes) if change == ("PUT", expected))
        assert (reply.status, reply.body) == (200, b"%d %d" % (expected, last))
        assert account.names(halves.name) == ["o"]
    assert ".data" not in halves.files("o", 1)
    assert queue_is_empty(lab)


def test_t63_moved_twice_ends_once(lab: Lab, account: Account) -> None:
    """Reconcilers of all nodes that are at it again and again do no harm."""
    halves = Halves(lab, "twice")
    halves.change("PUT", "o", 1, b"x")
    lab.once("container-replicator", "container-updater")
    for _ in range(3):
        lab.once("container-reconciler")
    halves.reconcile()
    assert account.names(halves.name) == ["o"]
    assert {h["x-container-object-count"] for _, h in heads(lab, halves.name)} == {"1"}
    assert account.get(halves.name, "o").body == b"x"


def queue_is_empty(lab: Lab) -> bool:
    found = place(lab, ".misplaced_objects")
    for spot in found.primaries:
        status, headers, _ = ask(lab, spot, "HEAD", found.at(spot))
        if status == 204 and headers["x-account-object-count"] != "0":
            return False
    return True
