"""What the proxy remembers of an account or a container between requests.

Pure.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from swiftish.http.message import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """`status` is what HEAD answered: 204, 404, 410, or 503 (not remembered).

    `meta` and `sysmeta` are by lower-case name without prefix: `quota-bytes`,
    `core-access-control`.
    """

    status: int
    container_count: int = 0
    object_count: int = 0
    bytes_used: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    sysmeta: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInfo:
    """As AccountInfo; `policy_index` is where the container's objects live."""

    status: int
    policy_index: int = 0
    read_acl: str | None = None
    write_acl: str | None = None
    sync_key: str | None = None
    object_count: int = 0
    bytes_used: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    sysmeta: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return 200 <= self.status < 300


class Infos(Protocol):
    """Account and container info: asked of the cluster once, remembered for a while."""

    def account(self, request: Request, account: str) -> Awaitable[AccountInfo]: ...

    def container(
        self, request: Request, account: str, container: str
    ) -> Awaitable[ContainerInfo]: ...
