"""The container server, row by row of docs/reference/backend.md; its accounts hear of it."""

import asyncio
import json
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swiftish.account.app import AccountService
from swiftish.cluster.documents import packed, unpacked
from swiftish.cluster.transport import Kind, LocalTransport
from swiftish.container.app import ContainerService
from swiftish.container.settings import ContainerSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import empty
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring, fixed
from swiftish.runtime.devices import Devices
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Progress

HASH_PATH = HashPath(prefix=b"p", suffix=b"s")
POLICIES = PolicySet(
    (Policy(index=0, name="gold", default=True), Policy(index=2, name="Silver", replicas=2))
)


class FixedClock:
    def __init__(self) -> None:
        self.seconds = 5000.0

    def now(self) -> float:
        return self.seconds

    def timestamp(self) -> Timestamp:
        self.seconds += 1
        return Timestamp.from_seconds(self.seconds)

    def observe(self, timestamp: Timestamp) -> None:
        del timestamp


def ring_of(*devices: str) -> Ring:
    found = [Device(id=n, device=name, port=6000) for n, name in enumerate(devices)]
    return Ring(devices=found, rows=[array("H", [n, n]) for n in range(len(found))], power=1)


class Node:
    """Account and container servers of one node, and what was said between them."""

    def __init__(self, root: Path, *names: str, patience_s: float = 30.0) -> None:
        for name in names:
            (root / name).mkdir(exist_ok=True)
        self.clock = FixedClock()
        self.devices = Devices(root, names)
        self.background = Background()
        self.said: list[Request] = []
        self.account_answers: Handler | None = None
        handlers: dict[Kind, Handler] = {"account": self._account_server}
        self.account = AccountService(
            devices=self.devices,
            policies=POLICIES,
            clock=self.clock,
            limits=Limits(account_listing_limit=100),
            hash_path=HASH_PATH,
        )
        self.container = ContainerService(
            devices=self.devices,
            policies=POLICIES,
            clock=self.clock,
            limits=Limits(container_listing_limit=100),
            account_ring=fixed(ring_of(*names)),
            transport=LocalTransport(handlers),
            hash_path=HASH_PATH,
            background=self.background,
            settings=ContainerSettings(account_update_timeout_s=patience_s, report_batch=3),
        )

    async def _account_server(self, request: Request) -> Response:
        if request.method == "UPDATE":  # several reports in one
            assert isinstance(request.body, Bytes)
            data = request.body.take()
            self.said += [Request(method=m, path=p, headers=h) for m, p, h in unpacked(data)]
            request = request.replace(body=Bytes(data))
        else:
            self.said.append(request)
        return await (self.account_answers or self.account.handler)(request)

    async def ask(self, method: str, path: str, query: str = "", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, path=path, query=query, headers=named)
        return await self.container.handler(request)

    async def ask_account(self, method: str, path: str, query: str = "", **h: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in h.items()}
        request = Request(method=method, path=path, query=query, headers=named)
        return await self.account.handler(request)

    async def put_row(self, path: str, at: str, size: int = 1, **headers: str) -> int:
        row = {"x_size": str(size), "x_etag": "e", "x_content_type": "text/plain", **headers}
        return (await self.ask("PUT", path, x_timestamp=at, **row)).status

    def close(self) -> None:
        self.container.close()
        self.account.close()
        self.devices.close()


def body(response: Response) -> object:
    assert isinstance(response.body, Bytes)
    return json.loads(response.body.take())


C = "/d1/1/a/c"


@contextmanager
def node_on(root: Path, *names: str, patience_s: float = 30.0) -> Iterator[Node]:
    node = Node(root, *names, patience_s=patience_s)
    try:
        yield node
    finally:
        node.close()


def run(
    root: Path,
    script: Callable[[Node], Awaitable[None]],
    *names: str,
    patience_s: float = 30.0,
) -> None:
    """Run a script on a node of its own, which waits for accounts for so long."""

    async def main() -> None:
        with node_on(root, *(names or ("d1",)), patience_s=patience_s) as node:
            await script(node)
            await node.background.aclose(timeout_s=1)

    asyncio.run(main())


