"""The account server, row by row of docs/reference/backend.md."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from swiftish.account.app import AccountService
from swiftish.cluster.documents import packed, unpacked
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Bytes, Request, Response
from swiftish.runtime.devices import Devices

POLICIES = PolicySet(
    (Policy(index=0, name="gold", default=True), Policy(index=2, name="Silver", replicas=2))
)
A = "/d1/1/a"


class FixedClock:
    def now(self) -> float:
        return 5000.0

    def timestamp(self) -> Timestamp:
        return Timestamp.from_seconds(5000.0)

    def observe(self, timestamp: Timestamp) -> None:
        del timestamp


class Accounts:
    def __init__(self, root: Path) -> None:
        (root / "d1").mkdir(exist_ok=True)
        self.devices = Devices(root, ["d1"])
        self.service = AccountService(
            devices=self.devices,
            policies=POLICIES,
            clock=FixedClock(),
            limits=Limits(account_listing_limit=100),
            hash_path=HashPath(prefix=b"p", suffix=b"s"),
        )

    async def ask(self, method: str, path: str, query: str = "", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method=method, path=path, query=query, headers=named)
        return await self.service.handler(request)

    async def report(
        self,
        name: str,
        *,
        put: str,
        delete: str = "0",
        objects: int = 0,
        size: int = 0,
        **more: str,
    ) -> int:
        response = await self.ask(
            "PUT",
            f"{A}/{name}",
            x_put_timestamp=put,
            x_delete_timestamp=delete,
            x_object_count=str(objects),
            x_bytes_used=str(size),
            **more,
        )
        return response.status

    async def update(self, *rows: tuple[str, str, dict[str, str]]) -> object:
        data = packed([list(row) for row in rows])
        answer = await self.service.handler(
            Request(method="UPDATE", path="/d1/1", body=Bytes(data))
        )
        assert answer.status == 200
        assert isinstance(answer.body, Bytes)
        return unpacked(answer.body.take())

    async def head(self) -> dict[str, str]:
        response = await self.ask("HEAD", A)
        assert response.status == 204
        return dict(response.headers)


def body(response: Response) -> object:
    assert isinstance(response.body, Bytes)
    return json.loads(response.body.take())


def run(root: Path, script: Callable[[Accounts], Awaitable[None]]) -> None:
    async def main() -> None:
        accounts = Accounts(root)
        try:
            await script(accounts)
        finally:
            accounts.service.close()
            accounts.devices.close()

    asyncio.run(main())


def test_put_post_head_delete(tmp_path: Path) -> None:
    """The life of an account; deleted by its owner, it can't be made again until reclaimed."""

    async def script(accounts: Accounts) -> None:
        ask = accounts.ask
        assert (await ask("HEAD", A)).status == 404
        assert (await ask("POST", A, x_timestamp="9")).status == 404
        assert (await ask("DELETE", A, x_timestamp="9")).status == 404
        made = {"x_account_meta_a": "1", "x_account_sysmeta_b": "2", "x_other": "3"}
        assert (await ask("PUT", A, x_timestamp="10", **made)).status == 201
        assert (await ask("PUT", A, x_timestamp="11")).status == 202
        assert (await ask("POST", A, x_timestamp="12", x_account_meta_a="")).status == 204
        assert await accounts.head() == {
            "x-account-sysmeta-b": "2",
            "x-account-container-count": "0",
            "x-account-object-count": "0",
            "x-account-bytes-used": "0",
            "x-timestamp": "0000000010.00000",
            "x-put-timestamp": "0000000011.00000",
        }
        assert (await ask("DELETE", A, x_timestamp="20")).status == 204
        for method, status in (("HEAD", 404), ("GET", 404), ("POST", 404), ("PUT", 403)):
            answer = await ask(method, A, x_timestamp="30")
            assert (answer.status, answer.headers["x-account-status"]) == (status, "Deleted")
        assert await accounts.report("c", put="31") == 404

    run(tmp_path, script)


