"""Account ACLs: whom an account's owner lets into all of it (reference 1.15, v2).

A client sends and sees `X-Account-Access-Control`, a JSON object of lists of group names; stored
is the same object as the system metadata `core-access-control`.

Pure.
"""

from dataclasses import dataclass
from typing import cast

import orjson

ADMIN, READ_WRITE, READ_ONLY = "admin", "read-write", "read-only"
LEVELS = (ADMIN, READ_WRITE, READ_ONLY)


class BadAccountAcl(ValueError):
    """The ACL makes no sense; the message is a sentence for the client (status 400)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAcl:
    """Groups by what they may do: `admin` whatever the owner may, `read_write` change containers
    and objects, `read_only` look."""

    admin: frozenset[str] = frozenset()
    read_write: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()


NOBODY = AccountAcl()


def clean_account_acl(text: str) -> str:
    """The stored form of a client's header: compact sorted ASCII JSON, or "" to remove it.

    Raises BadAccountAcl.
    """
    lists = _parse(text)
    return _ascii(orjson.dumps(lists, option=orjson.OPT_SORT_KEYS).decode()) if lists else ""


def parse_account_acl(stored: str | None) -> AccountAcl:
    """Read the stored form; what makes no sense lets nobody in."""
    if not stored:
        return NOBODY
    try:
        lists = _parse(stored)
    except BadAccountAcl:
        return NOBODY
    admin, read_write, read_only = (frozenset(lists.get(level, ())) for level in LEVELS)
    return AccountAcl(admin=admin, read_write=read_write, read_only=read_only)


def _parse(text: str) -> dict[str, list[str]]:
    if not text.strip():
        return {}
    try:
        found = orjson.loads(text.encode("utf-8", "surrogateescape"))
    except orjson.JSONDecodeError:
        raise BadAccountAcl("It is not valid JSON.") from None
    if not isinstance(found, dict):
        raise BadAccountAcl("It is not a JSON object.")
    for level, groups in found.items():
        if level not in LEVELS:
            raise BadAccountAcl(f"Its keys are {', '.join(LEVELS)}, not {level[:60]!r}.")
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise BadAccountAcl(f"Its {level!r} is not a list of strings.")
    return cast("dict[str, list[str]]", found)


def _ascii(text: str) -> str:
    """JSON text with escapes for all that is not ASCII: it travels in a header."""
    if text.isascii():
        return text
    units = text.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)
