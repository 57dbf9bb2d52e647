"""Accounts on a cluster that loses nodes: made, used, deleted, emptied (reference 5; T61)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.account import Account
from tests.functional.server import until
from tests.functional.wire import Reply
from tests.lab.lab import Lab
from tests.lab.look import ask, copies, place
from tests.probe.cluster.steps import (
    ACCOUNT,
    SPLIT,
    Stamps,
    heads,
    heal,
    in_account,
    sign_in,
    spread_container,
    start,
    stop,
)

TOPOLOGY = SPLIT


def test_account_failures(lab: Lab, account: Account) -> None:
    """A replica of the account misses containers that come, go and fill up; it catches up."""
    full, gone, new = (spread_container(lab, f"failures-{n}") for n in ("full", "gone", "new"))
    for name in (full, gone):
        account.put_container(name)
    stale = place(lab, ACCOUNT).primaries[0]
    heal(lab)
    before = int(heads(lab)[0][1]["x-account-container-count"])
    stop(stale)
    assert account.request("DELETE", gone).status == 204
    account.put_container(new)
    account.put(full, "o", b"1234")
    lab.once("container-updater", errors=True)
    start(lab, stale)
    assert int(heads(lab)[0][1]["x-account-container-count"]) == before
    heal(lab)
    for status, headers in heads(lab):
        assert status == 204
        assert int(headers["x-account-container-count"]) == before
    assert in_account(account, full) == {"count": 1, "bytes": 4}
    assert in_account(account, new) == {"count": 0, "bytes": 0}
    assert in_account(account, gone) is None
    counts = {(h["x-account-object-count"], h["x-account-bytes-used"]) for _, h in heads(lab)}
    assert len(counts) == 1


def told(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """All that a client hears, but for moments and ids."""
    varies = ("date", "x-timestamp", "x-put-timestamp", "x-trans-id", "x-openstack-request-id")
    headers = {n: v for n, v in reply.headers.items() if n not in varies}
    return reply.status, headers, reply.body


def test_an_account_that_was_never_used_looks_empty(lab: Lab) -> None:
    """Reference 5, fake account responses: autocreate answers as an account that is empty does."""
    account = sign_in(lab, "test2:tester2", "testing2")
    questions = [(method, form) for method in ("GET", "HEAD") for form in ("plain", "json", "xml")]
    never = [told(account.request(m, query={"format": form})) for m, form in questions]
    account.put_container("c")
    assert account.request("DELETE", "c").status == 204
    heal(lab)
    empty = [told(account.request(m, query={"format": form})) for m, form in questions]
    drop_policy_counts(empty)
    assert never == empty
    account.close()


def drop_policy_counts(answers: list[tuple[int, dict[str, str], bytes]]) -> None:
    """What an account says of policies that have been used in it."""
    for _, headers, _ in answers:
        for name in [n for n in headers if n.startswith("x-account-storage-policy-")]:
            del headers[name]


# ---- deleted accounts ---------------------------------------------------------------------------


@pytest.fixture
def doomed(lab: Lab) -> Iterator[Account]:
    """An account with objects of two policies, deleted by its owner."""
    account = sign_in(lab, "test3:tester3", "testing3")
    yield account
    account.close()


def fill(account: Account, *, objects: int) -> None:
    for container, policy in (("gold", "gold"), ("silver", "silver")):
        account.put_container(container, {"X-Storage-Policy": policy})
        for number in range(objects):
            account.put(container, f"o{number:03}", b"x")
    account.put_container("empty")


def delete_account(lab: Lab, name: str) -> None:
    found = place(lab, name)
    stamp = Stamps(age_s=0)()
    for spot in found.primaries:
        assert ask(lab, spot, "DELETE", found.at(spot), {"x-timestamp": stamp})[0] == 204


def files_of(lab: Lab, account: str, container: str, policy: int, objects: int) -> set[str]:
    """The kinds of files that there are of all its objects."""
    return {
        name.rpartition(".")[2]
        for number in range(objects)
        for names in copies(lab, account, container, f"o{number:03}", policy=policy).values()
        for name in names
    }


def test_t61_the_reaper_waits_is_interrupted_and_finishes(
    lab: Lab, account: Account, container: str, doomed: Account
) -> None:
    """Nothing goes before its time; a reaper that is killed half way leaves work to the next, and
    nobody touches another account."""
    objects = 40
    name = doomed.root.rpartition("/")[2]
    account.put(container, "mine", b"stays")
    fill(doomed, objects=objects)
    heal(lab)
    delete_account(lab, name)
    assert doomed.request("GET", "gold").status in (403, 404, 410)

    for node in lab.storage:
        node.configure({"account.reaper": {"delay_reaping_s": 3600.0}})
    lab.once("account-reaper")
    assert files_of(lab, name, "gold", 0, objects) == {"data"}
    for node in lab.storage:
        node.configure({"account.reaper": {"concurrency": 1}})

    begun = lab.begin_once("account-reaper")
    until(lambda: "ts" in files_of(lab, name, "gold", 0, objects), what="the reaper is at work")
    for reaper in begun.values():
        reaper.kill()
    assert any(reaper.wait()[0] == -9 for reaper in begun.values())
    assert "data" in files_of(lab, name, "gold", 0, objects) | files_of(
        lab, name, "silver", 1, objects
    )

    for _ in range(2):
        lab.once("account-reaper")
        heal(lab)
    assert files_of(lab, name, "gold", 0, objects) == {"ts"}
    assert files_of(lab, name, "silver", 1, objects) == {"ts"}
    for each in (None, "gold", "silver", "empty"):
        found = place(lab, name, each)
        answers = [ask(lab, spot, "HEAD", found.at(spot)) for spot in found.primaries]
        assert {status for status, _, _ in answers} == {404}
        if each is None:
            assert {headers["x-account-status"] for _, headers, _ in answers} == {"Deleted"}
    assert account.get(container, "mine").body == b"stays"