def test_put_post_head_delete(tmp_path: Path) -> None:
    """The life of a container, with every status on the way."""

    async def script(node: Node) -> None:
        assert (await node.ask("HEAD", C)).status == 404
        assert (await node.ask("POST", C, x_timestamp="2")).status == 404
        assert (await node.ask("DELETE", C, x_timestamp="2")).status == 404
        made = await node.ask(
            "PUT",
            C,
            x_timestamp="0000000010.00001",
            x_backend_storage_policy_default="2",
            x_container_meta_colour="red",
            x_container_sysmeta_s="1",
            x_container_read=".r:*",
            x_other="dropped",
        )
        assert made.status == 201
        assert (await node.ask("PUT", C, x_timestamp="11")).status == 202
        assert (
            await node.ask("POST", C, x_timestamp="12", x_container_meta_size="9")
        ).status == 204
        head = await node.ask("HEAD", C)
        assert head.status == 204
        assert dict(head.headers) == {
            "x-container-meta-colour": "red",
            "x-container-meta-size": "9",
            "x-container-sysmeta-s": "1",
            "x-container-read": ".r:*",
            "x-container-object-count": "0",
            "x-container-bytes-used": "0",
            "x-timestamp": "0000000010.00001",
            "x-put-timestamp": "0000000012.00000",
            "last-modified": "Thu, 01 Jan 1970 00:00:12 GMT",
            "x-backend-timestamp": "0000000010.00001",
            "x-backend-put-timestamp": "0000000012.00000",
            "x-backend-delete-timestamp": "0000000000.00000",
            "x-backend-status-changed-at": "0000000010.00001",
            "x-backend-storage-policy-index": "2",
        }
        conflict = await node.ask("PUT", C, x_timestamp="13", x_backend_storage_policy_index="0")
        assert conflict.status == 409
        assert conflict.headers["x-backend-storage-policy-index"] == "2"
        assert (await node.ask("DELETE", C, x_timestamp="12")).status == 409
        assert (await node.ask("DELETE", C, x_timestamp="14")).status == 204
        gone = await node.ask("GET", C)
        assert gone.status == 404
        assert gone.headers["x-backend-delete-timestamp"] == "0000000014.00000"
        assert gone.headers["x-backend-status-changed-at"] == "0000000014.00000"
        assert (await node.ask("DELETE", C, x_timestamp="15")).status == 404
        late = await node.ask("PUT", C, x_timestamp="14.5")
        assert (late.status, late.headers["x-backend-timestamp"]) == (409, "0000000015.00000")
        assert (await node.ask("PUT", C, x_timestamp="16")).status == 201
        assert "x-container-meta-colour" not in (await node.ask("HEAD", C)).headers

    run(tmp_path, script)


def test_rows_and_listings(tmp_path: Path) -> None:
    """Rows come and go; a listing has them in byte order, subdirectories folded, JSON always."""

    async def script(node: Node) -> None:
        assert await node.put_row(f"{C}/x", "3") == 404
        await node.ask("PUT", C, x_timestamp="1")
        assert body(await node.ask("GET", C)) == []
        names = ["z", "a/1", "a/2", "b", "\u00fc", "a\n", "//", "..", "n" * 1024]
        for place, name in enumerate(names):
            assert await node.put_row(f"{C}/{name}", f"{place + 3}", place) == 201
        listing = await node.ask("GET", C)
        assert listing.status == 200
        assert listing.headers["content-type"] == "application/json; charset=utf-8"
        rows = body(listing)
        assert isinstance(rows, list)
        assert [row["name"] for row in rows] == sorted(names, key=str.encode)
        assert rows[-1] == {
            "name": "\u00fc",
            "hash": "e",
            "bytes": 4,
            "content_type": "text/plain",
            "last_modified": "1970-01-01T00:00:07.000000",
        }
        folded = body(await node.ask("GET", C, "delimiter=/&limit=3&prefix=a"))
        assert [next(iter(row.values())) for row in folded] == ["a\n", "a/"]  # type: ignore[attr-defined]
        head = await node.ask("HEAD", C)
        assert head.headers["x-container-object-count"] == "9"
        assert head.headers["x-container-bytes-used"] == str(sum(range(9)))
        assert (await node.ask("DELETE", C, x_timestamp="50")).status == 409
        for name in names:
            assert (await node.ask("DELETE", f"{C}/{name}", x_timestamp="20")).status == 204
        assert body(await node.ask("GET", C)) == []
        assert (await node.ask("DELETE", C, x_timestamp="50")).status == 204

    run(tmp_path, script)


