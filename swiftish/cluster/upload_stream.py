"""Drives one streaming upload: the actions of cluster/upload.py into awaits, awaits into events.

Each node reads from a one-slot pipe of its own, so the client is asked for a piece only when every
live node has room for it.  A node's request lives in the background: it may outlive the client's.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from swiftish.cluster.calls import Calls
from swiftish.cluster.moments import moment_of
from swiftish.cluster.nodes import Place
from swiftish.cluster.upload import (
    Accepted,
    Action,
    Answered,
    Drop,
    Event,
    Failed,
    Finish,
    Offer,
    Pull,
    Pulled,
    Reply,
    Send,
    Sent,
    Upload,
)
from swiftish.domain.limits import KiB
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.bodies import FedBody
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads

log = logging.getLogger(__name__)

# A piece that is passed on costs every node a turn, so small ones are gathered first.
PIECE_BYTES_MIN = 64 * KiB

_NodeAction: TypeAlias = Offer[Device] | Send[Device] | Finish[Device] | Drop[Device]


@dataclass(kw_only=True)
class UploadStream:
    """One upload of `request.body` to as many nodes as there are `updates`.

    `expected` is the MD5 that the client announced, or empty; `size` the bytes it announced.
    Afterwards `etag` is the body's MD5, `begun` says whether any of it was asked for, and `newest`
    is the newest change that stood in the way.
    """

    place: Place
    request: Request
    updates: Sequence[Mapping[str, str]]
    candidates: Iterator[Device]
    expected: str
    size: int | None
    size_max: int
    calls: Calls
    background: Background
    threads: DeviceThreads
    commit_timeout_s: float
    post_quorum_timeout_s: float

    etag: str = ""
    begun: bool = False
    newest: Timestamp = ZERO
    _received: int = 0
    _refusal: Refusal | None = None  # what the client's body raised
    _trailers: Mapping[str, str] = field(default_factory=dict)
    _nodes: dict[Device, "_Node"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._machine: Upload[Device] = Upload(
            candidates=self.candidates, size=len(self.updates), quorum=self.place.quorum
        )
        self._events: asyncio.Queue[Event[Device]] = asyncio.Queue()
        self._unclaimed = deque(self.updates)  # no two replicas tell the same containers
        self._digest = hashlib.md5(usedforsecurity=False)
        self._digesting: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Upload; returns the status.  Raises what the client's body raises."""
        machine = self._machine
        actions = deque(machine.start())
        status: int | None = None
        try:
            while status is None:
                while not self._events.empty():
                    actions.extend(machine.handle(self._events.get_nowait()))
                if not actions:
                    actions.extend(machine.handle(await self._events.get()))
                    continue
                match action := actions.popleft():
                    case Reply(status):
                        pass
                    case Pull():
                        actions.extend(machine.handle(await self._pull()))
                    case _:
                        actions.extend(await self._act(action))
        finally:
            if status is None:  # the client is gone, or our own code broke: nobody stores it
                for node in self._nodes.values():
                    node.feed.fail(Refusal(499))
        if self._refusal is not None:
            raise self._refusal
        if status < 300:
            await self._hear_the_rest()
        return status

    async def _hear_the_rest(self) -> None:
        """A quorum has stored it; wait a moment for the others, as fanout.py says."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.post_quorum_timeout_s):
                for node in self._nodes.values():
                    await node.ended.wait()

    async def _act(self, action: _NodeAction) -> list[Action[Device]]:
        match action:
            case Offer(device):
                node = _Node(self, device, self._unclaimed.popleft())
                self._nodes[device] = node
                self.background.start(node.run(), name=f"upload to {device}")
            case Send(device, piece):
                if await self._nodes[device].send(piece):
                    return self._machine.handle(Sent(device))
            case Finish(device):
                self._nodes[device].finish()
            case Drop(device):
                self._nodes[device].feed.fail(Refusal(499))
            case _:
                assert_never(action)
        return []

    async def _pull(self) -> Pulled | Failed:
        """The next piece of the client's body, gathered from small ones, checked and digested."""
        self.begun = True
        try:
            piece = await self.request.body.read()
            if 0 < len(piece) < PIECE_BYTES_MIN:
                piece = await self._gather(piece)
        except Refusal as refusal:
            self._refusal = refusal
            return Failed(refusal.status)
        except OSError as error:  # the body of a copy, whose source broke
            log.warning("the source of an upload broke", extra={"reason": repr(error)})
            return Failed(503)
        self._received += len(piece)
        if self._received > self.size_max:
            return Failed(413)
        if self._digesting is not None:
            await self._digesting
        if piece:
            # In a thread, while the nodes are sent the piece and the client is asked for more.
            self._digesting = self.background.start(
                self.threads.run(self._digest.update, piece), name="md5"
            )
            return Pulled(piece)
        if self.size is not None and self._received != self.size:
            return Failed(499)
        return self._ended()

    async def _gather(self, piece: bytes) -> bytes:
        pieces = [piece]
        total = len(piece)
        while total < PIECE_BYTES_MIN and (piece := await self.request.body.read()):
            pieces.append(piece)
            total += len(piece)
        return b"".join(pieces)

    def _ended(self) -> Pulled | Failed:
        self.etag = self._digest.hexdigest()
        self._trailers = {"etag": self.etag, **self.request.trailers()}
        if (self.expected and self.expected != self.etag) or self._trailers["etag"] != self.etag:
            return Failed(422)
        return Pulled(b"")

    # What nodes tell.

    def accepted(self, device: Device) -> None:
        self._events.put_nowait(Accepted(device))

    def answered(self, device: Device, response: Response, update: Mapping[str, str]) -> None:
        if response.status >= 500:
            self._unclaimed.append(update)  # for whoever takes its place
        elif response.status == 409:
            self.newest = max(self.newest, moment_of(response))
        etag = response.headers.get("etag")
        self._events.put_nowait(
            Answered(device, response.status, etag.strip('"') if etag else None)
        )

    def trailers(self) -> Mapping[str, str]:
        return self._trailers


