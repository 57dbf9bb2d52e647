"""After a change, tell the containers; what they do not acknowledge in time is left pending."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.cluster.backend_app import integer_header
from swiftish.cluster.transport import Transport
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Context, Request
from swiftish.http.replies import Refusal
from swiftish.object.current import Current
from swiftish.object.index import Indexes, Node, Update, pending_key
from swiftish.object.metadata import SYSMETA, Metadata
from swiftish.ring.device import Device
from swiftish.ring.ring import RingSource
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble

log = logging.getLogger(__name__)

_OVERRIDE = f"{SYSMETA}container-update-override-"
_OVERRIDABLE = ("size", "etag", "content-type")


@dataclass(frozen=True, slots=True)
class Recipients:
    """The container's partition, and its replicas to tell; none, when a person asks with curl."""

    partition: int = 0
    nodes: tuple[Node, ...] = ()


def recipients(headers: Mapping[str, str]) -> Recipients:
    """The container's partition and replicas that X-Container-* name.  Raises Refusal 400."""
    hosts = _listed(headers, "x-container-host")
    devices = _listed(headers, "x-container-device")
    if len(hosts) != len(devices):
        raise Refusal(400, "x-container-host and x-container-device differ in length")
    partition = integer_header(headers, "x-container-partition", default=0)
    nodes = tuple(Node(address=h, device=d) for h, d in zip(hosts, devices, strict=True))
    return Recipients(partition, nodes)


def row_of_put(target: Target, policy: int, metadata: Metadata, to: Recipients) -> Update:
    """The row of a new object."""
    headers = {
        "x-size": str(metadata.content_length),
        "x-etag": metadata.etag or "",
        "x-content-type": metadata.content_type or "",
        "x-timestamp": metadata.timestamp.internal,
        **_overrides(metadata.headers),
    }
    return _update("PUT", target, policy, metadata.timestamp, headers, to)


def row_of_post(target: Target, policy: int, current: Current, to: Recipients) -> Update:
    """The row of an object whose metadata changed: its data are as old as they were."""
    overrides = _overrides(current.data.headers)
    if current.content_type_timestamp > current.data.timestamp:
        overrides.pop("x-content-type", None)  # it has been changed since
    headers = {
        "x-size": str(current.content_length),
        "x-etag": current.etag,
        "x-content-type": current.content_type,
        "x-timestamp": current.data.timestamp.internal,
        "x-content-type-timestamp": current.content_type_timestamp.internal,
        "x-meta-timestamp": current.timestamp.internal,
        **overrides,
    }
    return _update("PUT", target, policy, current.timestamp, headers, to)


def row_of_delete(target: Target, policy: int, timestamp: Timestamp, to: Recipients) -> Update:
    """The row of an object that is gone."""
    headers = {"x-timestamp": timestamp.internal}
    return _update("DELETE", target, policy, timestamp, headers, to)


def _update(
    method: str,
    target: Target,
    policy: int,
    timestamp: Timestamp,
    headers: dict[str, str],
    to: Recipients,
) -> Update:
    assert target.container is not None
    assert target.object is not None
    headers["x-backend-storage-policy-index"] = str(policy)
    return Update(
        method=method,
        account=target.account,
        container=target.container,
        object=target.object,
        timestamp=timestamp,
        policy=policy,
        partition=to.partition,
        headers=headers,
        nodes=to.nodes,
    )


def _overrides(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        f"x-{key}": value
        for key in _OVERRIDABLE
        if (value := headers.get(_OVERRIDE + key)) is not None
    }


def _listed(headers: Mapping[str, str], name: str) -> list[str]:
    text = headers.get(name, "")
    return [item.strip() for item in text.split(",")] if text else []


class Untold(Refusal):
    """A change is stored, and its container can be neither told nor be told later."""


class ContainerUpdates:
    """Tells containers of changes.  Only devices of the container ring are ever contacted."""

    def __init__(
        self, *, transport: Transport, ring: RingSource, indexes: Indexes, timeout_s: float
    ) -> None:
        self._transport = transport
        self._ring = ring
        self._indexes = indexes
        self._timeout_s = timeout_s

    async def tell(
        self, device: LocalDevice, digest: str, update: Update, context: Context
    ) -> None:
        """Send the row; it is acknowledged, or pending in `device`'s index, when this returns.

        Raises Untold when it is neither: then the change must not be acknowledged.
        """
        if not update.nodes:
            return
        left = set(update.nodes)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.send(update, left, context)
        except TimeoutError:
            log.info("a container is slow", extra={"container": update.container})
        if not left:
            return
        late = update.to([node for node in update.nodes if node in left])
        try:
            pending = await self._indexes.of(device)
            await pending.add(pending_key(digest, late), late)
        except (EnvironmentTrouble, OSError) as error:
            log.exception("an update is lost", extra={"device": device.name})
            raise Untold(507, "The container could not be told.") from error

    async def send(self, update: Update, left: set[Node], context: Context) -> None:
        """Send to the nodes of `left` at once, taking out of it whoever acknowledges."""
        nodes = list(left)
        if len(nodes) == 1:
            await self._send(update, nodes[0], left, context)
            return
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(self._send(update, node, left, context))

    async def _send(self, update: Update, node: Node, left: set[Node], context: Context) -> None:
        device = self._ring().find(address=node.address, device=node.device)
        if device is None:
            log.warning("not in the container ring", extra={"node": node.address})
            return
        request = row_request(update, device, context)
        async with await self._transport.send("container", device, request) as response:
            if response.ok:
                left.discard(node)


def row_request(update: Update, device: Device, context: Context) -> Request:
    """The request that tells one container replica."""
    path = (
        f"/{device.device}/{update.partition}/{update.account}/{update.container}/{update.object}"
    )
    headers = {**update.headers, "x-trans-id": context.transaction_id}
    return Request(method=update.method, path=path, headers=headers, context=context)
