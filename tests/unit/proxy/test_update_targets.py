"""Which containers hear of a change from which replica of an object."""

from __future__ import annotations

import itertools

import pytest

from swiftish.cluster.wire import kept_headers, told_headers
from swiftish.domain.policy import quorum_size
from swiftish.proxy.update_targets import cleaning, container_updates, queue_updates, updates_needed
from swiftish.ring.device import Device


@pytest.mark.parametrize(
    ("containers", "objects", "updates"),
    [(3, 3, 3), (1, 3, 2), (3, 1, 3), (1, 1, 1), (3, 2, 3), (2, 3, 2), (3, 6, 5)],
)
def test_how_many_updates(containers: int, objects: int, updates: int) -> None:
    """max(container quorum + object replicas - object quorum, container replicas)."""
    assert updates_needed(containers=containers, objects=objects) == updates


@pytest.mark.parametrize(("containers", "objects"), list(itertools.product(range(1, 6), repeat=2)))
def test_every_container_is_told(containers: int, objects: int) -> None:
    """By all replicas together every container, by any quorum of them at least one."""
    nodes = [Device(id=n, device=f"d{n}", port=6200 + n) for n in range(containers)]
    dealt = container_updates(partition=7, containers=nodes, objects=objects)
    assert len(dealt) == objects
    told = [set(filter(None, each.get("x-container-device", "").split(","))) for each in dealt]
    assert set().union(*told) == {node.device for node in nodes}
    for quorum in itertools.combinations(told, quorum_size(objects)):
        assert set().union(*quorum)
    for each in filter(None, dealt):
        assert each["x-container-partition"] == "7"
        hosts, devices = each["x-container-host"], each["x-container-device"]
        assert len(hosts.split(",")) == len(devices.split(","))


def test_removals_become_empty_values() -> None:
    """X-Remove-* clears, unless the same request sets (reference 2.2)."""
    sent = {
        "x-remove-container-meta-a": "x",
        "x-remove-container-meta-b": "x",
        "x-container-meta-b": "2",
        "x-remove-container-read": "x",
        "x-remove-container-sysmeta-c": "x",
    }
    assert kept_headers("container", "POST", sent) == {
        "x-container-meta-a": "",
        "x-container-meta-b": "2",
        "x-container-read": "",
    }


@pytest.mark.parametrize("name", ["x-object-sysmeta-a", "x-static-large-object", "etag", "x-any"])
def test_a_post_does_not_touch_what_belongs_to_the_data(name: str) -> None:
    """What only a PUT may set is not passed on with a POST."""
    assert kept_headers("object", "POST", {name: "x", "content-type": "a/b"}) == {
        "content-type": "a/b"
    }


def test_what_a_server_says_of_itself_stays_here() -> None:
    """Backend headers do not leave the cluster layer."""
    said = {"x-backend-timestamp": "1", "x-put-timestamp": "1", "server": "x", "etag": "e"}
    assert told_headers("object", said) == {"etag": "e"}


@pytest.mark.parametrize(("containers", "objects"), list(itertools.product(range(1, 6), repeat=2)))
def test_the_expiry_queue_is_told(containers: int, objects: int) -> None:
    """All its replicas, the last servers first; every server knows where the queue is."""
    nodes = [Device(id=n, device=f"d{n}", port=6200 + n) for n in range(containers)]
    dealt = queue_updates(container="17", partition=7, containers=nodes, objects=objects)
    assert [each["x-delete-at-container"] for each in dealt] == ["17"] * objects
    told = [set(filter(None, each.get("x-delete-at-device", "").split(","))) for each in dealt]
    assert set().union(*told) == {node.device for node in nodes}
    assert told[-1] >= {"d0"}


def test_two_servers_clean_the_expiry_queue() -> None:
    """Saying nothing means yes."""
    no = {"x-backend-clean-expiring-object-queue": "false"}
    assert cleaning(1) == [{}]
    assert cleaning(4) == [{}, {}, no, no]
