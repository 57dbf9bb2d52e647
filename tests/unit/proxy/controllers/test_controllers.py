"""Every verb through the router, against storage nodes in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from swiftish.cluster.calls import Calls
from swiftish.cluster.changes import Changes
from swiftish.cluster.downloader import Reader
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.nodes import Nodes
from swiftish.cluster.uploader import Uploader
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.bodies import read_all
from swiftish.http.errors import Refusals
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.proxy.authorize import Answer, Verdict
from swiftish.proxy.controllers.account import AccountController
from swiftish.proxy.controllers.backend import Backend
from swiftish.proxy.controllers.container import ContainerController
from swiftish.proxy.controllers.object_change import ObjectChange
from swiftish.proxy.controllers.object_read import ObjectRead
from swiftish.proxy.controllers.object_write import ObjectWrite
from swiftish.proxy.info import CachedInfos
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.router import Router
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.ring import fixed
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import FakeClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster, Faults

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    data: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.data[:100]!r}"


class Asker:
    """An Authorizer: the owner, somebody whom only ACLs let in, or nobody."""

    def __init__(self, who: str = "owner") -> None:
        self.who = who
        self.asked: list[tuple[Target, str | None]] = []

    async def __call__(self, request: Request, target: Target, acl: str | None) -> Answer:
        self.asked.append((target, acl))
        if self.who == "owner":
            return Answer(verdict=Verdict.ALLOWED, owner=True)
        if acl is not None and self.who in acl.split(","):
            return Answer(verdict=Verdict.ALLOWED)
        if self.who == "nobody":
            return Answer(verdict=Verdict.UNAUTHENTICATED)
        return Answer(verdict=Verdict.DENIED)


class Proxy:
    """A proxy's inside, and a client of it."""

    def __init__(self, settings: ProxySettings | None = None) -> None:
        self.cluster = FakeCluster(devices=4, replicas=3)
        self.clock = FakeClock()
        self.background = Background()
        self.asker = Asker()
        limiter = ErrorLimiter(self.clock)
        calls = Calls(self.cluster, limiter, self.clock, node_timeout_s=10)
        nodes, fanout = Nodes(limiter), Fanout(calls, self.background)
        threads = DeviceThreads("checksums", size=1)
        self.backend = Backend(
            settings=settings or ProxySettings(),
            limits=Limits(),
            policies=PolicySet(
                (
                    Policy(index=0, name="gold", default=True, replicas=3),
                    Policy(index=1, name="silver", aliases=("Argent",), replicas=2),
                    Policy(index=2, name="tin", deprecated=True),
                )
            ),
            hash_path=HashPath(prefix=b"", suffix=b"s"),
            account_ring=fixed(self.cluster.ring),
            container_ring=fixed(self.cluster.ring),
            object_rings=dict.fromkeys((0, 1, 2), fixed(self.cluster.ring)),
            clock=self.clock,
            nodes=nodes,
            reader=Reader(calls, nodes, self.background),
            fanout=fanout,
            changes=Changes(fanout, nodes, self.clock),
            uploader=Uploader(calls, nodes, fanout, self.background, threads, self.clock),
        )
        self.infos = CachedInfos(self.backend, MemoryCache(self.clock))
        accounts = AccountController(self.backend, self.infos)
        self.app = Refusals(
            Router(
                account=accounts,
                container=ContainerController(self.backend, self.infos, accounts),
                read=ObjectRead(self.backend, self.infos),
                write=ObjectWrite(self.backend, self.infos),
                change=ObjectChange(self.backend, self.infos),
            )
        )

    async def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        query: str = "",
        data: bytes | None = None,
        body: Body | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if data is not None:
            sent["content-length"] = str(len(data))
        request = Request(
            method=method,
            path=f"/v1/{path}",
            query=query,
            headers=sent,
            body=body or Bytes(data or b""),
            context=ProxyContext(authorizer=self.asker),
        )
        response = await self.app(request)
        data = await read_all(response.body, size_max=1 << 24)
        await response.body.aclose()
        await asyncio.sleep(0)
        return Reply(response.status, dict(response.headers), data)

    async def status(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        query: str = "",
        data: bytes | None = None,
        body: Body | None = None,
    ) -> int:
        reply = await self.ask(method, path, headers, query=query, data=data, body=body)
        return reply.status


