"""Many clients on one key: each answer is one version, and everybody ends up agreeing."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.functional.account import Account
from tests.functional.server import until
from tests.functional.wire import Reply

KiB = 1 << 10
MiB = 1 << 20
CLIENTS = 100
SIZES = (0, 1, 100, KiB, 64 * KiB + 1, MiB, MiB + 1)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Versions:
    """Every body that was ever sent, by its MD5."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, label: str, chance: random.Random, sizes: tuple[int, ...] = SIZES) -> bytes:
        size = chance.choice(sizes)
        body = (label.encode() + b"." + chance.randbytes(64) * (size // 64 + 1))[: max(size, 24)]
        with self.lock:
            self.bodies[md5(body)] = body
        return body

    def check(self, reply: Reply, head: bool = False) -> None:
        """An answer is one version: ETag, length, metadata and bytes belong together."""
        if reply.status == 404:
            return
        assert reply.status == 200, reply
        etag = reply.headers["etag"].strip('"')
        body = self.bodies[etag]
        assert reply.headers["content-length"] == str(len(body))
        assert reply.headers["x-object-meta-md5"] == etag
        assert reply.headers["content-type"] == f"text/{etag}"
        if not head:
            assert reply.body == body


def headers_of(body: bytes) -> dict[str, str]:
    return {"X-Object-Meta-Md5": md5(body), "Content-Type": f"text/{md5(body)}"}


def all_at_once(work: Callable[[int], None], count: int) -> None:
    """Run `work(0)` to `work(count - 1)` in as many threads; they begin together."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> None:
        barrier.wait(30)
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(begin, number) for number in range(count)]:
            done.result()


@pytest.fixture
def settled(account: Account, container: str) -> Callable[[str], None]:
    """After the storm: GET, HEAD and the listing agree about a key, however it ended."""

    def check(name: str) -> None:
        def agrees() -> bool:
            got = account.request("GET", container, name, headers={"X-Newest": "true"})
            rows = {row["name"]: row for row in account.rows(container)}
            if got.status == 404:
                return name not in rows
            etag = got.headers["etag"].strip('"')
            return name in rows and (rows[name]["hash"], rows[name]["bytes"]) == (
                etag,
                len(got.body),
            )

        until(agrees, what=f"object and listing agree about {name}")

    return check


def test_t19_one_key_a_hundred_clients(
    account: Account, container: str, chance: random.Random, settled: Callable[[str], None]
) -> None:
    """A hundred clients put, get and delete one key: every GET is exactly one version that was
    sent, with its own ETag, length, type and metadata; afterwards everything agrees.
    """
    versions = Versions()
    seeds = [chance.random() for _ in range(CLIENTS)]
    statuses: Counter[tuple[str, int]] = Counter()

    def client(number: int) -> None:
        mine = random.Random(seeds[number])
        user = account_of(account)
        for turn in range(8):
            method = mine.choice(("PUT", "PUT", "GET", "GET", "GET", "HEAD", "DELETE"))
            if method == "PUT":
                body = versions.make(f"{number}-{turn}", mine)
                reply = user.request("PUT", container, "key", body=body, headers=headers_of(body))
                if reply.status == 201:
                    assert reply.headers["etag"].strip('"') == md5(body)
            else:
                reply = user.request(method, container, "key")
                if method != "DELETE":
                    versions.check(reply, head=method == "HEAD")
            with versions.lock:
                statuses[method, reply.status] += 1
        user.close()

    all_at_once(client, CLIENTS)
    # 202 and 409 say that somebody else's newer change came first.
    assert {status for method, status in statuses if method == "PUT"} <= {201, 202}, statuses
    assert {s for method, s in statuses if method == "DELETE"} <= {204, 404, 409}, statuses
    assert statuses["PUT", 201] > CLIENTS
    settled("key")
    last = versions.make("last", chance)
    account.put(container, "key", last, headers_of(last))
    assert account.get(container, "key").body == last
    settled("key")
    assert account.request("DELETE", container, "key").status == 204
    assert account.request("GET", container, "key").status == 404
    settled("key")


def account_of(account: Account) -> Account:
    """A connection of a thread's own (not kept by the fixture, for lists are not locked)."""
    return Account(account.storage_url, account.token)


def test_large_versions_are_never_mixed(
    account: Account, container: str, chance: random.Random
) -> None:
    """Objects of several blocks that are overwritten while they are read come out whole."""
    versions = Versions()
    first = versions.make("first", chance, (5 * MiB,))
    account.put(container, "key", first, headers_of(first))
    seeds = [chance.random() for _ in range(12)]

    def client(number: int) -> None:
        mine = random.Random(seeds[number])
        user = account_of(account)
        for turn in range(4):
            if number % 3 == 0:
                body = versions.make(f"{number}-{turn}", mine, (3 * MiB + 1, 5 * MiB))
                reply = user.request("PUT", container, "key", body=body, headers=headers_of(body))
                assert reply.status in {201, 202}
            else:
                reply = user.request("GET", container, "key")
                assert reply.status == 200
                versions.check(reply)
        user.close()

    all_at_once(client, 12)


def test_only_one_creates(account: Account, container: str) -> None:
    """Of many clients that say If-None-Match: * at once, somebody creates, and nobody later does.

    Two may create at the same moment, each on some of the replicas; the newer of them wins.
    """
    replies: list[int] = []
    newest = {"X-Newest": "true"}

    def client(number: int) -> None:
        user = account_of(account)
        for turn in range(3):
            headers, body = {"If-None-Match": "*"}, b"%d" % number
            reply = user.request("PUT", container, f"new-{turn}", body=body, headers=headers)
            assert reply.status in {201, 202, 412}
            replies.append(reply.status)
        user.close()

    all_at_once(client, 16)
    assert replies.count(201) >= 3
    for turn in range(3):
        kept = account.get(container, f"new-{turn}", newest).body
        headers = {"If-None-Match": "*"}
        late = account.request("PUT", container, f"new-{turn}", body=b"late", headers=headers)
        assert late.status == 412
        assert account.get(container, f"new-{turn}", newest).body == kept


def test_many_keys_are_counted(account: Account, container: str, chance: random.Random) -> None:
    """Many clients on keys of their own: the listing and the counts are the sum of them all."""
    seeds = [chance.random() for _ in range(20)]
    left: dict[str, bytes] = {}
    lock = threading.Lock()

    def client(number: int) -> None:
        mine = random.Random(seeds[number])
        user = account_of(account)
        for turn in range(10):
            name = f"{number:02}/{turn:02}"
            body = mine.randbytes(mine.randrange(3000))
            user.put(container, name, body)
            if mine.random() < 0.3:
                body = mine.randbytes(mine.randrange(3000))
                user.put(container, name, body)
            if mine.random() < 0.3:
                assert user.request("DELETE", container, name).status == 204
                continue
            with lock:
                left[name] = body
        user.close()

    all_at_once(client, 20)
    expected = [(name, len(left[name]), md5(left[name])) for name in sorted(left)]

    def agrees() -> bool:
        rows = [(row["name"], row["bytes"], row["hash"]) for row in account.rows(container)]
        return rows == expected

    until(agrees, what="the listing is what was stored")
    head = account.request("HEAD", container).headers
    assert head["x-container-object-count"] == str(len(expected))
    assert head["x-container-bytes-used"] == str(sum(size for _, size, _ in expected))


def test_containers_come_and_go(account: Account, container: str) -> None:
    """T60: deleting a container while others put objects into it: it is refused while it holds
    one, and no PUT that was acknowledged is lost with it.
    """

    def client(number: int) -> None:
        user = account_of(account)
        try:
            if number == 0:
                for _ in range(30):
                    assert user.request("DELETE", container).status in {204, 404, 409}
                    assert user.request("PUT", container).status in {201, 202}
                return
            for turn in range(20):
                name = f"{number}-{turn}"
                reply = user.request("PUT", container, name, body=b"x")
                assert reply.status in {201, 404}
                if reply.status == 201:
                    assert user.request("GET", container, name).status in {200, 404}
                    assert user.request("DELETE", container, name).status in {204, 404}
        finally:
            user.close()

    all_at_once(client, 6)
    assert account.request("PUT", container).status in {201, 202}
    account.put(container, "after", b"all is well")
    until(lambda: account.names(container) == ["after"], what="only the last object is listed")
