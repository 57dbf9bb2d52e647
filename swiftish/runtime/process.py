"""A service as processes: one supervisor, N children, signals, sockets, drain.

The supervisor holds the listening sockets, one for each serving child (SO_REUSEPORT spreads the
connections), starts the children by fork before there is any thread or loop, waits for signals,
and starts a child again that died.  The only import of uvloop.

    SIGTERM, SIGINT    children stop accepting, finish what is in flight, and end; exit code 0
    SIGHUP             new children take over the sockets, then the old ones drain

A child ends by itself when its supervisor is gone: the read end of a pipe tells it.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import uvloop

log = logging.getLogger(__name__)

BACKLOG = 4096
RESPAWN_PAUSE_S = 1.0  # a child that dies young is not started again sooner than this


class CannotListen(Exception):
    """The address can't be listened on; the message says why."""


@dataclass(frozen=True, slots=True)
class Life:
    """What a child is given: `stopping` is set when it must drain, `ready` says that it serves."""

    stopping: asyncio.Event
    ready: Callable[[], None]


Child = Callable[[Life], Awaitable[None]]


def listen(host: str, port: int, *, count: int) -> list[socket.socket]:
    """`count` sockets that share one address; port 0 chooses a free one.

    Raises CannotListen, also when somebody else listens there with SO_REUSEPORT.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # what can't be written in the DNS is not even looked for
        raise CannotListen(f"{host}:{port}: not the name of a host") from None
    except OSError as error:
        raise CannotListen(f"{host}:{port}: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    sockets: list[socket.socket] = []
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            address = probe.getsockname()
        for _ in range(count):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except OSError as error:
        for sock in sockets:
            sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"{host}:{port} is in use by another program") from None
        raise CannotListen(f"{host}:{port}: {error.strerror}") from None
    return sockets


@dataclass(slots=True)
class _Running:
    index: int
    started_s: float
    retired: bool = False  # told to end: not started again


@dataclass(slots=True)
class Supervisor:
    """Starts `children` (by index), watches them, and drains them.  Blocking; owns the process.

    `on_ready` is called once, when every child serves.  `sockets` are the listening ones: they
    are closed before the children drain, so that nobody is let in whom nobody will serve.
    """

    children: Callable[[], list[Child]]  # asked again at SIGHUP: new settings, new children
    on_ready: Callable[[], None]
    sockets: Sequence[socket.socket] = ()
    drain_timeout_s: float = 30.0
    _running: dict[int, _Running] = field(default_factory=dict)
    _missing: dict[int, float] = field(default_factory=dict)  # child's index: when to start it
    _alive: tuple[int, int] = (-1, -1)  # a pipe that the children see end when we are gone

    def run(self) -> int:
        """Serve until told to stop.  Returns the exit code."""
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        self._alive = os.pipe()
        children = self.children()
        if not self._start_all(children):
            return self._stop(exit_code=1)
        self.on_ready()
        while True:
            caught = self._next_signal(signals)
            if caught in (signal.SIGTERM, signal.SIGINT):
                return self._stop(exit_code=0)
            if caught == signal.SIGHUP:
                children = self._reload(children)
            self._reap()
            self._start_missing(children)

    def _next_signal(self, signals: set[signal.Signals]) -> int | None:
        """Wait for a signal, or until it is time to start a child again (None)."""
        if not self._missing:
            return signal.sigwait(signals)
        pause_s = max(0.0, min(self._missing.values()) - time.monotonic())
        caught = signal.sigtimedwait(signals, pause_s)
        return None if caught is None else caught.si_signo

    def _start_all(self, children: list[Child]) -> bool:
        pipes = [self._fork(index, child) for index, child in enumerate(children)]
        ready = [_await_ready(pipe) for pipe in pipes]
        return all(ready)

    def _fork(self, index: int, child: Child) -> int:
        """Start one child; the pipe's read end gives a byte when it is ready."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(self._alive[1])
            _run_child(child, ready_pipe=writer, alive_pipe=self._alive[0])
        os.close(writer)
        self._running[pid] = _Running(index, time.monotonic())
        return reader

    def _reap(self) -> None:
        """Take note of the children that ended; those that were not told to are missed."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._running.pop(pid, None)
            if child is not None and not child.retired:
                log.error("process ended", extra={"ended": pid, "status": status})
                self._missing[child.index] = child.started_s + RESPAWN_PAUSE_S

    def _start_missing(self, children: list[Child]) -> None:
        now_s = time.monotonic()
        for index in [i for i, when_s in self._missing.items() if when_s <= now_s]:
            del self._missing[index]
            _await_ready(self._fork(index, children[index]))

    def _reload(self, children: list[Child]) -> list[Child]:
        old = set(self._running)
        try:
            fresh = self.children()
        except Exception:  # whatever is wrong with the new settings, the old ones serve on
            log.exception("reload failed; the old settings stay")
            return children
        if not self._start_all(fresh):
            log.error("the new processes did not start; the old ones stay")
            self._retire(set(self._running) - old)
            return children
        self._retire(old)
        self._missing.clear()
        return fresh

    def _retire(self, pids: Iterable[int]) -> None:
        """Tell children to drain and end."""
        for pid in pids:
            self._running[pid].retired = True
            os.kill(pid, signal.SIGTERM)

    def _stop(self, *, exit_code: int) -> int:
        """Drain all children; kill what is left after the time."""
        for sock in self.sockets:
            sock.close()
        self._retire(self._running)
        deadline = time.monotonic() + self.drain_timeout_s + 10.0
        self._reap()
        while self._running and (left_s := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left_s)
            self._reap()
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        return exit_code


def with_only(
    child: Child, own: Sequence[socket.socket], sockets: Sequence[socket.socket]
) -> Child:
    """The child, having closed all of `sockets` but its own."""

    async def run(life: Life) -> None:
        for sock in sockets:
            if sock not in own:
                sock.close()
        await child(life)

    return run


def _await_ready(pipe: int) -> bool:
    """Wait until the child serves (True) or has ended (False)."""
    with open(pipe, "rb", buffering=0) as stream:
        return stream.read(1) == b"R"


def _run_child(child: Child, *, ready_pipe: int, alive_pipe: int) -> NoReturn:
    """In the forked process: run the child in a fresh loop; never returns to the caller."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(child, ready_pipe=ready_pipe, alive_pipe=alive_pipe))
        code = 0
    except KeyboardInterrupt:
        code = 0
    except BaseException:  # a forked process must not unwind into its parent's code
        log.exception("process failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _live(child: Child, *, ready_pipe: int, alive_pipe: int) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def supervisor_gone() -> None:
        loop.remove_reader(alive_pipe)
        stopping.set()

    def ready() -> None:
        os.write(ready_pipe, b"R")
        os.close(ready_pipe)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # meant for the supervisor
    loop.add_reader(alive_pipe, supervisor_gone)
    await child(Life(stopping, ready))
