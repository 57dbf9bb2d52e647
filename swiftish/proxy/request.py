"""What the proxy knows of a client request beyond its bytes: a typed context.

Pure.
"""

from dataclasses import dataclass, field

from swiftish.domain.names import Target
from swiftish.http.message import Context, Request
from swiftish.proxy.authorize import Authorizer
from swiftish.proxy.infos import AccountInfo, ContainerInfo


@dataclass(slots=True, kw_only=True)
class ProxyContext(Context):
    """One per client request, shared by its subrequests."""

    authorizer: Authorizer | None = None  # set by an auth middleware; None: everything is allowed
    user: str | None = None  # who is asking, for the log: set by an auth middleware
    internal: bool = False  # a request of our own workers: set by proxy/internal.py only
    # Infos already asked for in this request; proxy/info.py owns it.
    infos: dict[Target, AccountInfo | ContainerInfo] = field(default_factory=dict)


def inward_header(request: Request, name: str) -> str | None:
    """A header that means something in a request of our own workers only."""
    return request.headers.get(name) if context_of(request).internal else None


def context_of(request: Request) -> ProxyContext:
    """The context of a request inside the proxy."""
    assert isinstance(request.context, ProxyContext)
    return request.context
