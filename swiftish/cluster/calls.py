"""One request to one node: with a deadline, and with its failures counted against the node.

The clock hears of the moments in the answers, so that what this process changes from now on is
newer than what it has seen (runtime/clock.py).
"""

import asyncio
import logging
from collections import Counter

from swiftish.cluster.backend_app import AHEAD_OF
from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.moments import moment_of
from swiftish.cluster.transport import Kind, Transport
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device
from swiftish.runtime.clock import Clock, too_far_ahead

log = logging.getLogger(__name__)

# One damaged file is not its node's fault, and must not keep new objects away from it; nor is it
# a node's fault when the clock of who asks it is wrong.
_BLAMELESS = ("x-backend-damaged", AHEAD_OF)


class Calls:
    """Sends requests to nodes.  What fails is an answer of 503; 507 stays 507.

    `read_timeout_s` is for reads, which can go on elsewhere; as long as the other when None.
    """

    def __init__(
        self,
        transport: Transport,
        limiter: ErrorLimiter,
        clock: Clock,
        *,
        node_timeout_s: float,
        read_timeout_s: float | None = None,
    ) -> None:
        self.node_timeout_s = node_timeout_s
        self.read_timeout_s = read_timeout_s or node_timeout_s
        self.timeouts: Counter[Kind] = Counter()  # no answer in time, by kind
        self._transport = transport
        self._limiter = limiter
        self._clock = clock
        self._newest = ""  # moment heard of, in the form in which texts compare as moments do

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """Answer within `node_timeout_s`.  Raises what `request.body.read()` raises."""
        return await self._send(kind, node, request, self.node_timeout_s)

    async def read(self, kind: Kind, node: Device, request: Request) -> Response:
        """Answer within `read_timeout_s`."""
        return await self._send(kind, node, request, self.read_timeout_s)

    async def _send(self, kind: Kind, node: Device, request: Request, timeout_s: float) -> Response:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.send(kind, node, request)
        except OSError as error:  # TimeoutError is one
            self.timeouts[kind] += isinstance(error, TimeoutError)
            self.failed(kind, node, why=repr(error))
            return plain(503, f"no answer from {node}")
        self._judge(kind, node, response)
        return response

    async def send_unhurried(self, kind: Kind, node: Device, request: Request) -> Response:
        """As `send`, without a deadline: for bodies that take as long as their sender does."""
        try:
            response = await self._transport.send(kind, node, request)
        except OSError as error:
            self.failed(kind, node, why=repr(error))
            return plain(503, f"no answer from {node}")
        self._judge(kind, node, response)
        return response

    def _judge(self, kind: Kind, node: Device, response: Response) -> None:
        """Count a status against the node, if it is to blame; tell the clock the moment."""
        headers = response.headers
        if response.status == 507:
            self._limiter.limit(kind, node)
            log.warning("node is out of space or service", extra={"node": str(node)})
        elif response.status >= 500:
            if not any(name in headers for name in _BLAMELESS):
                self.failed(kind, node, why=str(response.status))
        elif headers.get("x-backend-timestamp", "") > self._newest:
            moment = moment_of(response)
            self._clock.observe(moment)
            if not too_far_ahead(moment, self._clock.now()):
                self._newest = moment.internal

    def failed(self, kind: Kind, node: Device, *, why: str) -> None:
        """Count a failure against the node."""
        self._limiter.failed(kind, node)
        log.warning("node failed", extra={"node": str(node), "service": kind, "reason": why})


def addressed(request: Request, path: str, body: Body | None = None) -> Request:
    """The request as it goes to one node."""
    return Request(
        method=request.method,
        path=path,
        query=request.query,
        headers=request.headers,
        body=body or Bytes(),
        trailers=request.trailers,
        context=request.context,
        source=request.source,
    )
