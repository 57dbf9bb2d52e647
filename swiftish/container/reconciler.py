"""Worker: bring objects into the storage policy of their container (reference 2.7).

A container that was made in two policies at once has objects in both, until its replicas have
agreed on one.  The container replicator writes those that are elsewhere into a queue; here they
are moved, oldest rows first, each by one node.  What to do with each is in
container/misplacement.py.
"""

import asyncio
import logging
from collections import deque

from swiftish.cluster.client import SwiftClient, UnexpectedStatus
from swiftish.cluster.direct import Direct
from swiftish.cluster.duty import Duty
from swiftish.cluster.moments import moment_of
from swiftish.cluster.wire import OPEN_EXPIRED, kept_headers
from swiftish.container.misplacement import (
    COPY_OFFSET,
    DELETE_OFFSET,
    QUEUE_ACCOUNT,
    TOMBSTONE_OFFSET,
    Misplaced,
    Step,
    container_policy,
    later,
    look,
    parse,
    weigh,
)
from swiftish.container.settings import ReconcilerSettings
from swiftish.domain.names import Target
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.http.message import Response
from swiftish.runtime.clock import Clock
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

POLICY_CACHE_S = 30.0
POLICY_HEADER = "x-backend-storage-policy-index"


class Reconciler:
    """One unit is a page of the queue, or some objects.

    Counts what is moved, deleted where it should be, found to be there already, moot, lost (its
    newest copy was not seen for longer than the reclaim age) and kept for the next pass.
    """

    name = "container-reconciler"

    def __init__(
        self,
        *,
        client: SwiftClient,
        direct: Direct,
        duty: Duty,
        clock: Clock,
        settings: ReconcilerSettings,
    ) -> None:
        self.interval_s = settings.interval_s
        self.report = Report()
        self._client = client
        self._direct = direct
        self._duty = duty
        self._clock = clock
        self._settings = settings
        self._policies: dict[Target, tuple[int, float]] = {}  # of containers, and until when
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        self._duty.look_again()
        self._policies.clear()
        marker = ""
        while containers := await self._containers(marker):
            marker = containers[-1]
            for container in containers:
                yield
                async for _ in self._reconcile_all(container):
                    yield

    async def _containers(self, marker: str) -> list[str]:
        try:
            page = await self._client.list_containers(QUEUE_ACCOUNT, marker=marker)
        except (UnexpectedStatus, OSError) as error:
            self._failed(QUEUE_ACCOUNT, error)
            return []
        return [entry.name for entry in page]

    async def _reconcile_all(self, container: str) -> Units:
        marker = ""
        try:
            while page := await self._client.list_objects(QUEUE_ACCOUNT, container, marker=marker):
                marker = page[-1].name
                rows = (parse(container, entry) for entry in page)
                ours = deque([row for row in rows if row and await self._is_ours(row)])
                while ours:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(min(self._settings.concurrency, len(ours))):
                            group.create_task(self._reconcile(ours.popleft()))
                    yield
            if not marker and await self._duty.is_ours(QUEUE_ACCOUNT, container, ""):
                await self._client.delete(Target(QUEUE_ACCOUNT, container), also=(404, 409))
        except (UnexpectedStatus, OSError) as error:
            self._failed(container, error)

    async def _is_ours(self, row: Misplaced) -> bool:
        return await self._duty.is_ours(QUEUE_ACCOUNT, row.container, row.name)

    async def _reconcile(self, row: Misplaced) -> None:
        """Do what there is to do for a row; unless that failed for now, it is over then."""
        self.report.advance()
        try:
            came = await self._move(row)
        except (UnexpectedStatus, OSError, BadTimestamp) as error:
            self._failed(row.name, error)
            return
        self.report.counters[came] += 1
        if came != "kept":
            await self._direct.delete_row(QUEUE_ACCOUNT, row.container, row.name, row.end)

    async def _move(self, row: Misplaced) -> str:
        """What became of it, as the counters call it.  Raises UnexpectedStatus, OSError."""
        policy = await self._policy(row.target)
        if policy is None:
            return "kept"
        match look(row, policy=policy, newest_there=await self._newest(row.target, policy)):
            case Step.DELETE:
                await self._delete(row.target, policy, later(row.timestamp, DELETE_OFFSET))
                return "deleted"
            case Step.CLEAN:
                await self._bury(row, row.timestamp)
                return "found"
            case Step.FETCH:
                return await self._copy(row, policy)
            case _:
                return "moot"

    async def _copy(self, row: Misplaced, policy: int) -> str:
        asked = {POLICY_HEADER: str(row.policy), "x-newest": "true", OPEN_EXPIRED: "true"}
        async with await self._client.get_object(row.target, asked) as source:
            found = moment_of(source) if source.ok else None
            age_s = self._clock.now() - row.timestamp.seconds
            step = weigh(row, found=found, age_s=age_s, reclaim_age_s=self._settings.reclaim_age_s)
            if step is not Step.COPY:
                return "kept" if step is Step.WAIT else self._lost(row)
            assert found is not None, "or there is nothing to copy"
            headers = {
                **kept_headers("object", "PUT", source.headers),
                "x-timestamp": later(found, COPY_OFFSET).internal,
                POLICY_HEADER: str(policy),
                OPEN_EXPIRED: "true",
            }
            await self._client.put_object(row.target, source.body, headers)
        await self._bury(row, found)
        return "moved"

    async def _bury(self, row: Misplaced, timestamp: Timestamp) -> None:
        """Leave a tombstone where the object should not be."""
        await self._delete(row.target, row.policy, later(timestamp, TOMBSTONE_OFFSET))

    async def _delete(self, target: Target, policy: int, timestamp: Timestamp) -> None:
        headers = {POLICY_HEADER: str(policy), "x-timestamp": timestamp.internal}
        await self._client.delete(target, headers, also=(404, 409))

    async def _newest(self, target: Target, policy: int) -> Timestamp:
        """When the object was last written or deleted in a policy, as far as anybody knows."""
        asked = {POLICY_HEADER: str(policy), "x-newest": "true", OPEN_EXPIRED: "true"}
        return moment_of(await self._client.head(target, asked))

    async def _policy(self, target: Target) -> int | None:
        """The policy of an object's container, if its replicas agree on one."""
        assert target.container is not None
        container, now = Target(target.account, target.container), self._clock.now()
        policy, until = self._policies.get(container, (0, 0.0))
        if now < until:
            return policy
        place = self._direct.container(target.account, target.container)
        answers = await self._direct.ask_all(place, "HEAD", {})
        found = container_policy([_policy_of(answer) for answer in answers], needed=place.quorum)
        if found is not None:
            self._policies[container] = found, now + POLICY_CACHE_S
        return found

    def _lost(self, row: Misplaced) -> str:
        log.error(
            "the newest copy of an object in the wrong policy is nowhere to be found",
            extra={"path": row.target.path, "policy": row.policy},
        )
        return "lost"

    def _failed(self, what: str, error: Exception) -> None:
        self.report.errors += 1
        self.report.last_error = repr(error)
        log.warning("not reconciled", extra={"what": what, "reason": repr(error)})


def _policy_of(answer: Response) -> int | None:
    text = answer.headers.get(POLICY_HEADER, "")
    return int(text) if answer.status < 500 and text.isascii() and text.isdigit() else None
