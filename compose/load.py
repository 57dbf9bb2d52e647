"""Clients of the lab, who remember what they were told has been stored."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

TIMEOUT_S = 60.0
CONTAINERS = ("letters", "photos", "logs", "films", "maps", "silver")  # the last in policy silver
FAILURES_KEPT = 10

Headers = Mapping[str, str]


class Client:
    """One connection at a time; a request that breaks costs the connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Headers | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body.  Raises OSError, HTTPException."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            self._connection.request(method, path, body=body, headers=dict(headers or {}))
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where an account is, and the token with which it opens."""

    host: str
    port: int
    path: str
    token: str

    def client(self) -> Client:
        return Client(self.host, self.port)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self.token}


def log_in(host: str, port: int) -> Account:
    """As the user whom conf/proxy.toml names.  Raises OSError, HTTPException."""
    user = {"X-Auth-User": "test:tester", "X-Auth-Key": "testing"}
    status, headers, _ = Client(host, port).request("GET", "/auth/v1.0", headers=user)
    if status != 200:
        raise OSError(f"no token: {status}")
    path = urlsplit(headers["x-storage-url"]).path
    return Account(host=host, port=port, path=path, token=headers["x-auth-token"])


def content(name: str, version: int) -> bytes:
    """The bytes of an object: nothing needs to be kept to know them again."""
    chance = random.Random(f"{name} {version}")
    size = chance.choice((0, 1, 100, 4096, 20_000, 65_536, 200_000, 1_500_000))
    return chance.randbytes(size + chance.randrange(50) if size else 0)


@dataclass(slots=True)
class Kept:
    """An object as it should be: `version` None is one that was deleted."""

    version: int | None = None
    versions: int = 0  # so many have been uploaded


@dataclass(slots=True)
class Tally:
    """What clients met.  `failed` are requests that were not answered as they should be; `stale`
    answers showed an earlier state of the object, as they may while replicas differ."""

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    stale: int = 0
    slowest_s: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.done += other.done
        self.failed += other.failed
        self.stale += other.stale
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.examples += other.examples

    def __str__(self) -> str:
        asked = ", ".join(f"{count} {method}" for method, count in sorted(self.done.items()))
        return (
            f"{self.done.total()} requests ({asked}), {self.failed.total()} failed, "
            f"{self.stale} stale answers, the slowest took {self.slowest_s:.1f} s"
        )


class Person:
    """One client with objects of its own, which nobody else touches."""

    def __init__(self, account: Account, number: int) -> None:
        self.objects: dict[tuple[str, str], Kept] = {}
        self.tally = Tally()
        self._account = account
        self._client = account.client()
        self._number = number
        self._chance = random.Random(number)

    def work_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.do_something()

    def fill(self, count: int) -> None:
        for _ in range(count):
            self.put_new()

    def check_all(self) -> None:
        for key in self.objects:
            self.get(key, strictly=True)

    def leave(self) -> None:
        """Whose connection stands idle for long finds it closed."""
        self._client.close()

    def do_something(self) -> None:
        chance = self._chance
        what = chance.choices(("new", "overwrite", "delete", "get", "list"), (2, 3, 2, 6, 1))[0]
        if what == "new" or not self.objects:
            self.put_new()
            return
        container, name = key = chance.choice(list(self.objects))
        if what == "overwrite":
            self.put(key)
        elif what == "delete" and self.objects[key].version is not None:
            self.delete(key)
        elif what == "list":
            self._ask("GET", f"/{container}?format=json&prefix={name[:3]}", expected=(200, 204))
        else:
            self.get(key)

    def put_new(self) -> None:
        count = len(self.objects)
        self.put((CONTAINERS[count % len(CONTAINERS)], f"{self._number}/{count:05}"))

    def put(self, key: tuple[str, str]) -> None:
        kept = self.objects.setdefault(key, Kept())
        kept.versions += 1
        body = content(key[1], kept.versions)
        if self._ask("PUT", "/{}/{}".format(*key), body=body, expected=(201,)) is not None:
            kept.version = kept.versions

    def delete(self, key: tuple[str, str]) -> None:
        # 404: a replica that was away may not know the object yet; the tombstone is written.
        if self._ask("DELETE", "/{}/{}".format(*key), expected=(204, 404)) is not None:
            self.objects[key].version = None

    def get(self, key: tuple[str, str], *, strictly: bool = False) -> None:
        """Get it, and compare.  While replicas differ an earlier state may come: that is stale;
        `strictly`, it has failed."""
        kept = self.objects[key]
        answer = self._ask("GET", "/{}/{}".format(*key), expected=(200, 404))
        if answer is None:
            return
        status, data = answer
        is_right = (
            (status == 404)
            if kept.version is None
            else (status == 200 and data == content(key[1], kept.version))
        )
        if is_right:
            return
        versions = range(1, kept.versions + 1)
        known = status == 404 or any(data == content(key[1], each) for each in versions)
        if known and not strictly:
            self.tally.stale += 1
        else:
            self._failed(
                "GET", f"{'/'.join(key)}: {status}, {len(data)} bytes, not as it should be"
            )

    def _ask(
        self, method: str, path: str, *, body: bytes | None = None, expected: tuple[int, ...]
    ) -> tuple[int, bytes] | None:
        began = time.monotonic()
        path = self._account.path + path
        try:
            status, headers, data = self._client.request(
                method, path, body=body, headers=self._account.headers
            )
        except (OSError, http.client.HTTPException) as error:
            self._failed(method, f"{path}: {error!r}")
            return None
        finally:
            self.tally.done[method] += 1
            self.tally.slowest_s = max(self.tally.slowest_s, time.monotonic() - began)
        if status not in expected:
            self._failed(method, f"{path}: {status} {headers.get('x-trans-id', '')}")
            return None
        return status, data

    def _failed(self, method: str, text: str) -> None:
        self.tally.failed[method] += 1
        if len(self.tally.examples) < FAILURES_KEPT:
            clock = time.strftime("%H:%M:%S", time.gmtime())
            self.tally.examples.append(f"{clock} {method} {text}")


class Crowd:
    """Some clients at once."""

    def __init__(self, account: Account, size: int) -> None:
        self.account = account
        self.people = [Person(account, number) for number in range(size)]

    def make_containers(self) -> None:
        """Raises OSError, HTTPException."""
        client = self.account.client()
        for name in CONTAINERS:
            policy = {"X-Storage-Policy": "silver"} if name == "silver" else {}
            headers = {**self.account.headers, **policy}
            status, _, _ = client.request("PUT", f"{self.account.path}/{name}", headers=headers)
            if status not in (201, 202):
                raise OSError(f"PUT of the container {name}: {status}")

    def all_do(self, what: Callable[[Person], None]) -> Tally:
        """Each of them does it; what they met."""
        for person in self.people:
            person.tally = Tally()

        def do(person: Person) -> None:
            what(person)
            person.leave()

        threads = [threading.Thread(target=do, args=(person,)) for person in self.people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tally = Tally()
        for person in self.people:
            tally.add(person.tally)
        return tally

    @contextmanager
    def at_work(self, tally: Tally) -> Iterator[None]:
        """They go on with this and that until the block ends; then `tally` has what they met."""
        stop = threading.Event()
        everybody = threading.Thread(
            target=lambda: tally.add(self.all_do(lambda person: person.work_until(stop)))
        )
        everybody.start()
        try:
            yield
        finally:
            stop.set()
            everybody.join()

    def objects(self, container: str) -> dict[str, int]:
        """The objects that a container must have: their names and sizes."""
        return {
            name: len(content(name, kept.version))
            for person in self.people
            for (where, name), kept in person.objects.items()
            if where == container and kept.version is not None
        }

    def listing(self, container: str) -> dict[str, int]:
        """What its listing says.  Raises OSError, HTTPException."""
        client, headers = self.account.client(), self.account.headers
        found: dict[str, int] = {}
        marker = ""
        while True:
            query = f"?format=json&marker={quote(marker, safe='')}"
            path = f"{self.account.path}/{container}{query}"
            status, _, data = client.request("GET", path, headers=headers)
            if status != 200:
                raise OSError(f"listing of {container}: {status}")
            page = json.loads(data)
            if not page:
                return found
            found.update({row["name"]: row["bytes"] for row in page})
            marker = page[-1]["name"]

    def account_says(self) -> tuple[int, int]:
        """How many objects and bytes the account says it has.  Raises OSError, HTTPException."""
        _, headers, _ = self.account.client().request(
            "HEAD", self.account.path, headers=self.account.headers
        )
        count, used = headers["x-account-object-count"], headers["x-account-bytes-used"]
        return int(count), int(used)
