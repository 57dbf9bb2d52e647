"""One partition of one device, compared with its other homes, and what follows from that.

At a primary: the digests of all primaries are compared, and what another one lacks is sent to it.
For one whose device is out of service the next handoff stands in, so that there are as many copies
as there should be.  Anywhere else (a handoff, or a device that the ring has moved the partition
away from): everything is offered to all primaries, and what all of them hold goes.

A visit is made in steps of some hundred objects: offer them to everybody, decide, send, clear away.
What a step could not do is left for the next pass, which begins from what is there then: nothing is
remembered in between.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from swiftish.domain.policy import Policy
from swiftish.domain.timestamp import Timestamp
from swiftish.http.replies import Refusal
from swiftish.object.async_disk import ObjectBody
from swiftish.object.disk import Disk
from swiftish.object.errors import Corrupt
from swiftish.object.exchange.means import Means
from swiftish.object.exchange.protocol import HASHES_MAX, Files, Head, Outcome
from swiftish.object.exchange.sender import Address, NoAnswer
from swiftish.object.exchange.transfer import delete, load, whole
from swiftish.object.hashdir import reclaimable
from swiftish.object.partitions import (
    Contents,
    Partition,
    contents,
    give_up,
    hashes,
    reclaim,
    remove_empty_folders,
    suffixes,
)
from swiftish.object.paths import Location
from swiftish.object.presence import Presence
from swiftish.object.quarantine import quarantine
from swiftish.object.replication_plan import (
    Peer,
    below_count,
    data_file,
    differing,
    given_up,
    is_back_from_the_dead,
    own_place,
    reclaimed_before,
)
from swiftish.object.suffix_hashes import NOTHING, summarize
from swiftish.ring.device import Device
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble

log = logging.getLogger(__name__)

BATCH = 250  # hash folders in a step
assert BATCH <= HASHES_MAX
STAND_INS_MAX = 3  # handoffs to try, for each primary that is gone


@dataclass(frozen=True, slots=True)
class Task:
    """A partition's folder on a device."""

    device: LocalDevice
    policy: Policy
    partition: int


@dataclass(slots=True)
class Tally:
    """What a pass has found; `counters` as object/replicator.py names them.

    `objects_below`: lacking at a primary, and nobody stands in.  `partitions_unheard`: a primary
    did not answer, so nobody knows.  `unsettled`: devices with objects of which nobody can say yet
    whether they were deleted while the device was away.  `silent`: who has not answered at all.
    """

    counters: Counter[str]
    size: int = 0  # bytes sent
    objects_below: int = 0
    partitions_unheard: int = 0
    unsettled: set[str] = field(default_factory=set)
    silent: set[Device] = field(default_factory=set)


