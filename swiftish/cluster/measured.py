"""A Transport that counts what it sends, and what becomes of it."""

import asyncio
import time
from dataclasses import dataclass, field

from swiftish.cluster.transport import Kind, Transport
from swiftish.http.message import Request, Response
from swiftish.ring.device import Device
from swiftish.runtime.metrics import Histogram, Number, Registry

# Beside the classes of status: it was cancelled, by a time limit or since nobody wants it any
# more; or it raised, as does the body that it sends.
GIVEN_UP = "given up"
BROKEN = "broken"


class MeasuredTransport:
    """Sends by `transport`, and counts by kind of service and verb."""

    def __init__(self, transport: Transport, registry: Registry) -> None:
        self._transport = transport
        self._requests = registry.counter(
            "swiftish_backend_requests_total",
            "Requests to storage services, here or elsewhere, by what became of them.",
            ("service", "method", "result"),
        )
        self._seconds = registry.histogram(
            "swiftish_backend_request_seconds",
            "From a request to a storage service to the head of its answer.",
            ("service", "method"),
        )
        self._verbs: dict[tuple[Kind, str], _Verb] = {}

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        """See cluster/transport.py."""
        verb = self._verbs.get((kind, request.method)) or self._verb(kind, request.method)
        began = time.monotonic()  # the loop's own time is in whole milliseconds
        try:
            response = await self._transport.send(kind, node, request)
        except asyncio.CancelledError:
            self._requests.of(kind, request.method, GIVEN_UP).value += 1
            raise
        except BaseException:
            self._requests.of(kind, request.method, BROKEN).value += 1
            raise
        verb.seconds.observe(time.monotonic() - began)
        status_class = response.status // 100
        result = verb.results.get(status_class)
        if result is None:
            result = self._requests.of(kind, request.method, f"{status_class}xx")
            verb.results[status_class] = result
        result.value += 1
        return response

    def _verb(self, kind: Kind, method: str) -> "_Verb":
        found = self._verbs[kind, method] = _Verb(self._seconds.of(kind, method))
        return found


@dataclass(slots=True)
class _Verb:
    seconds: Histogram
    results: dict[int, Number] = field(default_factory=dict)  # by class of status
