"""The one settings file of a node: a section per service, whose dataclass lives beside its code.

Settings come in layers: what the data folder's own `swiftish.toml` says, over it the file named
with `--config`, over that the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from swiftish.account.settings import AccountSettings
from swiftish.container.settings import ContainerSettings
from swiftish.domain.limits import Limits
from swiftish.domain.policy import BadPolicies, Policy, PolicySet
from swiftish.object.settings import ObjectSettings
from swiftish.proxy.memcache import MemcacheSettings
from swiftish.proxy.middleware.tempauth import TempauthSettings
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.even import PART_POWER
from swiftish.runtime.devices import DeviceSettings
from swiftish.runtime.logs import Level
from swiftish.runtime.settings import BadSettings

Service: TypeAlias = Literal["proxy", "account", "container", "object"]
SERVICES: tuple[Service, ...] = get_args(Service)

WORKERS_MAX = 1000
DRAIN_TIMEOUT_S_MAX = 86_400


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What the data was laid out with: it can't be changed by changing a setting.

    `hash_prefix` and `hash_suffix` are secrets, made on the first start.  `key` is the secret with
    which the nodes of a cluster know each other.
    """

    hash_prefix: str = ""
    hash_suffix: str = ""
    key: str = ""
    devices: int = 1
    replicas: int = 1
    part_power: int = PART_POWER

    def __post_init__(self) -> None:
        if not 1 <= self.devices <= 1000:
            raise ValueError(f"devices must be between 1 and 1000, not {self.devices}")
        if not 1 <= self.replicas <= self.devices:
            raise ValueError(
                f"replicas must be between 1 and the number of devices ({self.devices}), "
                f"not {self.replicas}: each replica needs a device of its own"
            )
        if not 0 <= self.part_power <= 32:
            raise ValueError(f"part_power must be between 0 and 32, not {self.part_power}")


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """A storage policy; `replicas` is the cluster's when it is not said."""

    index: int
    name: str
    aliases: tuple[str, ...] = ()
    default: bool = False
    deprecated: bool = False
    replicas: int | None = None


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The processes.  `workers`: how many serve; 0 means one for each core.

    `expose_metrics`: who may read /metrics and /recon on the proxy's port, which clients reach:
    `local` is whoever asks from this machine, and not through a proxy there.  The ports of storage
    services show them to everybody.
    """

    bind: str = "127.0.0.1:8080"
    workers: int = 0
    drain_timeout_s: float = 30.0
    log_level: Level = "info"
    access_log: bool = True
    expose_metrics: Literal["local", "always", "never"] = "local"

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= WORKERS_MAX:
            raise ValueError(f"workers must be between 0 and {WORKERS_MAX}, not {self.workers}")
        if not 0 <= self.drain_timeout_s <= DRAIN_TIMEOUT_S_MAX:
            raise ValueError(
                f"drain_timeout_s must be between 0 and {DRAIN_TIMEOUT_S_MAX}, "
                f"not {self.drain_timeout_s}"
            )


@dataclass(frozen=True, kw_only=True)
class ServicesSettings:
    """What a node of a cluster runs, and where each service listens: HOST:PORT, "" for not here.

    `workers` are the names of background workers to run here; `all` are those of the services
    that are here, and an empty list is none.
    """

    proxy: str = ""
    account: str = ""
    container: str = ""
    object: str = ""
    workers: tuple[str, ...] = ("all",)

    def listens(self) -> dict[Service, str]:
        """The services that are here, and their addresses."""
        found = {service: getattr(self, service) for service in SERVICES}
        return {service: bind for service, bind in found.items() if bind}


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """Where a node of a cluster has its devices, its rings and what it keeps itself.

    `ring_ips` are the addresses under which this node stands in the rings; found out when it is
    empty.
    """

    devices: str = "/srv/node"
    rings: str = "/etc/swiftish"
    state: str = "/var/lib/swiftish"
    ring_ips: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AuthSettings:
    tempauth: TempauthSettings = field(default_factory=TempauthSettings)


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """All settings of a node."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    policy: tuple[PolicySettings, ...] = ()
    services: ServicesSettings = field(default_factory=ServicesSettings)
    node: FolderSettings = field(default_factory=FolderSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    limits: Limits = field(default_factory=Limits)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    memcache: MemcacheSettings = field(default_factory=MemcacheSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    account: AccountSettings = field(default_factory=AccountSettings)
    container: ContainerSettings = field(default_factory=ContainerSettings)
    object: ObjectSettings = field(default_factory=ObjectSettings)

    def policies(self, *, replicas: Mapping[int, int] | None = None) -> PolicySet:
        """The storage policies; `replicas` by index, if the rings say it.  Raises BadSettings."""
        found = self.policy or (PolicySettings(index=0, name="Policy-0", default=True),)
        alone = len(found) == 1
        policies = []
        for number, policy in enumerate(found):
            wanted = self._replicas(number, policy, replicas)
            policies.append(
                Policy(
                    index=policy.index,
                    name=policy.name,
                    aliases=policy.aliases,
                    default=policy.default or alone,
                    deprecated=policy.deprecated,
                    replicas=wanted,
                )
            )
        try:
            return PolicySet(tuple(policies))
        except BadPolicies as error:
            raise BadSettings(f"policy: {error}") from None

    def _replicas(
        self, number: int, policy: PolicySettings, in_rings: Mapping[int, int] | None
    ) -> int:
        if in_rings is not None:
            there = in_rings[policy.index]
            if policy.replicas not in (None, there):
                raise BadSettings(
                    f"policy[{number}].replicas: is {policy.replicas}, and {there} in its ring; "
                    "leave it to the ring"
                )
            return there
        replicas = self.cluster.replicas if policy.replicas is None else policy.replicas
        if not 1 <= replicas <= self.cluster.devices:
            raise BadSettings(
                f"policy[{number}].replicas: {replicas} replicas need as many devices; "
                f"there are {self.cluster.devices}"
            )
        return replicas
