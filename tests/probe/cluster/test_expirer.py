"""Objects that expire, on a cluster that has not heard everything (reference 5, expirer; T64)."""

from __future__ import annotations

import time

from swiftish.domain.expiry import QUEUE_ACCOUNT, queue_container, queue_name
from swiftish.domain.names import Target
from tests.functional.account import Account
from tests.functional.server import until
from tests.lab.lab import Lab
from tests.lab.look import HASH_PATH, Place, Spot, ask, copies, place
from tests.probe.cluster.steps import (
    ACCOUNT,
    SPLIT,
    Stamps,
    heal,
    on_primaries,
    sign_in,
    spread,
    start,
    stop,
    tells,
)

TOPOLOGY = SPLIT
SOON = {"X-Delete-After": "1"}


def expire(lab: Lab) -> str:
    """A pass of all expirers, with what they read brought home before."""
    lab.once("object-updater", "container-replicator", "container-updater", "account-replicator")
    return lab.once("object-expirer", errors=True)


def await_expiry(account: Account, container: str, name: str) -> None:
    until(
        lambda: account.request("HEAD", container, name).status == 404,
        what=f"{name} has expired",
    )


def test_what_has_expired_goes(lab: Lab, account: Account, container: str) -> None:
    """With a tombstone on every primary, out of the listing, and (reference 5, no async pendings)
    without pending updates about the queue, when all its containers are there."""
    name = spread(lab, container)
    account.put(container, name, b"x", SOON)
    await_expiry(account, container, name)
    assert all(file.endswith(".data") for file in on_primaries(lab, container, name))
    assert "done=1" in expire(lab)
    (tombstone,) = on_primaries(lab, container, name)
    assert tombstone.endswith(".ts")
    assert pending(lab) == 0
    assert account.names(container) == []
    assert "done=" not in expire(lab)


def pending(lab: Lab) -> int:
    """Updates of containers that wait on all devices."""
    text = lab.once("object-updater")
    return text.count("sent=")


def test_t64_put_again_before_the_expirer_comes(lab: Lab, account: Account, container: str) -> None:
    name = spread(lab, container)
    account.put(container, name, b"old", SOON)
    await_expiry(account, container, name)
    account.put(container, name, b"new")
    expire(lab)
    expire(lab)
    assert account.get(container, name).body == b"new"
    (file,) = on_primaries(lab, container, name)
    assert file.endswith(".data")


def test_t64_a_later_time_that_few_have_heard_of(
    lab: Lab, account: Account, container: str
) -> None:
    """Reference 5, should_not_be_expired and outdated 412: who knows of the later time is away when
    the expirer comes; it leaves the task for later, and the object lives."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    account.put(container, name, b"x", SOON)
    stamp = f"{time.time():.5f}"
    later = {"x-timestamp": stamp, "x-delete-at": str(int(time.time()) + 3600)}
    know = found.primaries[:2]
    for spot in know:
        assert ask(lab, spot, "POST", found.at(spot), later)[0] == 202
    ignorant = found.primaries[2]
    until(
        lambda: ask(lab, ignorant, "HEAD", found.at(ignorant))[0] == 404,
        what="it has expired, as far as the third one knows",
    )
    for away in (know[:1], know):
        stop(*away)
        expire(lab)
    start(lab, *know)
    heal(lab)
    expire(lab)
    heal(lab)
    assert account.get(container, name).body == b"x"
    data, meta = on_primaries(lab, container, name)
    assert data.endswith(".data")
    assert ".meta" in meta


def test_t64_in_the_wrong_policy(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, expirer split brain: nobody finds it where the container says until the
    reconciler has moved it; then it goes."""
    name = spread(lab, container, policy=1)
    found = place(lab, ACCOUNT, container, name, policy=1)
    told = place(lab, ACCOUNT, container)
    delete_at = int(time.time()) - 30
    digest = HASH_PATH(ACCOUNT, container, name)
    queue = place(lab, QUEUE_ACCOUNT, queue_container(delete_at, digest))
    stamp = Stamps()()
    for spot in found.primaries:
        headers = {
            "x-timestamp": stamp,
            "x-backend-storage-policy-index": "1",
            "x-backend-open-expired": "true",
            "content-type": "text/plain",
            "x-delete-at": str(delete_at),
            **tells(told, *told.primaries[:1]),
            **of_the_queue(queue, queue.primaries[0], queue_container(delete_at, digest)),
        }
        assert ask(lab, spot, "PUT", found.at(spot), headers, b"x")[0] == 201
    expire(lab)
    assert any(f.endswith(".data") for f in on_primaries(lab, container, name, policy=1))
    for _ in range(2):
        lab.once("container-replicator", "container-updater", "account-replicator")
        lab.once("container-reconciler")
    for _ in range(2):
        expire(lab)
    heal(lab)
    kinds = {
        file.rpartition(".")[2]
        for policy in (0, 1)
        for files in copies(lab, ACCOUNT, container, name, policy=policy).values()
        for file in files
    }
    assert kinds == {"ts"}
    assert account.names(container) == []


def of_the_queue(queue: Place, spot: Spot, container: str) -> dict[str, str]:
    return {
        "x-delete-at-container": container,
        "x-delete-at-host": spot.device.address,
        "x-delete-at-device": spot.device.device,
        "x-delete-at-partition": str(queue.partition),
    }


def test_open_expired(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, open_expired: who asks for it sees what has expired and is not deleted yet,
    where that is allowed."""
    name = spread(lab, container)
    account.put(container, name, b"x", SOON)
    await_expiry(account, container, name)
    header = {"X-Open-Expired": "true"}
    assert account.request("GET", container, name, headers=header).status == 404
    proxy = lab.proxies[0]
    proxy.kill()
    proxy.configure({"proxy": {"allow_open_expired": True}})
    lab.start(proxy.name)
    account = sign_in(lab)
    assert account.request("GET", container, name).status == 404
    assert account.request("GET", container, name, headers=header).body == b"x"
    assert account.request("HEAD", container, name, headers=header).status == 200
    assert account.request("POST", container, name, headers=header).status == 202
    expire(lab)
    assert account.get(container, name).body == b"x"  # for the POST had no X-Delete-At
    account.close()


def test_bytes_in_the_queue_converge(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, expirer bytes consistency: an old size on one side, a new one on the other."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    delete_at = int(time.time()) + 3600
    header = {"X-Delete-At": str(delete_at)}
    account.put(container, name, b"123", header)
    stop(found.primaries[0])
    account.put(container, name, b"12345678", header)
    start(lab, found.primaries[0])
    assert account.request("POST", container, name, headers=header).status == 202
    heal(lab)
    heal(lab)
    queue = place(
        lab, QUEUE_ACCOUNT, queue_container(delete_at, HASH_PATH(ACCOUNT, container, name))
    )
    row = queue_name(delete_at, Target(ACCOUNT, container, name))
    for spot in queue.primaries:
        status, _, body = ask(lab, spot, "GET", queue.at(spot))
        assert status == 200
        assert row.encode() in body
        assert b"swift_expirer_bytes=8" in body, body
