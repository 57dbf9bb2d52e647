"""What the processes of a node tell each other of how they are: small JSON files in its run folder.

A file is replaced whole, so a reader sees the old one or the new one.  The folder is on a memory
file system and begins empty: nothing here outlives a restart, and nothing is synced.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swiftish.runtime.clock import Clock
from swiftish.runtime.threads import DeviceThreads
from swiftish.runtime.worker import Progress, Report, Worker

WORKERS_FILE = "workers.json"
SERVING_FILE = "serving.json"  # of the supervisor: {"id", "listens": {service: "host:port"}}
INTERVAL_S = 2.0


def write_status(path: Path, document: object) -> None:
    """Replace the file.  Raises OSError; blocks."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


def read_status(path: Path) -> Any:  # noqa: ANN401  (whoever reads knows what was written)
    """What was written last; None when there is nothing, or nothing whole.  Raises OSError."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def worker_document(worker: Worker, now: float) -> dict[str, Any]:
    """A worker's report, its rate in units per second and what is left of its pass."""
    report = worker.report
    return {
        "name": worker.name,
        "interval_s": worker.interval_s,
        **dataclasses.asdict(report),
        "counters": dict(report.counters),  # of which asdict, before Python 3.12, makes nonsense
        "rate": report.rate(now),
        "left": report.left,
    }


class WorkersStatus:
    """The worker that writes how all the others are, every two seconds."""

    name = "status"
    interval_s = INTERVAL_S

    def __init__(
        self, workers: Sequence[Worker], run: Path, clock: Clock, threads: DeviceThreads
    ) -> None:
        self.report = Report()
        self._workers = workers
        self._path = run / WORKERS_FILE
        self._clock = clock
        self._threads = threads

    async def work(self) -> Progress:
        now = self._clock.now()
        documents = [worker_document(worker, now) for worker in self._workers]
        document = {"at": now, "pid": os.getpid(), "workers": documents}
        await self._threads.run(write_status, self._path, document)
        return Progress.IDLE
