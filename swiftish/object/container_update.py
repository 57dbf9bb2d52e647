"""After a change, tell the containers; what they do not acknowledge in time is left pending."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swiftish.cluster.backend_app import integer_header
from swiftish.cluster.named_nodes import NamedNodes
from swiftish.cluster.updates import Updates
from swiftish.cluster.wire import CLEAN_QUEUE
from swiftish.domain.expiry import (
    QUEUE_ACCOUNT,
    QUEUE_POLICY,
    queue_container,
    queue_content_type,
    queue_name,
)
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.names import Target
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Context, Request
from swiftish.http.replies import Refusal
from swiftish.object.current import Current
from swiftish.object.index import Indexes, Node, Update, pending_key
from swiftish.object.metadata import SYSMETA, Metadata
from swiftish.ring.device import Device
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import EnvironmentTrouble

log = logging.getLogger(__name__)

_OVERRIDE = f"{SYSMETA}container-update-override-"
_OVERRIDABLE = ("size", "etag", "content-type")
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass(frozen=True, slots=True)
class Recipients:
    """The container's partition, and its replicas to tell; none, when a person asks with curl."""

    partition: int = 0
    nodes: tuple[Node, ...] = ()


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


# ---- the queue of objects that are to expire ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queue:
    """Where in the queue an object belongs, as far as a proxy said so: the queue's container, whom
    to tell, and whether this replica of the object takes rows out that are no longer true."""

    container: str | None
    to: Recipients
    cleans: bool


UNSAID = Queue(None, Recipients(), cleans=True)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is to hear of a change."""

    container: Recipients
    queue: Queue


def audience(headers: Mapping[str, str]) -> Audience:
    """What X-Container-*, X-Delete-At-* and X-Backend-Clean-Expiring-Object-Queue say.

    Raises Refusal 400.
    """
    cleans = headers.get(CLEAN_QUEUE, "true").lower() in TRUE_WORDS
    container = headers.get("x-delete-at-container") or None
    queue = Queue(container, _recipients(headers, "delete-at"), cleans)
    return Audience(_recipients(headers, "container"), queue)


def queue_rows(
    target: Target,
    digest: str,
    queue: Queue,
    *,
    before: int | None,
    current: Current | None,
    timestamp: Timestamp,
) -> tuple[list[Update], list[Update]]:
    """What the queue is to hear of a change at `timestamp`: now, and when there is time for it.

    `before` is the X-Delete-At that the object had, `current` what it is now; either may be None.
    """
    after = None if current is None else current.delete_at
    told = [row_of_expiry(target, digest, current, queue)] if current and after is not None else []
    if before is None or before == after or not queue.cleans:
        return told, []
    return told, [_row_of_no_expiry(target, digest, before, timestamp)]


def row_of_expiry(target: Target, digest: str, current: Current, queue: Queue) -> Update:
    """The queue's row for an object that expires.

    Of two replicas' rows for one change, that of the newer data counts: replicas that missed a PUT
    know another size.  So the row's content type, which says the size, is of the change's moment
    with the age of the data as its offset.
    """
    assert current.delete_at is not None
    age = Timestamp(current.timestamp.raw, current.timestamp.offset + current.data.timestamp.raw)
    headers = {
        "x-size": "0",
        "x-etag": _EMPTY_MD5,
        "x-content-type": queue_content_type(current.content_length),
        "x-timestamp": current.timestamp.internal,
        "x-content-type-timestamp": age.internal,
    }
    row = _queue_target(target, digest, current.delete_at, queue.container)
    return _update("PUT", row, QUEUE_POLICY, current.timestamp, headers, queue.to)


def _row_of_no_expiry(target: Target, digest: str, delete_at: int, timestamp: Timestamp) -> Update:
    """What takes an object's row out of the queue again.

    Where the row is can only be guessed: if a proxy had another container for it, it stays there,
    and the expirer will find that the object is not the one that it is about.
    """
    row = _queue_target(target, digest, delete_at, None)
    headers = {"x-timestamp": timestamp.internal}
    return _update("DELETE", row, QUEUE_POLICY, timestamp, headers, Recipients())


def _queue_target(target: Target, digest: str, delete_at: int, container: str | None) -> Target:
    container = container or queue_container(delete_at, bytes.fromhex(digest))
    return Target(QUEUE_ACCOUNT, container, queue_name(delete_at, target))


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


def _recipients(headers: Mapping[str, str], kind: str) -> Recipients:
    """The partition and replicas of a container.  Raises Refusal 400."""
    hosts = _listed(headers, f"x-{kind}-host")
    devices = _listed(headers, f"x-{kind}-device")
    if len(hosts) != len(devices):
        raise Refusal(400, f"x-{kind}-host and x-{kind}-device differ in length")
    partition = integer_header(headers, f"x-{kind}-partition", default=0)
    nodes = tuple(Node(address=h, device=d) for h, d in zip(hosts, devices, strict=True))
    return Recipients(partition, nodes)


def _listed(headers: Mapping[str, str], name: str) -> list[str]:
    text = headers.get(name, "")
    return [item.strip() for item in text.split(",")] if text else []


class Untold(Refusal):
    """A change is stored, and its container can be neither told nor be told later."""


class ContainerUpdates:
    """Tells containers of changes.  Only devices of the container ring are ever contacted."""

    def __init__(
        self, *, updates: Updates, named: NamedNodes, indexes: Indexes, timeout_s: float
    ) -> None:
        self._updates = updates
        self._named = named
        self._indexes = indexes
        self._timeout_s = timeout_s

    async def tell(
        self,
        device: LocalDevice,
        digest: str,
        rows: Sequence[Update],
        context: Context,
        *,
        later: Sequence[Update] = (),
    ) -> None:
        """Send the rows of one change; each is acknowledged, or pending in `device`'s index, when
        this returns.  Those of `later` are left pending in any case.

        Raises Untold when one is neither: then the change must not be acknowledged.
        """
        rows = [row for row in rows if row.nodes]
        if not rows and not later:
            return
        unheard = [set(row.nodes) for row in rows]
        try:
            async with asyncio.timeout(self._timeout_s):
                if len(rows) == 1:
                    await self.send(rows[0], unheard[0], context)
                else:
                    async with asyncio.TaskGroup() as group:
                        for row, left in zip(rows, unheard, strict=True):
                            group.create_task(self.send(row, left, context))
        except TimeoutError:
            log.info("a container is slow", extra={"container": rows[0].container})
        late = [
            row.to([node for node in row.nodes if node in left])
            for row, left in zip(rows, unheard, strict=True)
            if left
        ]
        await self._leave(device, digest, [*late, *later])

    async def _leave(self, device: LocalDevice, digest: str, rows: Sequence[Update]) -> None:
        if not rows:
            return
        try:
            pending = await self._indexes.of(device)
            await pending.settle({pending_key(digest, row): row for row in rows})
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
        device = self._named.find(node.address, node.device)
        if device is None:
            return
        request = row_request(update, device, context)
        if 200 <= await self._updates.send(device, request) < 300:
            left.discard(node)


def row_request(update: Update, device: Device, context: Context) -> Request:
    """The request that tells one container replica."""
    path = (
        f"/{device.device}/{update.partition}/{update.account}/{update.container}/{update.object}"
    )
    headers = {**update.headers, "x-trans-id": context.transaction_id}
    return Request(method=update.method, path=path, headers=headers, context=context)
