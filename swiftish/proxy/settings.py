"""Settings of the proxy.

Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from swiftish.cluster.affinity import ReadAffinity, WriteAffinity
from swiftish.cluster.node_options import NodeCount, NodeOptions, Sorting
from swiftish.domain.limits import MiB

TIME_S_MAX = 86_400 * 365

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNodeSettings:
    """What is chosen otherwise for the objects of one policy; the rest is as for all."""

    index: int
    sorting: Sorting | None = None
    read_affinity: str | None = None
    write_affinity: str | None = None
    write_affinity_node_count: str | None = None
    write_affinity_handoff_delete_count: int | None = None
    request_node_count: str | None = None
    concurrent_gets: bool | None = None
    concurrency_timeout_s: float | None = None
    rebalance_missing_suppression_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """What an operator may choose.  Times in seconds, sizes in bytes."""

    # Accounts: who makes and deletes them.
    allow_account_management: bool = False  # PUT and DELETE of accounts
    account_autocreate: bool = True  # an account is made by its first container
    max_containers_per_account: int = 0  # 0: no limit

    # Nodes.
    conn_timeout_s: float = 0.5  # for a connection to one
    node_timeout_s: float = 10.0  # for an answer, or for the next piece of one
    recoverable_node_timeout_s: float | None = None  # the same for reads, which go on elsewhere
    commit_timeout_s: float = 60.0  # for a node to make a large upload durable
    post_quorum_timeout_s: float = 0.5  # for the others, when a quorum has taken a change
    error_limit_count: int = 10
    error_limit_interval_s: float = 60.0

    # Which nodes, and in which order: Swift's names for what cluster/node_options.py explains.
    sorting: Sorting = "shuffle"
    timing_expiry_s: float = 300.0
    read_affinity: str = ""  # "r1z1=100, r1=200"
    write_affinity: str = ""  # "r1, r2z1"
    write_affinity_node_count: str = "2 * replicas"
    write_affinity_handoff_delete_count: int | None = None  # as many as primaries are elsewhere
    request_node_count: str = "2 * replicas"
    concurrent_gets: bool = True
    concurrency_timeout_s: float = 0.5
    rebalance_missing_suppression_count: int = 1
    policy: tuple[PolicyNodeSettings, ...] = ()
    node_options: NodeOptions = field(init=False, repr=False, compare=False)
    _of_policies: Mapping[int, NodeOptions] = field(init=False, repr=False, compare=False)

    # Clients.
    client_timeout_s: float = 60.0  # for the next piece of a request
    whole_body_size_max: int = MiB  # bodies up to this are read whole, then sent

    # Whether X-Open-Expired shows objects that have expired and are not deleted yet.
    allow_open_expired: bool = False

    # How long infos are remembered; "there is none" for a tenth of it.
    recheck_account_s: float = 60.0
    recheck_container_s: float = 60.0

    # Cross-origin requests (reference 1.18).
    cors_allow_origin: tuple[str, ...] = ()
    cors_expose_headers: tuple[str, ...] = ()
    strict_cors_mode: bool = True

    expose_info: bool = True

    def __post_init__(self) -> None:
        for name in (
            "conn_timeout_s",
            "node_timeout_s",
            "recoverable_node_timeout_s",
            "commit_timeout_s",
            "post_quorum_timeout_s",
            "timing_expiry_s",
            "concurrency_timeout_s",
            "client_timeout_s",
        ):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < TIME_S_MAX:
                raise ValueError(f"{name} must be more than 0 and less than {TIME_S_MAX} seconds")
        object.__setattr__(self, "node_options", _options(self))
        of_policies = {
            policy.index: _options(replace(self, policy=(), **_said(policy)))
            for policy in self.policy
        }
        object.__setattr__(self, "_of_policies", of_policies)

    def options_of_policy(self, index: int) -> NodeOptions:
        """How the nodes of a policy's objects are chosen."""
        return self._of_policies.get(index, self.node_options)


def _said(policy: PolicyNodeSettings) -> dict[str, Any]:
    """What the settings say of a policy."""
    said = {each.name: getattr(policy, each.name) for each in fields(policy)}
    del said["index"]
    return {name: value for name, value in said.items() if value is not None}


def _options(settings: ProxySettings) -> NodeOptions:
    """Raises ValueError with a sentence."""
    if settings.sorting == "affinity" and not settings.read_affinity:
        raise ValueError("sorting by affinity needs a read_affinity, such as 'r1z1=100, r1=200'.")
    for name in ("write_affinity_handoff_delete_count", "rebalance_missing_suppression_count"):
        if (getattr(settings, name) or 0) < 0:
            raise ValueError(f"{name} can't be less than 0.")
    return NodeOptions(
        sorting=settings.sorting,
        read_affinity=_read("read_affinity", ReadAffinity.parse, settings.read_affinity),
        request_nodes=_read("request_node_count", NodeCount.parse, settings.request_node_count),
        write_affinity=_read("write_affinity", WriteAffinity.parse, settings.write_affinity),
        local_nodes=_read(
            "write_affinity_node_count", NodeCount.parse, settings.write_affinity_node_count
        ),
        local_delete_handoffs=settings.write_affinity_handoff_delete_count,
        concurrent_reads=settings.concurrent_gets,
        hedge_s=settings.concurrency_timeout_s,
        overlooked_max=settings.rebalance_missing_suppression_count,
    )


def _read(name: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