async def with_object(data: bytes = b"0123456789") -> Proxy:
    proxy = Proxy()
    assert await proxy.status("PUT", "a/c") == 201
    assert await proxy.status("PUT", "a/c/o.txt", data=data) == 201
    return proxy


# ---- accounts --------------------------------------------------------------------------------


def test_an_account_nobody_has_used() -> None:
    """It looks empty, and looking at it does not make it (reference 6.19)."""

    async def main() -> None:
        proxy = Proxy()
        head = await proxy.ask("HEAD", "a")
        assert (head.status, head.headers["x-account-container-count"]) == (204, "0")
        get = await proxy.ask("GET", "a")
        assert (get.status, get.data) == (200, b"[]")
        assert not any(node.names for node in proxy.cluster.nodes.values())

    run(main())


def test_accounts_are_made_by_their_first_use() -> None:
    """A POST makes one, and so does a container; infos see it at once."""

    async def main() -> None:
        proxy = Proxy()
        assert await proxy.status("POST", "a", {"x-account-meta-x": "1"}) == 204
        assert (await proxy.ask("HEAD", "a")).headers["x-account-meta-x"] == "1"
        assert await proxy.status("GET", "b/c") == 404
        assert await proxy.status("PUT", "b/c") == 201
        assert await proxy.status("GET", "b/c") == 200

    run(main())


def test_without_autocreate() -> None:
    """Accounts that nobody has made are not there."""

    async def main() -> None:
        proxy = Proxy(ProxySettings(account_autocreate=False))
        assert await proxy.status("HEAD", "a") == 404
        assert await proxy.status("PUT", "a/c") == 404

    run(main())


def test_account_management() -> None:
    """Made, deleted, gone; and a query saves an account from deletion by mistake."""

    async def main() -> None:
        proxy = Proxy(ProxySettings(allow_account_management=True))
        assert await proxy.status("PUT", "a") == 201
        assert await proxy.status("PUT", "a") == 202
        assert await proxy.status("DELETE", "a", query="bulk-delete") == 400
        assert await proxy.status("PUT", "a/known") == 201
        assert await proxy.status("HEAD", "a/known") == 204  # remembered from now on
        assert await proxy.status("DELETE", "a") == 204
        proxy.clock.move(1)
        assert await proxy.status("GET", "a") == 410
        assert await proxy.status("DELETE", "a") == 404
        assert await proxy.status("GET", "a/c") == 404
        assert await proxy.status("GET", "a/known") == 404
        forbidden = Proxy()
        assert await forbidden.status("PUT", "a") == 405
        assert await forbidden.status("DELETE", "a") == 405

    run(main())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=10000", 200),
        ("limit=10001", 412),
        ("limit=" + "9" * 100, 412),
        ("limit=", 200),
        ("limit=-1", 200),
        ("limit=x", 200),
        ("limit=0", 200),
        ("marker=%ff", 400),
        ("prefix=%ff", 400),
        ("nonsense=%ff", 200),
    ],
)
@pytest.mark.parametrize("path", ["a", "a/c"])
def test_listing_queries(path: str, query: str, status: int) -> None:
    """Limits beyond the maximum are refused, nonsense is ignored, text must be UTF-8."""

    async def main() -> None:
        proxy = await with_object()
        assert await proxy.status("GET", path, query=query) == status

    run(main())


# ---- containers ------------------------------------------------------------------------------


def test_the_life_of_a_container() -> None:
    """201, 202, 204, 409 while it holds something, 204, 404; a new one is seen at once."""

    async def main() -> None:
        proxy = Proxy()
        assert await proxy.status("HEAD", "a/c") == 404
        assert await proxy.status("POST", "a/c") == 404
        assert await proxy.status("PUT", "a/c", {"x-container-meta-x": "1"}) == 201
        assert await proxy.status("PUT", "a/c") == 202
        head = await proxy.ask("HEAD", "a/c")
        assert head.headers["x-container-meta-x"] == "1"
        assert head.headers["x-storage-policy"] == "gold"
        assert head.headers["accept-ranges"] == "bytes"
        assert "x-backend-timestamp" not in head.headers
        assert await proxy.status("POST", "a/c", {"x-remove-container-meta-x": "y"}) == 204
        assert "x-container-meta-x" not in (await proxy.ask("HEAD", "a/c")).headers
        assert await proxy.status("PUT", "a/c/o", data=b"") == 201
        assert await proxy.status("DELETE", "a/c") == 409
        assert await proxy.status("DELETE", "a/c/o") == 204
        assert await proxy.status("DELETE", "a/c") == 204
        assert await proxy.status("DELETE", "a/c") == 404
        assert await proxy.status("PUT", "a/c/o", data=b"") == 404

    run(main())


