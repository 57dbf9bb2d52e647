"""The verb REPLICATE: says what this device has, and takes in what it lacks.

Only so many of these requests are served at once for each device, and fewer of its threads are
taken than there are, so that clients come first.  More of them wait, but not for long: then they
are refused with 503, and come again with the next pass.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from swiftish.cluster.backend_app import PartitionCall
from swiftish.cluster.documents import BadDocument, asked, reply, unpacked
from swiftish.domain.policy import PolicySet
from swiftish.http.message import Body, Response
from swiftish.http.replies import Refusal
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.disk import Disk
from swiftish.object.errors import BelowReserve, ObjectError
from swiftish.object.exchange.means import Means
from swiftish.object.exchange.protocol import (
    FILES_BYTES_MAX,
    HASHES_MAX,
    HEAD_BYTES_MAX,
    HEAD_LENGTH_BYTES,
    BadMessage,
    Digests,
    Head,
    Incoming,
    Offer,
    Outcome,
    Standing,
    Wants,
    admitted,
    parse_files,
    parse_head,
    parse_offer,
)
from swiftish.object.exchange.transfer import NotAsWritten, commit, hold, take_in
from swiftish.object.partitions import Partition
from swiftish.object.refusals import refusal_of
from swiftish.object.replication_plan import deletion, missing, own_place, reclaimed_before
from swiftish.object.settings import ObjectSettings
from swiftish.object.suffix_hashes import summarize
from swiftish.object.writer import Writer
from swiftish.ring.ring import Ring
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble
from swiftish.runtime.threads import THREADS_PER_DEVICE

log = logging.getLogger(__name__)

# Documents are a little larger than what is in them.
_FILES_DOCUMENT_BYTES_MAX = 2 * FILES_BYTES_MAX
_OFFER_DOCUMENT_BYTES_MAX = HASHES_MAX * 1024
THREADS_MAX = THREADS_PER_DEVICE // 2
QUEUE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that may be served."""

    request: PartitionCall
    disk: AsyncDisk
    ring: Ring
    partition: Partition

    @property
    def device(self) -> LocalDevice:
        return self.request.device


