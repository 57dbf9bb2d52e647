"""The pool: one environment per device, its format, and what its troubles are to a client."""

import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from swiftish.db.name_index import META
from swiftish.db.pool import Pool, refusal
from swiftish.http.replies import Refusal
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentFailed,
    EnvironmentFull,
)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[LocalDevice]:
    (tmp_path / "d1").mkdir()
    devices = Devices(tmp_path, ["d1"])
    (device,) = devices
    yield device
    devices.close()


def test_many_at_once_open_one_environment(device: LocalDevice) -> None:
    """Whoever comes first opens it; the others use it."""
    pool = Pool("things", tables=[META])

    async def main() -> None:
        assert not pool.exists(device)
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(pool.read(device, lambda reader: reader.get(META, b"k")))
                group.create_task(pool.commit(device, lambda writer: writer.put(META, b"k", b"v")))
        assert pool.exists(device)
        assert await pool.read(device, lambda reader: reader.get(META, b"k")) == b"v"

    asyncio.run(main())
    pool.close()


def test_another_format_is_refused(device: LocalDevice) -> None:
    """What a later version wrote is not guessed at."""
    path = device.path / "things.mdb"
    environment = Environment(path, names=[META])
    environment.write(lambda writer: writer.put(META, b"format", b"swiftish things 3"))
    environment.close()
    pool = Pool("things", tables=[META])

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(Refusal) as caught:
                await pool.read(device, lambda reader: reader.get(META, b"k"))
            assert caught.value.status == 507

    asyncio.run(main())
    pool.close()


def test_a_device_that_is_gone_is_507(device: LocalDevice) -> None:
    """Not mounted, not readable: the client is told to ask another."""
    device.path.rmdir()
    pool = Pool("things", tables=[META])

    async def main() -> None:
        with pytest.raises(Refusal) as caught:
            await pool.commit(device, lambda writer: writer.put(META, b"k", b"v"))
        assert caught.value.status == 507

    asyncio.run(main())
    pool.close()


def test_what_troubles_are_to_a_client(device: LocalDevice) -> None:
    """Busy passes; the rest is for other replicas to take."""
    path = device.path
    assert refusal(EnvironmentBusy(path, "readers"), device).status == 503
    assert refusal(EnvironmentFull(path, "map"), device).status == 507
    assert refusal(OSError(errno.EMFILE, "descriptors"), device).status == 503
    assert refusal(EnvironmentFailed(path, "sync"), device).status == 507
