"""Where a request to a node goes: the one seam between a proxy and the storage services.

Pure.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import plain
from swiftish.ring.device import Device

Kind: TypeAlias = Literal["account", "container", "object"]


class Transport(Protocol):
    """Sends one request to one device's service.

    `request.path` is `/<device>/<partition>/<account>[/<container>[/<object>]]`.  A node that
    is down, or breaks, is an answer of 503, never an exception; what `request.body.read()`
    raises passes through.  The node has *accepted* a body when it first reads from it.
    """

    async def send(self, kind: Kind, node: Device, request: Request) -> Response: ...


class LocalTransport:
    """All devices are this process's own: a request is a call."""

    def __init__(self, services: Mapping[Kind, Handler]) -> None:
        self._services = services

    async def send(self, kind: Kind, node: Device, request: Request) -> Response:
        service = self._services.get(kind)
        if service is None:
            return plain(503, f"no {kind} service here")
        return await service(request)
