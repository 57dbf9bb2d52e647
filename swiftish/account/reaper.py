"""Worker: delete what is in the accounts that their owners have deleted (reference 2.9).

Theory of operation.  No proxy shows a deleted account's contents any more, so the reaper asks the
nodes.  It finds deleted accounts in this node's databases, and in them the containers that are
left; every replica of an account has a reaper, and each container belongs to one of them, to the
next where that one does not answer.  Of a container it deletes the objects, in all their replicas,
and then the container, which tells the account.  What could not be deleted is still listed, so the
next pass finds it: there is nothing to remember, and nothing to resume.  The account itself stays
deleted until it is reclaimed, and cannot be used before that.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import md5
from typing import Literal, NamedTuple

from swiftish.account import broker
from swiftish.account.settings import ReaperSettings
from swiftish.cluster.direct import Direct
from swiftish.cluster.duty import Duty
from swiftish.cluster.listings import ObjectEntry
from swiftish.cluster.nodes import Place
from swiftish.cluster.wire import OVERRIDE_DELETED, update_headers
from swiftish.db import heads
from swiftish.db.pool import Pool
from swiftish.domain.listing import Query
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Response
from swiftish.http.replies import Refusal
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Reader
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

SCANNED = 1000  # databases looked at in one read
CONTAINERS_PER_PAGE = 100
OBJECTS_PER_PAGE = 1000


class Doomed(NamedTuple):
    """A deleted account that is not empty."""

    digest: bytes
    account: str
    deleted: Timestamp


class Reaper:
    """One unit is a page of accounts or containers, or some objects of a container.

    Counts the objects and containers that are gone, and those that are left for the next pass.
    """

    name = "account-reaper"

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        direct: Direct,
        duty: Duty,
        clock: Clock,
        settings: ReaperSettings,
    ) -> None:
        self.interval_s = settings.interval_s
        self.report = Report()
        self._devices = devices
        self._pool = pool
        self._direct = direct
        self._duty = duty
        self._clock = clock
        self._settings = settings
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        self._duty.look_again()
        for device in self._devices:
            if device.out_of_service is not None or not self._pool.exists(device):
                continue
            after: bytes | None = b""
            while after is not None:
                try:
                    found, after = await self._pool.read(device, partial(doomed, after=after))
                except Refusal as refusal:
                    self._failed(device.name, refusal)
                    break
                yield
                for account in found:
                    async for _ in self._reap(device, account):
                        yield

    async def _reap(self, device: LocalDevice, account: Doomed) -> Units:
        age_s = self._clock.now() - account.deleted.seconds
        if age_s <= self._settings.delay_reaping_s:
            return
        place = self._direct.account(account.account)
        if not await self._is_deleted(place):
            return
        marker = b""
        while True:
            page = partial(containers, digest=account.digest, marker=marker)
            try:
                names = await self._pool.read(device, page)
            except Refusal as refusal:
                self._failed(account.account, refusal)
                return
            if not names:
                break
            marker = names[-1]
            for name in names:
                if await self._is_ours(device, place, name):
                    container = name.decode("utf-8", "surrogateescape")
                    async for _ in self._reap_container(account.account, container):
                        yield
            yield
        if age_s > self._settings.delay_reaping_s + self._settings.reap_warn_after_s:
            log.warning("an account is still not empty", extra={"account": account.account})

    async def _is_deleted(self, place: Place) -> bool:
        """Whether a quorum of the account's replicas say so, and none says otherwise.

        This node may have been away for so long that the account was reclaimed elsewhere, and made
        again: what is in it now is nothing to do with what was to go.
        """
        answers = await self._direct.ask_all(place, "HEAD", {})
        if any(answer.ok for answer in answers):
            return False
        return sum(map(_says_deleted, answers)) >= place.quorum

    async def _is_ours(self, device: LocalDevice, place: Place, container: bytes) -> bool:
        """Whether the container belongs to this device's replica of the account."""
        first = share(container, len(place.primaries))
        turn = place.primaries[first:] + place.primaries[:first]
        responsible = await self._duty.first_alive(turn)
        return responsible is not None and self._duty.is_here(responsible, device.name)

    async def _reap_container(self, account: str, container: str) -> Units:
        place = self._direct.container(account, container)
        marker = ""
        while True:
            response, page = await self._objects(place, marker)
            if not page:
                break
            policy = int(response.headers["x-backend-storage-policy-index"])
            for start in range(0, len(page), self._settings.concurrency):
                some = page[start : start + self._settings.concurrency]
                await self._delete_objects(account, container, place, policy, some)
                yield
            marker = page[-1].name
        if response.ok or response.status == 404:
            await self._delete_container(account, place)
            yield

    async def _objects(self, place: Place, marker: str) -> tuple[Response, list[ObjectEntry]]:
        """A page of the listing of the last replica that has one; or the last answer."""
        response, page = Response(status=503), list[ObjectEntry]()
        for node in reversed(place.primaries):
            response, page = await self._direct.list_objects(
                place, node, marker=marker, limit=OBJECTS_PER_PAGE
            )
            if response.ok:
                break
        return response, page

    async def _delete_objects(
        self,
        account: str,
        container: str,
        place: Place,
        policy: int,
        page: Sequence[ObjectEntry],
    ) -> None:
        async with asyncio.TaskGroup() as group:
            for entry in page:
                target = Target(account, container, entry.name)
                group.create_task(self._delete_object(target, place, policy))

    async def _delete_object(self, target: Target, container: Place, policy: int) -> None:
        place = self._direct.object(target, policy)
        if place is None:
            self._failed(target.path, f"there is no storage policy {policy} here")
            return
        common = {
            "x-timestamp": self._clock.timestamp().internal,
            "x-backend-storage-policy-index": str(policy),
        }
        headers = _telling("container", container, common, requests=len(place.primaries))
        answers = await self._direct.ask_all(place, "DELETE", headers)
        gone = all(answer.ok or answer.status in (404, 409) for answer in answers)
        self._count("objects", gone=gone)

    async def _delete_container(self, account: str, place: Place) -> None:
        """Delete a container that should be empty; it is not where an object could not be deleted,
        or has come in since."""
        common = {
            "x-timestamp": self._clock.timestamp().internal,
            OVERRIDE_DELETED: "yes",
        }
        owner = self._direct.account(account)
        headers = _telling("account", owner, common, requests=len(place.primaries))
        answers = await self._direct.ask_all(place, "DELETE", headers)
        self._count("containers", gone=all(a.ok or a.status == 404 for a in answers))

    def _count(self, what: str, *, gone: bool) -> None:
        self.report.advance()
        self.report.counters[what if gone else f"{what} left"] += 1

    def _failed(self, what: str, why: object) -> None:
        self.report.errors += 1
        self.report.last_error = f"{what}: {why}"
        log.warning("not reaped", extra={"what": what, "reason": str(why)})


