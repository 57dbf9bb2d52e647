"""The container server: docs/reference/backend.md says what it is asked and what it answers."""

from collections.abc import Mapping
from email.utils import formatdate
from functools import partial

from swiftish.cluster.backend_app import (
    BackendApp,
    Call,
    PartitionCall,
    PartitionVerb,
    Verb,
    integer_header,
    timestamp_header,
)
from swiftish.cluster.client import SwiftClient
from swiftish.cluster.direct import Direct
from swiftish.cluster.documents import reply
from swiftish.cluster.duty import Duty
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.named_nodes import NamedNodes
from swiftish.cluster.transport import Transport
from swiftish.cluster.updates import Updates, updates_of
from swiftish.cluster.wire import CONTAINER_HEADERS
from swiftish.container import broker
from swiftish.container.account_updates import AccountUpdates
from swiftish.container.auditor import container_auditor
from swiftish.container.broker import Change, Info, RowChange
from swiftish.container.reconciler import Reconciler
from swiftish.container.replicator import replication
from swiftish.container.schema import DIRTY, METADATA_FAMILIES
from swiftish.container.settings import ContainerSettings
from swiftish.container.updater import ContainerUpdater
from swiftish.db.heads import HEADS
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.requests import json_listing, kept_metadata, listing_query, overtaken
from swiftish.db.second_copy import are_replicated
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.metadata import present
from swiftish.domain.policy import PolicySet
from swiftish.domain.rows import ObjectRow, listing_entries
from swiftish.http.message import Handler, Response
from swiftish.http.replies import Refusal, empty
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker


class ContainerService:
    """All containers on this node's devices.

    With `client` and `direct`, ways to the whole cluster and to its nodes, it has a worker that
    brings objects into the storage policy of their container; with `peers` replicas are kept alike.
    """

    def __init__(  # noqa: PLR0913  (only the composition root calls it, by name)
        self,
        *,
        devices: Devices,
        policies: PolicySet,
        clock: Clock,
        limits: Limits,
        account_ring: RingSource,
        transport: Transport,
        hash_path: HashPath,
        background: Background,
        client: SwiftClient | None = None,
        direct: Direct | None = None,
        here: Here = EVERYTHING,
        peers: Peers | None = None,
        settings: ContainerSettings | None = None,
    ) -> None:
        settings = settings or ContainerSettings()
        self._policies = policies
        self._limits = limits
        self._hash_path = hash_path
        self._pool = Pool(
            "containers", tables=broker.TABLES, may_replace=partial(are_replicated, peers)
        )
        updates = Updates("account", transport, background, here)
        self.named = NamedNodes("account", account_ring, clock)
        self._accounts = AccountUpdates(
            named=self.named, updates=updates, background=background, settings=settings
        )
        verbs: dict[str, Verb] = {
            "PUT": self._put,
            "POST": self._post,
            "HEAD": self._head,
            "GET": self._get,
            "DELETE": self._delete,
        }
        self.workers: list[Worker] = [
            ContainerUpdater(
                devices=devices,
                pool=self._pool,
                clock=clock,
                account_ring=account_ring,
                updates=updates,
                hash_path=hash_path,
                settings=settings,
                peers=peers,
            )
        ]
        between: dict[str, PartitionVerb] = {"UPDATE": self._update}
        if peers is not None:
            receiver, replicator = replication(
                devices=devices,
                pool=self._pool,
                peers=peers,
                policies=policies,
                clock=clock,
                settings=settings.replicator,
                hash_path=hash_path,
                updates=Updates("container", peers.transport, background, here),
            )
            between["REPLICATE"] = receiver
            self.workers.append(replicator)
        if client is not None and direct is not None:
            self.workers.append(_reconciler(client, direct, here, clock, settings))
        self.workers.append(
            container_auditor(devices, self._pool, hash_path, clock, settings.auditor, peers)
        )
        self.handler: Handler = BackendApp(devices, verbs, between, clock=clock)

    async def gauges(self, device: LocalDevice) -> Mapping[str, float]:
        """How a device is: `containers`, the deleted ones among them, and `unreported`, those whose
        accounts have not heard of their last change.  Raises Refusal."""
        if not await device.threads.run(self._pool.exists, device):
            return {}
        return await self._pool.read(
            device,
            lambda reader: {
                "containers": reader.count(HEADS),
                "unreported": reader.count(DIRTY),
            },
        )

    def close(self) -> None:
        self._pool.close()

    # ---- reads -----------------------------------------------------------------------------

    async def _head(self, call: Call) -> Response:
        info = await self._pool.read(call.device, partial(broker.find, digest=self._digest(call)))
        return empty(204, _headers(_existing(info)))

    async def _get(self, call: Call) -> Response:
        query = listing_query(call, limit_max=self._limits.container_listing_limit)
        digest = self._digest(call)
        return await self._pool.read(call.device, lambda reader: _listing(reader, digest, query))

    # ---- changes ---------------------------------------------------------------------------

    async def _put(self, call: Call) -> Response:
        if call.object is not None:
            await self._merge_row(call)
            return empty(201)
        digest, change = self._digest(call), self._change(call)
        info, created = await self._pool.commit(
            call.device,
            lambda writer: broker.put_container(writer, digest, change, self._limits),
        )
        if not await self._accounts.tell(call, info):
            raise Refusal(404)
        headers = overtaken(info.head.metadata, change.metadata)
        return empty(201 if created else 202, headers)

    async def _post(self, call: Call) -> Response:
        digest, change = self._digest(call), self._change(call)

        def work(writer: Writer) -> Info:
            broker.post_container(writer, digest, change, self._limits)
            return _existing(broker.find(writer, digest))

        info = await self._pool.commit(call.device, work)
        return empty(204, overtaken(info.head.metadata, change.metadata))

    async def _delete(self, call: Call) -> Response:
        timestamp = call.timestamp()
        if call.object is not None:
            await self._merge_row(call)
            return empty(204)
        digest = self._digest(call)
        info, status = await self._pool.commit(
            call.device, lambda writer: broker.delete_container(writer, digest, timestamp)
        )
        if status == 409:
            raise broker.superseded(info.head)
        if not await self._accounts.tell(call, info):
            raise Refusal(404)
        if status != 204:
            raise Refusal(status)
        return empty(204)

    async def _merge_row(self, call: Call) -> None:
        change = self._row_change(call)
        await self._pool.commit(call.device, lambda writer: broker.merge_row(writer, change))

    async def _update(self, call: PartitionCall) -> Response:
        """Many rows, in one transaction; a status for each."""
        statuses: list[int] = []
        changes: dict[int, RowChange] = {}
        for number, each in enumerate(await updates_of(call)):
            try:
                changes[number] = self._row_change(each)
                statuses.append(201 if each.request.method == "PUT" else 204)
            except Refusal as refusal:
                statuses.append(refusal.status)
        refused = await self._pool.commit(
            call.device, lambda writer: broker.merge_rows(writer, changes)
        )
        return reply([refused.get(number, status) for number, status in enumerate(statuses)])

    def _row_change(self, call: Call) -> RowChange:
        """The change of a row that a PUT or DELETE asks for.  Raises Refusal 400, 503."""
        digest = self._digest(call)
        assert call.container is not None
        if not call.object or call.request.method not in ("PUT", "DELETE"):
            raise Refusal(400, "this is no change of a row")
        put = call.request.method == "PUT"
        return RowChange(
            digest=digest,
            name=call.object.encode("utf-8", "surrogateescape"),
            policy_index=self._policy_index(call),
            row=_row(call) if put else ObjectRow.tombstone(call.timestamp()),
            make_container=(call.account, call.container) if call.account[0] == "." else None,
        )

    # ---- what a request says ---------------------------------------------------------------

    def _digest(self, call: Call) -> bytes:
        if not call.container:
            raise Refusal(400, "the path names no container")
        return self._hash_path(call.account, call.container)

    def _policy_index(self, call: Call) -> int:
        index = call.policy_index
        if self._policies.by_index(index) is None:
            raise Refusal(503, f"there is no storage policy {index} here")
        return index

    def _change(self, call: Call) -> Change:
        assert call.container is not None
        timestamp = call.timestamp()
        asked = None
        if "x-backend-storage-policy-index" in call.headers:
            asked = self._policy_index(call)
        default = integer_header(
            call.headers,
            "x-backend-storage-policy-default",
            default=self._policies.default.index,
        )
        return Change(
            account=call.account,
            container=call.container,
            timestamp=timestamp,
            metadata=kept_metadata(
                call.headers,
                families=METADATA_FAMILIES,
                names=CONTAINER_HEADERS,
                timestamp=timestamp,
            ),
            policy_index=asked,
            policy_index_default=default,
        )


