"""A server to test from outside: our own, or any other that speaks the same API.

Without settings, one `swiftish serve` is started for the whole session and must end with status 0.
With SWIFTISH_TEST_URL (http://HOST:PORT of any Swift) nothing is started and that server is asked;
it must know the users of `server.USERS`, or SWIFTISH_TEST_USER, SWIFTISH_TEST_KEY and the same with
2 and 3 at the end name others: 2 is in another account, 3 in the first one's account but no admin.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import Server

DEFAULTS = {"": ("test:tester", "testing"), "2": ("test2:tester2", "testing2")}
DEFAULTS["3"] = ("test:tester3", "testing3")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the whole session, where objects can be kept."""
    with TemporaryDirectory(prefix="swiftish-functional-", dir=device_parent()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def own_server(scratch: Path) -> Iterator[Server | None]:
    """The server that this session started; None when it was told to use another."""
    if os.environ.get("SWIFTISH_TEST_URL"):
        yield None
        return
    with Server(scratch / "data") as server:
        yield server


@pytest.fixture(scope="session")
def auth_url(own_server: Server | None) -> str:
    if own_server is not None:
        return own_server.auth_url
    url = os.environ["SWIFTISH_TEST_URL"].rstrip("/")
    return url if url.endswith("/auth/v1.0") else f"{url}/auth/v1.0"


@pytest.fixture(scope="session")
def server(own_server: Server | None) -> Server:
    """Our own server, for tests that look at its processes or its files."""
    if own_server is None:
        pytest.skip("SWIFTISH_TEST_URL names a server whose processes are not ours to look at")
    return own_server


def credentials(which: str) -> tuple[str, str]:
    user, key = DEFAULTS[which]
    return (
        os.environ.get(f"SWIFTISH_TEST_USER{which}", user),
        os.environ.get(f"SWIFTISH_TEST_KEY{which}", key),
    )


@pytest.fixture(scope="session")
def user() -> tuple[str, str]:
    """The first user's name and key, for clients that sign in by themselves."""
    return credentials("")


@pytest.fixture
def account(auth_url: str) -> Iterator[Account]:
    """The first user, an admin of its account."""
    account = Account.sign_in(auth_url, *credentials(""))
    yield account
    account.close()


@pytest.fixture
def stranger(auth_url: str) -> Iterator[Account]:
    """An admin of another account."""
    account = Account.sign_in(auth_url, *credentials("2"))
    yield account
    account.close()


@pytest.fixture
def colleague(auth_url: str) -> Iterator[Account]:
    """A user of the first account who is no admin."""
    account = Account.sign_in(auth_url, *credentials("3"))
    yield account
    account.close()


@pytest.fixture
def container(account: Account) -> Iterator[str]:
    """An empty container of the first user; gone after the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    account.put_container(name)
    yield name
    account.close()  # a failed test may have left half an answer on it
    account.empty_and_delete(name)
