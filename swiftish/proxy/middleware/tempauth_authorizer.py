"""What tempauth's users may do (reference 1.15, 1.16).

In order: a reseller's administrator anything; a reseller's reader look at anything; an account's
administrator all but make and delete the account; then whom the container's ACL lets in, by
referrer or by group; then whom the account's ACL lets in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.domain.account_acl import parse_account_acl
from swiftish.domain.acl import Acl
from swiftish.domain.names import Target, quote
from swiftish.http.message import Request
from swiftish.proxy.authorize import ANYONE, Answer, Verdict
from swiftish.proxy.infos import Infos

ACCOUNT_ACL = "core-access-control"  # the account's system metadata that holds it
RESELLER_ADMIN = ".reseller_admin"
RESELLER_READER = ".reseller_reader"
NO_GROUPS: frozenset[str] = frozenset()

_RESELLER = ANYONE
_OWNER = Answer(verdict=Verdict.ALLOWED, owner=True)
_GUEST = Answer(verdict=Verdict.ALLOWED)
_DENIED = Answer(verdict=Verdict.DENIED)
_READS = ("GET", "HEAD")


def challenge(account: str) -> dict[str, str]:
    """The header of a 401.  The name is quoted: it must not end the header (CVE-2014-3497)."""
    return {"www-authenticate": f'Swift realm="{quote(account, safe="") or "unknown"}"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseller:
    """`prefixes`: what our accounts' names begin with, longest first; `require_group` by prefix."""

    prefixes: tuple[str, ...]
    require_group: Mapping[str, str]

    def prefix_of(self, account: str) -> str | None:
        """The prefix of one of our accounts; None for somebody else's."""
        for prefix in self.prefixes:
            if account.startswith(prefix):
                return prefix
        return None


class TempauthAuthorizer:
    """An Authorizer for one client, who is in `groups`; NO_GROUPS: nobody knows who it is."""

    __slots__ = ("_groups", "_infos", "_reseller")

    def __init__(self, reseller: Reseller, infos: Infos, groups: frozenset[str]) -> None:
        self._reseller = reseller
        self._infos = infos
        self._groups = groups

    async def __call__(self, request: Request, target: Target, acl: str | None) -> Answer:
        account, groups, method = target.account, self._groups, request.method
        prefix = self._reseller.prefix_of(account)
        if prefix is None:
            return self._refused(account)
        if RESELLER_ADMIN in groups and _is_a_clients(account, prefix):
            return _RESELLER
        if RESELLER_READER in groups and method in _READS and _is_a_clients(account, prefix):
            return _GUEST
        if account in groups and (target.container or method not in ("PUT", "DELETE")):
            required = self._reseller.require_group.get(prefix)
            if required is None or required in groups:
                return _OWNER
        if method == "OPTIONS":
            return _GUEST
        if acl and self._is_let_in(Acl.parse(acl), request, target):
            return _GUEST
        if groups:
            return await self._by_account_acl(request, target)
        return self._refused(account)

    def _is_let_in(self, acl: Acl, request: Request, target: Target) -> bool:
        """By the container's ACL.  Who may read by referrer may list only with .rlistings."""
        by_referrer = target.object is not None or acl.lets_referrers_list
        if by_referrer and acl.allows_referrer(request.headers.get("referer")):
            return True
        return not acl.groups.isdisjoint(self._groups)

    async def _by_account_acl(self, request: Request, target: Target) -> Answer:
        info = await self._infos.account(request, target.account)
        acl = parse_account_acl(info.sysmeta.get(ACCOUNT_ACL))
        if not acl.admin.isdisjoint(self._groups):
            return _OWNER
        reads = request.method in _READS
        if (target.container or reads) and not acl.read_write.isdisjoint(self._groups):
            return _GUEST
        if reads and not acl.read_only.isdisjoint(self._groups):
            return _GUEST
        return _DENIED

    def _refused(self, account: str) -> Answer:
        if self._groups:
            return _DENIED
        return Answer(verdict=Verdict.UNAUTHENTICATED, headers=challenge(account))


def _is_a_clients(account: str, prefix: str) -> bool:
    """Not the bare prefix, nor one of the system's own accounts, `AUTH_.name`."""
    return account != prefix and account[len(prefix)] != "."
