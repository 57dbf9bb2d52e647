"""The account server: docs/reference/backend.md says what it is asked and what it answers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from swiftish.account import broker
from swiftish.account.auditor import account_auditor
from swiftish.account.broker import Change, Info
from swiftish.account.reaper import Reaper
from swiftish.account.replicator import AccountReplicator
from swiftish.account.schema import METADATA_FAMILIES, SCHEMA
from swiftish.account.settings import AccountSettings
from swiftish.cluster.backend_app import (
    BackendApp,
    Call,
    PartitionCall,
    PartitionVerb,
    Verb,
    integer_header,
    timestamp_header,
)
from swiftish.cluster.direct import Direct
from swiftish.cluster.documents import reply
from swiftish.cluster.duty import Duty
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.updates import updates_of
from swiftish.cluster.wire import OVERRIDE_DELETED
from swiftish.db.heads import HEADS
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.receiver import Receiver
from swiftish.db.requests import json_listing, kept_metadata, listing_query, overtaken
from swiftish.db.second_copy import are_replicated
from swiftish.domain.hashing import HashPath
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.metadata import present
from swiftish.domain.policy import PolicySet
from swiftish.domain.rows import ContainerRow, decode_container
from swiftish.http.message import Handler, Response
from swiftish.http.replies import Refusal, empty
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.worker import Worker


class AccountService:
    """All accounts on this node's devices.

    With `direct`, a way to the cluster's nodes, it has a worker that empties deleted accounts; with
    `peers` replicas are kept alike.
    """

    def __init__(  # noqa: PLR0913  (only the composition root calls it, by name)
        self,
        *,
        devices: Devices,
        policies: PolicySet,
        clock: Clock,
        limits: Limits,
        hash_path: HashPath,
        direct: Direct | None = None,
        here: Here = EVERYTHING,
        peers: Peers | None = None,
        settings: AccountSettings | None = None,
    ) -> None:
        settings = settings or AccountSettings()
        self._policies = policies
        self._clock = clock
        self._limits = limits
        self._hash_path = hash_path
        self._pool = Pool(
            "accounts", tables=broker.TABLES, may_replace=partial(are_replicated, peers)
        )
        verbs: dict[str, Verb] = {
            "PUT": self._put,
            "POST": self._post,
            "HEAD": self._head,
            "GET": self._get,
            "DELETE": self._delete,
        }
        between: dict[str, PartitionVerb] = {"UPDATE": self._update}
        self.workers: list[Worker] = []
        if peers is not None:
            between["REPLICATE"] = Receiver(
                schema=SCHEMA,
                pool=self._pool,
                peers=peers,
                hash_path=hash_path,
                clock=clock,
                reclaim_age_s=settings.replicator.reclaim_age_s,
            )
            self.workers.append(
                AccountReplicator(
                    devices=devices,
                    pool=self._pool,
                    peers=peers,
                    clock=clock,
                    settings=settings.replicator,
                )
            )
        if direct is not None:
            self.workers.append(
                Reaper(
                    devices=devices,
                    pool=self._pool,
                    direct=direct,
                    duty=Duty(direct, kind="account", ring=direct.account_ring, here=here),
                    clock=clock,
                    settings=settings.reaper,
                )
            )
        self.workers.append(
            account_auditor(devices, self._pool, hash_path, clock, settings.auditor, peers)
        )
        self.handler: Handler = BackendApp(devices, verbs, between, clock=clock)

    async def gauges(self, device: LocalDevice) -> Mapping[str, float]:
        """How a device is: `accounts`, the deleted ones among them.  Raises Refusal."""
        if not await device.threads.run(self._pool.exists, device):
            return {}
        return await self._pool.read(device, lambda reader: {"accounts": reader.count(HEADS)})

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
            status, work = self._container_change(call)
            return empty(status if await self._pool.commit(call.device, work) else 409)
        digest, change = self._digest(call), self._change(call)

        def put(writer: Writer) -> tuple[bool, Info]:
            created = broker.put_account(writer, digest, change, self._limits)
            return created, broker.existing(broker.find(writer, digest))

        created, info = await self._pool.commit(call.device, put)
        headers = overtaken(info.head.metadata, change.metadata)
        return empty(201 if created else 202, headers)

    async def _update(self, call: PartitionCall) -> Response:
        """What many containers report, in one transaction; a status for each."""
        statuses: list[int] = []
        changes: dict[int, Callable[[Writer], bool]] = {}
        for number, each in enumerate(await updates_of(call)):
            try:
                status, changes[number] = self._container_change(each)
            except Refusal as refusal:
                status = refusal.status
            statuses.append(status)
        refused = await self._pool.commit(call.device, partial(_all, changes=changes))
        return reply([refused.get(number, status) for number, status in enumerate(statuses)])

    def _container_change(self, call: Call) -> tuple[int, Callable[[Writer], bool]]:
        """What a container reports: the answer, and the work of a transaction, which says whether
        it was taken; if not, the answer is 409.

        Raises Refusal 400, 503; the work raises Refusal 404.
        """
        headers = call.headers
        if call.request.method != "PUT":
            raise Refusal(400, "containers report with a PUT")
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
        work = partial(
            broker.put_container,
            digest=digest,
            account=call.account,
            container=name,
            row=row,
            also_deleted=headers.get(OVERRIDE_DELETED, "").lower() == "yes",
        )
        return 204 if row.delete_timestamp > row.put_timestamp else 201, work

    async def _post(self, call: Call) -> Response:
        digest, change = self._digest(call), self._change(call)

        def work(writer: Writer) -> Info:
            broker.post_account(writer, digest, change, self._limits)
            return broker.existing(broker.find(writer, digest))

        info = await self._pool.commit(call.device, work)
        return empty(204, overtaken(info.head.metadata, change.metadata))

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


def _all(writer: Writer, changes: Mapping[int, Callable[[Writer], bool]]) -> dict[int, int]:
    """Do them all; the statuses of those that were refused, by their numbers."""
    refused: dict[int, int] = {}
    for number, work in changes.items():
        try:
            if not work(writer):
                refused[number] = 409
        except Refusal as refusal:
            refused[number] = refusal.status
    return refused