class Receiver:
    """`refused` counts, by device, the requests that were turned away because of too many."""

    def __init__(self, *, means: Means, policies: PolicySet, settings: ObjectSettings) -> None:
        self.refused: Counter[str] = Counter()
        self._means = means
        self._policies = policies
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(settings.replication_incoming_max)
        )
        self._threads: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(THREADS_MAX)
        )
        self._verbs: Mapping[str, Callable[[_Call], Awaitable[Response]]] = {
            "digests": self._digests,
            "offer": self._offer,
            "files": self._files,
            "file": self._file,
        }

    async def replicate(self, request: PartitionCall) -> Response:
        """Raises Refusal: 400 for what makes no sense, 503 for too many at once, 507."""
        verb = self._verbs.get(request.rest)
        if verb is None:
            raise Refusal(400, f"There is no {request.rest[:20]!r} to replicate.")
        call, slots = self._understood(request), self._slots[request.device.name]
        try:
            async with asyncio.timeout(QUEUE_S):
                await slots.acquire()
        except TimeoutError:
            self.refused[request.device.name] += 1
            raise Refusal(503, "Too many replicate to this device.") from None
        try:
            return await verb(call)
        except (BadDocument, BadMessage) as error:
            raise Refusal(400, str(error)) from None
        except NotAsWritten as error:
            raise Refusal(422, str(error)) from None
        except (ObjectError, OSError) as error:
            raise refusal_of(error) from error
        except EnvironmentTrouble as error:
            raise Refusal(503, str(error)) from error
        finally:
            slots.release()

    def _understood(self, request: PartitionCall) -> _Call:
        policy = self._policies.by_index(request.policy_index)
        source = self._means.rings.get(request.policy_index)
        if policy is None or source is None:
            raise Refusal(503, f"There is no policy {request.policy_index} here.")
        ring = source()
        if request.partition >= ring.partitions:
            raise Refusal(400, f"The ring has {ring.partitions} partitions.")
        partition = Partition(policy.datadir, request.partition, ring.power)
        return _Call(request, self._means.disk_of(request.device), ring, partition)

    async def _digests(self, call: _Call) -> Response:
        standing = await self._standing(call)
        summary = await call.disk.run_blocking(
            summarize, self._means.index, call.partition, now=self._means.clock.now()
        )
        return reply(Digests(standing=standing, digests=summary.digests).document())

    async def _offer(self, call: _Call) -> Response:
        document = await asked(call.request.request.body, size_max=_OFFER_DOCUMENT_BYTES_MAX)
        offer = parse_offer(document, partition=call.partition.number, power=call.partition.power)
        standing = await self._standing(call)
        async with self._threads[call.device.name]:
            wants = await call.disk.run_blocking(self._wants, call.partition, offer, standing)
        return reply(wants.document())

    async def _files(self, call: _Call) -> Response:
        document = await asked(call.request.request.body, size_max=_FILES_DOCUMENT_BYTES_MAX)
        files = [(self._admitted(call, head), data) for head, data in parse_files(document)]
        # Side by side, so that they share what the file system writes at each sync.
        shares = [files[start::THREADS_MAX] for start in range(THREADS_MAX)]
        outcomes: list[list[Outcome]] = [[] for _ in shares]
        errors: list[Exception] = []

        async def take(number: int) -> None:
            try:
                async with self._threads[call.device.name]:
                    outcomes[number] = await call.disk.run_blocking(_take_in_all, shares[number])
            except (NotAsWritten, ObjectError, OSError) as error:
                errors.append(error)

        async with asyncio.TaskGroup() as group:
            for number, share in enumerate(shares):
                if share:
                    group.create_task(take(number))
        if errors:
            raise errors[0]
        found = [outcomes[n % THREADS_MAX][n // THREADS_MAX] for n in range(len(files))]
        return reply(found)

    async def _file(self, call: _Call) -> Response:
        stream = _Stream(call.request.request.body)
        length = int.from_bytes(await stream.exactly(HEAD_LENGTH_BYTES), "big")
        if not 0 < length <= HEAD_BYTES_MAX:
            raise BadMessage("the head's length makes no sense")
        incoming = self._admitted(call, parse_head(unpacked(await stream.exactly(length))))
        if incoming.file.kind != "data":
            raise BadMessage("only objects are large")
        writer = call.disk.writer(incoming.location, with_md5=False)
        try:
            return reply([await self._taken(call, incoming, writer, stream)])
        finally:
            call.disk.close_later(writer)

    async def _taken(
        self, call: _Call, incoming: Incoming, writer: Writer, stream: "_Stream"
    ) -> Outcome:
        expected = incoming.metadata.content_length or 0
        try:
            await call.disk.run_blocking(_begin, writer, expected)
        except BelowReserve:
            return "full"
        while pieces := await stream.block():
            await call.disk.append(writer, pieces)
            if writer.length > expected:
                break  # it need not be read to its end
        async with self._threads[call.device.name]:
            return await call.disk.run_blocking(commit, writer, incoming)

    def _admitted(self, call: _Call, head: Head) -> Incoming:
        return admitted(
            head,
            hash_path=self._means.hash_path,
            datadir=call.partition.datadir,
            partition=call.partition.number,
            power=call.partition.power,
        )

    def _wants(self, disk: Disk, partition: Partition, offer: Offer, standing: Standing) -> Wants:
        """The answer to an offer.  Blocking."""
        before = reclaimed_before(self._means.clock.now(), self._means.reclaim_age_s)
        wanted, deleted, full = {}, {}, False
        for digest, files in offer.files.items():
            held = hold(disk, partition, digest, self._means.hash_path, for_good=offer.for_good)
            if names := missing(held.files, files, before=before):
                wanted[digest] = names
            elif moment := deletion(held.state, files):
                deleted[digest] = moment
        try:
            disk.require_space(0)
        except BelowReserve:
            full = True
        return Wants(standing=standing, wanted=wanted, deleted=deleted, full=full)

    async def _standing(self, call: _Call) -> Standing:
        own = own_place(call.ring, call.partition.number, self._means.here, call.device.name)
        try:
            since = (await self._means.presences.in_step(call.device)).since
        except EnvironmentTrouble as error:
            fields = {"device": call.device.name, "reason": str(error)}
            log.warning("its presence is not noted", extra=fields)
            since = self._means.clock.now()  # proves nothing
        return Standing(primary=own is not None, since=since)


def _take_in_all(disk: Disk, files: Sequence[tuple[Incoming, bytes]]) -> list[Outcome]:
    return [take_in(disk, incoming, data) for incoming, data in files]


def _begin(disk: Disk, writer: Writer, length: int) -> None:
    disk.require_space(length)
    writer.begin()


class _Stream:
    """A body whose beginning is read to the byte, and the rest by blocks."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._rest = b""

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes.  Raises BadMessage when there are fewer."""
        pieces, size = [self._rest], len(self._rest)
        while size < count:
            pieces.append(await self._read())
            size += len(pieces[-1])
            if not pieces[-1]:
                raise BadMessage("the file ends in its head")
        data = b"".join(pieces)
        self._rest = data[count:]
        return data[:count]

    async def block(self) -> list[bytes]:
        """A block's worth of pieces or a little more; none at the end."""
        pieces, size = ([self._rest], len(self._rest)) if self._rest else ([], 0)
        self._rest = b""
        while size < BLOCK_BYTES and (piece := await self._read()):
            pieces.append(piece)
            size += len(piece)
        return pieces

    async def _read(self) -> bytes:
        try:
            return await self._body.read()
        except OSError as error:  # the sender is gone, or what it reads is bad
            raise Refusal(499) from error