@pytest.mark.parametrize(
    ("name", "status"), [("gold", 201), ("ARGENT", 201), ("lead", 400), ("tin", 400), ("", 201)]
)
def test_policies_by_name(name: str, status: int) -> None:
    """Names and aliases in any case; unknown and deprecated ones are refused."""

    async def main() -> None:
        proxy = Proxy()
        assert await proxy.status("PUT", "a/c", {"x-storage-policy": name}) == status

    run(main())


def test_a_container_keeps_its_policy() -> None:
    """Another one asked for is a conflict; none asked for is none."""

    async def main() -> None:
        proxy = Proxy()
        assert await proxy.status("PUT", "a/c", {"x-storage-policy": "silver"}) == 201
        assert await proxy.status("PUT", "a/c", {"x-storage-policy": "gold"}) == 409
        assert await proxy.status("PUT", "a/c") == 202
        assert await proxy.status("POST", "a/c", {"x-storage-policy": "gold"}) == 204
        assert (await proxy.ask("HEAD", "a/c")).headers["x-storage-policy"] == "silver"

    run(main())


def test_a_change_whose_client_leaves_is_seen_by_the_next_reader() -> None:
    """The nodes were told, and what somebody read meanwhile must not outlive the change."""

    async def read_acl(proxy: Proxy) -> str | None:
        asking = Request(method="HEAD", path="/v1/a/c", context=ProxyContext())
        return (await proxy.infos.container(asking, "a", "c")).read_acl

    async def main() -> None:
        proxy = await with_object()
        told = asyncio.Event()
        # Another machine's proxy: what it does, our cache does not hear of.
        other = CachedInfos(proxy.backend, MemoryCache(proxy.clock))
        accounts = AccountController(proxy.backend, other)
        behind = ContainerController(proxy.backend, other, accounts)

        async def change() -> None:
            request = Request(
                method="POST",
                path="/v1/a/c",
                headers={"x-container-read": "bob"},
                context=ProxyContext(),
            )
            async with proxy.infos.changing(ProxyContext(), Target("a", "c")):
                assert await read_acl(proxy) is None
                assert (await behind.post(request, Target("a", "c"))).ok
                told.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(change())
            await told.wait()
            assert await read_acl(proxy) is None
            task.cancel()
        assert await read_acl(proxy) == "bob"

    run(main())


def test_acls_are_cleaned() -> None:
    """What is stored is the clean form; nonsense is refused."""

    async def main() -> None:
        proxy = Proxy()
        assert await proxy.status("PUT", "a/c", {"x-container-read": " .r:* ,, bob"}) == 201
        assert (await proxy.ask("HEAD", "a/c")).headers["x-container-read"] == ".r:*,bob"
        assert await proxy.status("POST", "a/c", {"x-container-write": ".r:*"}) == 400
        assert await proxy.status("POST", "a/c", {"x-remove-container-read": "x"}) == 204
        assert "x-container-read" not in (await proxy.ask("HEAD", "a/c")).headers

    run(main())


def test_owners_headers() -> None:
    """Others neither see nor set what is the owner's."""

    async def main() -> None:
        proxy = Proxy()
        acls = {"x-container-read": "bob", "x-container-meta-temp-url-key": "k"}
        await proxy.ask("PUT", "a/c", {**acls, "x-container-meta-color": "red"})
        proxy.asker.who = "bob"
        head = await proxy.ask("HEAD", "a/c")
        assert (head.status, head.headers["x-container-meta-color"]) == (204, "red")
        assert not acls.keys() & head.headers.keys()

    run(main())


# ---- who may ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("bob", 403)])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "a/c") for method in ("GET", "HEAD", "PUT", "POST", "DELETE")),
        *((method, "a/none") for method in ("GET", "HEAD", "POST", "DELETE")),
        *((method, "a/c/o.txt") for method in ("GET", "HEAD", "PUT", "POST", "DELETE")),
        *((method, "a/none/o") for method in ("GET", "HEAD", "PUT", "POST", "DELETE")),
        *((method, "a") for method in ("GET", "HEAD", "POST", "PUT", "DELETE")),
    ],
)
def test_strangers_learn_nothing(method: str, path: str, who: str, status: int) -> None:
    """401 or 403 comes before 404 and 405 (reference 6.18), and nothing changes."""

    async def main() -> None:
        proxy = await with_object()
        proxy.asker.who = who
        assert await proxy.status(method, path, data=b"") == status
        proxy.asker.who = "owner"
        assert (await proxy.ask("GET", "a/c/o.txt")).data == b"0123456789"

    run(main())