def test_containers(tmp_path: Path) -> None:
    """Reports of containers make rows and totals, in all and by policy."""

    async def script(accounts: Accounts) -> None:
        report = accounts.report
        assert await report("c", put="1") == 404
        await accounts.ask("PUT", A, x_timestamp="1")
        assert body(await accounts.ask("GET", A)) == []
        silver = {"x_backend_storage_policy_index": "2"}
        assert await report("d-", put="3", objects=5, size=50, **silver) == 201
        assert await report("c", put="2.5", objects=1, size=7) == 201
        assert await report("e", put="4", x_backend_storage_policy_index="9") == 201
        assert await report("gone", put="4", delete="5") == 204
        assert body(await accounts.ask("GET", A)) == [
            {
                "name": "c",
                "count": 1,
                "bytes": 7,
                "last_modified": "1970-01-01T00:00:02.500000",
                "storage_policy": "gold",
            },
            {
                "name": "d-",
                "count": 5,
                "bytes": 50,
                "last_modified": "1970-01-01T00:00:03.000000",
                "storage_policy": "Silver",
            },
            {
                "name": "e",
                "count": 0,
                "bytes": 0,
                "last_modified": "1970-01-01T00:00:04.000000",
            },
        ]
        assert body(await accounts.ask("GET", A, "delimiter=-&marker=c&limit=1")) == [
            {"subdir": "d-"}
        ]
        head = await accounts.head()
        assert (head["x-account-container-count"], head["x-account-object-count"]) == ("3", "6")
        assert head["x-account-bytes-used"] == "57"
        assert head["x-account-storage-policy-silver-object-count"] == "5"
        assert head["x-account-storage-policy-gold-container-count"] == "1"
        assert (await accounts.ask("DELETE", A, x_timestamp="9")).status == 204

    run(tmp_path, script)


def test_the_newest_report_counts(tmp_path: Path) -> None:
    """A report that was overtaken changes nothing; deleted with objects in it is not deleted."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="1")
        await accounts.report("c", put="2", objects=3, x_timestamp="20")
        await accounts.report("c", put="2", objects=9, x_timestamp="19")
        assert (await accounts.head())["x-account-object-count"] == "3"
        await accounts.report("c", put="2", delete="8", objects=3, x_timestamp="21")
        assert (await accounts.head())["x-account-container-count"] == "1"
        await accounts.report("c", put="2", delete="8", x_timestamp="22")
        assert (await accounts.head())["x-account-container-count"] == "0"
        assert await accounts.report("c", put="5", x_timestamp="23") == 201
        assert (await accounts.head())["x-account-container-count"] == "0"
        await accounts.report("c", put="9", x_timestamp="24")
        assert (await accounts.head())["x-account-container-count"] == "1"

    run(tmp_path, script)


def test_totals_are_the_sums_of_the_rows(tmp_path: Path, chance: random.Random) -> None:
    """T62: after any history of reports, also repeated and out of order."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="1")
        for _ in range(200):
            await accounts.report(
                f"c{chance.randrange(8)}",
                put=str(chance.randrange(1, 9)),
                delete=str(chance.randrange(9)),
                objects=chance.randrange(3),
                size=chance.randrange(3),
                x_timestamp=str(chance.randrange(1, 99)),
                x_backend_storage_policy_index=chance.choice("02"),
            )
        rows = body(await accounts.ask("GET", A))
        assert isinstance(rows, list)
        head = await accounts.head()
        assert head["x-account-container-count"] == str(len(rows))
        assert head["x-account-object-count"] == str(sum(row["count"] for row in rows))
        assert head["x-account-bytes-used"] == str(sum(row["bytes"] for row in rows))
        for name in ("gold", "Silver"):
            ours = [row for row in rows if row["storage_policy"] == name]
            prefix = f"x-account-storage-policy-{name.lower()}"
            assert head.get(f"{prefix}-container-count", "0") == str(len(ours))
            assert head.get(f"{prefix}-bytes-used", "0") == str(sum(r["bytes"] for r in ours))

    run(tmp_path, script)


