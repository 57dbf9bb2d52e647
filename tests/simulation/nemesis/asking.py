"""A client's request, and what the harness learns of it on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from swiftish.cluster.transport import Kind
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Request
from swiftish.proxy.request import ProxyContext


@dataclass(slots=True, kw_only=True)
class ClientContext(ProxyContext):
    """`stamps` are the timestamps with which storage nodes were told of the change `method` of
    what `kind` of thing."""

    kind: Kind = "object"
    method: str = "GET"
    stamps: list[int] = field(default_factory=list)

    def note(self, kind: Kind, request: Request) -> None:
        if kind == self.kind and request.method == self.method:
            text = request.headers.get("x-timestamp")
            if text is not None and (raw := Timestamp.parse(text).raw) not in self.stamps:
                self.stamps.append(raw)
