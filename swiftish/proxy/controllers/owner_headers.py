"""Headers that only an account's owner may see and set (reference 1.3, swift_owner_headers).

Pure.
"""

from collections.abc import Mapping

OWNER_HEADERS = frozenset(
    {
        "x-container-read",
        "x-container-write",
        "x-container-sync-key",
        "x-container-sync-to",
        "x-account-meta-temp-url-key",
        "x-account-meta-temp-url-key-2",
        "x-container-meta-temp-url-key",
        "x-container-meta-temp-url-key-2",
        "x-account-access-control",
    }
)
_REMOVALS = frozenset(f"x-remove-{name.removeprefix('x-')}" for name in OWNER_HEADERS)


def without_owner_headers(headers: Mapping[str, str], *, owner: bool) -> Mapping[str, str]:
    """All headers for the owner; for others, those that are not the owner's own business.

    Of an answer this hides them; of a request it drops them silently.
    """
    if owner:
        return headers
    return {
        name: value
        for name, value in headers.items()
        if name not in OWNER_HEADERS and name not in _REMOVALS
    }
