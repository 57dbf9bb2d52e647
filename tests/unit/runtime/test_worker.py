"""The loop of all workers."""

import asyncio

import pytest

from swiftish.runtime.worker import (
    BACK_OFF_MAX_S,
    Progress,
    Report,
    back_off_s,
    run_forever,
    run_once,
)


class Scripted:
    """Does what its script says, one step a unit; an exception in it is raised."""

    name = "scripted"
    interval_s = 0.0001

    def __init__(self, *script: Progress | Exception) -> None:
        self.script = list(script)
        self.report = Report()

    async def work(self) -> Progress:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def test_once_works_until_idle() -> None:
    worker = Scripted(Progress.BUSY, Progress.BUSY, Progress.IDLE, Progress.BUSY)
    assert asyncio.run(run_once(worker)) == 2
    assert worker.script == [Progress.BUSY]


def test_an_exception_costs_one_unit(caplog: pytest.LogCaptureFixture) -> None:
    worker = Scripted(Progress.BUSY, OSError("disk"), Progress.IDLE, Progress.BUSY, Progress.DONE)
    asyncio.run(run_forever(worker, stopping=asyncio.Event()))
    report = worker.report
    assert (report.errors, report.last_error, report.state) == (1, "OSError('disk')", "ended")
    assert "worker failed" in caplog.text


def test_stopping_ends_a_rest_at_once() -> None:
    async def scene() -> None:
        worker = Scripted(Progress.IDLE)
        worker.interval_s = 3600
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_soon(stopping.set)
        async with asyncio.timeout(5):
            await run_forever(worker, stopping=stopping)

    asyncio.run(scene())


def test_backing_off_doubles_up_to_a_limit_for_ever() -> None:
    """A disk may be broken for days."""
    assert [back_off_s(1.0, failures) for failures in (1, 2, 3)] == [2.0, 4.0, 8.0]
    assert back_off_s(0.5, 5000) == back_off_s(3600.0, 1) == BACK_OFF_MAX_S
