"""LMDB environments: group commit, what a failing work does to others, closing, killing."""

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from swiftish.domain.limits import MiB
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentCorrupt,
    EnvironmentFull,
    EnvironmentTrouble,
    Writer,
)
from swiftish.runtime.environment_file import PAGE_BYTES

ROOT = Path(__file__).parents[3]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(tmp_path / "x.mdb", names=["a", "b"])
    yield environment
    environment.close()


def put(key: bytes, value: bytes = b"v") -> Callable[[Writer], None]:
    return lambda writer: writer.put("a", key, value)


def keys(environment: Environment) -> list[bytes]:
    with environment.read() as reader:
        return [key for key, _ in reader.scan("a")]


def test_scan_goes_both_ways_between_its_bounds(environment: Environment) -> None:
    """start <= key < stop, forwards and backwards, also when the bounds are no keys."""
    names = [b"a", b"b", b"ba", b"c", b"\xff\xff"]
    for name in names:
        environment.write(put(name, b""))
    with environment.read() as reader:
        for start in (b"", b"a", b"aa", b"c", b"d"):
            for stop in (b"a", b"ba", b"bb", b"z", b"\xff\xff\xff", None):
                want = [n for n in names if n >= start and (stop is None or n < stop)]
                found = [key for key, _ in reader.scan("a", start=start, stop=stop)]
                assert found == want
                back = [key for key, _ in reader.scan("a", start=start, stop=stop, reverse=True)]
                assert back == want[::-1]
        assert reader.last("a", b"b") == (b"ba", b"")
        assert reader.last("a", b"\xff") == (b"\xff\xff", b"")
        assert reader.last("a", b"x") is None
        assert list(reader.scan("b")) == []


def test_work_that_waits_shares_a_commit(environment: Environment) -> None:
    """Whatever gathers while a commit is under way is in the next one, all of it."""

    async def main() -> None:
        begun, end = threading.Event(), threading.Event()

        def slow(writer: Writer) -> None:
            begun.set()
            end.wait(10)

        async with asyncio.TaskGroup() as group:
            group.create_task(environment.commit(slow))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait)
            for number in range(100):
                group.create_task(environment.commit(put(b"%03d" % number)))
            await asyncio.sleep(0)
            end.set()

    asyncio.run(main())
    assert len(keys(environment)) == 100
    assert repr(environment).endswith("2 commits>")


def outcomes(environment: Environment, *work: Callable[[Writer], object]) -> list[object]:
    """What comes of several pieces of work that share a transaction."""

    async def one(each: Callable[[Writer], object]) -> object:
        try:
            return await environment.commit(each)
        except (ValueError, EnvironmentTrouble) as error:
            return error

    async def main() -> list[object]:
        begun, end = threading.Event(), threading.Event()

        def slow(_: Writer) -> None:
            begun.set()
            end.wait(10)

        async with asyncio.TaskGroup() as group:
            group.create_task(environment.commit(slow))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait)
            tasks = [group.create_task(one(each)) for each in work]
            await asyncio.sleep(0)
            end.set()
        return [task.result() for task in tasks]

    return asyncio.run(main())


def refuse(_: Writer) -> None:
    raise ValueError("refused")


def break_half_way(writer: Writer) -> None:
    writer.put("a", b"half", b"")
    raise ValueError("broken")


def test_a_refusal_concerns_only_its_caller(environment: Environment) -> None:
    """Work that raises before it writes leaves the transaction to the others."""
    first, refused, last = outcomes(environment, put(b"1"), refuse, put(b"2"))
    assert (first, last) == (None, None)
    assert str(refused) == "refused"
    assert keys(environment) == [b"1", b"2"]
    assert repr(environment).endswith("2 commits>")


def test_half_done_work_is_undone_and_hurts_nobody(environment: Environment) -> None:
    """Work that raises after it has written leaves nothing behind; the others are committed."""
    first, broken, last = outcomes(environment, put(b"1"), break_half_way, put(b"2"))
    assert (first, last) == (None, None)
    assert str(broken) == "broken"
    assert keys(environment) == [b"1", b"2"]


def test_write_raises_what_work_raises(environment: Environment) -> None:
    """And then writes nothing."""
    with pytest.raises(ValueError, match="broken"):
        environment.write(break_half_way)
    assert keys(environment) == []


def test_a_cancelled_caller_does_not_stop_the_others(environment: Environment) -> None:
    """Its work may be committed; the one beside it is, and is told."""

    async def main() -> None:
        begun, end = threading.Event(), threading.Event()

        def slow(_: Writer) -> None:
            begun.set()
            end.wait(10)

        async with asyncio.TaskGroup() as group:
            gone = group.create_task(environment.commit(slow))
            await asyncio.get_running_loop().run_in_executor(None, begun.wait)
            group.create_task(environment.commit(put(b"stays")))
            await asyncio.sleep(0)
            gone.cancel()
            end.set()

    asyncio.run(main())
    assert keys(environment) == [b"stays"]


