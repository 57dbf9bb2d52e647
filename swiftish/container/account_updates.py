"""Telling accounts of a container: when it is made or deleted, and later of its totals."""

import asyncio
import logging
from collections.abc import Sequence

from swiftish.cluster.backend_app import Call
from swiftish.cluster.named_nodes import NamedNodes
from swiftish.cluster.updates import Updates
from swiftish.cluster.wire import OVERRIDE_DELETED
from swiftish.container.broker import Info
from swiftish.container.settings import ContainerSettings
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Context, Request
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background

log = logging.getLogger(__name__)


async def send_report(
    updates: Updates,
    node: Device,
    partition: int,
    info: Info,
    *,
    timestamp: Timestamp,
    context: Context,
    also_deleted: bool,
) -> int:
    """Tell one account server how the container stands; its status.

    `also_deleted`: it is to take it down also when the account has been deleted.
    """
    head = info.head
    request = Request(
        method="PUT",
        path=f"/{node.device}/{partition}/{head.account}/{head.container}",
        headers={
            "x-timestamp": timestamp.internal,
            "x-trans-id": context.transaction_id,
            "x-put-timestamp": head.put.internal,
            "x-delete-timestamp": head.delete.internal,
            "x-object-count": str(info.objects),
            "x-bytes-used": str(info.bytes),
            "x-backend-storage-policy-index": str(head.policy_index),
            **({OVERRIDE_DELETED: "yes"} if also_deleted else {}),
        },
        context=context,
    )
    return await updates.send(node, request)


class AccountUpdates:
    """Tells those accounts that a request to the container server names."""

    def __init__(
        self,
        *,
        named: NamedNodes,
        updates: Updates,
        background: Background,
        settings: ContainerSettings,
    ) -> None:
        self._named = named
        self._updates = updates
        self._background = background
        self._timeout_s = settings.account_update_timeout_s

    async def tell(self, call: Call, info: Info) -> bool:
        """False when there are accounts to tell and all of them say that they do not exist.

        Those that do not answer in time go on in the background.  Other failures matter not: the
        container is marked as dirty, and the updater will tell them.
        """
        partition, nodes = self._nodes(call)
        if not nodes:
            return True
        tasks = [
            self._background.start(
                send_report(
                    self._updates,
                    node,
                    partition,
                    info,
                    timestamp=call.timestamp(),
                    context=call.request.context,
                    also_deleted=call.headers.get(OVERRIDE_DELETED, "").lower() == "yes",
                ),
                name=f"account update of {info.head.account}/{info.head.container}",
            )
            for node in nodes
        ]
        done, pending = await asyncio.wait(tasks, timeout=self._timeout_s)
        return bool(pending) or any(task.result() != 404 for task in done)

    def _nodes(self, call: Call) -> tuple[int, Sequence[Device]]:
        """The accounts that the request names, as far as the ring has them."""
        hosts = _listed(call, "x-account-host")
        names = _listed(call, "x-account-device")
        partition = call.headers.get("x-account-partition", "")
        if not hosts or len(hosts) != len(names) or not partition.isdigit():
            return 0, ()
        nodes: list[Device] = []
        for host, name in zip(hosts, names, strict=True):
            node = self._named.find(host, name)
            if node is not None:
                nodes.append(node)
        return int(partition), nodes


def _listed(call: Call, name: str) -> list[str]:
    return [item.strip() for item in call.headers.get(name, "").split(",") if item.strip()]
