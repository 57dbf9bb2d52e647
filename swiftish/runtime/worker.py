"""Workers: background work in units, with the loop, the pace and the shutdown written once.

A worker does one unit of work and says how it stands.  An exception costs that unit, is counted
and logged, and the worker backs off.
"""

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

log = logging.getLogger(__name__)


class Progress(Enum):
    BUSY = "busy"  # did a unit; there may be more
    IDLE = "idle"  # nothing to do now; look again later
    DONE = "done"  # finished for good


class Worker(Protocol):
    """`interval_s`: how long to rest when idle."""

    name: str
    interval_s: float

    async def work(self) -> Progress:
        """Do one unit of work, if there is one."""
        ...


@dataclass(slots=True)
class Statistics:
    units: int = 0
    errors: int = 0


BACK_OFF_MAX_S = 60.0
_DOUBLINGS_MAX = 30  # beyond it nothing changes, and some day a float would be too small


def back_off_s(interval_s: float, failures: int) -> float:
    """How long to rest after so many failures in a row."""
    return min(BACK_OFF_MAX_S, interval_s * 2.0 ** min(failures, _DOUBLINGS_MAX))


async def run_once(worker: Worker) -> Statistics:
    """Work until the worker is idle or done; what a unit raises is raised."""
    statistics = Statistics()
    while await worker.work() is Progress.BUSY:
        statistics.units += 1
    return statistics


async def run_forever(worker: Worker, *, stopping: asyncio.Event) -> Statistics:
    """Work and rest until `stopping` is set or the worker is done."""
    statistics = Statistics()
    failures = 0
    while not stopping.is_set():
        rest_s = 0.0
        try:
            progress = await worker.work()
        except Exception:  # the one place that answers for all workers
            statistics.errors += 1
            failures += 1
            rest_s = back_off_s(worker.interval_s, failures)
            log.exception("worker failed", extra={"worker": worker.name})
        else:
            failures = 0
            if progress is Progress.DONE:
                break
            if progress is Progress.IDLE:
                rest_s = worker.interval_s
            else:
                statistics.units += 1
        if rest_s:
            try:
                async with asyncio.timeout(rest_s):
                    await stopping.wait()
            except TimeoutError:
                continue
        else:
            await asyncio.sleep(0)  # let requests in between two units
    return statistics
