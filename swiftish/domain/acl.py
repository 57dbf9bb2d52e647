"""Container ACLs: who may read or write (reference 1.15).

A list with commas: groups (`account`, `account:user`), referrers (`.r:host`, `.r:-host`) and
`.rlistings`.  What is stored is the cleaned text; it is understood anew for each request.

Pure.
"""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from swiftish.domain.names import is_utf8

LISTINGS = ".rlistings"  # who may read by referrer may also list

_REFERRER = ".r:"
_REFERRER_SPELLINGS = frozenset({".r", ".ref", ".referer", ".referrer"})
_NO_REFERRER = "unknown"  # the host of a request without a Referer


class BadAcl(ValueError):
    """The ACL makes no sense; the message is a sentence for the client (status 400)."""


def clean_acl(name: str, value: str) -> str:
    """The stored form of an X-Container-Read or X-Container-Write (`name`, any case) header.

    Raises BadAcl for an unknown designator, a referrer without host, a referrer that may write,
    and for what is not UTF-8.
    """
    if not is_utf8(value):
        raise BadAcl("An ACL must be valid UTF-8.")
    may_refer = not name.lower().endswith("write")
    items = (item.strip() for item in value.split(","))
    return ",".join(_clean_item(item, may_refer=may_refer) for item in items if item)


def _clean_item(item: str, *, may_refer: bool) -> str:
    designator, colon, host = (part.strip() for part in item.partition(":"))
    if not colon or not designator.startswith("."):
        return item
    if designator not in _REFERRER_SPELLINGS:
        raise BadAcl(f"There is no {designator}: in ACLs, only {_REFERRER}")
    if not may_refer:
        raise BadAcl("A referrer can't be allowed to write.")
    negation = ""
    if host.startswith("-"):
        negation, host = "-", host[1:].strip()
    if host.startswith("*") and host != "*":
        host = host[1:].strip()
    if host in ("", "."):
        raise BadAcl("A referrer in an ACL has no host.")
    return f"{_REFERRER}{negation}{host}"


@dataclass(frozen=True, slots=True)
class Acl:
    """An ACL as understood: `referrers` in their order (the last that matches decides)."""

    referrers: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str | None) -> "Acl":
        """Read a stored ACL; never fails."""
        if not text:
            return _NOBODY
        referrers: list[str] = []
        groups: list[str] = []
        for item in text.split(","):
            if item.startswith(_REFERRER):
                referrers.append(item[len(_REFERRER) :])
            elif item:
                groups.append(unquote(item, errors="surrogateescape"))
        return cls(tuple(referrers), frozenset(groups))

    @property
    def lets_referrers_list(self) -> bool:
        return LISTINGS in self.groups

    def allows_referrer(self, referer: str | None) -> bool:
        """Whether a request with this Referer header (None: without) may read."""
        if not self.referrers:
            return False
        host = _host_of(referer)
        allowed = False
        for pattern in self.referrers:
            wanted = pattern.removeprefix("-")
            if (
                wanted == host
                or pattern == "*"
                or (wanted.startswith(".") and host.endswith(wanted))
            ):
                allowed = not pattern.startswith("-")
        return allowed


_NOBODY = Acl()


def _host_of(referer: str | None) -> str:
    try:
        return urlsplit(referer or "").hostname or _NO_REFERRER
    except ValueError:  # brackets that hold no IPv6 address
        return _NO_REFERRER
