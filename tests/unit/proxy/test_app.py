"""A whole proxy, from the pipeline to nodes in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.bodies import read_all
from swiftish.http.message import Bytes, Request
from swiftish.proxy.app import ProxyService
from swiftish.proxy.middleware.tempauth import TempauthSettings, UserSettings
from swiftish.proxy.request import ProxyContext
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.ring import fixed
from swiftish.runtime.tasks import Background
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import FakeClock
from tests.fakes.loop import simulate
from tests.fakes.nodes import FakeCluster


class Client:
    """Asks a proxy as a socket would."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        ring, clock = self.cluster.ring, FakeClock()
        self.service = ProxyService(
            settings=ProxySettings(),
            limits=Limits(),
            policies=PolicySet((Policy(index=0, name="gold", default=True, replicas=3),)),
            hash_path=HashPath(prefix=b"", suffix=b"s"),
            account_ring=fixed(ring),
            container_ring=fixed(ring),
            object_rings={0: fixed(ring)},
            transport=self.cluster,
            cache=MemoryCache(clock),
            clock=clock,
            background=Background(),
            tempauth=TempauthSettings(
                user=(
                    UserSettings(account="test", user="tester", key="k", groups=(".admin",)),
                    UserSettings(account="test", user="guest", key="g"),
                )
            ),
        )
        self.headers: dict[str, str] = {}
        self.log: dict[str, str] = {}

    async def ask(
        self, method: str, path: str, data: bytes = b"", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        context = ProxyContext()
        response = await self.service.handler(
            Request(
                method=method,
                path=path,
                query=query,
                headers={"content-length": str(len(data)), **self.headers, **sent},
                body=Bytes(data),
                context=context,
            )
        )
        self.log = context.log
        content = await read_all(response.body, size_max=1 << 20)
        await asyncio.sleep(0)
        return response.status, response.headers, content

    async def log_in(self, user: str, key: str) -> None:
        status, headers, _ = await self.ask(
            "GET", "/auth/v1.0", x_auth_user=f"test:{user}", x_auth_key=key, host="h"
        )
        assert status == 200
        self.headers = {"x-auth-token": headers["x-auth-token"]}


def test_a_first_session() -> None:
    """Log in, make a container, store, list in three formats, copy, read, delete."""

    async def main() -> None:
        client = Client()
        assert (await client.ask("GET", "/healthcheck"))[0] == 200
        status, _, info = await client.ask("GET", "/info")
        assert (status, "swift" in json.loads(info)) == (200, True)
        assert (await client.ask("GET", "/v1/AUTH_test"))[0] == 401
        await client.log_in("tester", "k")
        assert (await client.ask("GET", "/v1/AUTH_test"))[0] == 204
        assert (await client.ask("PUT", "/v1/AUTH_test/c"))[0] == 201
        assert (await client.ask("PUT", "/v1/AUTH_test/c/o.txt", b"hello"))[0] == 201
        assert client.log["policy"] == "0"
        copied = await client.ask("COPY", "/v1/AUTH_test/c/o.txt", destination="c/copy")
        assert copied[0] == 201
        assert (await client.ask("GET", "/v1/AUTH_test/c/copy"))[2] == b"hello"
        assert (await client.ask("GET", "/v1/AUTH_test/c"))[2] == b"copy\no.txt\n"
        listing = await client.ask("GET", "/v1/AUTH_test/c?format=json")
        assert [row["name"] for row in json.loads(listing[2])] == ["copy", "o.txt"]
        assert listing[1]["x-storage-policy"] == "gold"
        assert (await client.ask("DELETE", "/v1/AUTH_test/c/o.txt"))[0] == 204
        assert (await client.ask("DELETE", "/v1/AUTH_test/c"))[0] == 409
        client.service.close()

    simulate(main())


def test_a_guest() -> None:
    """One who is not the account's gets in where an ACL says so, and no further."""

    async def main() -> None:
        client = Client()
        await client.log_in("tester", "k")
        assert (await client.ask("PUT", "/v1/AUTH_test/c", x_container_read="test:guest"))[0] == 201
        assert (await client.ask("PUT", "/v1/AUTH_test/c/o", b"x"))[0] == 201
        await client.log_in("guest", "g")
        assert (await client.ask("GET", "/v1/AUTH_test/c/o"))[2] == b"x"
        status, headers, _ = await client.ask("HEAD", "/v1/AUTH_test/c")
        assert (status, "x-container-read" in headers) == (204, False)
        assert (await client.ask("PUT", "/v1/AUTH_test/c/o", b"x"))[0] == 403
        assert (await client.ask("GET", "/v1/AUTH_test/none/o"))[0] == 403
        client.headers = {}
        assert (await client.ask("GET", "/v1/AUTH_test/c/o"))[0] == 401
        client.service.close()

    simulate(main())


def test_t88_system_headers_stay_inside() -> None:
    """Neither do clients set them, nor see them."""

    async def main() -> None:
        client = Client()
        await client.log_in("tester", "k")
        await client.ask("PUT", "/v1/AUTH_test/c", x_container_sysmeta_evil="1")
        status, headers, _ = await client.ask("HEAD", "/v1/AUTH_test/c")
        assert status == 204
        assert not [name for name in headers if "sysmeta" in name or "backend" in name]
        client.service.close()

    simulate(main())
