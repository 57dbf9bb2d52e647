"""Workers: background work in units, with the loop, the pace and the shutdown written once.

A worker does one unit of work and says how it stands.  Its units make up passes: one pass looks at
everything the worker is there for, once.  An exception costs a unit, is counted and logged, and the
worker backs off.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol

log = logging.getLogger(__name__)


class Progress(Enum):
    BUSY = "busy"  # did a unit; there may be more
    IDLE = "idle"  # nothing to do now; look again later
    DONE = "done"  # finished for good


@dataclass(slots=True)
class Report:
    """How a worker stands, for people and for /recon; the worker writes it, others read.

    `done` of `total` (None: not known beforehand) belong to the pass that is under way, or to the
    last one while the worker rests.  Times are seconds since the epoch.  `counters` go on counting
    as long as the process lives: what a worker has done, by the names that its docstring gives.
    `gauges` are how things are now, by name, or by name and device with a space between them.
    """

    state: Literal["working", "resting", "failing", "ended"] = "resting"
    passes: int = 0  # completed
    pass_began: float = 0.0
    last_pass_began: float = 0.0
    last_pass_s: float = 0.0
    done: int = 0
    bytes: int = 0
    total: int | None = None
    errors: int = 0
    last_error: str = ""
    counters: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, float] = field(default_factory=dict)

    def begin_pass(self, now: float, *, total: int | None = None) -> None:
        """A pass begins at `now`; it has `total` units, if that is known."""
        self.pass_began, self.done, self.bytes, self.total = now, 0, 0, total

    def advance(self, units: int = 1, *, size: int = 0) -> None:
        """So many more units, and bytes, of this pass are done."""
        self.done += units
        self.bytes += size

    def end_pass(self, now: float) -> None:
        """The pass has looked at everything."""
        self.passes += 1
        self.last_pass_began, self.last_pass_s = self.pass_began, max(0.0, now - self.pass_began)

    @property
    def left(self) -> int | None:
        """Units of this pass that are still to be done, where that is known."""
        return None if self.total is None else max(0, self.total - self.done)

    def rate(self, now: float) -> float:
        """Units in a second, in the pass that is under way or, when at rest, the last one."""
        took_s = now - self.pass_began if self.state == "working" else self.last_pass_s
        return self.done / took_s if took_s > 0 else 0.0


class Worker(Protocol):
    """`interval_s`: how long to rest when idle.  `name` is what operators call it."""

    name: str
    interval_s: float
    report: Report

    async def work(self) -> Progress:
        """Do one unit of work, if there is one."""
        ...


BACK_OFF_MAX_S = 60.0
_DOUBLINGS_MAX = 30  # beyond it nothing changes, and some day a float would be too small


def back_off_s(interval_s: float, failures: int) -> float:
    """How long to rest after so many failures in a row."""
    return min(BACK_OFF_MAX_S, interval_s * 2.0 ** min(failures, _DOUBLINGS_MAX))


async def run_once(worker: Worker) -> int:
    """Work until the worker is idle or done; how many units.  What a unit raises is raised."""
    units = 0
    worker.report.state = "working"
    try:
        while await worker.work() is Progress.BUSY:
            units += 1
    finally:
        worker.report.state = "ended"
    return units


async def run_forever(worker: Worker, *, stopping: asyncio.Event) -> None:
    """Work and rest until `stopping` is set or the worker is done."""
    report = worker.report
    failures = 0
    while not stopping.is_set():
        rest_s = 0.0
        report.state = "working"
        try:
            progress = await worker.work()
        except Exception as error:  # the one place that answers for all workers
            report.errors += 1
            report.last_error = repr(error)
            report.state = "failing"
            failures += 1
            rest_s = back_off_s(worker.interval_s, failures)
            log.exception("worker failed", extra={"worker": worker.name})
        else:
            failures = 0
            if progress is Progress.DONE:
                break
            if progress is Progress.IDLE:
                report.state = "resting"
                rest_s = worker.interval_s
        if rest_s:
            try:
                async with asyncio.timeout(rest_s):
                    await stopping.wait()
            except TimeoutError:
                continue
        else:
            await asyncio.sleep(0)  # let requests in between two units
    report.state = "ended"
