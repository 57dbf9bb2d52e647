"""The container server: docs/reference/backend.md says what it is asked and what it answers."""

from collections.abc import Sequence
from email.utils import formatdate
from functools import partial

from swiftish.cluster.backend_app import (
    BackendApp,
    Call,
    Verb,
    integer_header,
    timestamp_header,
)
from swiftish.cluster.transport import Transport
from swiftish.cluster.wire import CONTAINER_HEADERS
from swiftish.container import broker
from swiftish.container.account_updates import AccountUpdates
from swiftish.container.broker import USER_METADATA, Change, Info, RowChange
from swiftish.container.settings import ContainerSettings
from swiftish.container.updater import ContainerUpdater
from swiftish.db.pool import Pool
from swiftish.db.requests import json_listing, kept_metadata, listing_query
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
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Reader
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker

METADATA_FAMILIES = (USER_METADATA, "x-container-sysmeta-")


class ContainerService:
    """All containers on this node's devices."""

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
        settings: ContainerSettings | None = None,
    ) -> None:
        settings = settings or ContainerSettings()
        self._policies = policies
        self._limits = limits
        self._hash_path = hash_path
        self._pool = Pool("containers", tables=broker.TABLES)
        self._accounts = AccountUpdates(
            ring=account_ring, transport=transport, background=background, settings=settings
        )
        verbs: dict[str, Verb] = {
            "PUT": self._put,
            "POST": self._post,
            "HEAD": self._head,
            "GET": self._get,
            "DELETE": self._delete,
        }
        self.handler: Handler = BackendApp(devices, verbs)
        self.workers: Sequence[Worker] = (
            ContainerUpdater(
                devices=devices,
                pool=self._pool,
                clock=clock,
                account_ring=account_ring,
                transport=transport,
                hash_path=hash_path,
                settings=settings,
            ),
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
            return await self._put_row(call)
        digest, change = self._digest(call), self._change(call)
        info, created = await self._pool.commit(
            call.device,
            lambda writer: broker.put_container(writer, digest, change, self._limits),
        )
        if not await self._accounts.tell(call, info):
            raise Refusal(404)
        return empty(201 if created else 202)

    async def _post(self, call: Call) -> Response:
        digest, change = self._digest(call), self._change(call)
        await self._pool.commit(
            call.device,
            lambda writer: broker.post_container(writer, digest, change, self._limits),
        )
        return empty(204)

    async def _delete(self, call: Call) -> Response:
        timestamp = call.timestamp()
        if call.object is not None:
            await self._merge_row(call, ObjectRow.tombstone(timestamp))
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

    async def _put_row(self, call: Call) -> Response:
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
        row = ObjectRow(moment, size, etag, False, content_type, kind, meta)
        await self._merge_row(call, row)
        return empty(201)

    async def _merge_row(self, call: Call, row: ObjectRow) -> None:
        assert call.object is not None
        digest = self._digest(call)
        assert call.container is not None
        if not call.object:
            raise Refusal(400, "the row has no name")
        change = RowChange(
            digest=digest,
            name=call.object.encode("utf-8", "surrogateescape"),
            policy_index=self._policy_index(call),
            row=row,
            make_container=(call.account, call.container) if call.account[0] == "." else None,
        )
        await self._pool.commit(call.device, lambda writer: broker.merge_row(writer, change))

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