def test_close_commits_what_is_queued_and_then_refuses(environment: Environment) -> None:
    """Nobody who was accepted waits for ever, and nobody is accepted afterwards."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(environment.commit(put(b"%d" % n))) for n in range(50)]
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, environment.close)
        assert [task.result() for task in tasks] == [None] * 50
        with pytest.raises(EnvironmentBusy):
            await environment.commit(put(b"late"))

    asyncio.run(main())
    with pytest.raises(EnvironmentBusy), environment.read():
        pass
    again = Environment(environment.path, names=["a", "b"])
    assert len(keys(again)) == 50
    again.close()


def test_close_waits_for_readers(environment: Environment) -> None:
    """A reader in another thread ends its walk on an open environment."""
    environment.write(put(b"1"))
    with environment.read() as reader:
        closing = threading.Thread(target=environment.close)
        closing.start()
        closing.join(0.05)
        assert closing.is_alive()
        assert reader.get("a", b"1") == b"v"
    closing.join(10)
    assert not closing.is_alive()


def test_the_same_path_twice_is_refused(environment: Environment) -> None:
    """Closing one would drop the other's file locks."""
    with pytest.raises(RuntimeError, match="open already"):
        Environment(environment.path.parent / "." / "x.mdb", names=["a"])


def test_t16_use_after_a_fork_is_refused(environment: Environment) -> None:
    """T16: a child that uses its parent's environment fails before it touches it."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from swiftish.runtime.environment import Environment\n"
        "environment = Environment(Path(sys.argv[1]), names=['a'])\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try:\n"
        "        environment.read()\n"
        "    except AssertionError:\n"
        "        os._exit(7)\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        "environment.close()\n"
    )
    path = environment.path.parent / "forked.mdb"
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=ROOT)


def test_t12_a_full_map_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """T12: what was committed stays, the one that does not fit fails, and smaller ones go on."""
    environment = Environment(
        tmp_path / "small.mdb", names=["a"], map_size_bytes=MiB, reserve_bytes=0
    )
    environment.write(put(b"1"))
    large = [put(b"large", bytes(2 * MiB)), put(b"2")]
    error, nothing = outcomes(environment, *large)
    assert isinstance(error, EnvironmentFull)
    assert nothing is None
    assert keys(environment) == [b"1", b"2"]
    environment.close()


def test_t14_deletes_work_in_the_reserve(tmp_path: Path) -> None:
    """T14: growing work is refused before the map is full; deleting makes room again."""
    environment = Environment(
        tmp_path / "small.mdb", names=["a"], map_size_bytes=4 * MiB, reserve_bytes=MiB
    )

    def grow(writer: Writer, number: int) -> None:
        writer.require_room()
        writer.put("a", b"%06d" % number, bytes(3000))

    def fill() -> None:
        for number in range(10_000):
            environment.write(partial(grow, number=number))

    with pytest.raises(EnvironmentFull):
        fill()
    stored = keys(environment)
    assert len(stored) > 500
    for key in stored[: len(stored) // 2]:
        environment.write(partial(Writer.delete, name="a", key=key))
    environment.write(partial(grow, number=0))
    environment.close()


def test_t8_a_file_of_something_else_is_corrupt(tmp_path: Path) -> None:
    """T8: what is not ours is an error with a name."""
    path = tmp_path / "x.mdb"
    path.write_bytes(b"something else" * 10_000)
    with pytest.raises(EnvironmentCorrupt):
        Environment(path, names=["a"])


def cut(path: Path, size: int) -> None:
    """Keep `size` bytes, and no lock file."""
    os.truncate(path, size)
    path.with_name(f"{path.name}-lock").unlink()


def filled(path: Path, *, count: int) -> int:
    """Make an environment; how long its file is."""
    environment = Environment(path, names=["a", "b"])
    for start in range(0, count, 100):
        environment.write(
            lambda writer, start=start: [  # type: ignore[misc]
                writer.put("ab"[n % 2], b"%d" % n, b"v" * 100) for n in range(start, start + 100)
            ]
        )
    environment.close()
    return path.stat().st_size


def test_t8_t50_a_file_without_bytes_is_corrupt(tmp_path: Path) -> None:
    """LMDB alone would take it for a new one, and what was in it would never have been."""
    path = tmp_path / "x.mdb"
    filled(path, count=1000)
    cut(path, 0)
    with pytest.raises(EnvironmentCorrupt):
        Environment(path, names=["a", "b"])
    assert path.stat().st_size == 0


OPEN_AND_READ = """
import sys
from pathlib import Path
from swiftish.runtime.environment import Environment, EnvironmentCorrupt

