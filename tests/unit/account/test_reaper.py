"""Which accounts a reaper looks at, and what a deleted account still hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from swiftish.account import reaper
from swiftish.account.app import AccountService
from swiftish.account.reaper import containers, doomed, share
from swiftish.account.settings import ReaperSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.message import Request
from swiftish.runtime.devices import Devices
from tests.fakes.clock import FakeClock

HASH_PATH = HashPath(prefix=b"", suffix=b"s")


async def ask(service: AccountService, method: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await service.handler(Request(method=method, path=f"/d1/1{path}", headers=named))
    return response.status


async def report(service: AccountService, path: str, **headers: str) -> int:
    moments = {"x_put_timestamp": "2", "x_delete_timestamp": "0", "x_timestamp": "2", **headers}
    return await ask(service, "PUT", path, **moments)


def test_deleted_accounts_that_are_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are found, however many others there are; those that are empty, or alive, are left out."""
    monkeypatch.setattr(reaper, "SCANNED", 3)

    async def main() -> None:
        (tmp_path / "d1").mkdir()
        devices = Devices(tmp_path, ["d1"])
        device = devices.get("d1")
        assert device is not None
        service = AccountService(
            devices=devices,
            policies=PolicySet((Policy(index=0, name="gold", default=True),)),
            clock=FakeClock(),
            limits=Limits(),
            hash_path=HASH_PATH,
        )
        for number in range(10):
            await ask(service, "PUT", f"/a{number}", x_timestamp="1")
            if number % 3:
                for name in ("c", "\0reserved"):
                    assert await report(service, f"/a{number}/{name}") == 201
            if number % 2:
                assert await ask(service, "DELETE", f"/a{number}", x_timestamp="3") == 204
        found: list[str] = []
        after: bytes | None = b""
        pages = 0
        while after is not None:
            here = after
            some, after = await service._pool.read(device, lambda r: doomed(r, after=here))  # noqa: B023
            found += [each.account for each in some]
            pages += 1
        assert sorted(found) == ["a1", "a5", "a7"]
        assert pages == 4
        digest = HASH_PATH("a1")
        names = await service._pool.read(device, lambda r: containers(r, digest=digest, marker=b""))
        assert names == [b"\0reserved", b"c"]

        # What is left in it, and what goes, is still reported to a deleted account.
        assert await report(service, "/a1/new") == 404
        override = {"x_account_override_deleted": "yes"}
        assert await report(service, "/a1/new", **override) == 201
        assert await report(service, "/a1/c", x_delete_timestamp="4", **override) == 204
        names = await service._pool.read(device, lambda r: containers(r, digest=digest, marker=b""))
        assert names == [b"\0reserved", b"new"]
        assert await report(service, "/none/c", **override) == 404
        service.close()
        devices.close()

    asyncio.run(main())


def test_shares() -> None:
    """Every replica has some of the containers."""
    shares = [share(f"c{number}".encode(), 3) for number in range(300)]
    assert all(70 < shares.count(replica) < 130 for replica in range(3))


@pytest.mark.parametrize(
    "wrong",
    [{"interval_s": 0}, {"concurrency": 0}, {"delay_reaping_s": -1}, {"reap_warn_after_s": -1}],
)
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    """Are refused."""
    with pytest.raises(ValueError, match="must"):
        ReaperSettings(**wrong)  # type: ignore[arg-type]