def doomed(reader: Reader, *, after: bytes) -> tuple[list[Doomed], bytes | None]:
    """The accounts among the next SCANNED that are to be emptied, and where to go on, if there
    are more."""
    scanned = heads.after(reader, after, limit=SCANNED)
    found: list[Doomed] = []
    for digest, _ in scanned:
        info = broker.find(reader, digest)
        if info is not None and info.head.marked_deleted and info.totals.sum(0):
            found.append(Doomed(digest, info.head.account, info.head.delete))
    return found, scanned[-1][0] if len(scanned) == SCANNED else None


def containers(reader: Reader, *, digest: bytes, marker: bytes) -> list[bytes]:
    """The next containers that an account still has."""
    info = broker.find(reader, digest)
    if info is None:
        return []
    query = Query(limit=CONTAINERS_PER_PAGE, marker=marker, reserved=True)
    return [name for name, _ in broker.page(reader, info, query)]


def _says_deleted(answer: Response) -> bool:
    return answer.headers.get("x-account-status", "").lower() == "deleted"


def share(container: bytes, replicas: int) -> int:
    """Which replica of its account a container belongs to."""
    digest = md5(container, usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") % replicas


def _telling(
    kind: Literal["account", "container"],
    place: Place,
    common: Mapping[str, str],
    *,
    requests: int,
) -> list[dict[str, str]]:
    """The headers of each of `requests` requests, which together tell all replicas of a place."""
    dealt = update_headers(
        kind,
        place.partition,
        place.primaries,
        requests=requests,
        updates=len(place.primaries),
    )
    return [{**common, **told} for told in dealt]
