"""What /info says: the features that are switched on, and their limits (reference 1.1, 2.2).

Each section is named and spelled as Swift's, because clients look for them by name.

Pure.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from swiftish import __version__
from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet

Capabilities: TypeAlias = Mapping[str, Mapping[str, Any]]


def capabilities(
    *,
    limits: Limits,
    policies: PolicySet,
    allow_account_management: bool,
    account_autocreate: bool,
    allow_open_expired: bool,
    strict_cors_mode: bool,
    tempauth: bool,
) -> dict[str, dict[str, Any]]:
    """Section -> its values, ready for JSON."""
    sections: dict[str, dict[str, Any]] = {
        "swift": {
            "version": __version__,
            "strict_cors_mode": strict_cors_mode,
            "policies": [_policy(policy) for policy in policies if not policy.deprecated],
            "allow_account_management": allow_account_management,
            "account_autocreate": account_autocreate,
            "allow_open_expired": allow_open_expired,
            "max_request_line": limits.max_header_size,
            **asdict(limits),
        },
    }
    if tempauth:
        sections["tempauth"] = {"account_acls": True}
    return sections


def _policy(policy: Policy) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": policy.name, "aliases": ", ".join(policy.names)}
    if policy.default:
        shown["default"] = True
    return shown
