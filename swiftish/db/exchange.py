"""The sending side of replication: one peer is offered databases and given what it lacks of them.

One step is one request, so that whoever drives it can stop, and let others go first, in between.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal

from swiftish.cluster.documents import CONTENT_TYPE, BadDocument, answered, packed
from swiftish.cluster.transport import Transport
from swiftish.db import numbers
from swiftish.db.deltas import (
    Delta,
    Heard,
    Offer,
    Wanted,
    merge_document,
    offer_document,
    parse_heard,
    read_deltas,
)
from swiftish.db.pool import Pool
from swiftish.db.schema import Row, Schema
from swiftish.db.sync_rules import Confirmation
from swiftish.http.message import Bytes, Request
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.runtime.devices import LocalDevice

log = logging.getLogger(__name__)


class Silent(Exception):
    """The peer did not answer, or not to what it was asked."""


class Full(Exception):
    """The peer's device is full or out of service (507)."""


class Refused(Exception):
    """The peer takes this for nonsense (400)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender(Generic[Row]):
    """What all exchanges from one local device have in common.

    `counters` are the worker's: documents and rows that were sent, databases that were refused.
    """

    device: LocalDevice
    pool: Pool
    schema: Schema[Row]
    transport: Transport
    timeout_s: float
    counters: Counter[str]

    async def ask(
        self, peer: Device, partition: int, what: Literal["offer", "merge"], document: object
    ) -> object:
        """The document that a peer answers with.  Raises Silent, Full, Refused."""
        request = Request(
            method="REPLICATE",
            path=f"/{peer.device}/{partition}/{what}",
            headers={"content-type": CONTENT_TYPE},
            body=Bytes(packed(document)),
        )
        self.counters["documents"] += 1
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self.transport.send(self.schema.kind, peer, request)
                async with response:
                    if response.status == 200:
                        return await answered(response)
        except (BadDocument, OSError) as error:  # TimeoutError is one
            raise Silent(repr(error)) from error
        if response.status == 507:
            raise Full
        if response.status in (400, 413):
            raise Refused
        raise Silent(f"status {response.status}")


class Exchange(Generic[Row]):
    """Databases, in the order of their hashes, for one peer.

    When `is_done`, `confirmed` says what the peer holds; `is_full` that it has no room or no disk;
    `refusal` that this device, and not the peer, is in trouble.
    """

    def __init__(
        self, sender: Sender[Row], peer: Device, partition: int, offers: Sequence[Offer]
    ) -> None:
        self.peer = peer
        self.offers = offers
        self.confirmed: dict[bytes, Confirmation] = {}
        self.is_done = self.is_full = self.is_silent = False
        self.refusal: Refusal | None = None
        self._sender = sender
        self._partition = partition  # of the first: it only says where the request goes
        self._environment = b""
        self._wanted: deque[Wanted] | None = None  # None: not offered yet
        self._at_once: int | None = None  # databases in a document, after one was refused

    async def step(self) -> int:
        """Ask the peer once; how many rows went there."""
        try:
            if self._wanted is None:
                await self._offer()
                rows = 0
            else:
                rows = await self._merge(self._wanted)
        except Full:
            self.is_done = self.is_full = True
            return 0
        except Refusal as refusal:
            self.is_done, self.refusal = True, refusal
            return 0
        except Silent as error:
            self.is_done = self.is_silent = True
            fields = {"peer": str(self.peer), "reason": str(error)}
            log.info("a replica does not answer", extra=fields)
            return 0
        self.is_done = not self._wanted
        return rows

    async def _offer(self) -> None:
        sender, offers = self._sender, self.offers
        self._environment = await sender.pool.read(sender.device, numbers.environment_id)
        document = offer_document(self._environment, offers)
        try:
            answer = await sender.ask(self.peer, self._partition, "offer", document)
            heard = _heard(answer, len(offers))
        except Refused:
            raise Silent("it refuses an offer") from None
        self._wanted = deque()
        for offer, (point, is_primary) in zip(offers, heard, strict=True):
            if point == offer.last:
                self.confirmed[offer.digest] = Confirmation(point.number, is_primary)
            else:
                self._wanted.append(Wanted(offer.digest, point))

    async def _merge(self, wanted: deque[Wanted]) -> int:
        sender = self._sender
        asked = [*wanted][: self._at_once]
        deltas = await sender.pool.read(sender.device, lambda reader: read_deltas(reader, asked))
        if not deltas:  # gone, or unreadable
            for _ in asked:
                wanted.popleft()
            return 0
        document = merge_document(self._environment, deltas)
        try:
            answer = await sender.ask(self.peer, self._partition, "merge", document)
        except Refused:
            self._isolate(wanted, deltas)
            return 0
        for delta, heard in zip(deltas, _heard(answer, len(deltas)), strict=True):
            self._settle(wanted, delta, heard)
        rows = sum(len(delta.rows) for delta in deltas)
        sender.counters["rows"] += rows
        return rows

    def _settle(self, wanted: deque[Wanted], delta: Delta, heard: Heard) -> None:
        """Take the database off the list, unless there is more of it and the peer goes on."""
        while wanted[0].digest != delta.digest:
            wanted.popleft()  # gone, or unreadable
        if heard.point != delta.upto:
            wanted.popleft()  # somebody else is at it, or what it has is damaged
        elif delta.is_all:
            wanted.popleft()
            self.confirmed[delta.digest] = Confirmation(delta.upto.number, heard.is_primary)
        else:
            wanted[0].since = delta.upto

    def _isolate(self, wanted: deque[Wanted], deltas: Sequence[Delta]) -> None:
        """Something in a document was refused: find out what by sending one at a time."""
        if len(deltas) > 1:
            self._at_once = 1
            return
        while wanted.popleft().digest != deltas[0].digest:
            pass
        self._sender.counters["refused"] += 1
        fields = {"peer": str(self.peer), "hash": deltas[0].digest.hex()}
        log.warning("a replica was refused", extra=fields)


def _heard(answer: object, count: int) -> list[Heard]:
    try:
        return parse_heard(answer, count)
    except BadDocument as error:
        raise Silent(str(error)) from error
