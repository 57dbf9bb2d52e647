"""The object server tells the queue of objects that are to expire (reference 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from swiftish.domain.expiry import queue_container
from swiftish.runtime.worker import Worker, run_once
from tests.fakes.object_node import HASH_PATH, NOW, ONE, RING, Node, serving

AT = int(NOW) + 1000
LATER = AT + 100_000
QUEUE = queue_container(AT, HASH_PATH("a", "c", "o"))
QUEUE_LATER = queue_container(LATER, HASH_PATH("a", "c", "o"))
# What a proxy says of whom to tell.
TOLD = {
    **ONE,
    "x-delete-at-container": QUEUE,
    "x-delete-at-partition": "1",
    "x-delete-at-host": "127.0.0.1:6202",
    "x-delete-at-device": "sdd",
}
UNTOLD = ONE
Row = tuple[str, str, Mapping[str, str]]


def row(at: int, container: str, *, method: str = "PUT", where: str = "sdd/1") -> str:
    return f"{method} /{where}/.expiring_objects/{container}/{at}-a/c/o"


def rows(node: Node) -> list[str]:
    """What the queue's replicas have been told, since somebody asked last."""
    told = [r for r in node.containers.rows if "/.expiring_objects/" in r[1]]
    node.containers.rows.clear()
    return sorted(f"{method} {path}" for method, path, _ in told)


def worker(node: Node, name: str) -> Worker:
    return next(worker for worker in node.service.workers if worker.name == name)


def everywhere(at: int, container: str, *, method: str) -> list[str]:
    """Rows that were pending go to all replicas of the container, which the ring knows."""
    partition = RING.partition(HASH_PATH(".expiring_objects", container))
    places = (f"{device}/{partition}" for device in ("sdc", "sdd"))
    return [row(at, container, method=method, where=place) for place in places]


def test_a_put_that_expires(device: Path) -> None:
    """The row goes where the proxy says, at once; it says how many bytes will expire."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"12345", at=1, headers=TOLD, x_delete_at=str(AT))
        [(_, path, headers)] = [r for r in node.containers.rows if "expiring" in r[1]]
        assert f"PUT {path}" == row(AT, QUEUE)
        assert dict(headers) == {
            "x-size": "0",
            "x-etag": "d41d8cd98f00b204e9800998ecf8427e",
            "x-content-type": "text/plain;swift_expirer_bytes=5",
            "x-timestamp": "1700000001.00000",
            "x-content-type-timestamp": f"1700000001.00000_{170_000_000_100_000:016x}",
            "x-backend-storage-policy-index": "0",
            "x-trans-id": "-",
        }
        await run_once(worker(node, "object-updater"))
        assert rows(node) == [row(AT, QUEUE)], "once"

    serving(device, scenario)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("cleans", ["true", "false", None])
def test_t64_what_is_no_longer_true_goes(device: Path, method: str, cleans: str | None) -> None:
    """An old row is taken out a little later, by those replicas that are to do that."""
    extra = {} if cleans is None else {"x-backend-clean-expiring-object-queue": cleans}

    async def scenario(node: Node) -> None:
        await node.ask("PUT", at=1, headers=TOLD, x_delete_at=str(AT))
        rows(node)
        await node.ask(method, at=2, headers={**UNTOLD, **extra})
        assert rows(node) == []
        await run_once(worker(node, "object-updater"))
        gone = [] if cleans == "false" else everywhere(AT, QUEUE, method="DELETE")
        assert rows(node) == gone

    serving(device, scenario)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_another_time(device: Path, method: str) -> None:
    """The new row at once, the old one's end later; the same time again is told again, for the
    bytes may be others."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", at=1, headers=TOLD, x_delete_at=str(AT))
        rows(node)
        changed = {**TOLD, "x-delete-at-container": QUEUE_LATER}
        await node.ask(method, at=2, headers=changed, x_delete_at=str(LATER))
        assert rows(node) == [row(LATER, QUEUE_LATER)]
        await run_once(worker(node, "object-updater"))
        assert rows(node) == everywhere(AT, QUEUE, method="DELETE")
        await node.ask(method, at=3, headers=changed, x_delete_at=str(LATER))
        await run_once(worker(node, "object-updater"))
        assert rows(node) == [row(LATER, QUEUE_LATER)]

    serving(device, scenario)


