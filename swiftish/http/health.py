"""How a server is: /healthcheck for load balancers, /metrics for Prometheus, /recon for people."""

import json
from collections.abc import Callable
from typing import Protocol

from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import plain

HEALTHCHECK = "/healthcheck"
METRICS = "/metrics"
RECON = "/recon/"

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def is_monitoring(path: str) -> bool:
    """Whether it is one of the three."""
    return path in {HEALTHCHECK, METRICS} or path.startswith(RECON)


class Picture(Protocol):
    """What a server can tell of its node."""

    async def metrics(self) -> str:
        """All metrics, in the text that Prometheus reads."""
        ...

    async def document(self, what: str) -> object:
        """What is at /recon/<what>.  Raises KeyError when there is no such thing."""
        ...


class HealthCheck:
    """Middleware: GET and HEAD of /healthcheck are 200 `OK`, without asking anything behind it."""

    def __init__(self, app: Handler, *, path: str = HEALTHCHECK) -> None:
        self._app = app
        self._path = path

    async def __call__(self, request: Request) -> Response:
        if request.path != self._path or request.method not in {"GET", "HEAD"}:
            return await self._app(request)
        return _answer(request, b"OK", "text/plain")


class Monitoring:
    """Middleware: GET and HEAD of /metrics and /recon/… (reference 2.13).

    To those who may not ask, by `may_ask`, there is no such thing here.
    """

    def __init__(
        self, app: Handler, picture: Picture, *, may_ask: Callable[[Request], bool]
    ) -> None:
        self._app = app
        self._picture = picture
        self._may_ask = may_ask

    async def __call__(self, request: Request) -> Response:
        path = request.path
        if not (path == METRICS or path.startswith(RECON)):
            return await self._app(request)
        if request.method not in {"GET", "HEAD"} or not self._may_ask(request):
            return await self._app(request)
        if path == METRICS:
            text = await self._picture.metrics()
            return _answer(request, text.encode("utf-8", "replace"), METRICS_TYPE)
        try:
            document = await self._picture.document(path.removeprefix(RECON))
        except KeyError:
            return plain(404, f"Invalid path: {path}")
        return _answer(request, json.dumps(document).encode(), "application/json")


def everybody(request: Request) -> bool:
    """For ports that only operators and nodes reach."""
    del request
    return True


def nobody(request: Request) -> bool:
    """For ports that have no business with it."""
    del request
    return False


# What a proxy in front of us adds: then the peer is not who asks.
_FORWARDED = ("x-forwarded-for", "x-cluster-client-ip", "forwarded", "via")


def only_from(addresses: frozenset[str]) -> Callable[[Request], bool]:
    """Whether a request comes from one of these addresses, and not through a proxy there."""

    def may_ask(request: Request) -> bool:
        return request.context.remote_address in addresses and not any(
            name in request.headers for name in _FORWARDED
        )

    return may_ask


def _answer(request: Request, data: bytes, content_type: str) -> Response:
    headers = {"content-type": content_type}
    if request.method == "HEAD":
        return Response(status=200, headers=headers, length=len(data))
    return Response(status=200, headers=headers, body=Bytes(data))