def test_rows_have_three_timestamps(tmp_path: Path) -> None:
    """`last_modified` is the newest metadata's; the content type has a time of its own."""

    async def script(node: Node) -> None:
        await node.ask("PUT", C, x_timestamp="1")
        await node.put_row(
            f"{C}/n", "3", x_content_type_timestamp="5", x_meta_timestamp="6_000000000000000a"
        )
        await node.put_row(f"{C}/n", "4", 7, x_content_type="other/type")
        assert body(await node.ask("GET", C)) == [
            {
                "name": "n",
                "hash": "e",
                "bytes": 7,
                "content_type": "text/plain",
                "last_modified": "1970-01-01T00:00:06.000000",
            }
        ]

    run(tmp_path, script)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status"),
    [
        ("PUT", C, "", {}, 400),  # no timestamp
        ("PUT", C, "", {"x_timestamp": "x"}, 400),
        ("PUT", C, "", {"x_timestamp": "9", "x_backend_storage_policy_index": "x"}, 400),
        ("PUT", C, "", {"x_timestamp": "9", "x_backend_storage_policy_index": "7"}, 503),
        ("PUT", f"{C}/o", "", {"x_timestamp": "9"}, 400),  # no x-size
        ("PUT", "/d1/1/a", "", {"x_timestamp": "9"}, 400),
        ("PUT", "/d9/1/a/c", "", {"x_timestamp": "9"}, 507),
        ("GET", C, "limit=101", {}, 412),
        ("GET", C, "prefix=%FF", {}, 400),
        ("PATCH", C, "", {}, 405),
    ],
)
def test_bad_requests(
    tmp_path: Path, method: str, path: str, query: str, headers: dict[str, str], status: int
) -> None:
    """What makes no sense is refused, with the status that the contract names."""

    async def script(node: Node) -> None:
        await node.ask("PUT", C, x_timestamp="1")
        assert (await node.ask(method, path, query, **headers)).status == status

    run(tmp_path, script)


TOLD = {
    "x_account_host": "127.0.0.1:6000,127.0.0.1:6000,10.0.0.1:25",
    "x_account_device": "d1,d2,d1",
    "x_account_partition": "1",
}


def test_put_and_delete_tell_the_accounts(tmp_path: Path) -> None:
    """At once, all that are in the ring, and nobody else."""

    async def script(node: Node) -> None:
        assert (await node.ask("PUT", C, x_timestamp="9", **TOLD)).status == 404
        assert [request.path for request in node.said] == ["/d1/1/a/c", "/d2/1/a/c"]
        assert (await node.ask_account("PUT", "/d1/1/a", x_timestamp="1")).status == 201
        assert (await node.ask("PUT", C, x_timestamp="10", **TOLD)).status == 202
        rows = body(await node.ask_account("GET", "/d1/1/a"))
        assert isinstance(rows, list)
        assert [row["name"] for row in rows] == ["c"]
        assert (await node.ask("DELETE", C, x_timestamp="11", **TOLD)).status == 204
        assert body(await node.ask_account("GET", "/d1/1/a")) == []

    run(tmp_path, script, "d1", "d2")


def test_an_account_that_does_not_answer_holds_nobody_up_for_long(tmp_path: Path) -> None:
    """The container is made; what was said goes on in the background."""

    async def script(node: Node) -> None:
        answered = asyncio.Event()

        async def slow(_: Request) -> Response:
            await answered.wait()
            return empty(201)

        node.account_answers = slow
        assert (await node.ask("PUT", C, x_timestamp="9", **TOLD)).status == 201
        assert len(node.background) == 1
        answered.set()

    run(tmp_path, script, patience_s=0.05)


