"""The account server: docs/reference/backend.md says what it is asked and what it answers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from swiftish.account import broker
from swiftish.account.broker import USER_METADATA, Change, Info
from swiftish.cluster.backend_app import (
    BackendApp,
    Call,
    Verb,
    integer_header,
    timestamp_header,
)
from swiftish.db.pool import Pool
from swiftish.db.requests import json_listing, kept_metadata, listing_query
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.metadata import present
from swiftish.domain.policy import PolicySet
from swiftish.domain.rows import ContainerRow, decode_container
from swiftish.http.message import Handler, Response
from swiftish.http.replies import Refusal, empty
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Reader
from swiftish.runtime.worker import Worker

METADATA_FAMILIES = (USER_METADATA, "x-account-sysmeta-")


class AccountService:
    """All accounts on this node's devices."""

    workers: Sequence[Worker] = ()

    def __init__(
        self,
        *,
        devices: Devices,
        policies: PolicySet,
        clock: Clock,
        limits: Limits,
        hash_path: HashPath,
    ) -> None:
        self._policies = policies
        self._clock = clock
        self._limits = limits
        self._hash_path = hash_path
        self._pool = Pool("accounts", tables=broker.TABLES)
        verbs: dict[str, Verb] = {
            "PUT": self._put,
            "POST": self._post,
            "HEAD": self._head,
            "GET": self._get,
            "DELETE": self._delete,
        }
        self.handler: Handler = BackendApp(devices, verbs)

    def close(self) -> None:
        self._pool.close()

    # ---- reads -----------------------------------------------------------------------------

    async def _head(self, call: Call) -> Response:
        info = await self._pool.read(call.device, partial(broker.find, digest=self._digest(call)))
        return empty(204, self._headers(broker.existing(info)))

    async def _get(self, call: Call) -> Response:
        query = listing_query(call, limit_max=self._limits.account_listing_limit)
        digest = self._digest(call)
        return await self._pool.read(
            call.device, lambda reader: self._listing(reader, digest, query)
        )

    def _listing(self, reader: Reader, digest: bytes, query: Query) -> Response:
        info = broker.existing(broker.find(reader, digest))
        entries = [self._entry(name, value) for name, value in broker.page(reader, info, query)]
        return json_listing(self._headers(info), orjson.dumps(entries))

    def _entry(self, name: bytes, value: bytes | None) -> dict[str, Any]:
        text = name.decode("utf-8", "replace")
        if value is None:
            return {"subdir": text}
        row, _ = decode_container(value)
        entry = {
            "name": text,
            "count": row.objects,
            "bytes": row.bytes,
            "last_modified": row.put_timestamp.iso,
        }
        policy = self._policies.by_index(row.policy_index)
        if policy is not None:
            entry["storage_policy"] = policy.name
        return entry

    def _headers(self, info: Info) -> dict[str, str]:
        head, totals = info.head, info.totals
        headers = {
            **present(head.metadata),
            "x-account-container-count": str(totals.sum(0)),
            "x-account-object-count": str(totals.sum(1)),
            "x-account-bytes-used": str(totals.sum(2)),
            "x-timestamp": head.created.normal,
            "x-put-timestamp": head.put.internal,
        }
        for index, (containers, objects, size) in totals.by_policy.items():
            policy = self._policies.by_index(index)
            if policy is not None:
                prefix = f"x-account-storage-policy-{policy.name.lower()}"
                headers[f"{prefix}-container-count"] = str(containers)
                headers[f"{prefix}-object-count"] = str(objects)
                headers[f"{prefix}-bytes-used"] = str(size)
        return headers

    # ---- changes ---------------------------------------------------------------------------

    async def _put(self, call: Call) -> Response:
        if call.container is not None:
            return await self._put_container(call)
        digest, change = self._digest(call), self._change(call)
        created = await self._pool.commit(
            call.device, lambda writer: broker.put_account(writer, digest, change, self._limits)
        )
        return empty(201 if created else 202)

    async def _put_container(self, call: Call) -> Response:
        headers = call.headers
        if not call.container or call.object is not None:
            raise Refusal(400, "the path names no container")
        reported = call.timestamp() if "x-timestamp" in headers else self._clock.timestamp()
        row = ContainerRow(
            timestamp_header(headers, "x-put-timestamp"),
            timestamp_header(headers, "x-delete-timestamp"),
            integer_header(headers, "x-object-count", default=0),
            integer_header(headers, "x-bytes-used", default=0),
            call.policy_index,
            reported,
        )
        digest, name = self._digest(call), call.container.encode("utf-8", "surrogateescape")
        await self._pool.commit(
            call.device,
            lambda writer: broker.put_container(
                writer, digest, account=call.account, container=name, row=row
            ),
        )
        return empty(204 if row.delete_timestamp > row.put_timestamp else 201)

    async def _post(self, call: Call) -> Response:
        digest, change = self._digest(call), self._change(call)
        await self._pool.commit(
            call.device, lambda writer: broker.post_account(writer, digest, change, self._limits)
        )
        return empty(204)

    async def _delete(self, call: Call) -> Response:
        digest, timestamp = self._digest(call), call.timestamp()
        await self._pool.commit(
            call.device, lambda writer: broker.delete_account(writer, digest, timestamp)
        )
        return empty(204, broker.DELETED)

    # ---- what a request says ---------------------------------------------------------------

    def _digest(self, call: Call) -> bytes:
        return self._hash_path(call.account)

    def _change(self, call: Call) -> Change:
        timestamp = call.timestamp()
        metadata = kept_metadata(call.headers, families=METADATA_FAMILIES, timestamp=timestamp)
        return Change(account=call.account, timestamp=timestamp, metadata=metadata)
