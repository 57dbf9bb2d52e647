"""What crosses between the proxy and the storage servers, by allow-list (docs: backend.md).

A header that is not named here does not reach a storage server, whoever sent it; and what a
storage server says about itself does not reach a client.

Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from swiftish.ring.device import Device

Verb = Literal["PUT", "POST"]

# What objects keep beside their metadata (reference 2.3, allowed_headers).
OBJECT_HEADERS = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-language",
        "cache-control",
        "expires",
        "x-robots-tag",
        "x-delete-at",
        "x-object-manifest",
        "x-static-large-object",
    }
)
CONTAINER_HEADERS = frozenset(
    {"x-container-read", "x-container-write", "x-container-sync-key", "x-container-sync-to"}
)

# Whether a request is to find objects that have expired and are not deleted yet.
OPEN_EXPIRED = "x-backend-open-expired"
# Of a change of an object: whether the replica takes the object's old row out of the queue of
# those that are to expire; missing means that it does.
CLEAN_QUEUE = "x-backend-clean-expiring-object-queue"
# Of what a container tells its account: that it is to be taken down also when the account is
# deleted; `yes` from who empties it, and of totals, which concern what is there in any case.
OVERRIDE_DELETED = "x-account-override-deleted"

_ALLOWED: Mapping[tuple[str, str], frozenset[str]] = {
    ("account", "PUT"): frozenset(),
    ("account", "POST"): frozenset(),
    ("container", "PUT"): CONTAINER_HEADERS,
    ("container", "POST"): CONTAINER_HEADERS,
    ("object", "PUT"): OBJECT_HEADERS | {"content-type", "etag", "if-none-match"},
    ("object", "POST"): (OBJECT_HEADERS - {"x-static-large-object"}) | {"content-type"},
}
_FAMILIES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("account", "PUT"): ("x-account-meta-", "x-account-sysmeta-"),
    ("account", "POST"): ("x-account-meta-", "x-account-sysmeta-"),
    ("container", "PUT"): ("x-container-meta-", "x-container-sysmeta-"),
    ("container", "POST"): ("x-container-meta-", "x-container-sysmeta-"),
    ("object", "PUT"): ("x-object-meta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"),
    ("object", "POST"): ("x-object-meta-", "x-object-transient-sysmeta-"),
}
# X-Remove-Container-Read: anything clears the header (reference 2.2, backend request headers).
_REMOVABLE: Mapping[str, frozenset[str]] = {
    "account": frozenset(),
    "container": CONTAINER_HEADERS,
}

# Facts that clients hear about what is stored, beside the kept headers and metadata.
_TOLD: Mapping[str, frozenset[str]] = {
    "account": frozenset(
        {
            "x-account-container-count",
            "x-account-object-count",
            "x-account-bytes-used",
            "x-timestamp",
            "content-type",
        }
    ),
    "container": frozenset(
        {
            "x-container-object-count",
            "x-container-bytes-used",
            "x-timestamp",
            "last-modified",
            "content-type",
        }
    )
    | CONTAINER_HEADERS,
    "object": frozenset({"content-type", "content-range", "etag", "last-modified", "x-timestamp"})
    | OBJECT_HEADERS,
}
# System metadata is told too: middleware live on it, and the gatekeeper keeps it from clients.
_TOLD_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "account": ("x-account-meta-", "x-account-sysmeta-", "x-account-storage-policy-"),
    "container": ("x-container-meta-", "x-container-sysmeta-"),
    "object": ("x-object-meta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"),
}


def kept_headers(
    kind: Literal["account", "container", "object"], verb: Verb, headers: Mapping[str, str]
) -> dict[str, str]:
    """Those of a client's headers that a storage server may keep.

    `x-remove-container-meta-foo` and its like become an empty value, unless the same request
    sets what it removes.
    """
    allowed, families = _ALLOWED[kind, verb], _FAMILIES[kind, verb]
    kept = {
        name: value
        for name, value in headers.items()
        if name in allowed or (name.startswith("x-") and name.startswith(families))
    }
    if kind == "object":
        return kept
    for name in headers:
        if name.startswith("x-remove-"):
            removed = f"x-{name.removeprefix('x-remove-')}"
            if removed in _REMOVABLE[kind] or removed.startswith(f"x-{kind}-meta-"):
                kept.setdefault(removed, "")
    return kept


def told_headers(
    kind: Literal["account", "container", "object"], headers: Mapping[str, str]
) -> dict[str, str]:
    """Those of a storage server's headers that leave the cluster layer."""
    told, families = _TOLD[kind], _TOLD_FAMILIES[kind]
    return {
        name: value
        for name, value in headers.items()
        if name in told or (name.startswith("x-") and name.startswith(families))
    }


def update_headers(
    kind: Literal["account", "container", "delete-at"],
    partition: int,
    nodes: Sequence[Device],
    *,
    requests: int,
    updates: int,
) -> list[dict[str, str]]:
    """For each of `requests` requests, the headers that name the nodes which it must tell.

    `updates` updates are dealt out in turn; a request that is dealt none gets no headers.
    """
    dealt: list[list[Device]] = [[] for _ in range(requests)]
    if nodes:
        for index in range(updates):
            node = nodes[index % len(nodes)]
            if node not in dealt[index % requests]:
                dealt[index % requests].append(node)
    return [_update_headers(kind, partition, told) if told else {} for told in dealt]


def _update_headers(kind: str, partition: int, nodes: Sequence[Device]) -> dict[str, str]:
    return {
        f"x-{kind}-partition": str(partition),
        f"x-{kind}-host": ",".join(node.address for node in nodes),
        f"x-{kind}-device": ",".join(node.device for node in nodes),
    }