def test_acls_let_in() -> None:
    """The read ACL lets read, the write ACL lets write; a change of them is seen at once."""

    async def main() -> None:
        proxy = await with_object()
        await proxy.ask("POST", "a/c", {"x-container-read": "bob", "x-container-write": "eve"})
        for who, reads, writes in (("bob", 200, 403), ("eve", 403, 201)):
            proxy.asker.who = who
            assert await proxy.status("GET", "a/c/o.txt") == reads
            assert await proxy.status("PUT", "a/c/new", data=b"") == writes
            assert await proxy.status("PUT", "a/c") == 403

    run(main())


# ---- objects ---------------------------------------------------------------------------------


def test_the_life_of_an_object() -> None:
    """PUT, GET, HEAD, POST, DELETE."""

    async def main() -> None:
        proxy = Proxy()
        await proxy.ask("PUT", "a/c")
        put = await proxy.ask("PUT", "a/c/d/cat.jpg", {"x-object-meta-x": "1"}, data=b"meow")
        assert put.status == 201
        assert put.headers["etag"] == "4a4be40c96ac6314e91d93f38043a634"
        assert put.headers["last-modified"].endswith("GMT")
        get = await proxy.ask("GET", "a/c/d/cat.jpg")
        assert (get.status, get.data) == (200, b"meow")
        assert get.headers["content-type"] == "image/jpeg"
        assert get.headers["x-object-meta-x"] == "1"
        assert get.headers["accept-ranges"] == "bytes"
        assert not [name for name in get.headers if name.startswith("x-backend")]
        assert await proxy.status("HEAD", "a/c/d/cat.jpg") == 200
        assert await proxy.status("POST", "a/c/d/cat.jpg", {"x-object-meta-y": "2"}) == 202
        head = await proxy.ask("HEAD", "a/c/d/cat.jpg")
        assert "x-object-meta-x" not in head.headers
        assert head.headers["x-object-meta-y"] == "2"
        assert head.headers["content-type"] == "image/jpeg"
        listing = await proxy.ask("GET", "a/c")
        assert [row["name"] for row in json.loads(listing.data)] == ["d/cat.jpg"]
        assert await proxy.status("DELETE", "a/c/d/cat.jpg") == 204
        assert await proxy.status("DELETE", "a/c/d/cat.jpg") == 404
        assert await proxy.status("GET", "a/c/d/cat.jpg") == 404
        assert await proxy.status("POST", "a/c/d/cat.jpg") == 404

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": "abc"}, 400),
        ({"if-none-match": "*"}, 412),
        ({"if-none-match": '"abc", *'}, 412),
        ({"etag": "0" * 32}, 422),
        ({"etag": '"781e5e245d69b566979b86e28d23f2c7"'}, 201),
        ({"x-delete-at": "x"}, 400),
        ({"x-delete-at": ""}, 400),
        ({"x-delete-at": "5"}, 400),
        ({"x-delete-at": "99999999999999"}, 201),
        ({"x-delete-after": "-1"}, 400),
        ({"x-delete-after": "1.5"}, 400),
        ({"x-delete-after": "60"}, 201),
        ({"content-type": "text/plain; swift_bytes=5"}, 400),
        ({"content-type": "\udcff"}, 400),
        ({"x-object-manifest": "c"}, 400),
        ({"x-object-manifest": "c/"}, 400),
        ({"x-object-manifest": "c/p?"}, 400),
        ({"x-object-manifest": "c/p"}, 201),
        ({"x-object-meta-": "x"}, 400),
        ({"x-object-meta-x": "x" * 257}, 400),
    ],
)
def test_what_may_be_stored(headers: dict[str, str], status: int) -> None:
    """Conditions, checksums, times, types and metadata are checked before anything is stored."""

    async def main() -> None:
        proxy = await with_object()
        assert await proxy.status("PUT", "a/c/o.txt", headers, data=b"0123456789") == status

    run(main())