def test_a_container_of_the_system_makes_itself(tmp_path: Path) -> None:
    """A row for an account whose name begins with "." needs no container before it."""

    async def script(node: Node) -> None:
        path = "/d1/1/.expiring/123/row"
        assert await node.put_row(path, "3", x_backend_storage_policy_index="2") == 201
        head = await node.ask("HEAD", "/d1/1/.expiring/123")
        assert head.headers["x-container-object-count"] == "1"
        assert head.headers["x-backend-storage-policy-index"] == "2"

    run(tmp_path, script)


def test_a_full_device_is_507_and_lets_deletes_pass(tmp_path: Path) -> None:
    """T14: what makes room is not refused."""

    async def script(node: Node) -> None:
        await node.ask("PUT", C, x_timestamp="1")
        await node.put_row(f"{C}/n", "2")
        (environment,) = node.container._pool._environments._open.values()
        environment._reserve = 2**62
        assert await node.put_row(f"{C}/m", "3") == 507
        assert (await node.ask("PUT", "/d1/1/a/new", x_timestamp="3")).status == 507
        assert (await node.ask("DELETE", f"{C}/n", x_timestamp="3")).status == 204
        assert (await node.ask("DELETE", C, x_timestamp="4")).status == 204

    run(tmp_path, script)


async def update(node: Node, *rows: tuple[str, str, dict[str, str]]) -> object:
    data = packed([list(row) for row in rows])
    answer = await node.container.handler(Request(method="UPDATE", path="/d1/1", body=Bytes(data)))
    assert answer.status == 200
    assert isinstance(answer.body, Bytes)
    return unpacked(answer.body.take())


ROW = {"x-size": "5", "x-etag": "e", "x-content-type": "t", "x-timestamp": "3"}


def test_many_rows_at_once(tmp_path: Path) -> None:
    """Of any containers of the device, each with a status of its own; twice, they count once."""

    async def script(node: Node) -> None:
        for name in ("c", "d"):
            await node.ask("PUT", f"/d1/1/a/{name}", x_timestamp="1")
        rows = [
            ("PUT", "/d1/1/a/c/one", ROW),
            ("PUT", "/d1/9/a/d/two", ROW),
            ("PUT", "/d1/1/a/nowhere/three", ROW),
            ("PUT", "/d1/1/a/c/four", {}),
            ("POST", "/d1/1/a/c/five", ROW),
            ("PUT", "/d1/1/a/c", ROW),
            ("PUT", "/d1/1/.b/c/six", ROW),
            ("DELETE", "/d1/1/a/d/two", {"x-timestamp": "4"}),
            ("PUT", "/d1/1/a/c/far", {**ROW, "x-timestamp": "9999999999"}),
        ]
        for _ in range(2):
            statuses = [201, 201, 404, 400, 400, 400, 201, 204, 503]
            assert await update(node, *rows) == statuses
        head = await node.ask("HEAD", C)
        assert head.headers["x-container-object-count"] == "1"
        assert head.headers["x-container-bytes-used"] == "5"
        assert (await node.ask("HEAD", "/d1/1/a/d")).headers["x-container-object-count"] == "0"
        assert (await node.ask("HEAD", "/d1/1/.b/c")).headers["x-container-object-count"] == "1"

    run(tmp_path, script)


def test_t14_many_rows_and_no_room(tmp_path: Path) -> None:
    """Deletions have their place all the same, and the others are told that they have none."""

    async def script(node: Node) -> None:
        await node.ask("PUT", C, x_timestamp="1")
        await node.put_row(f"{C}/one", "2")
        (environment,) = node.container._pool._environments._open.values()
        environment._reserve = 2**62
        rows = [("PUT", f"{C}/two", ROW), ("DELETE", f"{C}/one", {"x-timestamp": "4"})]
        assert await update(node, *rows) == [507, 204]

    run(tmp_path, script)


