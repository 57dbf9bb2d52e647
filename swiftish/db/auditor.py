"""Worker: look at every database of this node's devices, repair what can be, let go what can't.

A pass first looks at the pages of each device's environment (runtime/pages.py): one that is corrupt
is set aside there and then.  Then it goes over the databases in the order of their hashes: can the
head be read, is it the one of that hash, can the rows be read, do the log and the totals agree with
them (census.py).  Totals and logs are repaired.  A database of which something cannot be read is
let go, so that its replicas send it again, but only when one of them says that it has it (I5), and
after it has been copied to the quarantine.

What this cannot find is a value that is wrong and still makes sense: rows have no checksums of
their own.  Nor a transaction that the disk has lost as a whole (T51): replicas notice, whose
numbers are other (numbers.py).
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

from swiftish.db import heads, leftovers, removal
from swiftish.db.census import DAMAGED, Census, Gone, State
from swiftish.db.heads import HEADS, Found, Head, Totals
from swiftish.db.leftovers import Search
from swiftish.db.pool import Pool
from swiftish.db.quarantine import Copy
from swiftish.db.schema import Row, Schema
from swiftish.db.second_copy import PeersHave, nobody
from swiftish.db.settings import AuditorSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.timestamp import ZERO
from swiftish.http.replies import Refusal
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.pace import Pace
from swiftish.runtime.worker import Progress, Report

log = logging.getLogger(__name__)

BATCH = 200  # hashes that are read at once
HOP_S = 0.02  # after which a thread is given back
REPAIRS_MAX = 10  # attempts, when a database changes all the time

# So many more heads than have their own hash may have another's: then it is the hash that is wrong.
MISNAMED_MAX = 3


class _WrongHash(Exception):
    """Names do not have the hashes under which they are stored."""

    def __str__(self) -> str:
        return "hardly any name has its hash: are the hash prefix and suffix right?"


@dataclass(slots=True)
class _Database(Generic[Row]):
    """The one that is being looked at."""

    digest: bytes
    id: int
    census: Census[Row]
    is_head_read: bool = False
    trouble: str | None = None  # what is wrong with it that no count can repair
    repairs: int = 0


@dataclass(slots=True)
class _Visit(Generic[Row]):
    """How far a device is."""

    device: LocalDevice
    up_to: int  # databases with a greater number are younger than the visit
    after: bytes | None = b""  # None: there are no more heads
    queue: list[tuple[bytes, int]] = field(default_factory=list)  # the next one last
    ids: set[int] = field(default_factory=set)
    database: _Database[Row] | None = None
    are_heads_sound: bool = True
    named_right: int = 0
    misnamed: int = 0
    search: Search | None = None


class DatabaseAuditor(Generic[Row]):
    """The auditor of accounts or of containers.  One unit is some milliseconds of one database.

    Counters: `databases` and `rows` looked at; `recounted` (their totals had drifted), `logged` and
    `unlogged` (entries of the log that were missing, or had no row), `damaged`, of which `dropped`
    and `unhealed` (nobody else has them), `leftovers` removed, and `busy` (changing faster than
    they can be counted).
    """

    name: str
    schema: Schema[Row]

    def __init__(
        self,
        *,
        devices: Devices,
        pool: Pool,
        hash_path: HashPath,
        clock: Clock,
        settings: AuditorSettings,
        peers_have: PeersHave = nobody,
    ) -> None:
        self.interval_s = settings.interval_s
        self.report = Report()
        self._devices = devices
        self._pool = pool
        self._hash_path = hash_path
        self._clock = clock
        self._settings = settings
        self._peers_have = peers_have
        self._databases_pace = Pace(settings.databases_per_second)
        self._rows_pace = Pace(settings.rows_per_second)
        self._tour: Iterator[LocalDevice] | None = None
        self._visit: _Visit[Row] | None = None
        self._headless: dict[tuple[str, int], float] = {}  # device, number -> since when

    async def work(self) -> Progress:
        if self._tour is None:
            self._tour = iter(self._devices)
            self.report.begin_pass(self._clock.now())
        try:
            if self._visit is not None:
                visit, self._visit = self._visit, None  # one that fails is left for the next pass
                if await self._go_on(visit):
                    self._visit = visit
            elif (device := next(self._tour, None)) is not None:
                self._visit = await self._begin(device)
            else:
                self._tour = None
                self.report.end_pass(self._clock.now())
                return Progress.IDLE
        except (Refusal, OSError, _WrongHash) as error:  # the device fails, or is full
            self._failed(str(error))
            self._visit = None
        return Progress.BUSY

    async def _begin(self, device: LocalDevice) -> _Visit[Row] | None:
        if device.out_of_service is not None:
            return None
        if not await device.threads.run(self._pool.exists, device):
            return None
        await self._pool.check(device)
        count, up_to = await self._pool.read(
            device, lambda reader: (reader.count(HEADS), leftovers.last_id(reader))
        )
        self.report.total = (self.report.total or 0) + count
        return _Visit(device, up_to)

    async def _go_on(self, visit: _Visit[Row]) -> bool:
        """One unit; False when the device is done."""
        if visit.database is not None:
            await self._look(visit, visit.database)
        elif visit.queue:
            await self._databases_pace.take()
            digest, database_id = visit.queue.pop()
            census = Census(self.schema, digest, database_id)
            visit.database = _Database(digest, database_id, census)
        elif visit.after is not None:
            await self._read_on(visit, visit.after)
        else:
            return await self._clean_up(visit)
        return True

    async def _read_on(self, visit: _Visit[Row], after: bytes) -> None:
        found = await self._pool.read(
            visit.device, lambda reader: heads.after(reader, after, limit=BATCH)
        )
        visit.queue = found[::-1]
        visit.ids.update(number for _, number in found)
        visit.after = found[-1][0] if len(found) == BATCH else None

    # ---- one database --------------------------------------------------------------------------

    async def _look(self, visit: _Visit[Row], database: _Database[Row]) -> None:
        """Some milliseconds of it; at its end, what follows from it."""
        rows = database.census.rows
        try:
            state = await self._pool.read(visit.device, partial(self._count, visit, database))
            self.report.counters["rows"] += database.census.rows - rows
            if not database.census.is_chasing:
                await self._rows_pace.take(database.census.rows - rows)
            if state is State.GOES_ON:
                return
            if state is State.GIVEN_UP:
                self.report.counters["busy"] += 1
            elif (
                database.trouble is None  # else a repair would be a change that others do not have
                and database.census.flaws
                and not await self._repair(visit, database)
            ):
                return
            if visit.misnamed > MISNAMED_MAX + visit.named_right:
                raise _WrongHash
            if database.trouble is not None:
                await self._drop(visit, database)
        except Gone:
            pass  # removed since, by whoever may do that
        visit.database = None
        self.report.advance()
        self.report.counters["databases"] += 1

    def _count(self, visit: _Visit[Row], database: _Database[Row], reader: Reader) -> State:
        """In the device's thread."""
        if not database.is_head_read:
            database.is_head_read = True
            database.trouble = self._head_trouble(visit, database, reader)
        if database.trouble is not None:
            visit.are_heads_sound = False
            return State.DONE
        until = time.monotonic() + HOP_S
        try:
            while (state := database.census.step(reader)) is State.GOES_ON:
                if time.monotonic() > until:
                    break
        except DAMAGED as error:
            database.trouble = f"the log cannot be read: {error}"
            return State.DONE
        if state is State.DONE and (damaged := database.census.flaws.damaged):
            key, why = damaged[0]
            database.trouble = f"{len(damaged)} rows cannot be read, the first {key}: {why}"
        return state

    def _head_trouble(
        self, visit: _Visit[Row], database: _Database[Row], reader: Reader
    ) -> str | None:
        try:
            head = heads.find(reader, database.digest)
        except DAMAGED as error:
            return f"the head cannot be read: {error}"
        if head is None:
            raise Gone
        if self._hash_path(head.account, head.container or None) != database.digest:
            visit.misnamed += 1
            return f"this is {head.account}/{head.container}"
        visit.named_right += 1
        return None

    async def _repair(self, visit: _Visit[Row], database: _Database[Row]) -> bool:
        """Put right what can be; False when rows have to be counted on first."""
        flaws, counters = database.census.flaws, self.report.counters
        logged, unlogged, drift = len(flaws.unlogged), len(flaws.stray), flaws.drift
        is_done = await self._pool.commit(visit.device, database.census.repair)
        counters["logged"] += logged
        counters["unlogged"] += unlogged
        counters["recounted"] += drift and is_done
        fields = {
            "device": visit.device.name,
            "hash": database.digest.hex(),
            "totals": drift,
            "logged": logged,
            "unlogged": unlogged,
        }
        if logged or unlogged or (drift and is_done):
            log.error("repaired", extra=fields)
        database.repairs += 1
        return is_done or database.repairs == REPAIRS_MAX

    async def _drop(self, visit: _Visit[Row], database: _Database[Row]) -> None:
        """Let a damaged database go, when somebody else has it."""
        assert database.trouble is not None
        device, digest, schema = visit.device, database.digest, self.schema
        counters = self.report.counters
        counters["damaged"] += 1
        fields = {"device": device.name, "hash": digest.hex(), "reason": database.trouble}
        if not await self._peers_have(device, digest):
            counters["unhealed"] += 1
            self._failed(f"{device.name}: {digest.hex()} is damaged, and nobody else has it")
            return
        before = await self._pool.read(device, partial(_sequence, database_id=database.id))
        run = device.threads.run
        copy = await run(Copy, device.path, schema, digest, database.id, database.trouble)
        while await self._pool.read(device, copy.step):
            pass
        head = Head(id=database.id, account="", created=ZERO, put=ZERO, status_changed=ZERO)
        found = Found(digest, head, Totals(before))
        if await self._pool.commit(device, lambda w: removal.begin(w, schema, found)):
            counters["dropped"] += 1
            log.error("let go", extra={**fields, "copy": str(copy.place)})

    # ---- what is left --------------------------------------------------------------------------

    async def _clean_up(self, visit: _Visit[Row]) -> bool:
        """After the last database: sweep up, and look for rows without a head."""
        device = visit.device
        if await self._pool.read(device, removal.is_due):
            return await self._pool.commit(device, removal.go_on) or True
        if not visit.are_heads_sound:
            return False
        if visit.search is None:
            visit.search = Search(visit.ids, up_to=visit.up_to)
        if await self._pool.read(device, visit.search.step):
            return True
        await self._remove_leftovers(device, visit.search.found)
        return False

    async def _remove_leftovers(self, device: LocalDevice, found: set[int]) -> None:
        """Remove those that have been without a head for long."""
        now = self._clock.now()
        for key in [key for key in self._headless if key[0] == device.name and key[1] not in found]:
            del self._headless[key]
        for number in found:
            since = self._headless.setdefault((device.name, number), now)
            if now - since < self._settings.leftover_age_s:
                continue
            while await self._pool.commit(device, partial(_remove_some, database_id=number)):
                pass
            del self._headless[device.name, number]
            self.report.counters["leftovers"] += 1
            log.error("leftovers", extra={"device": device.name, "number": number})

    def _failed(self, why: str) -> None:
        log.error("audit", extra={"worker": self.name, "reason": why})
        self.report.errors += 1
        self.report.last_error = why


def _sequence(reader: Reader, *, database_id: int) -> int:
    return heads.find_totals(reader, database_id).sequence


def _remove_some(writer: Writer, *, database_id: int) -> bool:
    return leftovers.remove_some(writer, database_id)
