"""A Transport to all nodes: a device of this one is a call, any other a request over HTTP.

Only devices are ever contacted, and devices come from rings.
"""

import logging
from collections.abc import Mapping

from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind
from swiftish.http.client import HttpClient
from swiftish.http.client_connection import NodeGone
from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device

log = logging.getLogger(__name__)

REPLICATION_NETWORK = "x-backend-use-replication-network"


class NodeTransport:
    """`services` are this process's own, `here` says whose devices they have."""

    def __init__(self, services: Mapping[Kind, Handler], here: Here, client: HttpClient) -> None:
        self._services = services
        self._here = here
        self._client = client

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """See cluster/transport.py."""
        service = self._services.get(kind)
        if service is not None and self._here.has(kind, node):
            return await service(request)
        ip, port = address(node, request)
        try:
            response = await self._client.send(ip, port, request)
        except NodeGone as error:
            log.info("no answer", extra={"node": str(node), "service": kind, "reason": str(error)})
            return plain(503, f"no answer from {node}")
        if response.status == 401:  # of no service: the port itself says who may ask
            await response.body.aclose()
            log.error("a node refuses our key", extra={"node": str(node), "service": kind})
            return plain(503, f"{node} refuses the cluster's key")
        return response


def address(node: Device, request: Request) -> tuple[str, int]:
    """Where to ask: workers have a network of their own, where the ring has one for the device
    (reference 2.12)."""
    if (
        request.method == "REPLICATE"
        or request.headers.get(REPLICATION_NETWORK, "").lower() == "true"
    ):
        return node.replication_ip or node.ip, node.replication_port or node.port
    return node.ip, node.port
