"""Clients at work while something happens to the cluster; every answer is held against a model.

As a good client does, each keeps its connection, takes a new one when the server has closed it,
and sends a request again when the old one was closed without a byte of an answer; with several
proxies, as behind a balancer, it goes to the next one when one cannot be connected to; and it signs
in again when a proxy does not know its token (each has its own here, for there is no memcached).
Nothing else is tried twice: any other answer than the right one is a failure, but that, while
nodes miss writes, a GET may be answered with what was there before.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from types import TracebackType
from typing import Self

from tests.functional.server import until
from tests.functional.wire import CutShort, Reply, Wire
from tests.lab.lab import Lab
from tests.probe.cluster.steps import sign_in

KEYS = 8  # of each client


@dataclass(frozen=True)
class Done:
    """One request, as it went."""

    what: str
    name: str
    began: float
    took_s: float
    problem: str = ""


class Client(threading.Thread):
    """PUT, GET and DELETE of objects that are its own, one after another, until told to stop."""

    def __init__(
        self,
        lab: Lab,
        proxies: int,
        container: str,
        number: int,
        stop: Event,
        *,
        may_be_stale: bool,
    ) -> None:
        super().__init__(daemon=True)
        self.done: list[Done] = []
        self.model: dict[str, bytes | None] = {}
        self.before: dict[str, set[bytes]] = {}  # what objects have been
        self.may_be_stale = may_be_stale
        self._lab = lab
        self._accounts = [sign_in(lab, proxy=proxy) for proxy in range(proxies)]
        self._container = container
        self._number = number
        self._stopping = stop
        self._chance = random.Random(number)
        self._wire: Wire | None = None
        self._proxy = number % proxies

    def run(self) -> None:
        while not self._stopping.is_set():
            name = f"load-{self._number}-{self._chance.randrange(KEYS)}"
            there = self.model.get(name)
            methods = ["PUT", "PUT"] if there is None else ["PUT", "GET", "GET", "GET", "DELETE"]
            self.do(self._chance.choice(methods), name)
        if self._wire is not None:
            self._wire.close()

    def do(self, method: str, name: str) -> None:
        """One request, noted, with what is wrong about its answer."""
        body = self._chance.randbytes(self._chance.choice((0, 100, 4000, 70_000)))
        began, clock = time.time(), time.monotonic()
        try:
            reply = self.request(method, name, body if method == "PUT" else None)
            problem = self._problem(method, name, reply)
        except (OSError, CutShort) as error:
            problem = repr(error)
        if not problem and method != "GET":
            if (old := self.model.get(name)) is not None:
                self.before.setdefault(name, set()).add(old)
            self.model[name] = body if method == "PUT" else None
        self.done.append(Done(method, name, began, time.monotonic() - clock, problem))

    def _problem(self, method: str, name: str, reply: Reply) -> str:
        expected = {"PUT": 201, "GET": 200, "DELETE": 204}[method]
        if reply.status != expected:
            return f"{reply.status} {dict(reply.headers)} {reply.body[:100]!r}"
        if method != "GET" or reply.body == self.model[name]:
            return ""
        if self.may_be_stale and reply.body in self.before.get(name, ()):
            return ""
        return "other bytes than were written last"

    def request(self, method: str, name: str, body: bytes | None) -> Reply:
        reply = self._send(method, name, body)
        if reply.status == 401:
            self._accounts[self._proxy] = sign_in(self._lab, proxy=self._proxy)
            reply = self._send(method, name, body)
        return reply

    def _send(self, method: str, name: str, body: bytes | None) -> Reply:
        is_kept = self._wire is not None and self._wire.usable
        try:
            return self._send_once(method, name, body)
        except (CutShort, ConnectionError) as error:
            assert self._wire is not None
            self._wire.close()
            if not is_kept or (isinstance(error, CutShort) and (error.status or error.body)):
                raise
        return self._send_once(method, name, body)

    def _send_once(self, method: str, name: str, body: bytes | None) -> Reply:
        if self._wire is None or not self._wire.usable:
            if self._wire is not None:
                self._wire.close()
            self._wire = self._connect()
        account = self._accounts[self._proxy]
        return self._wire.request(
            method, account.path(self._container, name), account.headers(), body
        )

    def _connect(self) -> Wire:
        for _ in self._accounts[1:]:
            with suppress(ConnectionRefusedError):
                return self._connect_to_next()
        return self._connect_to_next()

    def _connect_to_next(self) -> Wire:
        self._proxy = (self._proxy + 1) % len(self._accounts)
        account = self._accounts[self._proxy]
        return Wire(account.host, account.port)


@dataclass
class Load:
    """So many clients, as long as the `with` lasts."""

    lab: Lab
    container: str
    clients: int = 3
    proxies: int = 2
    may_be_stale: bool = False
    _stop: Event = field(default_factory=Event)
    _threads: list[Client] = field(default_factory=list)

    def __enter__(self) -> Self:
        for number in range(self.clients):
            client = Client(
                self.lab,
                self.proxies,
                self.container,
                number,
                self._stop,
                may_be_stale=self.may_be_stale,
            )
            self._threads.append(client)
            client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for client in self._threads:
            client.join(120)
            assert not client.is_alive()

    @property
    def done(self) -> list[Done]:
        return [each for client in self._threads for each in client.done]

    def wait_for(self, more: int) -> None:
        """Until every client has done so many more requests."""
        goals = [(client, len(client.done) + more) for client in self._threads]
        until(
            lambda: all(len(client.done) >= goal for client, goal in goals),
            what=f"{more} more requests of every client",
            timeout_s=120,
        )

    def failures(self) -> list[Done]:
        return [each for each in self.done if each.problem]

    def model(self) -> dict[str, bytes | None]:
        """What every object must be now; None: not there."""
        return {name: body for client in self._threads for name, body in client.model.items()}

    def check(self) -> None:
        """All objects and the listing are as they were left, and nothing has failed."""
        failures = self.failures()
        assert failures == [], f"{len(failures)} of {len(self.done)}, the first: {failures[0]}"
        account = sign_in(self.lab)
        for name, body in self.model().items():
            reply = account.request("GET", self.container, name)
            assert reply.status == (404 if body is None else 200), (name, reply)
            assert body is None or reply.body == body, name
        there = sorted(name for name, body in self.model().items() if body is not None)
        listed = [name for name in account.names(self.container) if name.startswith("load-")]
        assert listed == there
        account.close()


def percentile(done: Sequence[Done], share: float) -> float:
    """How long that share of the requests took at most, in seconds."""
    times = sorted(each.took_s for each in done)
    return times[min(len(times) - 1, int(share * len(times)))]