class Visit:
    """`step` until it says that there is no more to do."""

    def __init__(self, task: Task, means: Means, tally: Tally, *, thorough: bool) -> None:
        self.task = task
        self._means = means
        self._tally = tally
        self._thorough = thorough
        self._disk = means.disk_of(task.device)
        self._ring = means.rings[task.policy.index]()
        self._partition = Partition(task.policy.datadir, task.partition, self._ring.power)
        self._me = own_place(self._ring, task.partition, means.here, task.device.name)
        primaries = self._ring.primaries(task.partition)
        self._peers = [Peer(node=node) for node in primaries if node is not self._me]
        self._primaries = list(self._peers)
        self._summary = NOTHING
        self._suffixes: deque[str] = deque()
        self._hashes: deque[str] = deque()
        self._begun = False
        self._is_below = False  # all of the partition lacks a replica

    async def step(self) -> bool:
        """Do a part of it; whether there is more.  Raises OSError, ObjectError, EnvironmentTrouble,
        or a group of them."""
        if not self._begun:
            self._begun = True
            await (self._begin_at_home() if self._me else self._begin_abroad())
        else:
            await self._exchange(await self._disk.run_blocking(self._next_batch))
        answers = [peer for peer in self._peers if peer.answers]
        if (self._suffixes or self._hashes) and (answers or not self._peers):
            return True
        if self._me and any(peer.lost for peer in self._primaries):
            self._tally.partitions_unheard += 1
        if not all(peer.answers for peer in self._primaries):
            self._tally.unsettled.add(self.task.device.name)
        if not self._me:
            found = await self._disk.run_blocking(suffixes, self._partition)
            await self._disk.run_blocking(remove_empty_folders, self._partition, found)
        return False

    # ---- the beginning ---------------------------------------------------------------------------

    async def _begin_at_home(self) -> None:
        self._summary = await self._disk.run_blocking(
            summarize,
            self._means.index,
            self._partition,
            now=self._means.clock.now(),
            thorough=self._thorough,
        )
        await _all(self._compare, self._primaries)
        await self._in_step()
        for primary in self._primaries:
            if primary.gone and not await self._stand_in(primary):
                self._is_below = True
        if self._is_below:
            self._tally.objects_below += self._summary.objects
        self._suffixes.extend(sorted(self._differing()))
        if not self._suffixes:
            self._tally.counters["digests_matched"] += 1

    def _differing(self) -> frozenset[str]:
        """The suffixes of which somebody is to be offered something.

        While all primaries answer, each is asked about what is old enough to be reclaimed: that its
        digests are the same is not enough for that.
        """
        aged = frozenset[str]()
        if all(primary.answers for primary in self._primaries):
            aged = aged.union(self._summary.aged)
            for peer in self._peers:
                peer.suffixes = aged.union(peer.suffixes or ())
        return aged.union(*(peer.suffixes or () for peer in self._peers if peer.answers))

    async def _begin_abroad(self) -> None:
        for peer in self._peers:
            self._skip_silent(peer)
        self._suffixes.extend(await self._disk.run_blocking(suffixes, self._partition))

    async def _compare(self, peer: Peer) -> None:
        """Find the suffixes that differ."""
        self._skip_silent(peer)
        if not peer.answers:
            return
        try:
            theirs = await self._means.sender.digests(self._at(peer))
        except NoAnswer as error:
            self._no_answer(peer, error)
            return
        peer.standing = theirs.standing
        peer.suffixes = differing(self._summary.digests, theirs.digests, self._summary.aged)

    async def _stand_in(self, primary: Peer) -> bool:
        """Find a handoff for a primary that cannot hold anything now; whether there is one."""
        taken = {self._me, *(peer.node for peer in self._peers)}
        handoffs = (n for n in self._ring.handoffs(self.task.partition) if n not in taken)
        for node in islice(handoffs, STAND_INS_MAX):
            peer = Peer(node=node, stands_in_for=primary)
            await self._compare(peer)
            if peer.answers:
                self._peers.append(peer)
                return True
        return False

    # ---- a batch ---------------------------------------------------------------------------------

    def _next_batch(self, disk: Disk) -> dict[str, Contents]:
        """What the next hash folders hold.  Blocking."""
        while self._suffixes and len(self._hashes) < BATCH:
            self._hashes.extend(hashes(disk, self._partition, self._suffixes.popleft()))
        batch = [self._hashes.popleft() for _ in range(min(BATCH, len(self._hashes)))]
        return {digest: contents(disk, self._partition, digest) for digest in batch}

    async def _exchange(self, batch: dict[str, Contents]) -> None:
        if not batch:
            return
        await _all(partial(self._offer_all, batch), self._peers)
        for primary in self._primaries if self._me else ():
            if primary.full:
                await self._offer_elsewhere(batch, primary)
        await self._hear_of_deletions(batch)
        presence = await self._in_step()
        if presence is not None and presence.away_from is not None:
            await self._judge_the_dead(batch, presence.away_from, presence.since)
        await _all(self._send, [p for p in self._peers if p.wanted])
        if self._me:
            self._tally.objects_below += self._below(batch)
            await self._reclaim(batch)
        else:
            await self._give_up(batch)

    async def _offer_all(self, batch: Mapping[str, Contents], peer: Peer) -> None:
        """Find out what the peer lacks of the batch."""
        await self._offer({d: c.files for d, c in batch.items() if peer.concerns(d)}, peer)

    async def _offer_elsewhere(self, batch: Mapping[str, Contents], primary: Peer) -> None:
        """Find a handoff for what a primary has no room for."""
        files = {d: batch[d].files for d, names in primary.wanted.items() if data_file(names)}
        if not files:
            return
        if not any(peer.stands_in_for is primary for peer in self._peers):
            if not await self._stand_in(primary):
                return
            self._peers[-1].suffixes = frozenset()  # it need not have all of the partition
        for peer in self._peers:
            if peer.stands_in_for is primary:
                await self._offer(files, peer)

    async def _offer(self, files: Mapping[str, Files], peer: Peer) -> None:
        peer.wanted, peer.deleted = {}, {}
        files = {digest: names for digest, names in files.items() if names}
        if not files or not peer.answers:
            return
        try:
            answer = await self._means.sender.offer(
                self._at(peer), files, for_good=self._me is None
            )
        except NoAnswer as error:
            self._no_answer(peer, error)
            return
        peer.standing, peer.full = answer.standing, answer.full
        peer.wanted = {digest: list(names) for digest, names in answer.wanted.items()}
        peer.deleted = dict(answer.deleted)

    async def _hear_of_deletions(self, batch: dict[str, Contents]) -> None:
        """Delete what is deleted elsewhere; it is for the next pass to tell the others."""
        for digest in {digest for peer in self._peers for digest in peer.deleted}:
            moment = max(peer.deleted[digest] for peer in self._peers if digest in peer.deleted)
            data = data_file(self._drop(batch, digest).files)
            if data is not None:
                place, hash_path = self._partition.location(digest), self._means.hash_path
                await self._disk.run_blocking(delete, place, data.text, moment, hash_path)

    def _drop(self, batch: dict[str, Contents], digest: str) -> Contents:
        """Do no more about an object in this pass."""
        for peer in self._peers:
            peer.wanted.pop(digest, None)
        return batch.pop(digest)

    async def _judge_the_dead(
        self, batch: dict[str, Contents], away_from: float, back_at: float
    ) -> None:
        """Take out of the batch what was deleted while this device was away, and what may have
        been (object/presence.py)."""
        for digest, found in list(batch.items()):
            data = data_file(found.files)
            if data is None:
                continue
            verdict = is_back_from_the_dead(
                data, digest, self._primaries, away_from=away_from, back_at=back_at
            )
            if verdict is False:
                continue
            self._drop(batch, digest)
            if verdict is None:
                self._tally.unsettled.add(self.task.device.name)
                continue
            await self._disk.run_blocking(_bury, self._partition.location(digest), data.text)
            self._tally.counters["quarantined"] += 1

    def _below(self, batch: Mapping[str, Contents]) -> int:
        """How many of the batch are lacking somewhere, and have not been counted yet."""
        if self._is_below:
            return 0  # all of the partition has been counted
        return below_count((d for d, found in batch.items() if found.files), self._peers)

    async def _reclaim(self, batch: Mapping[str, Contents]) -> None:
        """Remove what is older than the reclaim age, where every other primary has said that it
        holds nothing that would come back."""
        if not all(peer.answers for peer in self._primaries):
            return
        before = reclaimed_before(self._means.clock.now(), self._means.reclaim_age_s)
        old = [
            digest
            for digest, found in batch.items()
            if (not found.files or reclaimable(found.state, before=before))
            and all(peer.holds(digest) for peer in self._primaries)
        ]
        if old:
            removed = await self._disk.run_blocking(_reclaim_all, self._partition, old, before)
            self._tally.counters["reclaimed"] += removed

    async def _give_up(self, batch: Mapping[str, Contents]) -> None:
        """Remove what all primaries hold, if they still are the primaries."""
        ring = self._means.rings[self.task.policy.index]()
        number = self.task.partition
        if ring is not self._ring and ring.primaries(number) != self._ring.primaries(number):
            return
        done = {digest: batch[digest] for digest in given_up(batch, self._primaries)}
        if done:
            removed = await self._disk.run_blocking(_give_up_all, self._partition, done)
            self._tally.counters["given_up"] += removed

    # ---- sending ---------------------------------------------------------------------------------

    async def _send(self, peer: Peer) -> None:
        """Send what the peer lacks, as far as it has room."""
        todo = [(d, name) for d, names in peer.wanted.items() for name in names]
        hash_path = self._means.hash_path
        try:
            while todo:
                if peer.full:
                    todo = [(d, name) for d, name in todo if not name.endswith(".data")]
                found = await self._disk.run_blocking(load, self._partition, todo, hash_path)
                todo = todo[found.taken :]
                if found.small:
                    outcomes = await self._means.sender.files(self._at(peer), found.small)
                    for (head, data), outcome in zip(found.small, outcomes, strict=True):
                        self._given(peer, head, len(data), outcome)
                for location, name in found.large:
                    await self._send_large(peer, location, name)
        except NoAnswer as error:
            self._no_answer(peer, error)

    async def _send_large(self, peer: Peer, location: Location, name: str) -> None:
        try:
            _, span, first, reader = await self._disk.open(location, whole)
        except Refusal:
            return  # gone, or in quarantine now
        assert span is not None
        body = ObjectBody(self._disk, reader, first, span.length)
        opened, encoded = reader.data_file
        if opened != name:  # replaced since it was listed
            await body.aclose()
            return
        head = Head(digest=location.digest, name=name, encoded=encoded)
        outcome = await self._means.sender.file(self._at(peer), head, body)
        if outcome is not None:
            self._given(peer, head, span.length, outcome)

    def _given(self, peer: Peer, head: Head, size: int, outcome: Outcome) -> None:
        if outcome == "full":
            peer.full = True
            return
        peer.given(head.digest, head.name)
        if outcome == "stored":
            self._tally.counters["sent"] += 1
            self._tally.counters["sent_bytes"] += size
            self._tally.size += size

    # ---- with all of it --------------------------------------------------------------------------

    def _at(self, peer: Peer) -> Address:
        return Address(node=peer.node, policy=self.task.policy.index, partition=self.task.partition)

    def _skip_silent(self, peer: Peer) -> None:
        peer.lost = peer.lost or peer.node in self._tally.silent

    def _no_answer(self, peer: Peer, error: NoAnswer) -> None:
        peer.gone, peer.lost = error.gone, not error.gone
        if error.silent:
            self._tally.silent.add(peer.node)
        self._tally.counters["failures"] += 1
        fields = {"node": str(peer.node), "partition": self.task.partition, "reason": str(error)}
        log.info("no replication", extra=fields)

    async def _in_step(self) -> Presence | None:
        """Note that the device is in step, if anybody has answered."""
        if self._peers and not any(peer.standing for peer in self._peers):
            return None
        try:
            return await self._means.presences.in_step(self.task.device)
        except EnvironmentTrouble as error:
            fields = {"device": self.task.device.name, "reason": str(error)}
            log.warning("its presence is not noted", extra=fields)
            return None


async def _all(do: Callable[[Peer], Coroutine[Any, Any, None]], peers: Sequence[Peer]) -> None:
    async with asyncio.TaskGroup() as group:
        for peer in peers:
            group.create_task(do(peer))


def _bury(disk: Disk, location: Location, name: str) -> None:
    reason = f"{name}: all other replicas lack it: it was deleted while this device was away"
    with suppress(Corrupt):
        quarantine(disk, location, reason, file=name)


def _reclaim_all(
    disk: Disk, partition: Partition, digests: Sequence[str], before: Timestamp
) -> int:
    return sum(reclaim(disk, partition, digest, before=before) for digest in digests)


def _give_up_all(disk: Disk, partition: Partition, done: Mapping[str, Contents]) -> int:
    """Remove those hash folders as they were found; how many are gone."""
    return sum(give_up(disk, partition, digest, found) for digest, found in done.items())
