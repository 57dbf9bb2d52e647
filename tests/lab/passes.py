"""Passes of workers, each in a process of its own that is forked from one with Python loaded.

To start Python anew for each pass costs more than most passes.  `Passes` is the test's side;
`python -m tests.lab.passes` is the process that forks: it reads a line of JSON for each command,
`{"namespace", "output", "arguments"}`, answers `began <pid>`, and `ended <pid> <exit code>` when
that has come.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

CLONE_NEWNET = 0x40000000
COMMANDS = 0  # standard input


@dataclass(frozen=True)
class Pass:
    """A command under way."""

    pid: int
    output: Path
    passes: Passes

    def wait(self) -> tuple[int, str]:
        """The exit code, -9 when it was killed, and what it printed."""
        code = self.passes.wait(self.pid)
        return code, self.output.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Passes:
    """Runs commands of `swiftish` at once.  `close` ends those that are under way."""

    def __init__(self, folder: Path, root: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._count = 0
        self._ended: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.passes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            start_new_session=True,
        )

    def begin(self, namespace: str | None, arguments: Sequence[str]) -> Pass:
        """Start `swiftish` with these arguments, in a network namespace or in the usual one."""
        assert self._process.stdin is not None
        self._count += 1
        output = self._folder / f"{self._count}.out"
        command = {"namespace": namespace, "output": str(output), "arguments": list(arguments)}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        while (pid := self._read()) is None:
            pass
        return Pass(pid, output, self)

    def wait(self, pid: int) -> int:
        while pid not in self._ended:
            self._read()
        return self._ended.pop(pid)

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _read(self) -> int | None:
        """Take note of a line; the pid of what began, if it says that."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        word, *numbers = line.split()
        if word == "began":
            return int(numbers[0])
        self._ended[int(numbers[0])] = int(numbers[1])
        return None


def main() -> NoReturn:
    """Fork for each command, and say what has ended; until nobody has commands any more."""
    import swiftish.cli.workers  # noqa: F401, PLC0415  (what the children will need)

    gc.freeze()
    with selectors.DefaultSelector() as selector:
        selector.register(COMMANDS, selectors.EVENT_READ)
        unread = b""
        while True:
            for key, _ in selector.select():
                if key.fd != COMMANDS:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    say("ended", key.data, os.waitstatus_to_exitcode(status))
                    continue
                piece = os.read(COMMANDS, 65536)
                if not piece:
                    sys.exit(0)
                *lines, unread = (unread + piece).split(b"\n")
                for line in lines:
                    pid = os.fork()
                    if pid == 0:
                        run(**json.loads(line))
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                    say("began", pid)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def run(*, namespace: str | None, output: str, arguments: list[str]) -> NoReturn:
    """In the forked process: a command of `swiftish`."""
    code = 1
    try:
        to = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(to, 1)
        os.dup2(to, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), COMMANDS)
        if namespace is not None:
            enter(namespace)
        from swiftish.cli.main import main as swiftish  # noqa: PLC0415

        code = swiftish(arguments)
    except (Exception, SystemExit):  # noqa: BLE001  (a forked process must not unwind)
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def enter(namespace: str) -> None:
    """Go to a network namespace, by its name for `ip netns`."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(descriptor)


if __name__ == "__main__":
    main()
