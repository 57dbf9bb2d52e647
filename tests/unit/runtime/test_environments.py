"""Environments whose files go bad, or away, while they are open (T7, T8)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from swiftish.runtime import environments as module
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentCorrupt,
    EnvironmentFailed,
    EnvironmentForeign,
    Reader,
    Writer,
)
from swiftish.runtime.environment_file import identity, left_open, lock_file, set_aside
from swiftish.runtime.environments import Environments
from swiftish.runtime.quarantine import counts, entries

ROOT = Path(__file__).parents[3]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[LocalDevice]:
    (tmp_path / "d1").mkdir()
    device = LocalDevice("d1", tmp_path / "d1")
    yield device
    device.threads.close()


@pytest.fixture
def environments(device: LocalDevice) -> Iterator[Environments]:
    del device
    found = Environments("x.mdb", tables=["a"])
    yield found
    found.close()


def put(key: bytes) -> Callable[[Writer], None]:
    return lambda writer: writer.put("a", key, b"v")


def keys(reader: Reader) -> list[bytes]:
    return [key for key, _ in reader.scan("a")]


def keys_of(path: Path) -> list[bytes]:
    environment = Environment(path, names=["a"])
    with environment.read() as reader:
        found = keys(reader)
    environment.close()
    return found


def filled(device: LocalDevice) -> Path:
    path = device.path / "x.mdb"
    environment = Environment(path, names=["a"])
    environment.write(put(b"old"))
    environment.close()
    return path


def test_t8_a_corrupt_file_is_set_aside(device: LocalDevice, environments: Environments) -> None:
    """With the reason; a fresh one is in its place, and the bad one is kept whole."""
    path = filled(device)
    wrong = path.read_bytes()[:5000]
    path.write_bytes(wrong)
    assert environments.read_blocking(device, keys) == []
    (found,) = entries(device.path)
    assert (found.kind, found.name) == ("x", "x.mdb")
    assert "cut off" in found.reason
    assert (found.path / "x.mdb").read_bytes() == wrong
    environments.use_blocking(device, lambda environment: environment.write(put(b"new")))
    assert environments.read_blocking(device, keys) == [b"new"]
    assert device.out_of_service is None


def test_one_after_the_other(device: LocalDevice) -> None:
    """Each has a place of its own in the quarantine."""
    for _ in range(3):
        (device.path / "x.mdb").write_bytes(b"rubbish" * 10_000)
        environments = Environments("x.mdb", tables=["a"])
        assert environments.read_blocking(device, keys) == []
        environments.close()
    assert counts(device.path) == {"x": 3}
    assert [each.name for each in entries(device.path)] == ["x.mdb", "x.mdb-1", "x.mdb-2"]


def test_without_replicas_it_stays(device: LocalDevice) -> None:
    """There is nobody to fill a fresh one: an error, and nothing is moved."""
    path = device.path / "x.mdb"
    path.write_bytes(b"rubbish" * 10_000)
    environments = Environments("x.mdb", tables=["a"], may_replace=lambda: False)
    for _ in range(2):
        with pytest.raises(EnvironmentCorrupt):
            environments.read_blocking(device, keys)
    assert path.read_bytes() == b"rubbish" * 10_000
    environments.close()


def test_what_another_version_wrote_stays(device: LocalDevice) -> None:
    """It may well be sound: whoever prepares it says so."""
    path = filled(device)

    def prepare(environment: Environment) -> None:
        raise EnvironmentForeign(environment.path, "the format is 7")

    environments = Environments("x.mdb", tables=["a"], prepare=prepare)
    with pytest.raises(EnvironmentForeign):
        environments.read_blocking(device, keys)
    environments.close()
    assert keys_of(path) == [b"old"]


def test_a_trouble_that_passes_moves_nothing(
    device: LocalDevice, environments: Environments
) -> None:
    """What makes no sense once, and is sound at the second look, was read wrongly."""
    path = filled(device)
    attempts = []

    def once(reader: Reader) -> list[bytes]:
        attempts.append(reader)
        if len(attempts) == 1:
            raise EnvironmentCorrupt(path, "page 7")
        return keys(reader)

    assert environments.read_blocking(device, once) == [b"old"]
    assert counts(device.path) == {}


def test_t8_what_makes_no_sense_again_and_again(
    device: LocalDevice, environments: Environments
) -> None:
    """Is set aside, though its pages look sound."""
    path = filled(device)
    attempts = []

    def twice(reader: Reader) -> list[bytes]:
        attempts.append(reader)
        if len(attempts) <= 2:
            raise EnvironmentCorrupt(path, "page 7")
        return keys(reader)

    assert environments.read_blocking(device, twice) == []
    assert counts(device.path) == {"x": 1}


@pytest.mark.parametrize("error", [OSError(5, "EIO"), ValueError("ours")])
def test_other_errors_move_nothing(
    device: LocalDevice, environments: Environments, error: Exception
) -> None:
    """A disk that cannot read, or a bug of ours, is no corrupt file."""
    filled(device)

    def work(_reader: Reader) -> None:
        raise error

    with pytest.raises(type(error)):
        environments.read_blocking(device, work)
    assert counts(device.path) == {}
    assert environments.read_blocking(device, keys) == [b"old"]


def test_a_failed_sync_ends_the_device(device: LocalDevice, environments: Environments) -> None:
    """As everywhere else (T13)."""
    path = filled(device)

    def work(_environment: Environment) -> None:
        raise EnvironmentFailed(path, "sync")

    with pytest.raises(EnvironmentFailed):
        environments.use_blocking(device, work)
    assert device.out_of_service is not None


@pytest.mark.parametrize("how", ["file", "both files", "renamed over"])
def test_t7_a_file_that_is_gone_is_made_anew(
    device: LocalDevice, environments: Environments, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a running server: noticed by readers in a second, by writers at once."""
    path = filled(device)

    async def script() -> None:
        await environments.commit(device, put(b"first"))
        if how == "renamed over":
            other = device.path / "other.mdb"
            environment = Environment(other, names=["a"])
            environment.close()
            other.rename(path)
        else:
            path.unlink()
        if how == "both files":
            lock_file(path).unlink()
        await environments.commit(device, put(b"second"))
        assert await environments.read(device, keys) == [b"second"]
        path.unlink()
        monkeypatch.setattr(module, "LOOK_INTERVAL_S", 0.0)
        assert await environments.read(device, keys) == []

    asyncio.run(script())


