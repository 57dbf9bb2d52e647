"""Start, look at, stop and kill a `swiftish serve` of our own."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

BIN = Path(sys.executable).parent
SWIFTISH = BIN / "swiftish"
ROOT = Path(__file__).parents[2]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0

# The users that Swift's own functional tests know.
USERS = (
    "test:tester:testing:.admin",
    "test:tester3:testing3",
    "test2:tester2:testing2:.admin",
)


class NotReady(AssertionError):
    """The server ended, or said nothing, before its `ready` line."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], bool], *, what: str, timeout_s: float = 30.0) -> None:
    """Look until the condition holds; for states that nothing announces."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s still not: {what}"
        time.sleep(0.02)


class Program:
    """One `swiftish serve`, its standard output read as it comes.

    The process leads a session of its own, so that `kill()` reaches all of its children at once.
    """

    def __init__(self, data: Path, command: Sequence[str], log: Path) -> None:
        self.data = data
        self.log = log
        self.command = list(command)
        self.lines: list[str] = []  # of standard output, so far
        self._process: subprocess.Popen[str] | None = None
        self._arrivals: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None

    # ---- life -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if error is not None:
            self.kill()
            return
        status = self.stop()
        assert status == 0, f"SIGTERM gave exit status {status}\n{self.log_tail()}"

    def start(self) -> Self:
        """Returns when the `ready` line has come."""
        self.launch()
        self.await_ready()
        return self

    def await_ready(self) -> None:
        """For one that was launched."""
        deadline = time.monotonic() + START_TIMEOUT_S
        try:
            while not self.next_line(deadline).startswith("ready "):
                pass
        except NotReady:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process, and wait for nothing."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,
                cwd=ROOT,
            )
        self.lines = []
        self._arrivals = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def next_line(self, deadline: float) -> str:
        try:
            line = self._arrivals.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise NotReady(f"no ready line in time\n{self.log_tail()}") from None
        if line is None:
            raise NotReady(f"it ended with {self.process.wait()}\n{self.log_tail()}")
        return line

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit status, once the process has ended by itself."""
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            tail = self.log_tail()
            self.kill()
            raise AssertionError(f"it did not end when told to\n{tail}") from None
        self._forget()
        return status

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to every process of the server, as one power switch would."""
        everyone = self.pids()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not any(map(alive, everyone)), what=f"{everyone} are gone")
        self._forget()

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.join(10)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        arrivals = self._arrivals
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            arrivals.put(line.rstrip("\n"))
        arrivals.put(None)

    def log_tail(self, lines: int = 40) -> str:
        """The end of standard error, and of standard output, for a failure's message."""
        try:
            log = self.log.read_text(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            log = []
        return "\n".join(["-- stdout --", *self.lines[-lines:], "-- stderr --", *log])

    # ---- what /proc says ------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The process and all of its descendants."""
        found = [self.process.pid]
        for pid in found:
            found += children(pid)
        return found

    def open_files(self) -> int:
        """Open descriptors of all processes together."""
        return sum(len(descriptors(pid)) for pid in self.pids())

    def nameless_files(self) -> list[str]:
        """Files under the data folder that are open and have no name (yet, or any more)."""
        inside = str(self.data.resolve())
        return [
            target
            for pid in self.pids()
            for target in descriptors(pid)
            if target.startswith(inside) and target.endswith(" (deleted)")
        ]

    def resident_bytes(self) -> int:
        """Private memory of all processes together: what a leak would make grow."""
        return sum(map(private_bytes, self.pids()))

    def cpu_s(self) -> float:
        """CPU time used so far by all processes together."""
        ticks = os.sysconf("SC_CLK_TCK")
        total = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / ticks


class Server(Program):
    """One `swiftish serve` on a data folder."""

    def __init__(
        self,
        data: Path,
        *,
        workers: int = 2,
        devices: int = 4,
        replicas: int = 3,
        users: Sequence[str] = USERS,
        port: int | None = None,
        options: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        command = [
            str(SWIFTISH),
            "serve",
            *("--data", str(data)),
            *("--bind", f"127.0.0.1:{self.port}"),
            *("--workers", str(workers)),
            *("--devices", str(devices)),
            *("--replicas", str(replicas)),
            *(part for user in users for part in ("--user", user)),
            *options,
        ]
        super().__init__(data, command, log or data.parent / f"{data.name}.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth_url(self) -> str:
        return f"{self.url}/auth/v1.0"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in tasks(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def descriptors(pid: int) -> list[str]:
    """What each open descriptor of a process points at."""
    return list(_descriptors(pid))


def _descriptors(pid: int) -> Iterator[str]:
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return
    for entry in entries:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield str(entry.readlink())


def private_bytes(pid: int) -> int:
    """Anonymous and private memory, without the pages of mapped databases."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
