"""Settings of the proxy.

Pure.
"""

from dataclasses import dataclass

from swiftish.domain.limits import MiB

TIME_S_MAX = 86_400 * 365


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """What an operator may choose.  Times in seconds, sizes in bytes."""

    # Accounts: who makes and deletes them.
    allow_account_management: bool = False  # PUT and DELETE of accounts
    account_autocreate: bool = True  # an account is made by its first container
    max_containers_per_account: int = 0  # 0: no limit

    # Nodes.
    node_timeout_s: float = 10.0  # for an answer, or for the next piece of one
    commit_timeout_s: float = 60.0  # for a node to make a large upload durable
    error_limit_count: int = 10
    error_limit_interval_s: float = 60.0

    # Clients.
    client_timeout_s: float = 60.0  # for the next piece of a request
    whole_body_size_max: int = MiB  # bodies up to this are read whole, then sent

    # How long infos are remembered; "there is none" for a tenth of it.
    recheck_account_s: float = 60.0
    recheck_container_s: float = 60.0

    # Cross-origin requests (reference 1.18).
    cors_allow_origin: tuple[str, ...] = ()
    cors_expose_headers: tuple[str, ...] = ()
    strict_cors_mode: bool = True

    expose_info: bool = True

    def __post_init__(self) -> None:
        for name in ("node_timeout_s", "commit_timeout_s", "client_timeout_s"):
            if not 0 < getattr(self, name) < TIME_S_MAX:
                raise ValueError(f"{name} must be more than 0 and less than {TIME_S_MAX} seconds")
