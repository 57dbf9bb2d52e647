"""The metrics of all processes of a node: each writes its own to a file, and any of them sums up.

metrics-<pid>.json      of a process, not older than two seconds
metrics-ended.json      the counters of those that have ended

The second is there so that counters never fall while a node runs: Prometheus takes one that falls
for one that began anew, and would count what the living processes have done twice.  Whoever finds
the file of a process that has ended adds it to that file, under a lock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swiftish.runtime.metrics import Registry, Snapshot, summed, what_lasts
from swiftish.runtime.status import INTERVAL_S, read_status, write_status
from swiftish.runtime.threads import DeviceThreads
from swiftish.runtime.worker import Progress, Report

PREFIX = "metrics-"
ENDED = "metrics-ended.json"
LOCK = "metrics.lock"


class MetricsFiles:
    """Those in a run folder, as this process sees them.  All methods block, and raise OSError."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._own = run / f"{PREFIX}{os.getpid()}.json"

    def write(self, own: Snapshot) -> None:
        """Say how this process is."""
        write_status(self._own, own)

    def others(self) -> Snapshot:
        """The sum of all other processes, those that have ended among them."""
        with self._locked():
            ended = self._run / ENDED
            past: Snapshot = read_status(ended) or {}
            alive: list[Snapshot] = []
            for path in sorted(self._run.glob(f"{PREFIX}*.json")):
                pid = path.stem.removeprefix(PREFIX)
                if path == self._own or not pid.isdecimal():
                    continue
                found: Snapshot = read_status(path) or {}
                if _is_alive(int(pid)):
                    alive.append(found)
                    continue
                past = summed([past, what_lasts(found)])
                write_status(ended, past)
                path.unlink(missing_ok=True)
            return summed([past, *alive])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._run / LOCK).open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


class MetricsWriter:
    """The worker that writes this process's metrics every two seconds, and once at its end."""

    name = "metrics"
    interval_s = INTERVAL_S

    def __init__(self, registry: Registry, files: MetricsFiles, threads: DeviceThreads) -> None:
        self.report = Report()
        self._registry = registry
        self._files = files
        self._threads = threads

    async def work(self) -> Progress:
        await self._threads.run(self._files.write, self._registry.snapshot())
        return Progress.IDLE


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
