"""The inner pipeline: what our own workers may say, and nobody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest

from swiftish.cluster.client import SwiftClient
from swiftish.cluster.transport import Kind
from swiftish.domain.expiry import QUEUE_ACCOUNT
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.message import Bytes, Request, Response
from swiftish.proxy.app import ProxyService
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.device import Device
from swiftish.ring.ring import fixed
from swiftish.runtime.tasks import Background
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import EPOCH_S, FakeClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster

MOMENT = "1699999999.00000_0000000000000003"
SAID = {
    "x-timestamp": MOMENT,
    "x-backend-storage-policy-index": "1",
    "x-backend-open-expired": "true",
    "x-backend-clean-expiring-object-queue": "no",
}
OBJECT = "/v1/a/c/o"


class Proxy:
    """A proxy over nodes in memory; `sent` are the requests that object servers got."""

    def __init__(self, *, allow_open_expired: bool = False) -> None:
        self.cluster = FakeCluster()
        self.sent: list[Request] = []
        ring, clock = self.cluster.ring, FakeClock()
        self.service = ProxyService(
            settings=ProxySettings(allow_open_expired=allow_open_expired),
            limits=Limits(),
            policies=PolicySet(
                (
                    Policy(index=0, name="gold", default=True, replicas=3),
                    Policy(index=1, name="silver", replicas=3),
                )
            ),
            hash_path=HashPath(prefix=b"", suffix=b"s"),
            account_ring=fixed(ring),
            container_ring=fixed(ring),
            object_rings={0: fixed(ring), 1: fixed(ring)},
            transport=self,
            cache=MemoryCache(clock),
            clock=clock,
            background=Background(),
            tempauth=None,
        )
        self.client = SwiftClient(self.service.internal)

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        if kind == "object":
            self.sent.append(request)
        return await self.cluster.send(kind, node, request)

    async def ask(self, method: str, path: str, headers: Mapping[str, str]) -> int:
        """A client's request."""
        request = Request(
            method=method,
            path=path,
            headers={"content-length": "1", **headers},
            body=Bytes(b"x" if method == "PUT" else b""),
            context=ProxyContext(),
        )
        response = await self.service.handler(request)
        await response.body.aclose()
        return response.status

    def said(self, name: str) -> list[str | None]:
        """A header of all requests to object servers, since somebody asked last."""
        found = [request.headers.get(name) for request in self.sent]
        self.sent.clear()
        return found


def run(script: Callable[[Proxy], Awaitable[None]], *, allow_open_expired: bool = False) -> None:
    async def main() -> None:
        proxy = Proxy(allow_open_expired=allow_open_expired)
        await proxy.ask("PUT", "/v1/a/c", {})
        await script(proxy)
        proxy.service.close()

    simulate(main())


def test_what_a_worker_says_counts() -> None:
    """The moment of a change, the policy, expired objects, who cleans the queue."""

    async def script(proxy: Proxy) -> None:
        target = Target("a", "c", "o")
        await proxy.client.put_object(target, Bytes(b"x"), {**SAID, "x-delete-at": "1000"})
        for request in proxy.sent:
            assert {name: request.headers.get(name) for name in SAID} == SAID
            assert request.headers["x-delete-at"] == "0000001000", "also one that has passed"
        proxy.sent.clear()
        await proxy.client.head(target, SAID)
        assert set(proxy.said("x-backend-open-expired")) == {"true"}
        await proxy.client.delete(target, {**SAID, "x-timestamp": "1700000005"})
        assert set(proxy.said("x-timestamp")) == {"1700000005.00000"}

    run(script)


@pytest.mark.parametrize("name", [*SAID, "x-backend-allow-reserved-names"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "GET"])
def test_what_a_client_says_does_not(name: str, method: str) -> None:
    """Whatever gets past the gatekeeper: the router asks the context, not the headers."""
    value = SAID.get(name, "true")

    async def script(proxy: Proxy) -> None:
        await proxy.ask("PUT", OBJECT, {})
        proxy.sent.clear()
        assert await proxy.ask(method, OBJECT, {name: value}) < 300
        assert value not in proxy.said(name)
        context = ProxyContext()
        headers = {name: value, "content-length": "0"}
        request = Request(method=method, path=OBJECT, headers=headers, context=context)
        response = await proxy.service.router(request)
        await response.body.aclose()
        assert value not in proxy.said(name)
        assert not context.internal

    run(script)