for path in sys.argv[1:]:
    try:
        environment = Environment(Path(path), names=["a", "b"])
    except EnvironmentCorrupt:
        print("corrupt")
"""


def test_t8_t50_a_file_that_was_cut_off_is_corrupt(tmp_path: Path) -> None:
    """To open it, or to read what is no longer there, would be SIGBUS: the end of the process."""
    paths = []
    for tenth in range(9):
        paths.append(tmp_path / f"{tenth}.mdb")
        size = filled(paths[-1], count=3000)
        cut(paths[-1], size * tenth // 10 + 1)
    found = subprocess.run(
        [sys.executable, "-c", OPEN_AND_READ, *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout.split()) == (0, ["corrupt"] * len(paths)), found.stderr


def test_a_file_may_be_shorter_than_its_last_page_says(tmp_path: Path) -> None:
    """Pages that are taken and freed in one transaction are never written: that is no damage."""
    path = tmp_path / "x.mdb"
    environment = Environment(path, names=["a"])

    def work(writer: Writer) -> None:
        writer.put("a", b"k", b"v")
        writer.put("a", b"large", bytes(200_000))
        writer.delete("a", b"large")

    for _ in range(3):
        environment.write(work)
    assert environment._environment.info()["last_pgno"] * PAGE_BYTES > path.stat().st_size
    environment.close()
    environment = Environment(path, names=["a"])
    assert keys(environment) == [b"k"]
    environment.close()


def test_t15_out_of_descriptors_is_busy_and_passes(tmp_path: Path) -> None:
    """It says nothing about the disk."""
    path = tmp_path / "x.mdb"
    filled(path, count=100)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open("/", os.O_RDONLY)
    os.close(lowest_free)
    for spare in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, limits[1]))
        try:
            with pytest.raises((EnvironmentBusy, OSError)) as caught:
                Environment(path, names=["a", "b"]).close()
            if not isinstance(caught.value, EnvironmentBusy):
                assert isinstance(caught.value, OSError)
                assert caught.value.errno == errno.EMFILE
        except pytest.fail.Exception:
            break  # as many as it takes
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert spare > 0
    Environment(path, names=["a", "b"]).close()


def test_what_cannot_be_stored_is_no_failure_of_the_disk(environment: Environment) -> None:
    """A key that is too long costs whoever brought it, and nobody else."""
    first, second = outcomes(environment, put(b"k" * 600), put(b"fine"))
    assert type(first) is EnvironmentTrouble
    assert second is None
    assert keys(environment) == [b"fine"]


def test_what_a_killed_process_of_our_number_left_is_no_hindrance(tmp_path: Path) -> None:
    """In a container the numbers are the same after each start."""
    path = tmp_path / "x.mdb"
    (tmp_path / f"x.mdb.{os.getpid()}.new").write_bytes(b"half a page")
    Environment(path, names=["a"]).close()


WRITER = """
import asyncio, sys
from pathlib import Path
from swiftish.runtime.environment import Environment

async def writer(environment, number):
    count = 0
    while True:
        key = b"%d-%d" % (number, count)
        await environment.commit(lambda w: (w.put("a", key, b""), w.put("b", key, key)))
        sys.stdout.write(key.decode() + "\\n")
        sys.stdout.flush()
        count += 1

async def main():
    environment = Environment(Path(sys.argv[1]), names=["a", "b"])
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(writer(environment, number))

asyncio.run(main())
"""


def test_killed_in_the_middle_of_commits(tmp_path: Path) -> None:
    """After kill -9, all that was acknowledged is there, and nothing is there by half."""
    path = tmp_path / "x.mdb"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].splitlines(keepends=True)
    acknowledged += [line for line in rest if line.endswith(b"\n")]
    environment = Environment(path, names=["a", "b"])
    with environment.read() as reader:
        there = {key for key, _ in reader.scan("a")}
        assert there == {key for key, _ in reader.scan("b")}
    assert {line.strip() for line in acknowledged} <= there
    environment.write(put(b"goes on"))
    environment.close()


def test_many_maps_fit_an_address_space(tmp_path: Path) -> None:
    """Each map gets a share of what is left, so that all stay below the limit together."""
    environments = [Environment(tmp_path / f"{n}.mdb", names=["a"]) for n in range(20)]
    assert all(environment.map_size_bytes >= 1024 * MiB for environment in environments)
    assert all(e.map_size_bytes % os.sysconf("SC_PAGESIZE") == 0 for e in environments)
    for environment in environments:
        environment.close()