def test_sizes_and_names() -> None:
    """411 without a length, 413 beyond the limit, 400 for a name too long."""

    async def main() -> None:
        proxy = await with_object()
        assert await proxy.status("PUT", "a/c/o") == 411
        huge = Bytes()
        huge.length = Limits().max_file_size + 1
        assert await proxy.status("PUT", "a/c/o", {"content-length": "x"}, body=huge) == 413
        assert await proxy.status("PUT", "a/c/" + "é" * 512, data=b"") == 201
        assert await proxy.status("PUT", "a/c/" + "é" * 512 + "x", data=b"") == 400
        assert await proxy.status("PUT", "a/" + "c" * 257) == 400
        assert await proxy.status("PUT", "b" * 257 + "/c") == 400
        assert await proxy.status("GET", "b" * 257) == 400

    run(main())


def test_delete_after_is_stored_as_a_moment() -> None:
    """X-Delete-After counts from the request, and X-Delete-At says when (reference 1.4)."""

    async def main() -> None:
        proxy = await with_object()
        await proxy.ask("POST", "a/c/o.txt", {"x-delete-after": "60"})
        head = await proxy.ask("HEAD", "a/c/o.txt")
        assert head.headers["x-delete-at"] == str(int(proxy.clock.now()) + 60)
        assert await proxy.status("POST", "a/c/o.txt", {"x-delete-at": "5"}) == 400
        assert await proxy.status("DELETE", "a/c/o.txt", {"x-if-delete-at": "x"}) == 400

    run(main())


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize(
    ("asked", "status", "content_range"),
    [
        ("bytes=0-1", 206, "bytes 0-1/{size}"),
        ("bytes=5-", 206, "bytes 5-{last}/{size}"),
        ("bytes=-3", 206, "bytes {third}-{last}/{size}"),
        ("bytes=9999-", 416, "bytes */{size}"),
    ],
)
def test_one_range(size: int, asked: str, status: int, content_range: str) -> None:
    """206 and where the bytes are, or 416 and how many there are."""

    async def main() -> None:
        data = bytes(n % 251 for n in range(size))
        proxy = await with_object(data)
        reply = await proxy.ask("GET", "a/c/o.txt", {"range": asked})
        assert reply.status == status
        expected = content_range.format(size=size, last=size - 1, third=size - 3)
        assert reply.headers["content-range"] == expected
        if status == 206:
            start = int(expected.split()[1].split("-")[0])
            assert reply.data == data[start : start + len(reply.data)]
        whole = await proxy.ask("HEAD", "a/c/o.txt", {"range": asked})
        assert whole.status == 200

    run(main())


def test_several_ranges() -> None:
    """Parts in the order asked for; a single one that exists is a plain 206."""

    async def main() -> None:
        proxy = await with_object()
        reply = await proxy.ask("GET", "a/c/o.txt", {"range": "bytes=0-1,4-5"})
        assert reply.status == 206
        boundary = reply.headers["content-type"].partition("boundary=")[2]
        part = f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes"
        assert reply.data.decode() == (
            f"{part} 0-1/10\r\n\r\n01\r\n{part} 4-5/10\r\n\r\n45\r\n--{boundary}--"
        )
        one = await proxy.ask("GET", "a/c/o.txt", {"range": "bytes=0-1,50-60"})
        assert (one.status, one.data) == (206, b"01")
        assert one.headers["content-range"] == "bytes 0-1/10"
        none = await proxy.ask("GET", "a/c/o.txt", {"range": "bytes=40-,50-60"})
        assert (none.status, none.headers["content-range"]) == (416, "bytes */10")

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": "*", "range": "bytes=50-"}, 304),
        ({"if-none-match": "*", "range": "bytes=0-1,4-5"}, 304),
        ({"if-match": "x"}, 412),
        ({"if-match": '"781e5e245d69b566979b86e28d23f2c7"'}, 200),
        ({"if-modified-since": "Sat, 21 Nov 2037 06:53:00 GMT"}, 304),
        ({"if-modified-since": "rubbish"}, 200),
        ({"if-unmodified-since": "Sat, 21 Nov 2009 06:53:00 GMT"}, 412),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    """304 and 412 carry no body and say which version it is (reference 1.0)."""

    async def main() -> None:
        proxy = await with_object()
        reply = await proxy.ask("GET", "a/c/o.txt", headers)
        assert reply.status == status
        assert reply.headers["etag"] == "781e5e245d69b566979b86e28d23f2c7"
        assert (reply.data == b"") == (status != 200)

    run(main())


