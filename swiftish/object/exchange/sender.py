"""Asks a device of another node about a partition, and sends it what it lacks.  Bounded in time."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from swiftish.cluster.documents import BadDocument, answered, packed
from swiftish.cluster.transport import Transport
from swiftish.http.message import Body, Bytes, Request
from swiftish.object.exchange.protocol import (
    HEAD_LENGTH_BYTES,
    BadMessage,
    Digests,
    Files,
    Head,
    Offer,
    Outcome,
    Wants,
    parse_digests,
    parse_outcomes,
    parse_wants,
)
from swiftish.ring.device import Device
from swiftish.runtime.pace import Pace

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

VERB = "REPLICATE"


class NoAnswer(Exception):
    """A device did not answer, or not as it should.

    `gone`: its node says that the device is out of service.  `silent`: nothing came at all.
    """

    def __init__(self, text: str, *, gone: bool = False, silent: bool = False) -> None:
        super().__init__(text)
        self.gone = gone
        self.silent = silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A partition of a policy on a device."""

    node: Device
    policy: int
    partition: int

    def request(self, what: str, body: Body) -> Request:
        return Request(
            method=VERB,
            path=f"/{self.node.device}/{self.partition}/{what}",
            headers={"x-backend-storage-policy-index": str(self.policy)},
            body=body,
        )


class Outgoing(Body):
    """A large file on its way: its head, then its bytes, at the pace that is allowed.

    Each piece that is taken puts the time limit off.  `failed` when it was the reading that failed.
    """

    def __init__(self, head: bytes, source: Body, pace: Pace, *, timeout_s: float) -> None:
        assert source.length is not None
        self.length = len(head) + source.length
        self.limit: asyncio.Timeout | None = None
        self.failed = False
        self._head = head
        self._source = source
        self._pace = pace
        self._timeout_s = timeout_s

    async def read(self) -> bytes:
        if self._head:
            piece, self._head = self._head, b""
        else:
            try:
                piece = await self._source.read()
            except OSError:
                self.failed = True
                raise
        self._put_off()
        await self._pace.take(len(piece))
        self._put_off()
        return piece

    async def aclose(self) -> None:
        await self._source.aclose()

    def _put_off(self) -> None:
        if self.limit is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)


class Sender:
    """Each of these is one request.  All raise NoAnswer."""

    def __init__(self, transport: Transport, pace: Pace, *, timeout_s: float) -> None:
        self._transport = transport
        self._pace = pace
        self._timeout_s = timeout_s

    async def digests(self, to: Address) -> Digests:
        """What the device has, suffix by suffix."""
        return _checked(parse_digests, await self._ask(to, "digests", Bytes()))

    async def offer(self, to: Address, files: Mapping[str, Files], *, for_good: bool) -> Wants:
        """Which of the files it lacks."""
        body = Bytes(packed(Offer(files=files, for_good=for_good).document()))
        document = await self._ask(to, "offer", body)
        return _checked(parse_wants, document, files)

    async def files(self, to: Address, files: Sequence[tuple[Head, bytes]]) -> list[Outcome]:
        """Send small files in one document; what became of each."""
        data = packed([[*head.document(), data] for head, data in files])
        await self._pace.take(len(data))
        return _checked(parse_outcomes, await self._ask(to, "files", Bytes(data)), len(files))

    async def file(self, to: Address, head: Head, source: Body) -> Outcome | None:
        """Send a large file; what became of it.  None when it could not be read to its end."""
        packed_head = packed(head.document())
        length = len(packed_head).to_bytes(HEAD_LENGTH_BYTES, "big")
        body = Outgoing(length + packed_head, source, self._pace, timeout_s=self._timeout_s)
        try:
            return _checked(parse_outcomes, await self._ask(to, "file", body), 1)[0]
        except NoAnswer:
            if body.failed:
                return None
            raise
        finally:
            await body.aclose()

    async def _ask(self, to: Address, what: str, body: Body) -> Any:  # noqa: ANN401
        request = to.request(what, body)
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                try:
                    if isinstance(body, Outgoing):
                        body.limit = limit
                    response = await self._transport.send("object", to.node, request)
                    if response.ok:
                        return await answered(response)
                    await response.body.aclose()
                finally:
                    if isinstance(body, Outgoing):
                        body.limit = None
        except OSError as error:  # TimeoutError is one
            raise NoAnswer(repr(error), silent=True) from error
        except BadDocument as error:
            raise NoAnswer(str(error)) from error
        raise NoAnswer(f"{what}: {response.status}", gone=response.status == 507)


def _checked(parse: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    try:
        return parse(*arguments, **options)
    except BadMessage as error:
        raise NoAnswer(str(error)) from error
