"""Worker: delete the objects whose time has come (reference 1.13, 2.9).

It reads the queue that the object servers write (domain/expiry.py) and deletes each object with
X-If-Delete-At, as if it had been deleted at the very moment: whatever was written since stays.
Each task is done by one node (cluster/duty.py), or by the process that the settings say.  Doing
one twice does no harm.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from swiftish.cluster.client import SwiftClient, UnexpectedStatus
from swiftish.cluster.direct import Direct
from swiftish.cluster.duty import Duty
from swiftish.cluster.listings import ObjectEntry
from swiftish.cluster.wire import CLEAN_QUEUE
from swiftish.domain.expiry import QUEUE_ACCOUNT, Task, end_of_due, holds_due, parse_task
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.object.expiring import Outcome, interleaved, is_due, is_in_share, outcome
from swiftish.object.settings import ExpirerSettings
from swiftish.runtime.clock import Clock
from swiftish.runtime.pace import Pace
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)


class Expirer:
    """One unit is a page of the queue, or some deletions at once.

    Counts what is done, moot (something newer is there, or nothing for longer than the reclaim
    age), and kept for the next pass.
    """

    name = "object-expirer"

    def __init__(
        self,
        *,
        client: SwiftClient,
        direct: Direct,
        duty: Duty,
        clock: Clock,
        settings: ExpirerSettings,
    ) -> None:
        self.interval_s = settings.interval_s
        self.report = Report()
        self._client = client
        self._direct = direct
        self._duty = duty
        self._clock = clock
        self._settings = settings
        self._pace = Pace(settings.tasks_per_second)
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        self._duty.look_again()
        for container in await self._due_containers():
            marker = ""
            while page := await self._page(container, marker):
                marker = page[-1].name
                tasks = await self._ours(container, page)
                yield
                while tasks:
                    await self._do_some(tasks)
                    yield
            if page is not None and not marker:
                await self._remove(container)

    async def _due_containers(self) -> list[str]:
        now = self._clock.now()
        names: list[str] = []
        try:
            while page := await self._client.list_containers(
                QUEUE_ACCOUNT, marker=names[-1] if names else "", end_marker=end_of_due(now)
            ):
                names += [entry.name for entry in page]
        except (UnexpectedStatus, OSError) as error:
            self._failed(error)
        return [name for name in names if holds_due(name, now)]

    async def _page(self, container: str, marker: str) -> list[ObjectEntry] | None:
        """The rows of what has expired behind `marker`; None when nobody can tell."""
        end = end_of_due(self._clock.now())
        try:
            return await self._client.list_objects(
                QUEUE_ACCOUNT, container, marker=marker, end_marker=end
            )
        except (UnexpectedStatus, OSError) as error:
            self._failed(error)
            return None

    async def _ours(self, container: str, page: Sequence[ObjectEntry]) -> deque[Task]:
        """What is this node's to do now, in the order in which to do it."""
        rows = (parse_task(container, entry.name, entry.content_type) for entry in page)
        return interleaved([task for task in rows if task and await self._is_ours(task)])

    async def _is_ours(self, task: Task) -> bool:
        settings = self._settings
        if not is_due(task, self._clock.now(), settings.delay_reaping_s):
            return False
        if settings.processes:
            return is_in_share(task, processes=settings.processes, process=settings.process)
        return await self._duty.is_ours(QUEUE_ACCOUNT, task.container, task.name)

    async def _remove(self, container: str) -> None:
        """Delete a container in which nothing is due.  What is in it all the same keeps it: 409."""
        if not await self._duty.is_ours(QUEUE_ACCOUNT, container, ""):
            return
        try:
            await self._client.delete(Target(QUEUE_ACCOUNT, container), also=(404, 409))
        except (UnexpectedStatus, OSError) as error:
            self._failed(error)

    async def _do_some(self, tasks: deque[Task]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._settings.concurrency, len(tasks))):
                await self._pace.take()
                group.create_task(self._do(tasks.popleft()))

    async def _do(self, task: Task) -> None:
        age_s = self._clock.now() - task.delete_at
        try:
            status = await self._delete(task)
        except (UnexpectedStatus, OSError) as error:
            self._failed(error)
            return
        came = outcome(status, age_s=age_s, reclaim_age_s=self._settings.reclaim_age_s)
        self.report.advance()
        self.report.counters[came.value] += 1
        if came is not Outcome.KEEP:
            # If too few servers hear of it, the row is there in the next pass, and then moot.
            await self._direct.delete_row(
                QUEUE_ACCOUNT, task.container, task.name, self._clock.timestamp()
            )

    async def _delete(self, task: Task) -> int:
        headers = {"x-timestamp": Timestamp.from_seconds(task.delete_at).internal}
        if not task.unconditional:
            headers["x-if-delete-at"] = str(task.delete_at)
            headers[CLEAN_QUEUE] = "no"  # its row goes when this is done
        response = await self._client.delete(task.target, headers, also=(404, 409, 412))
        return response.status

    def _failed(self, error: Exception) -> None:
        self.report.errors += 1
        self.report.last_error = repr(error)
        log.warning("not expired", extra={"worker": self.name, "reason": repr(error)})
