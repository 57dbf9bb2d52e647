"""The one settings file of a node: a section per service, whose dataclass lives beside its code.

Settings come in layers: what the data folder's own `swiftish.toml` says, over it the file named
with `--config`, over that the command line.
"""

from dataclasses import dataclass, field

from swiftish.domain.limits import Limits
from swiftish.domain.policy import BadPolicies, Policy, PolicySet
from swiftish.object.settings import ObjectSettings
from swiftish.proxy.middleware.tempauth import TempauthSettings
from swiftish.proxy.settings import ProxySettings
from swiftish.ring.even import PART_POWER
from swiftish.runtime.logs import Level
from swiftish.runtime.settings import BadSettings

WORKERS_MAX = 1000
DRAIN_TIMEOUT_S_MAX = 86_400


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What the data was laid out with: it can't be changed by changing a setting.

    `hash_prefix` and `hash_suffix` are secrets, made on the first start.
    """

    hash_prefix: str = ""
    hash_suffix: str = ""
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
    """The processes.  `workers`: how many serve; 0 means one for each core."""

    bind: str = "127.0.0.1:8080"
    workers: int = 0
    drain_timeout_s: float = 30.0
    log_level: Level = "info"
    access_log: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.workers <= WORKERS_MAX:
            raise ValueError(f"workers must be between 0 and {WORKERS_MAX}, not {self.workers}")
        if not 0 <= self.drain_timeout_s <= DRAIN_TIMEOUT_S_MAX:
            raise ValueError(
                f"drain_timeout_s must be between 0 and {DRAIN_TIMEOUT_S_MAX}, "
                f"not {self.drain_timeout_s}"
            )


@dataclass(frozen=True, kw_only=True)
class AuthSettings:
    tempauth: TempauthSettings = field(default_factory=TempauthSettings)


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """All settings of a node."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    policy: tuple[PolicySettings, ...] = ()
    server: ServerSettings = field(default_factory=ServerSettings)
    limits: Limits = field(default_factory=Limits)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    object: ObjectSettings = field(default_factory=ObjectSettings)

    def policies(self) -> PolicySet:
        """The storage policies.  Raises BadSettings."""
        found = self.policy or (PolicySettings(index=0, name="Policy-0", default=True),)
        alone = len(found) == 1
        policies = []
        for number, policy in enumerate(found):
            replicas = self.cluster.replicas if policy.replicas is None else policy.replicas
            if not 1 <= replicas <= self.cluster.devices:
                raise BadSettings(
                    f"policy[{number}].replicas: {replicas} replicas need as many devices; "
                    f"there are {self.cluster.devices}"
                )
            policies.append(
                Policy(
                    index=policy.index,
                    name=policy.name,
                    aliases=policy.aliases,
                    default=policy.default or alone,
                    deprecated=policy.deprecated,
                    replicas=replicas,
                )
            )
        try:
            return PolicySet(tuple(policies))
        except BadPolicies as error:
            raise BadSettings(f"policy: {error}") from None
