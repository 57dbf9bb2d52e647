"""T7, T8, T49, T52: what goes bad while nobody reads it is found, and comes back from replicas."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import Server, until
from tests.probe import disk
from tests.probe.test_bitrot import KINDS, USER, Probe

# All workers in a hurry.
SETTINGS = """
[object]
replicator_interval_s = 0.5

[object.auditor]
interval_s = 0.5
files_per_second = 0
bytes_per_second = 0

[container.replicator]
interval_s = 0.5

[account.replicator]
interval_s = 0.5
"""
HEAL_TIMEOUT_S = 60.0


@contextmanager
def running(folder: Path, *, again: bool = False) -> Iterator[Probe]:
    """On the data of an earlier run, or with a new container."""
    config = folder / "node.toml"
    config.write_text(SETTINGS)
    options = ("--config", str(config))
    data = folder / "data"
    with Server(data, devices=3, replicas=3, users=(USER,), options=options) as server:
        account = Account.sign_in(server.auth_url, "test:tester", "testing")
        if not again:
            account.put_container("bitrot")
        try:
            yield Probe(server, account, "bitrot", 3)
        finally:
            account.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="swiftish-auditor-", dir=device_parent()) as name:
        yield Path(name)


@pytest.mark.parametrize("bad", [1, 2])
def test_t49_t52_rot_that_nobody_reads(folder: Path, bad: int, chance: random.Random) -> None:
    """Of one replica, or of two of three: found within a pass or two, and all three are good
    again, without a single request for them."""
    with running(folder) as probe:
        objects = [probe.put(chance.randbytes(size), headers) for size, headers in KINDS.values()]
        spoilt = []
        for stored in objects:
            for path in chance.sample(stored.files, bad):
                whole = path.stat().st_size
                if whole and chance.random() < 0.7:
                    disk.flip_byte(path, chance.randrange(whole), chance.randrange(8))
                else:
                    name, value = chance.choice(sorted(disk.attributes(path).items()))
                    disk.flip_attribute(path, name, chance.randrange(len(value)), 3)
                spoilt.append(path)
        # One that several workers find at once may have more than one folder there.
        wanted = {(path.parents[4].name, path.parent.name) for path in spoilt}
        glob = probe.server.data.glob
        until(
            lambda: (
                wanted
                <= {
                    (path.parents[2].name, path.name[:32])
                    for path in glob("devices/*/quarantined/objects/*")
                }
            ),
            what="all are in quarantine",
            timeout_s=HEAL_TIMEOUT_S,
        )
        until(
            lambda: all(path.exists() for stored in objects for path in stored.files),
            what="all are back",
            timeout_s=HEAL_TIMEOUT_S,
        )
        for stored in objects:
            for path in stored.files:
                assert path.read_bytes()[: len(stored.body)] == stored.body
            probe.check_get(stored)


@pytest.mark.parametrize("damage", ["cut off", "zeros", "missing"])
def test_t7_t8_a_rotten_table(folder: Path, damage: str, chance: random.Random) -> None:
    """One device's containers are lost: listings go on being right, and they come back."""
    names = [f"{number:03}" for number in range(300)]

    def listing(probe: Probe) -> list[str]:
        reply = probe.account.request("GET", probe.container)
        assert reply.status == 200
        return reply.body.decode().split()

    with running(folder) as probe:
        for name in names:
            probe.put(b"x", name=name)
        until(lambda: listing(probe) == names, what="the listing is complete")
    path = folder / "data" / "devices" / f"d{chance.randrange(1, 4)}" / "containers.mdb"
    whole = path.read_bytes()
    match damage:
        case "cut off":
            path.write_bytes(whole[: len(whole) // 2])
        case "zeros":
            path.write_bytes(whole[: 2 * 4096] + bytes(len(whole) - 2 * 4096))
        case _:
            path.unlink()
    with running(folder, again=True) as probe:
        for _ in range(20):
            assert listing(probe) == names
        until(
            lambda: path.exists() and path.stat().st_size > len(whole) // 3,
            what="the table is filled again",
            timeout_s=HEAL_TIMEOUT_S,
        )
        put_aside = list(path.parent.glob("quarantined/containers/*/containers.mdb"))
        assert len(put_aside) == (damage != "missing")
        for _ in range(20):
            assert listing(probe) == names