def test_an_account_of_the_system_makes_itself(tmp_path: Path) -> None:
    """A report for an account whose name begins with "." needs no account before it."""

    async def script(accounts: Accounts) -> None:
        path = "/d1/1/.expiring"
        headers = {"x_put_timestamp": "3", "x_delete_timestamp": "0"}
        assert (await accounts.ask("PUT", f"{path}/c", **headers)).status == 201
        assert (await accounts.ask("HEAD", path)).headers["x-account-container-count"] == "1"

    run(tmp_path, script)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status"),
    [
        ("PUT", A, "", {}, 400),
        ("PUT", f"{A}/c", "", {"x_timestamp": "9", "x_put_timestamp": "9"}, 400),
        ("PUT", f"{A}/c/o", "", {"x_put_timestamp": "9", "x_delete_timestamp": "0"}, 400),
        ("POST", A, "", {"x_timestamp": "9", "x_account_meta_big": "x" * 5000}, 400),
        ("GET", A, "limit=101", {}, 412),
        ("GET", A, "marker=%FF", {}, 400),
        ("GET", "/d9/1/a", "", {}, 507),
        ("COPY", A, "", {}, 405),
    ],
)
def test_bad_requests(
    tmp_path: Path, method: str, path: str, query: str, headers: dict[str, str], status: int
) -> None:
    """What makes no sense is refused, with the status that the contract names."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="1")
        assert (await accounts.ask(method, path, query, **headers)).status == status

    run(tmp_path, script)


def test_many_reports_at_once(tmp_path: Path) -> None:
    """Of containers of any accounts of the device, each with a status of its own."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="1")
        report = {"x-put-timestamp": "2", "x-delete-timestamp": "0", "x-object-count": "3"}
        gone = {"x-put-timestamp": "2", "x-delete-timestamp": "3"}
        rows = [
            ("PUT", f"{A}/one", report),
            ("PUT", f"{A}/two", gone),
            ("PUT", "/d1/1/nobody/three", report),
            ("PUT", f"{A}/four", {}),
            ("DELETE", f"{A}/one", report),
            ("PUT", f"{A}/five/row", report),
        ]
        for _ in range(2):
            assert await accounts.update(*rows) == [201, 204, 404, 400, 400, 400]
        assert (await accounts.head())["x-account-object-count"] == "3"

    run(tmp_path, script)


def test_t27_a_report_of_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """It counts until it is overtaken; whoever knows better hears of that, and reports again."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="1")
        common = {"x-put-timestamp": "2", "x-delete-timestamp": "0"}
        ahead = {**common, "x-timestamp": "3600", "x-object-count": "3"}
        right = {**common, "x-timestamp": "60", "x-object-count": "4"}
        later = {**right, "x-timestamp": "3601"}
        same = {**ahead, "x-timestamp": "60"}
        row = f"{A}/one"
        assert await accounts.update(("PUT", row, ahead), ("PUT", row, right)) == [201, 409]
        assert (await accounts.ask("PUT", row, **_spelled(right))).status == 409
        assert (await accounts.head())["x-account-object-count"] == "3"
        assert (await accounts.ask("PUT", row, **_spelled(same))).status == 201
        assert (await accounts.ask("PUT", row, **_spelled(later))).status == 201
        assert (await accounts.head())["x-account-object-count"] == "4"

    run(tmp_path, script)


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


def test_t27_metadata_that_had_been_set_later(tmp_path: Path) -> None:
    """It stays, and the answer says so."""

    async def script(accounts: Accounts) -> None:
        await accounts.ask("PUT", A, x_timestamp="4000", x_account_meta_a="new")
        late = await accounts.ask("POST", A, x_timestamp="400", x_account_meta_a="old")
        assert late.headers["x-backend-overtaken-by"] == "0000004000.00000"
        again = await accounts.ask("PUT", A, x_timestamp="400", x_account_meta_a="old")
        assert again.headers["x-backend-overtaken-by"] == "0000004000.00000"
        other = await accounts.ask("POST", A, x_timestamp="400", x_account_meta_b="1")
        assert "x-backend-overtaken-by" not in other.headers

    run(tmp_path, script)
