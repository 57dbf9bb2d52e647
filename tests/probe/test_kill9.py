"""`kill -9` of all server processes at random moments under load, again and again on one folder.

What must hold after each restart: every acknowledged PUT is there with its bytes and metadata and
in the listing, every acknowledged DELETE has stayed deleted, what was under way is there entirely
or not at all, and no temporary file is left.
"""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import Server, until
from tests.functional.wire import CutShort, Reply
from tests.probe import disk

USER = "test:tester:testing:.admin"
CONTAINER = "kill9"
KiB, MiB = 1 << 10, 1 << 20
SMALL_CLIENTS = 6
LARGE_CLIENTS = 2
# Keys of each client: few enough that they are overwritten and deleted, too.
SMALL_KEYS, LARGE_KEYS = 400, 30
LOAD_S = (0.05, 1.2)  # how long the load goes on before the axe falls
# Rows that a killed process may not have told its container are told again some seconds after a
# start: waiting for them each time would be most of this test's time.
LISTING_EVERY = 6
SAMPLE = 150  # of the objects that no client has touched since the last look


@dataclass(frozen=True)
class Version:
    """What one PUT sent."""

    md5: str
    size: int

    @classmethod
    def of(cls, body: bytes) -> Version:
        return cls(hashlib.md5(body, usedforsecurity=False).hexdigest(), len(body))


@dataclass
class Key:
    """One name: its acknowledged state, and what was under way at the last kill.

    None is "not there".  Each key belongs to one client, which waits for every answer, so at most
    one change can be under way.
    """

    state: Version | None = None
    under_way: list[Version | None] = field(default_factory=list)

    @property
    def allowed(self) -> list[Version | None]:
        return [self.state, *self.under_way]