def test_reserved_names() -> None:
    """Are for workers; a client's request for one is refused."""

    async def script(proxy: Proxy) -> None:
        await proxy.client.put_container("a", "\0c")
        await proxy.client.put_object(Target("a", "\0c", "\0o"), Bytes(b"x"))
        response = await proxy.client.get_object(Target("a", "\0c", "\0o"))
        assert (response.status, await response.body.read()) == (200, b"x")
        assert await proxy.ask("GET", "/v1/a/\0c/\0o", {}) == 412

    run(script)


def test_a_worker_that_talks_nonsense() -> None:
    """Is told so, like a client."""

    async def script(proxy: Proxy) -> None:
        async def ask(headers: Mapping[str, str]) -> int:
            request = Request(method="DELETE", path=OBJECT, headers=headers)
            return (await proxy.service.internal(request)).status

        assert await ask({"x-timestamp": "tomorrow"}) == 400
        assert await ask({"x-backend-storage-policy-index": "gold"}) == 400
        assert await ask({"x-backend-storage-policy-index": "7"}) == 503

    run(script)


def test_what_servers_say_of_themselves_is_told_to_workers_only() -> None:
    """Timestamps with their offsets, policies, system metadata."""

    async def script(proxy: Proxy) -> None:
        await proxy.ask("PUT", OBJECT, {})
        found = await proxy.client.head(Target("a", "c", "o"))
        assert "x-backend-timestamp" in found.headers
        found = await proxy.client.head(Target("a", "c"))
        assert found.headers["x-backend-storage-policy-index"] == "0"
        request = Request(method="HEAD", path="/v1/a/c", context=ProxyContext())
        told = await proxy.service.handler(request)
        assert not [name for name in told.headers if name.startswith("x-backend")]

    run(script)


def test_each_request_has_an_id() -> None:
    """By which the logs of all nodes tell of it."""

    async def script(proxy: Proxy) -> None:
        await proxy.client.put_object(Target("a", "c", "o"), Bytes(b"x"))
        [name] = set(proxy.said("x-trans-id"))
        assert name is not None
        assert name.startswith("tx")

    run(script)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_who_is_told_of_an_object_that_expires(method: str) -> None:
    """All replicas of the queue's container, by name; the first two servers clean up."""

    async def script(proxy: Proxy) -> None:
        await proxy.ask("PUT", OBJECT, {})
        proxy.sent.clear()
        await proxy.ask(method, OBJECT, {"x-delete-after": "100000"})
        sent = list(proxy.sent)
        container = sent[0].headers["x-delete-at-container"]
        assert container.isdigit()
        assert int(container) <= EPOCH_S + 100_000
        place = proxy.service.backend.container(Target(QUEUE_ACCOUNT, container))
        assert {r.headers["x-delete-at-partition"] for r in sent} == {str(place.partition)}
        told = sorted(
            (r.headers["x-delete-at-host"], r.headers["x-delete-at-device"]) for r in sent
        )
        assert told == sorted((node.address, node.device) for node in place.primaries)
        assert proxy.said("x-backend-clean-expiring-object-queue") == [None, None, "false"]
        await proxy.ask(method, OBJECT, {})
        assert proxy.said("x-delete-at-container") == [None] * 3

    run(script)


@pytest.mark.parametrize("allowed", [False, True])
def test_open_expired(allowed: bool) -> None:
    """X-Open-Expired is passed on where the settings allow it, and never makes the past a time at
    which an object may expire."""

    async def script(proxy: Proxy) -> None:
        await proxy.ask("PUT", OBJECT, {})
        proxy.sent.clear()
        for method in ("GET", "HEAD", "POST"):
            await proxy.ask(method, OBJECT, {"x-open-expired": "true"})
            assert set(proxy.said("x-backend-open-expired")) == {"true" if allowed else None}
        past = {"x-open-expired": "true", "x-delete-at": "1000"}
        assert await proxy.ask("POST", OBJECT, past) == 400
        assert await proxy.ask("PUT", OBJECT, past) == 400
        assert await proxy.ask("GET", OBJECT, {"x-open-expired": "no"}) == 200
        assert set(proxy.said("x-backend-open-expired")) == {None}

    run(script, allow_open_expired=allowed)
