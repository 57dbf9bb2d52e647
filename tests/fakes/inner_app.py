"""What a middleware has below it: an app that remembers what it was asked, and known infos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from swiftish.http.message import Body, Request, Response
from swiftish.proxy.infos import AccountInfo, ContainerInfo
from swiftish.proxy.request import ProxyContext


def client_request(
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    query: str = "",
    body: Body | None = None,
) -> Request:
    """A request as the public pipeline gets it."""
    request = Request(
        method=method, path=path, query=query, headers=headers or {}, context=ProxyContext()
    )
    return request if body is None else request.replace(body=body)


@dataclass
class InnerApp:
    """Answers with `answer`, which is a Response or makes one of the request."""

    answer: Response | Callable[[Request], Response] = field(
        default_factory=lambda: Response(status=200)
    )
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer if isinstance(self.answer, Response) else self.answer(request)

    @property
    def last(self) -> Request:
        return self.asked[-1]


@dataclass
class KnownInfos:
    """Infos of a few accounts and containers; any other account exists, no other container."""

    accounts: dict[str, AccountInfo] = field(default_factory=dict)
    containers: dict[tuple[str, str], ContainerInfo] = field(default_factory=dict)

    async def account(self, request: Request, account: str) -> AccountInfo:
        return self.accounts.get(account, AccountInfo(status=204))

    async def container(self, request: Request, account: str, container: str) -> ContainerInfo:
        return self.containers.get((account, container), ContainerInfo(status=404))