def test_before_one_is_made(device: LocalDevice) -> None:
    """Whoever wants to know is told, also when one takes the place of one that was set aside."""
    told: list[LocalDevice] = []
    environments = Environments("x.mdb", tables=["a"], before_making=told.append)
    environments.read_blocking(device, keys)
    environments.close()
    assert len(told) == 1
    environments = Environments("x.mdb", tables=["a"], before_making=told.append)
    environments.read_blocking(device, keys)
    assert len(told) == 1
    environments.close()
    (device.path / "x.mdb").write_bytes(b"rubbish" * 10_000)
    environments = Environments("x.mdb", tables=["a"], before_making=told.append)
    environments.read_blocking(device, keys)
    environments.close()
    assert len(told) == 2


def test_after_the_end(device: LocalDevice, environments: Environments) -> None:
    """Nothing is opened again."""
    environments.read_blocking(device, keys)
    environments.close()
    with pytest.raises(EnvironmentBusy):
        environments.read_blocking(device, keys)


def test_many_threads_while_it_is_replaced(device: LocalDevice, environments: Environments) -> None:
    """Each gets an answer, and none but one closes and opens."""
    path = filled(device)

    async def script() -> None:
        async def use(number: int) -> None:
            for round_ in range(20):
                await environments.commit(device, put(b"%d-%d" % (number, round_)))
                await environments.read(device, keys)

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(use(number))
            for _ in range(5):
                await asyncio.sleep(0.02)
                path.unlink(missing_ok=True)

    asyncio.run(script())


# ---- several processes -------------------------------------------------------------------------

COMMITTER = """
import asyncio, sys
from pathlib import Path
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environments import Environments

async def main():
    device = LocalDevice("d1", Path(sys.argv[1]))
    environments = Environments("x.mdb", tables=["a"])
    count = 0
    while True:
        key = b"%06d" % count
        await environments.commit(device, lambda writer: writer.put("a", key, b""))
        sys.stdout.write(key.decode() + "\\n")
        sys.stdout.flush()
        count += 1

asyncio.run(main())
"""


def test_t8_others_write_nothing_more_to_what_was_set_aside(device: LocalDevice) -> None:
    """Another process has it open and commits: what it acknowledges from then on is in the new
    file, and what it had acknowledged before is in the old one."""
    path = filled(device)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITTER, str(device.path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    places = []
    try:
        before = [process.stdout.readline() for _ in range(50)]
        for _ in range(3):
            place = set_aside(path, "a test", only=identity(path))
            assert place is not None
            places.append(place / "x.mdb")
            before += [process.stdout.readline() for _ in range(50)]
    finally:
        process.kill()
        before += process.communicate()[0].splitlines(keepends=True)
    found = set()
    for each in (*places, path):
        found |= set(keys_of(each))
    acknowledged = {line.strip() for line in before if line.endswith(b"\n")}
    assert acknowledged <= found
    assert len(keys_of(path)) > 10, "it went on in the new one"


ABORT = """
import os, sys
from pathlib import Path
from swiftish.runtime.environment import Environment

environment = Environment(Path(sys.argv[1]), names=["a"])
os.abort()
"""


def test_t8_what_a_process_died_of_is_looked_at_by_the_next(
    device: LocalDevice, environments: Environments
) -> None:
    """LMDB ends a process on a bad page.  The next one looks before it asks LMDB."""
    path = filled(device)
    environment = Environment(path, names=["a"])
    for number in range(500):
        environment.write(partial(Writer.put, name="a", key=b"%d" % number, value=bytes(300)))
    environment.close()
    data = bytearray(path.read_bytes())
    for number in range(10, len(data) // 4096):
        data[number * 4096 : number * 4096 + 4096] = bytes(4096)
    path.write_bytes(data)
    died = subprocess.run([sys.executable, "-c", ABORT, path], cwd=ROOT, check=False)
    assert died.returncode == -6
    assert len(left_open(path)) == 1
    assert environments.read_blocking(device, keys) == []
    assert counts(device.path) == {"x": 1}
    assert left_open(path) == []


def test_what_a_killed_process_left_is_no_damage(
    device: LocalDevice, environments: Environments
) -> None:
    """A sound file is looked at once, and opened."""
    path = filled(device)
    subprocess.run([sys.executable, "-c", ABORT, path], cwd=ROOT, check=False)
    began = time.monotonic()
    assert environments.read_blocking(device, keys) == [b"old"]
    assert time.monotonic() - began < 5
    assert left_open(path) == []
    assert [name for name in os.listdir(device.path) if name.endswith(".open")] == [
        f"x.mdb.{os.getpid()}.open"
    ]


def test_only_one_sets_aside(device: LocalDevice) -> None:
    """Who comes second finds another file there, and leaves it alone."""
    path = filled(device)
    bad = identity(path)
    assert set_aside(path, "first", only=bad) is not None
    filled(device)
    assert set_aside(path, "second", only=bad) is None
    assert keys_of(path) == [b"old"]
    assert counts(device.path) == {"x": 1}