def test_large_uploads_too(device: Path) -> None:
    """Whose old object is looked at before the first byte is read."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", at=1, headers=TOLD, x_delete_at=str(AT))
        rows(node)
        await node.ask("PUT", body=bytes(3_000_000), at=2, headers=UNTOLD)
        await run_once(worker(node, "object-updater"))
        assert rows(node) == everywhere(AT, QUEUE, method="DELETE")

    serving(device, scenario)


def test_the_proxys_container_counts(device: Path) -> None:
    """Also where the server would have named another one."""

    async def scenario(node: Node) -> None:
        named = {**TOLD, "x-delete-at-container": "1700000000"}
        await node.ask("PUT", at=1, headers=named, x_delete_at=str(AT))
        assert rows(node) == [row(AT, "1700000000")]

    serving(device, scenario)


def test_t53_a_queue_that_does_not_hear(device: Path) -> None:
    """Is told later; two rows of one change and one name of an object don't get in each other's
    way, also where both are deletions."""

    async def scenario(node: Node) -> None:
        node.containers.status = {"sdc": 503, "sdd": 503}
        await node.ask("PUT", at=1, headers=TOLD, x_delete_at=str(AT))
        await node.ask("DELETE", at=2, headers=UNTOLD)
        assert node.containers.rows == []
        node.containers.status.clear()
        await run_once(worker(node, "object-updater"))
        told = [f"{method} {path}" for method, path, _ in node.containers.rows]
        assert "DELETE /sdc/2/a/c/o" in told
        assert row(AT, QUEUE) in told
        assert set(everywhere(AT, QUEUE, method="DELETE")) <= set(told)

    serving(device, scenario)


def test_t89_nobody_outside_the_ring_is_contacted(device: Path) -> None:
    """Whatever the request names."""

    async def scenario(node: Node) -> None:
        elsewhere = {**TOLD, "x-delete-at-host": "10.9.9.9:80"}
        await node.ask("PUT", at=1, headers=elsewhere, x_delete_at=str(AT))
        assert rows(node) == []
        await run_once(worker(node, "object-updater"))
        assert rows(node) == everywhere(AT, QUEUE, method="PUT")

    serving(device, scenario)


def test_bad_lists_are_refused(device: Path) -> None:
    """Hosts and devices belong together."""

    async def scenario(node: Node) -> None:
        odd = {**TOLD, "x-delete-at-host": "127.0.0.1:6201,127.0.0.1:6202"}
        assert (await node.ask("PUT", at=1, headers=odd, x_delete_at=str(AT))).status == 400

    serving(device, scenario)


def test_what_has_expired_can_be_stored_where_it_belongs(device: Path) -> None:
    """By who says that it deals with such objects; by nobody else."""

    async def scenario(node: Node) -> None:
        past = str(int(NOW) - 10)
        assert (await node.ask("PUT", at=1, x_delete_at=past)).status == 400
        opened = {"x-backend-open-expired": "true"}
        assert (await node.ask("PUT", at=1, headers=opened, x_delete_at=past)).status == 201
        assert (await node.ask("GET")).status == 404
        assert (await node.ask("GET", headers=opened)).status == 200

    serving(device, scenario)


def test_t55_after_a_crash(device: Path) -> None:
    """The queue's row is told again with the container's."""

    async def before(node: Node) -> None:
        await node.ask("PUT", at=1, headers={}, x_delete_at=str(AT))
        await node.ask("PUT", "other", at=1, headers={})

    async def after(node: Node) -> None:
        mark = node.path / "serving"
        (mark / "killed").write_bytes(b"")
        await run_once(worker(node, "object-recovery"))
        await run_once(worker(node, "object-updater"))
        assert rows(node) == everywhere(AT, QUEUE, method="PUT")

    serving(device, before)
    serving(device, after)
