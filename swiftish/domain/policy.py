"""Storage policies: which ring an object's data lives in, and how (reference 2.11).

Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal


class BadPolicies(ValueError):
    """The set of policies makes no sense; the message says why."""


def quorum_size(replicas: int) -> int:
    """How many of `replicas` must agree: half, rounded up (reference 2.2, vote)."""
    return (replicas + 1) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    index: int
    name: str
    replicas: int = 1
    aliases: tuple[str, ...] = ()
    default: bool = False
    deprecated: bool = False
    type: Literal["replicated"] = "replicated"

    @property
    def quorum(self) -> int:
        return quorum_size(self.replicas)

    @property
    def datadir(self) -> str:
        """The folder on a device: `objects`, or `objects-N` for another policy than 0."""
        return f"objects-{self.index}" if self.index else "objects"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies of a cluster; exactly one is the default."""

    policies: tuple[Policy, ...]
    _by_index: dict[int, Policy] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Policy] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_index: dict[int, Policy] = {}
        by_name: dict[str, Policy] = {}
        for policy in self.policies:
            if policy.index in by_index:
                raise BadPolicies(f"two policies have index {policy.index}")
            by_index[policy.index] = policy
            for name in policy.names:
                if not name or not all(c.isascii() and (c.isalnum() or c == "-") for c in name):
                    raise BadPolicies(f"policy name {name!r}: use letters, digits and -")
                if name.lower() in by_name:
                    raise BadPolicies(f"two policies are called {name!r}")
                by_name[name.lower()] = policy
        defaults = [policy for policy in self.policies if policy.default]
        if len(defaults) != 1:
            raise BadPolicies(f"exactly one policy must be the default, not {len(defaults)}")
        if defaults[0].deprecated:
            raise BadPolicies(f"policy {defaults[0].name!r} is deprecated: it can't be the default")
        if 0 not in by_index:
            raise BadPolicies("one policy must have index 0")
        object.__setattr__(self, "_by_index", by_index)
        object.__setattr__(self, "_by_name", by_name)

    @property
    def default(self) -> Policy:
        return next(policy for policy in self.policies if policy.default)

    def by_index(self, index: int) -> Policy | None:
        return self._by_index.get(index)

    def by_name(self, name: str) -> Policy | None:
        """Find by name or alias, whatever the case."""
        return self._by_name.get(name.lower())

    def __iter__(self) -> Iterator[Policy]:
        return iter(self.policies)
