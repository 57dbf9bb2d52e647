"""What workers ask of one node: typed calls past all proxies.

Some things must be known of, or done to, each replica by itself: which policy a container's replica
thinks it has, a row that is to go from the queue of a worker, what is in an account that no proxy
shows any more.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from swiftish.cluster.client import in_memory, whole
from swiftish.cluster.listings import BadListing, ObjectEntry, entries, object_entry
from swiftish.cluster.nodes import Place, place_of
from swiftish.cluster.transport import Kind, Transport
from swiftish.domain.hashing import HashPath
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device
from swiftish.ring.ring import RingSource

log = logging.getLogger(__name__)

NODE_TIMEOUT_S = 10.0

_NONE: Mapping[str, str] = {}


class Direct:
    """Asks nodes of the rings.  What fails, or takes too long, is an answer of 503."""

    def __init__(
        self,
        *,
        transport: Transport,
        account_ring: RingSource,
        container_ring: RingSource,
        object_rings: Mapping[int, RingSource],
        hash_path: HashPath,
        node_timeout_s: float = NODE_TIMEOUT_S,
    ) -> None:
        self._transport = transport
        self.account_ring = account_ring
        self.container_ring = container_ring
        self.object_rings = object_rings
        self.hash_path = hash_path
        self._node_timeout_s = node_timeout_s

    def account(self, account: str) -> Place:
        """Where an account is."""
        return place_of("account", self.account_ring(), self.hash_path, Target(account))

    def container(self, account: str, container: str) -> Place:
        """Where a container is."""
        target = Target(account, container)
        return place_of("container", self.container_ring(), self.hash_path, target)

    def object(self, target: Target, policy: int) -> Place | None:
        """Where an object of a policy is; None for a policy that nobody here knows."""
        ring = self.object_rings.get(policy)
        return None if ring is None else place_of("object", ring(), self.hash_path, target)

    async def ask(
        self, place: Place, node: Device, method: str, headers: Mapping[str, str], query: str = ""
    ) -> Response:
        """One node's answer about a place, its body in memory."""
        return await self.send(place.kind, node, place.on(node), method, headers, query)

    async def send(
        self,
        kind: Kind,
        node: Device,
        path: str,
        method: str,
        headers: Mapping[str, str] = _NONE,
        query: str = "",
    ) -> Response:
        """One node's answer, its body in memory."""
        request = Request(method=method, path=path, query=query, headers=headers)
        try:
            async with asyncio.timeout(self._node_timeout_s):
                return await whole(await self._transport.send(kind, node, request))
        except OSError as error:  # TimeoutError is one
            log.info("no answer", extra={"node": str(node), "reason": repr(error)})
            return plain(503, f"no answer from {node}")

    async def ask_all(
        self, place: Place, method: str, headers: Sequence[Mapping[str, str]] | Mapping[str, str]
    ) -> list[Response]:
        """The answers of all primaries, asked at once, in their order.

        `headers` are the same for all of them, or each one's own.
        """
        primaries = place.primaries
        each = [headers] * len(primaries) if isinstance(headers, Mapping) else headers
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.ask(place, node, method, own))
                for node, own in zip(primaries, each, strict=True)
            ]
        return [task.result() for task in tasks]

    async def list_objects(
        self, place: Place, node: Device, *, marker: str, limit: int
    ) -> tuple[Response, list[ObjectEntry]]:
        """A page of one container replica's listing, and the answer that it came with."""
        query = urlencode({"marker": marker, "limit": limit})
        headers = {"x-backend-allow-reserved-names": "true"}
        response = await self.ask(place, node, "GET", headers, query)
        try:
            return response, entries(in_memory(response), object_entry) if response.ok else []
        except BadListing as error:
            log.warning("no listing", extra={"node": str(node), "reason": str(error)})
            return plain(503, f"no listing from {node}"), []

    async def delete_row(
        self, account: str, container: str, name: str, timestamp: Timestamp
    ) -> bool:
        """Take a row out of a queue; whether a quorum of the container's replicas has done it.

        The others hear of it from those, when replicas are compared.
        """
        place = self.container(account, container)
        row = replace(place, path=f"{place.path}/{name}")
        headers = {"x-timestamp": timestamp.internal, "x-backend-storage-policy-index": "0"}
        answers = await self.ask_all(row, "DELETE", headers)
        return sum(1 for answer in answers if answer.ok) >= place.quorum
