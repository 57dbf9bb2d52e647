"""Authorization has two halves: who is asking (middleware), and what the ACL says (controller).

An auth middleware leaves an Authorizer in the context; the controller, which knows the ACL, asks
it.  Its answer is a value.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from swiftish.domain.names import Target
from swiftish.http.message import Request
from swiftish.http.replies import Refusal

if TYPE_CHECKING:
    from swiftish.proxy.request import ProxyContext


class Verdict(Enum):
    ALLOWED = "allowed"
    DENIED = "denied"  # known, and may not: 403
    UNAUTHENTICATED = "unauthenticated"  # not known: 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`owner`: may see and set the owner-only headers (ACLs, sync keys, temp-URL keys).

    `reseller`: may do what only a reseller's administrator may (quotas, account deletion).
    """

    verdict: Verdict
    owner: bool = False
    reseller: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)  # of the refusal: WWW-Authenticate


class Authorizer(Protocol):
    """Knows who is asking."""

    async def __call__(self, request: Request, target: Target, acl: str | None) -> Answer:
        """`acl` is the container's read or write ACL that applies; None where there is none."""
        ...


ANYONE = Answer(verdict=Verdict.ALLOWED, owner=True, reseller=True)


async def authorize(
    context: "ProxyContext", request: Request, target: Target, *, acl: str | None
) -> Answer:
    """Ask the context's authorizer; raises Refusal 401 or 403 unless it allows."""
    if context.authorizer is None:
        return ANYONE
    answer = await context.authorizer(request, target, acl)
    match answer.verdict:
        case Verdict.ALLOWED:
            return answer
        case Verdict.DENIED:
            raise Refusal(403, headers=answer.headers)
        case Verdict.UNAUTHENTICATED:
            raise Refusal(401, headers=answer.headers)
