"""Keep the system's own headers out of clients' requests, and out of answers to clients.

Here a header that only the system may send disappears at the door; cluster/wire.py, which lets
only known headers through to the storage servers, is the second line (reference 1.22; four
advisories in Swift's history come from having only the first).
"""

from collections.abc import Mapping
from functools import lru_cache

from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import plain

REMEMBERED = 1024  # names whose verdict is known: the same few come again and again

_SYSTEM_PREFIXES = (
    "x-account-sysmeta-",
    "x-backend",
    "x-container-sysmeta-",
    "x-object-sysmeta-",
    "x-object-transient-sysmeta-",
)

_SYSTEM = frozenset(
    f"x-{whose}-{what}"
    for whose in ("account", "container", "delete-at")
    for what in ("device", "host", "partition")
) | {"x-container-root-db-state", "x-delete-at-container", "x-put-timestamp"}

# What an auth middleware or a storage server says to the next, and no client may (CVE-2026-22797).
_INWARD_PREFIXES = (*_SYSTEM_PREFIXES, "x-identity-", "x-project-", "x-tenant-", "x-user-")
_INWARD = _SYSTEM | {
    *("x-domain-id", "x-domain-name", "x-is-admin-project", "x-role", "x-roles"),
    *("x-system-scope", "x-tenant", "x-user", "x-service-catalog"),
    *(f"x-service-{what}" for what in ("identity-status", "project-domain-id")),
    *(f"x-service-{what}" for what in ("project-domain-name", "project-id", "project-name")),
    *(f"x-service-{what}" for what in ("role", "roles", "user-domain-id", "user-domain-name")),
    *(f"x-service-{what}" for what in ("user-id", "user-name")),
    *("x-bytes-used", "x-content-type", "x-content-type-timestamp", "x-delete-timestamp"),
    *("x-etag", "x-meta-timestamp", "x-object-count", "x-size", "x-timestamp"),
}


class Gatekeeper:
    """Outermost of all that look at headers: everything inside may trust them."""

    def __init__(self, app: Handler) -> None:
        self._app = app

    async def __call__(self, request: Request) -> Response:
        headers = request.headers
        strays = [name for name in headers if name[:1] == "x" and _is_inward(name)]
        if strays:
            request = request.replace(headers=_without(headers, strays))
        if "x-static-large-object" in headers and request.method not in ("GET", "HEAD", "OPTIONS"):
            return plain(400, "X-Static-Large-Object is the system's own, it can't be sent.")
        response = await self._app(request)
        told = response.headers
        strays = [name for name in told if name[:1] == "x" and _is_systems(name)]
        if strays:
            return response.replace(headers=_without(told, strays))
        return response


@lru_cache(REMEMBERED)
def _is_inward(name: str) -> bool:
    plain = name.strip().casefold()  # U+212A is a K to some, U+017F an s
    return plain.startswith(_INWARD_PREFIXES) or plain in _INWARD or _is_disguised(name)


@lru_cache(REMEMBERED)
def _is_systems(name: str) -> bool:
    return name.startswith(_SYSTEM_PREFIXES) or name in _SYSTEM


def _is_disguised(name: str) -> bool:
    """A name that somebody further in might take for another: `x_container-host` (T88).

    Beyond ASCII there is no disguise: metadata may be called anything.
    """
    return any(c <= " " or c == "_" or "A" <= c <= "Z" for c in name)


def _without(headers: Mapping[str, str], strays: list[str]) -> dict[str, str]:
    kept = dict(headers)
    for name in strays:
        del kept[name]
    return kept