def test_t27_metadata_that_had_been_set_later(tmp_path: Path) -> None:
    """It stays; the answer says so, and is silent when all is as it was sent."""

    async def script(node: Node) -> None:
        first = await node.ask("PUT", C, x_timestamp="4000", x_container_read=".r:*")
        late = await node.ask("POST", C, x_timestamp="400", x_container_read="")
        again = await node.ask("PUT", C, x_timestamp="401", x_container_read="", x_other="x")
        tie = await node.ask("POST", C, x_timestamp="4000", x_container_read="")
        other = await node.ask("POST", C, x_timestamp="402", x_container_meta_a="1")
        answers = (first, late, again, tie, other)
        found = [each.headers.get("x-backend-overtaken-by") for each in answers]
        assert found == [None, *["0000004000.00000"] * 3, None]
        assert (await node.ask("HEAD", C)).headers["x-container-read"] == ".r:*"

    run(tmp_path, script)


def test_a_file_that_is_not_ours_is_507(tmp_path: Path) -> None:
    """T8: and the log says which."""

    async def script(node: Node) -> None:
        (tmp_path / "d1" / "containers.mdb").write_bytes(b"something else" * 1000)
        assert (await node.ask("GET", C)).status == 507
        assert (await node.ask("PUT", C, x_timestamp="1")).status == 507

    run(tmp_path, script)


# ---- the updater -------------------------------------------------------------------------------


async def work(node: Node) -> Progress:
    updater = next(each for each in node.container.workers if each.name == "container-updater")
    return await updater.work()


def test_the_updater_reports_totals_once(tmp_path: Path) -> None:
    """What changed is told to all primaries; then nothing is, until it changes again."""

    async def script(node: Node) -> None:
        await node.ask_account("PUT", "/d1/0/a", x_timestamp="1")
        assert await work(node) is Progress.IDLE
        assert node.said == []
        await node.ask("PUT", C, x_timestamp="2")
        await node.put_row(f"{C}/n", "3", 42)
        assert await work(node) is Progress.IDLE
        assert len(node.said) == 1
        head = (await node.ask_account("HEAD", "/d1/0/a")).headers
        assert head["x-account-object-count"] == "1"
        assert head["x-account-bytes-used"] == "42"
        await work(node)
        assert len(node.said) == 1
        await node.ask("DELETE", f"{C}/n", x_timestamp="4")
        await work(node)
        head = (await node.ask_account("HEAD", "/d1/0/a")).headers
        assert head["x-account-object-count"] == "0"

    run(tmp_path, script)


def test_t53_a_report_that_fails_is_tried_again_later(tmp_path: Path) -> None:
    """T53: not at once, and without holding up others; more than a batch takes several units."""

    async def script(node: Node) -> None:
        async def down(_: Request) -> Response:
            return empty(503)

        node.account_answers = down
        for number in range(7):
            await node.ask("PUT", f"/d1/1/a/c{number}", x_timestamp="2")
        progress = [await work(node) for _ in range(3)]
        assert progress == [Progress.BUSY, Progress.BUSY, Progress.IDLE]
        assert len(node.said) == 7
        node.account_answers = None
        await node.ask_account("PUT", "/d1/0/a", x_timestamp="1")
        for _ in range(3):
            await work(node)
        assert len(node.said) == 7
        node.clock.seconds -= 3600  # the machine's clock is set right: nobody waits for an hour
        for _ in range(6):
            await work(node)
        assert len(node.said) == 14
        head = (await node.ask_account("HEAD", "/d1/0/a")).headers
        assert head["x-account-container-count"] == "7"

    run(tmp_path, script)


def test_what_was_stored_is_found_by_the_next_process(tmp_path: Path) -> None:
    """Containers, rows and marks survive; the updater finds them before anybody asks."""

    async def first(node: Node) -> None:
        await node.ask_account("PUT", "/d1/0/a", x_timestamp="1")
        await node.ask("PUT", C, x_timestamp="2")
        await node.put_row(f"{C}/n", "3")

    async def second(node: Node) -> None:
        await work(node)
        head = (await node.ask_account("HEAD", "/d1/0/a")).headers
        assert head["x-account-object-count"] == "1"
        assert (await node.ask("HEAD", C)).headers["x-container-object-count"] == "1"

    run(tmp_path, first)
    run(tmp_path, second)
