"""Names of accounts, containers and objects, and the paths that spell them.

Inside the program a path is percent-decoded text; bytes that are not UTF-8 are kept as
surrogate escapes until somebody refuses them.  Only the socket sees percent signs.

Pure.
"""

from dataclasses import dataclass
from urllib.parse import quote as _quote

RESERVED = "\0"  # names that begin with it are the system's own (versions)
API_VERSIONS = ("v1", "v1.0")


class BadPath(ValueError):
    """The path names nothing that could exist; `status` is what the client is told."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Target:
    """An account, or a container in it, or an object in that."""

    account: str
    container: str | None = None
    object: str | None = None

    @property
    def path(self) -> str:
        """`/account[/container[/object]]`, decoded: what is hashed and logged."""
        if self.container is None:
            return f"/{self.account}"
        if self.object is None:
            return f"/{self.account}/{self.container}"
        return f"/{self.account}/{self.container}/{self.object}"


def quote(text: str, safe: str = "/") -> str:
    """Percent-encode `text` for a path or header; surrogate escapes become their bytes."""
    return _quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def is_utf8(text: str) -> bool:
    """Whether decoded text was valid UTF-8 (no surrogate escapes left)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_target(path: str, *, reserved: bool = False) -> Target:
    """Split a client's decoded path `/v1/account[/container[/object]]` (reference 2.2, step 5).

    Raises BadPath 412 when there is no account, the text is not UTF-8 or, unless `reserved` names
    are allowed, holds a NUL;
    400 for an unknown version; 404 for an empty account or container before another slash.
    """
    if not is_utf8(path) or (RESERVED in path and not reserved):
        raise BadPath(412, "Invalid UTF8 or contains NULL")
    parts = path.split("/", 4)
    if parts[0] or len(parts) < 2 or not parts[1]:
        raise BadPath(404, "The resource could not be found.")
    version, *names = parts[1:]
    if not all(names[:-1]):
        raise BadPath(404, "The resource could not be found.")
    account, container, obj = [*names, "", "", ""][:3]
    if not account:
        raise BadPath(412, "Bad URL")
    if version not in API_VERSIONS:
        raise BadPath(400, f"Unknown API version: use one of {', '.join(API_VERSIONS)}.")
    return Target(account, container or None, obj or None)


def split_pair(text: str) -> tuple[str, str]:
    """`[/]container/object` as in X-Copy-From and Destination, decoded.

    Raises ValueError when either half is missing.
    """
    container, slash, obj = text.removeprefix("/").partition("/")
    if not (container and slash and obj):
        raise ValueError(f"not container/object: {text[:60]!r}")
    return container, obj