class _Feed(FedBody):
    """A node's end of the upload; tells when the node begins to read."""

    def __init__(self, node: "_Node") -> None:
        super().__init__()
        self._node: _Node | None = node

    async def read(self) -> bytes:
        if self._node is not None:
            self._node.accepts()
            self._node = None
        return await super().read()


class _Node:
    """One node's request, and the time that it has."""

    def __init__(self, stream: UploadStream, device: Device, update: Mapping[str, str]) -> None:
        self.feed = _Feed(self)
        self._stream = stream
        self._device = device
        self._update = update
        self._deadline: asyncio.Timeout | None = None
        self.ended = asyncio.Event()

    async def run(self) -> None:
        stream, place = self._stream, self._stream.place
        request = Request(
            method="PUT",
            path=place.on(self._device),
            headers={**stream.request.headers, **self._update},
            body=self.feed,
            trailers=stream.trailers,
            context=stream.request.context,
        )
        response = Response(status=503)
        try:
            async with asyncio.timeout(stream.calls.node_timeout_s) as self._deadline:
                response = await stream.calls.send_unhurried(place.kind, self._device, request)
                await response.body.aclose()
        except TimeoutError:
            stream.calls.failed(place.kind, self._device, why="timeout")
        finally:  # also when our own code breaks: the upload must not wait for ever
            self._deadline = None
            await self.feed.aclose()
            stream.answered(self._device, response, self._update)
            self.ended.set()

    def accepts(self) -> None:
        """From now on the client sets the pace."""
        if self._deadline is not None:
            self._deadline.reschedule(None)
        self._stream.accepted(self._device)

    async def send(self, piece: bytes) -> bool:
        """Put a piece into the pipe; whether the node has taken the one before it in time."""
        try:
            async with asyncio.timeout(self._stream.calls.node_timeout_s):
                return await self.feed.feed(piece)
        except TimeoutError:
            self._expire(0)
            return False

    def finish(self) -> None:
        """The body has ended; the node has a while to make it durable."""
        self.feed.finish()
        self._expire(self._stream.commit_timeout_s)

    def _expire(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + seconds)
