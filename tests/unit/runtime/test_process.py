"""The supervisor, in real processes: ready, drain, respawn, and no orphans."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from swiftish.runtime.process import CannotListen, listen

PROGRAM = textwrap.dedent("""
    import os, sys
    from swiftish.runtime.process import Life, Supervisor

    def say(*words: object) -> None:
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    async def child(life: Life) -> None:
        say("child", os.getpid())
        life.ready()
        await life.stopping.wait()
        say("drained", os.getpid())

    async def broken(life: Life) -> None:
        raise RuntimeError("will not start")

    good, bad = [child, child], [child, broken]
    plans = {"good": [good, good], "bad": [bad], "reload-bad": [good, bad]}[sys.argv[1]]
    sys.exit(Supervisor(lambda: plans.pop(0), lambda: say("ready")).run())
""")


class Program:
    """A supervisor in a process of its own, and the lines it prints."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the program ended: {self.process.communicate()[1]}"
        return line.split()

    def children_and_ready(self) -> list[int]:
        lines = [self.line(), self.line(), self.line()]
        assert lines[2] == ["ready"]
        return [int(words[1]) for words in lines[:2]]


@pytest.fixture
def program() -> Iterator[Program]:
    started = Program("good")
    yield started
    started.process.kill()
    started.process.communicate()


def test_sigterm_drains_every_child_and_exits_0(program: Program) -> None:
    pids = program.children_and_ready()
    program.process.send_signal(signal.SIGTERM)
    drained = {int(program.line()[1]) for _ in pids}
    assert drained == set(pids)
    assert program.process.wait(10) == 0


def test_a_child_that_dies_is_started_again(program: Program) -> None:
    first, second = program.children_and_ready()
    os.kill(first, signal.SIGKILL)
    word, pid = program.line()
    assert word == "child"
    assert int(pid) not in (first, second)


def test_sighup_replaces_every_child(program: Program) -> None:
    old = set(program.children_and_ready())
    program.process.send_signal(signal.SIGHUP)
    lines = [program.line() for _ in range(4)]
    started = {int(pid) for word, pid in lines if word == "child"}
    drained = {int(pid) for word, pid in lines if word == "drained"}
    assert drained == old
    assert len(started - old) == 2


def test_a_reload_that_fails_leaves_the_old_children_as_they_were() -> None:
    """Each is still started again when it dies, and those that failed are not."""
    program = Program("reload-bad")
    try:
        first, second = program.children_and_ready()
        program.process.send_signal(signal.SIGHUP)
        word, third = program.line()
        assert (word, program.line()) == ("child", ["drained", third])
        os.kill(first, signal.SIGKILL)
        word, fourth = program.line()
        assert word == "child"
        program.process.send_signal(signal.SIGTERM)
        drained = {int(program.line()[1]) for _ in range(2)}
        assert drained == {second, int(fourth)}
        assert program.process.wait(10) == 0
        assert program.process.stdout is not None
        assert program.process.stdout.read() == ""
    finally:
        program.process.kill()
        program.process.communicate()


def test_children_end_when_their_supervisor_is_killed(program: Program) -> None:
    """kill -9 of the supervisor leaves no orphans that hold the port or the data."""
    pids = program.children_and_ready()
    program.process.kill()
    assert {int(program.line()[1]) for _ in pids} == set(pids)


def test_a_child_that_cannot_start_ends_it_all() -> None:
    program = Program("bad")
    _, errors = program.process.communicate(timeout=20)
    assert program.process.returncode == 1
    assert "will not start" in errors


def test_a_port_in_use_is_said_in_a_sentence() -> None:
    """Also when the other one would share the port: two servers must not mix by accident."""
    (sock,) = listen("127.0.0.1", 0, count=1)
    port = sock.getsockname()[1]
    with pytest.raises(CannotListen, match=f"127.0.0.1:{port} is in use"):
        listen("127.0.0.1", port, count=2)
    sock.close()
    for again in listen("127.0.0.1", port, count=2):
        assert again.getsockname()[1] == port
        again.close()


@pytest.mark.parametrize("host", ["host.invalid", "a..b"])
def test_an_unknown_host_is_said_in_a_sentence(host: str) -> None:
    with pytest.raises(CannotListen, match=f"{re.escape(host)}:1: "):
        listen(host, 1, count=1)
