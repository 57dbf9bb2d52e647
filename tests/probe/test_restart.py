"""What was stored is there after a restart, and while a disk is missing."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import Server, until
from tests.functional.test_names import NAMES
from tests.probe import disk

Make = Callable[[Path], Server]
USER = "test:tester:testing:.admin"
MiB = 1 << 20


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="swiftish-restart-", dir=device_parent()) as name:
        yield Path(name)


def one_disk(folder: Path) -> Server:
    return Server(folder / "data", workers=1, devices=1, replicas=1, users=(USER,))


def three_replicas(folder: Path) -> Server:
    return Server(folder / "data", workers=2, devices=4, replicas=3, users=(USER,))


def sign_in(server: Server) -> Account:
    return Account.sign_in(server.auth_url, "test:tester", "testing")


def snapshot(account: Account) -> dict[str, object]:
    """All that a client can see of an account."""
    shown = ("x-account-", "x-container-", "x-object-", "x-storage-policy", "etag", "content-")
    found: dict[str, object] = {}

    def look(*names: str) -> None:
        reply = account.request("HEAD", *names)
        headers = {k: v for k, v in reply.headers.items() if k.startswith((*shown, "last-mod"))}
        body = account.get(*names).body if len(names) == 2 else b""
        found["/".join(names)] = (reply.status, headers, hashlib.sha256(body).hexdigest())

    look()
    for container in account.names():
        look(container)
        rows = account.rows(container)
        found[f"{container} listed"] = rows
        for row in rows:
            look(container, row["name"])
    found["listed"] = account.rows()
    return found


@pytest.mark.parametrize("make", [one_disk, three_replicas])
def test_everything_is_there_again(folder: Path, make: Make, chance: random.Random) -> None:
    """Objects, metadata, ACLs, names, counts: after each of three restarts all is as it was."""
    with make(folder) as server:
        account = sign_in(server)
        account.request("POST", headers={"X-Account-Meta-Colour": "blue"})
        for container in ("first", "zweiter-ü"):
            account.put_container(
                container, {"X-Container-Meta-Kind": "test", "X-Container-Read": ".r:*"}
            )
        for name in NAMES.values():
            account.put("first", name, name.encode(), {"X-Object-Meta-Which": "it"})
        account.put("zweiter-ü", "large", chance.randbytes(5 * MiB))
        account.put("zweiter-ü", "gone", b"x")
        assert account.request("DELETE", "zweiter-ü", "gone").status == 204
        posted = {"X-Object-Meta-Which": "posted"}
        assert account.request("POST", "first", "..", headers=posted).status == 202
        count = str(len(NAMES) + 1)
        until(
            lambda: account.request("HEAD").headers["x-account-object-count"] == count,
            what="the account has heard of everything",
        )
        before = snapshot(account)
        account.close()
    for turn in range(3):
        with make(folder) as server:
            account = sign_in(server)
            assert snapshot(account) == before
            assert account.request("GET", "zweiter-ü", "gone").status == 404
            account.close()
            if turn == 1:
                server.kill()


def test_expiry_outlives_a_restart(folder: Path) -> None:
    """X-Delete-At is kept: before its time the object is there, after it it is not."""
    with one_disk(folder) as server:
        account = sign_in(server)
        account.put_container("c")
        account.put("c", "soon", b"x", {"X-Delete-After": "8"})
        account.put("c", "late", b"x", {"X-Delete-After": "3600"})
        account.put("c", "posted", b"x")
        posted = account.request("POST", "c", "posted", headers={"X-Delete-After": "8"})
        assert posted.status == 202
        until_when = account.get("c", "late").headers["x-delete-at"]
        account.close()
    with one_disk(folder) as server:
        account = sign_in(server)
        assert account.get("c", "soon").body == b"x"
        assert account.get("c", "late").headers["x-delete-at"] == until_when
        for name in ("soon", "posted"):
            until(partial(is_gone, account, name), what=f"{name} has expired")
            assert account.request("HEAD", "c", name).status == 404
            assert account.request("POST", "c", name).status == 404
        account.close()
    with one_disk(folder) as server:
        account = sign_in(server)
        assert account.request("GET", "c", "soon").status == 404
        assert account.get("c", "late").body == b"x"
        account.put("c", "soon", b"again")
        assert account.get("c", "soon").body == b"again"
        account.close()


def is_gone(account: Account, name: str) -> bool:
    return account.request("GET", "c", name).status == 404


def test_tokens_and_users_after_a_restart(folder: Path) -> None:
    """A token of before is good or is 401, never anything else; signing in works at once."""
    with one_disk(folder) as server:
        old = sign_in(server)
        assert old.request("HEAD").status == 204
        port = server.port
        old.close()
    server = Server(folder / "data", workers=1, devices=1, replicas=1, users=(), port=port)
    with server:
        assert old.request("HEAD").status in {204, 401}
        new = sign_in(server)
        assert new.request("HEAD").status == 204
        old.close()
        new.close()


def fill(account: Account, count: int, chance: random.Random) -> dict[str, bytes]:
    account.put_container("c")
    bodies = {f"o{n:03}": chance.randbytes(chance.choice((100, 5000))) for n in range(count)}
    for name, body in bodies.items():
        account.put("c", name, body)
    return bodies


@pytest.mark.parametrize("how", ["missing", "a file"])
def test_a_disk_that_is_gone(folder: Path, how: str, chance: random.Random) -> None:
    """T33: without one of four disks everything is read, listed, stored and deleted; nothing is
    written where the disk should be; when it is back, all is well.
    """
    with three_replicas(folder) as server:
        account = sign_in(server)
        bodies = fill(account, 40, chance)
        device = server.data / "devices" / "d2"
        away = folder / "away"
        device.rename(away)
        if how == "a file":
            device.write_text("no folder")
        check_service(account, bodies, chance)
        if how == "missing":
            assert not device.exists()
        else:
            device.unlink()
        away.rename(device)
        check_newest(account, bodies)
        account.close()
    with three_replicas(folder) as server:
        account = sign_in(server)
        check_newest(account, bodies)
        account.close()


def check_service(account: Account, bodies: dict[str, bytes], chance: random.Random) -> None:
    """Everything can be read; a few changes can be made, and are kept in `bodies`."""
    for name, body in bodies.items():
        assert account.get("c", name).body == body
        assert account.request("HEAD", "c", name).headers["content-length"] == str(len(body))
    until(lambda: account.names("c") == sorted(bodies), what="the listing is whole")
    for name in chance.sample(sorted(bodies), 5):
        bodies[name] = chance.randbytes(3000)
        account.put("c", name, bodies[name])
        got = account.get("c", name, {"X-Newest": "true"})
        assert got.body == bodies[name]
    for name in chance.sample(sorted(bodies), 3):
        assert account.request("DELETE", "c", name).status == 204
        del bodies[name]
        assert account.request("GET", "c", name).status == 404
    for number in range(5):
        name = f"new-{chance.getrandbits(32):08x}-{number}"
        bodies[name] = chance.randbytes(2000)
        account.put("c", name, bodies[name])


def check_newest(account: Account, bodies: dict[str, bytes]) -> None:
    """Everything is as it was left, asked of all replicas.

    The disk that is back still has what it had; until a replicator brings it up to date, a read
    that asks only that one may find an older state, as in Swift.
    """
    known = {row["name"] for row in account.rows("c")} | set(bodies)
    for name in sorted(known):
        reply = account.request("GET", "c", name, headers={"X-Newest": "true"})
        assert (reply.body if reply.status == 200 else None) == bodies.get(name)


def test_a_disk_that_is_gone_at_the_start(folder: Path, chance: random.Random) -> None:
    """A server with a disk missing comes up, serves what it has, and makes no new folder for it."""
    with three_replicas(folder) as server:
        account = sign_in(server)
        bodies = fill(account, 30, chance)
        account.close()
    device, away = folder / "data" / "devices" / "d3", folder / "away"
    device.rename(away)
    with three_replicas(folder) as server:
        account = sign_in(server)
        check_service(account, bodies, chance)
        account.close()
    assert not device.exists()


def test_losing_two_replicas_of_an_object(folder: Path, chance: random.Random) -> None:
    """The last replica serves, whichever it is."""
    with three_replicas(folder) as server:
        account = sign_in(server)
        account.put_container("c")
        for _ in range(6):
            before = disk.data_files(server.data)
            body = chance.randbytes(2 * MiB)
            account.put("c", "o", body)
            files = disk.wait_for_new(server.data, before, 3)
            for path in chance.sample(files, 2):
                shutil.rmtree(path.parent)
            for _ in range(4):
                assert account.get("c", "o").body == body
        account.close()