def test_t75_if_match_of_nothing() -> None:
    """`If-Match: *` on what is not there is a 412 without a body; other conditions leave 404."""

    async def main() -> None:
        proxy = await with_object()
        reply = await proxy.ask("GET", "a/c/none", {"if-match": "*"})
        assert (reply.status, reply.data) == (412, b"")
        assert await proxy.status("GET", "a/c/none", {"if-match": "x"}) == 404

    run(main())


def test_large_objects_stream() -> None:
    """Beyond 1 MiB too, with and without a length."""

    class Chunked(Body):
        def __init__(self, data: bytes) -> None:
            self._pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]

        async def read(self) -> bytes:
            return self._pieces.pop(0) if self._pieces else b""

    async def main() -> None:
        proxy = await with_object()
        chunked = {"transfer-encoding": "chunked"}
        for size in (0, 5, 1 << 20, 3_000_000):
            data = bytes(size)
            assert await proxy.status("PUT", "a/c/big", data=data) == 201
            assert (await proxy.ask("GET", "a/c/big")).data == data
            assert await proxy.status("PUT", "a/c/big", chunked, body=Chunked(data)) == 201
            assert (await proxy.ask("GET", "a/c/big")).data == data

    run(main())


def test_a_post_that_only_some_nodes_know_of() -> None:
    """Some changed it and the rest have nothing: neither done nor absent (reference 2.15)."""

    async def main() -> None:
        proxy = await with_object()
        place = proxy.backend.object(Target("a", "c", "o.txt"), proxy.backend.policy(0))
        for node in place.primaries[:2]:
            del proxy.cluster.nodes[node.device].names["object", "/a/c/o.txt"]
        assert await proxy.status("POST", "a/c/o.txt", {"x-object-meta-x": "1"}) == 503

    run(main())


# ---- the rest --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("LICK", "/v1/a", 405),
        ("LICK", "/v1/a/c", 405),
        ("LICK", "/v1/a/c/o", 405),
        ("put", "/v1/a/c/o", 405),
        ("OPTIONS", "/v1/a/c/o", 200),
        ("GET", "/v1", 412),
        ("GET", "/v1/", 412),
        ("GET", "/v1//c", 404),
        ("GET", "/v1/a//o", 404),
        ("GET", "/v3/a", 400),
        ("GET", "/v1/a/\udcff", 412),
        ("GET", "/v1/a/c/\0", 412),
    ],
)
def test_t84_paths_and_methods_that_make_no_sense(method: str, path: str, status: int) -> None:
    """They are refused before anybody is asked anything."""

    async def main() -> None:
        proxy = Proxy()
        request = Request(method=method, path=path, context=ProxyContext(authorizer=proxy.asker))
        response: Response = await proxy.app(request)
        assert response.status == status
        assert ("allow" in response.headers) == (status in (200, 405))
        assert not proxy.asker.asked

    run(main())


def test_nothing_but_the_allowed_reaches_a_node() -> None:
    """T88: whatever the gatekeeper might let through, nodes are told only what they keep."""

    async def main() -> None:
        proxy = await with_object()
        evil = {
            "x-container-host": "10.0.0.1:80",
            "x-container-device": "d9",
            "x-backend-storage-policy-index": "7",
            "x-timestamp": "0000000001.00000",
            "x-evil": "1",
        }
        assert await proxy.status("PUT", "a/c/o.txt", evil, data=b"new") == 201
        assert (await proxy.ask("GET", "a/c/o.txt")).data == b"new"

    run(main())


def test_infos_are_remembered_and_forgotten() -> None:
    """A container is asked about once a minute, "none" for six seconds; failures are not kept."""

    async def main() -> None:
        proxy = await with_object()

        def heads() -> int:
            nodes = proxy.cluster.nodes.values()
            return sum(node.requests.count(("container", "HEAD")) for node in nodes)

        await proxy.ask("GET", "a/c/o.txt")
        before = heads()
        await proxy.ask("GET", "a/c/o.txt")
        assert heads() == before
        proxy.clock.move(61)
        await proxy.ask("GET", "a/c/o.txt")
        assert heads() == before + 1
        for node in proxy.cluster.nodes.values():
            node.faults = Faults(refuse=1)
        proxy.clock.move(61)
        assert await proxy.status("GET", "a/c/o.txt") == 503
        proxy.cluster.heal()
        proxy.clock.move(1)
        assert await proxy.status("GET", "a/c/o.txt") == 200

    run(main())
