"""Which storage policy a container has, when it was made in several (reference 2.7).

A split brain lets two proxies make one container in two policies.  Each policy then has a *claim*:
what those who made and used the container in it know of it.  Claims of one policy are joined field
by field, replicas exchange all of them, and the winner is a function of the set: so all replicas
come to the same one, in whatever order they have met.

Pure.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from swiftish.domain.timestamp import ZERO, Timestamp


class Claim(NamedTuple):
    """When the container was last put and deleted, and when it was made, in this policy.

    A container that is deleted is so in all policies that are known there; one that is made again
    is made in one policy.
    """

    put: Timestamp
    delete: Timestamp
    made: Timestamp


Claims: TypeAlias = Mapping[int, Claim]

_Rank: TypeAlias = tuple[bool, bool, bool, tuple[int, ...], int]


def joined(a: Claims, b: Claims) -> dict[int, Claim]:
    """What either knows, and of each claim the latest."""
    both = dict(a)
    for policy_index, claim in b.items():
        both[policy_index] = _join(both[policy_index], claim) if policy_index in both else claim
    return both


def used(claims: Claims, timestamp: Timestamp) -> dict[int, Claim]:
    """The container was put once more, in the policy that it has."""
    index = winner(claims)
    return {**claims, index: _join(claims[index], Claim(timestamp, ZERO, ZERO))}


def deleted(claims: Claims, timestamp: Timestamp) -> dict[int, Claim]:
    """The container was deleted."""
    gone = Claim(ZERO, timestamp, ZERO)
    return {index: _join(claim, gone) for index, claim in claims.items()}


def made_again(
    claims: Claims, policy_index: int, *, delete: Timestamp, timestamp: Timestamp
) -> dict[int, Claim]:
    """The container, last deleted at `delete`, is made again in a policy, which wins."""
    return joined(deleted(claims, delete), {policy_index: Claim(timestamp, delete, timestamp)})


def winner(claims: Claims) -> int:
    """The policy of a container; 0 where nobody claims any (an account)."""
    if len(claims) < 2:
        return next(iter(claims), 0)
    latest_delete = max(claim.delete for claim in claims.values())
    return max(claims, key=lambda index: _rank(index, claims[index], latest_delete))


def _join(a: Claim, b: Claim) -> Claim:
    return Claim(max(a.put, b.put), max(a.delete, b.delete), max(a.made, b.made))


def _rank(policy_index: int, claim: Claim, latest_delete: Timestamp) -> _Rank:
    """The greatest wins: it is alive; made again after a deletion; put since the latest deletion
    of all, where that deletion is not its own; made first.  Of the dead, deleted last."""
    put, delete, made = claim
    if put < delete:
        since = delete.raw, delete.offset, made.raw, made.offset
        return False, False, False, since, -policy_index
    again = delete > ZERO
    return True, again, again and put >= latest_delete, (-made.raw, -made.offset), -policy_index