class Client(threading.Thread):
    """Puts and deletes its own keys, as fast as it is answered, until the server is gone."""

    def __init__(
        self,
        account: Account,
        keys: dict[str, Key],
        names: list[str],
        *,
        large: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.account = Account(account.storage_url, account.token)
        self.keys = keys
        self.names = names
        self.large = large
        self.chance = random.Random(seed)
        self.touched: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.failure: str | None = None

    def run(self) -> None:
        try:
            while True:
                self.change()
        except (CutShort, OSError):
            pass  # the server is dead: that is the end of this client
        except AssertionError as error:
            self.failure = str(error)
        finally:
            self.account.close()

    def change(self) -> None:
        name = self.chance.choice(self.names)
        key = self.keys[name]
        self.touched.add(name)
        if key.state is not None and self.chance.random() < 0.25:
            key.under_way = [None]
            reply = self.account.request("DELETE", CONTAINER, name)
            assert reply.status in {204, 404, 503}, reply
            if reply.status == 204:
                key.state, key.under_way = None, []
        else:
            body = self.body()
            version = Version.of(body)
            key.under_way = [version]
            headers = {"X-Object-Meta-Md5": version.md5}
            reply = self.account.request("PUT", CONTAINER, name, body=body, headers=headers)
            assert reply.status in {201, 503}, reply
            if reply.status == 201:
                key.state, key.under_way = version, []
        self.answers[reply.status] += 1
        assert reply.status != 503, f"{reply} before the kill"

    def body(self) -> bytes:
        if self.large:
            size = self.chance.choice((8 * MiB, 8 * MiB, 3 * MiB + 1))
            return self.chance.randbytes(KiB) * (size // KiB) + b"end"[: size % KiB]
        return self.chance.randbytes(self.chance.choice((0, 100, KiB, KiB, 20 * KiB, 70 * KiB)))


@dataclass
class History:
    """All keys of all clients, through every kill."""

    replicas: int
    keys: dict[str, Key] = field(default_factory=dict)

    def check(self, account: Account, names: set[str]) -> None:
        """GET and HEAD of these names agree with each other and with what was acknowledged.

        What is seen of a change that was under way counts from then on: it may not vanish again.
        """
        for name in sorted(names):
            key = self.keys[name]
            newest = {"X-Newest": "true"} if self.replicas > 1 else {}
            got = account.request("GET", CONTAINER, name, headers=newest)
            head = account.request("HEAD", CONTAINER, name, headers=newest)
            found = self.version_of(name, got)
            assert found in key.allowed, (
                f"{name}: found {found}, acknowledged {key.state}, under way {key.under_way}"
            )
            assert head.status == got.status, name
            if found is not None:
                assert head.headers["etag"] == got.headers["etag"]
                assert head.headers["content-length"] == str(found.size)
            key.state, key.under_way = found, []

    @staticmethod
    def version_of(name: str, reply: Reply) -> Version | None:
        if reply.status == 404:
            return None
        assert reply.status == 200, (name, reply)
        version = Version.of(reply.body)
        assert reply.headers["etag"].strip('"') == version.md5, f"{name}: half an object"
        assert reply.headers["x-object-meta-md5"] == version.md5, f"{name}: another's metadata"
        return version

    def check_listing(self, account: Account) -> None:
        """The listing comes to be exactly the objects: no row too many, none too few."""
        expected = [
            (name, key.state.md5, key.state.size)
            for name, key in sorted(self.keys.items())
            if key.state is not None
        ]
        found: list[tuple[str, str, int]] = []

        def agrees() -> bool:
            rows = account.rows(CONTAINER)
            found[:] = [(row["name"], row["hash"], row["bytes"]) for row in rows]
            return found == expected

        try:
            until(agrees, what="the listing is the objects", timeout_s=30)
        except AssertionError as error:
            missing, extra = set(expected) - set(found), set(found) - set(expected)
            raise AssertionError(f"{error}; missing {missing}; too many {extra}") from None


@pytest.fixture
def data() -> Iterator[Path]:
    with TemporaryDirectory(prefix="swiftish-kill9-", dir=device_parent()) as folder:
        yield Path(folder) / "data"


@pytest.mark.parametrize(("kills", "replicas"), [(30, 1), (8, 3)], ids=["1 replica", "3 replicas"])
def test_t1_kill_9_under_load(
    data: Path,
    chance: random.Random,
    kills: int,
    replicas: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """T1, T3, T55: thirty kills, and never is an acknowledged change lost or a half one seen."""
    history = History(replicas)
    untouched: set[str] = set()
    touched: set[str] = set()
    began = time.monotonic()
    for turn in range(kills + 1):
        server = Server(
            data, workers=2, devices=4 if replicas > 1 else 1, replicas=replicas, users=(USER,)
        )
        server.start()
        account = Account.sign_in(server.auth_url, "test:tester", "testing")
        try:
            account.put_container(CONTAINER)
            sample = chance.sample(sorted(untouched), min(SAMPLE, len(untouched)))
            history.check(account, touched | (untouched if turn == kills else set(sample)))
            if turn % LISTING_EVERY == 0 or turn == kills:
                history.check_listing(account)
            assert disk.temporary_files(data) == []
            if turn == kills:
                break
            clients = load(server, account, history.keys, chance, turn)
        finally:
            server.kill()
            account.close()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
            assert client.failure is None, client.failure
        touched = set().union(*(client.touched for client in clients))
        untouched = set(history.keys) - touched
        with capfd.disabled():
            report(turn + 1, clients, history, time.monotonic() - began)


def load(
    server: Server, account: Account, keys: dict[str, Key], chance: random.Random, turn: int
) -> list[Client]:
    """Clients at work, for as long as chance has it; they are still at it on return."""
    clients = []
    for number in range(SMALL_CLIENTS + LARGE_CLIENTS):
        large = number >= SMALL_CLIENTS
        count = LARGE_KEYS if large else SMALL_KEYS
        names = [f"{'large' if large else 'small'}-{number}/{index:03}" for index in range(count)]
        for name in names:  # before any client starts: no two threads add to one dict
            keys.setdefault(name, Key())
        clients.append(Client(account, keys, names, large=large, seed=chance.getrandbits(64)))
    for client in clients:
        client.start()
    duration_s = chance.uniform(*LOAD_S)
    if turn == 0:
        duration_s = LOAD_S[1]
    time.sleep(duration_s)  # the moment of the kill is the chance that this test is about
    return clients


def report(turn: int, clients: list[Client], history: History, elapsed_s: float) -> None:
    """One line of progress: a person waits minutes for this."""
    answers: Counter[int] = sum((client.answers for client in clients), Counter())
    there = sum(key.state is not None for key in history.keys.values())
    open_questions = sum(bool(key.under_way) for key in history.keys.values())
    sys.stderr.write(
        f"kill {turn}: {answers.total()} answers, {open_questions} under way, "
        f"{there} objects, {elapsed_s:.0f} s\n"
    )
    sys.stderr.flush()
