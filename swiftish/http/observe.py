"""What an HTTP server counts of its requests, at the place where the access log is written.

Requests for /healthcheck, /metrics and /recon are not counted: they would hide the others.
"""

from dataclasses import dataclass

from swiftish.http.access_log import Exchange
from swiftish.http.health import is_monitoring
from swiftish.runtime.metrics import Histogram, Number, Registry

# Methods become labels, and clients choose them: all others are one.
METHODS = frozenset(
    {
        *("COPY", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"),
        *("REPLICATE", "SSYNC", "UPDATE"),
    }
)
OTHER = "other"
_LABELS = ("server", "method", "status")


class RequestMetrics:
    """Counts the exchanges of one server, whose name is `server`."""

    def __init__(self, registry: Registry, server: str) -> None:
        self._server = server
        self._counters = (
            registry.counter(
                "swiftish_requests_total",
                "Requests answered, by the class of their status; those that clients gave up: 4xx.",
                _LABELS,
            ),
            registry.counter(
                "swiftish_request_bytes_total", "Bytes of request bodies received.", _LABELS
            ),
            registry.counter(
                "swiftish_response_bytes_total", "Bytes of response bodies sent.", _LABELS
            ),
        )
        self._histograms = (
            registry.histogram(
                "swiftish_request_seconds",
                "From a request's head to the last byte of its answer.",
                _LABELS,
            ),
            registry.histogram(
                "swiftish_request_first_byte_seconds",
                "From a request's head to the first byte of its answer.",
                _LABELS,
            ),
        )
        self._kinds: dict[tuple[str, int], _Kind] = {}

    def __call__(self, exchange: Exchange) -> None:
        head = exchange.head
        method = OTHER
        if head is not None:
            if is_monitoring(head.path):
                return
            method = head.method
        key = (method, exchange.status // 100)
        kind = self._kinds.get(key) or self._kind(*key)
        requests, bytes_in, bytes_out = kind.counters
        requests.value += 1
        bytes_in.value += exchange.bytes_in
        bytes_out.value += exchange.bytes_out
        seconds, first_byte = kind.histograms
        seconds.observe(exchange.seconds)
        first_byte.observe(exchange.first_byte_seconds)

    def _kind(self, method: str, status_class: int) -> "_Kind":
        if method not in METHODS:  # and not remembered under its own name
            known = self._kinds.get((OTHER, status_class))
            if known is not None:
                return known
            method = OTHER
        labels = (self._server, method, f"{status_class}xx")
        found = self._kinds[method, status_class] = _Kind(
            [family.of(*labels) for family in self._counters],
            [family.of(*labels) for family in self._histograms],
        )
        return found


@dataclass(slots=True)
class _Kind:
    """The numbers of requests of one method and class of status."""

    counters: list[Number]  # requests, bytes in, bytes out
    histograms: list[Histogram]  # seconds to the end, to the first byte