def _row(call: Call) -> ObjectRow:
    """The row that a PUT describes.  Raises Refusal 400."""
    headers = call.headers
    for name in ("x-size", "x-content-type", "x-etag"):
        if name not in headers:
            raise Refusal(400, f"missing {name}")
    size = integer_header(headers, "x-size", default=0)
    if size < 0:
        raise Refusal(400, "x-size is negative")
    moment = kind = call.timestamp()
    if "x-content-type-timestamp" in headers:
        kind = max(kind, timestamp_header(headers, "x-content-type-timestamp"))
    meta = moment
    if "x-meta-timestamp" in headers:
        meta = max(meta, timestamp_header(headers, "x-meta-timestamp"))
    etag, content_type = headers["x-etag"], headers["x-content-type"]
    return ObjectRow(moment, size, etag, False, content_type, kind, meta)


def _reconciler(
    client: SwiftClient, direct: Direct, here: Here, clock: Clock, settings: ContainerSettings
) -> Reconciler:
    return Reconciler(
        client=client,
        direct=direct,
        duty=Duty(direct, kind="container", ring=direct.container_ring, here=here),
        clock=clock,
        settings=settings.reconciler,
    )


def _listing(reader: Reader, digest: bytes, query: Query) -> Response:
    info = _existing(broker.find(reader, digest))
    return json_listing(_headers(info), listing_entries(broker.page(reader, info, query)))


def _existing(info: Info | None) -> Info:
    if info is None:
        raise Refusal(404)
    if info.is_deleted:
        raise Refusal(404, None, _backend_headers(info))
    return info


def _backend_headers(info: Info) -> dict[str, str]:
    head = info.head
    return {
        "x-backend-timestamp": head.created.internal,
        "x-backend-put-timestamp": head.put.internal,
        "x-backend-delete-timestamp": head.delete.internal,
        "x-backend-status-changed-at": head.status_changed.internal,
        "x-backend-storage-policy-index": str(head.policy_index),
    }


def _headers(info: Info) -> dict[str, str]:
    head = info.head
    return {
        **present(head.metadata),
        **_backend_headers(info),
        "x-container-object-count": str(info.objects),
        "x-container-bytes-used": str(info.bytes),
        "x-timestamp": head.created.normal,
        "x-put-timestamp": head.put.internal,
        "last-modified": formatdate(head.put.seconds_ceiling, usegmt=True),
    }
