"""One request to one node: with a deadline, and with its failures counted against the node."""

import asyncio
import logging

from swiftish.cluster.error_limiter import ErrorLimiter
from swiftish.cluster.transport import Kind, Transport
from swiftish.http.message import Body, Bytes, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device

log = logging.getLogger(__name__)


class Calls:
    """Sends requests to nodes.  What fails is an answer of 503; 507 stays 507."""

    def __init__(
        self, transport: Transport, limiter: ErrorLimiter, *, node_timeout_s: float
    ) -> None:
        self.node_timeout_s = node_timeout_s
        self._transport = transport
        self._limiter = limiter

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """Answer within `node_timeout_s`.  Raises what `request.body.read()` raises."""
        try:
            async with asyncio.timeout(self.node_timeout_s):
                response = await self._transport.send(kind, node, request)
        except OSError as error:  # TimeoutError is one
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
        """Count a status against the node, if it is to blame: one damaged file is not its fault,
        and must not keep new objects away from it."""
        if response.status == 507:
            self._limiter.limit(kind, node)
            log.warning("node is out of space or service", extra={"node": str(node)})
        elif response.status >= 500 and "x-backend-damaged" not in response.headers:
            self.failed(kind, node, why=str(response.status))

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
