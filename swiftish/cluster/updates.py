"""Updates of rows: many small requests to one device as one (ARCHITECTURE 7).

    UPDATE /<device>/<partition>     [[method, path, headers], …]  →  [status, …]

Each of them is the request that it would be alone, about any row on that device; the partition in
the path of the UPDATE is that of the first and means nothing.  The receiver does what they ask in
one transaction, and a row that is refused keeps no other from its place.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from swiftish.cluster.backend_app import Call, PartitionCall
from swiftish.cluster.batcher import BATCH_MAX, Batcher
from swiftish.cluster.documents import BadDocument, answered, asked, packed
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind, Transport
from swiftish.domain.limits import MiB
from swiftish.http.message import Bytes, Request
from swiftish.http.replies import Refusal
from swiftish.ring.device import Device
from swiftish.runtime.tasks import Background

log = logging.getLogger(__name__)

# A batch is BATCH_MAX rows, and a row a name and a few short headers.
DOCUMENT_BYTES_MAX = 4 * MiB
STATUS_MAX = 599
TIMEOUT_S = 30.0  # longer than anybody waits for an answer


class Updates:
    """Sends updates to the devices of one kind of service; several to one device together.

    Those of this node's own devices go at once, each by itself: there they share commits anyway,
    and to wait for each other would cost a third of the rate (measured).
    """

    def __init__(
        self, kind: Kind, transport: Transport, background: Background, here: Here
    ) -> None:
        self._kind: Kind = kind
        self._transport = transport
        self._here = here
        self._batcher: Batcher[Device, Request, int] = Batcher(self._send, background)

    async def send(self, node: Device, request: Request) -> int:
        """The status of a request without a body, sent alone or with others.

        That of a node which is not there, or says what makes no sense, is a 503.
        """
        if self._here.has(self._kind, node):
            return (await self._send(node, [request]))[0]
        return await self._batcher.put(node, request)

    async def _send(self, node: Device, requests: Sequence[Request]) -> Sequence[int]:
        count = len(requests)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                only = requests[0] if count == 1 else _together(requests)
                response = await self._transport.send(self._kind, node, only)
                if count > 1 and response.status == 200:
                    return _statuses(await answered(response), count)
        except (OSError, BadDocument) as error:  # TimeoutError is one
            log.info("updates were not taken", extra={"node": str(node), "reason": repr(error)})
            return [503] * count
        await response.body.aclose()
        return [response.status] * count


def _together(requests: Sequence[Request]) -> Request:
    first = requests[0]
    return Request(
        method="UPDATE",
        path="/".join(first.path.split("/", 3)[:3]),
        headers={"x-trans-id": first.context.transaction_id},
        body=Bytes(packed([[r.method, r.path, dict(r.headers)] for r in requests])),
    )


def _statuses(document: object, count: int) -> list[int]:
    """Raises BadDocument."""
    if not isinstance(document, list) or len(document) != count:
        raise BadDocument("not a status for each update")
    if not all(type(status) is int and 0 < status <= STATUS_MAX for status in document):
        raise BadDocument("not a list of statuses")
    return document


async def updates_of(call: PartitionCall) -> list[Call]:
    """The receiver's side: the requests in an UPDATE.  Raises Refusal 400, 413."""
    document = await asked(call.request.body, size_max=DOCUMENT_BYTES_MAX)
    if not isinstance(document, list) or not 0 < len(document) <= BATCH_MAX:
        raise Refusal(400, "An UPDATE is a list of a few requests.")
    return [_call(call, entry) for entry in document]


def _call(call: PartitionCall, entry: object) -> Call:
    match entry:
        case [str(method), str(path), dict(headers)] if _is_text(headers):
            parts = path.split("/", 5)
        case _:
            raise Refusal(400, "An UPDATE consists of methods, paths and headers.")
    is_path = len(parts) >= 5 and not parts[0] and parts[1] == call.device.name and all(parts[2:5])
    if not (is_path and parts[2].isascii() and parts[2].isdecimal()):
        raise Refusal(400, f"not the path of a row here: {path[:100]!r}")
    return Call(
        request=Request(method=method, path=path, headers=headers, context=call.request.context),
        device=call.device,
        partition=int(parts[2]),
        account=parts[3],
        container=parts[4],
        object=parts[5] if len(parts) > 5 else None,
        clock=call.clock,
    )


def _is_text(headers: Mapping[object, object]) -> bool:
    return all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items())
