"""Name to hash, hash to partition (reference 2.4, 2.10).

Pure.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HashPath:
    """The cluster's secret prefix and suffix, mixed into every name's hash.

    Without them a client could choose names that all fall on one device.
    """

    prefix: bytes
    suffix: bytes

    def __post_init__(self) -> None:
        assert self.prefix or self.suffix, "a cluster needs a hash prefix or suffix"

    def __call__(self, account: str, container: str | None = None, obj: str | None = None) -> bytes:
        """The 16-byte hash of a name: md5(prefix + /a[/c[/o]] + suffix)."""
        assert obj is None or container is not None
        path = f"/{account}"
        if container is not None:
            path = f"{path}/{container}" if obj is None else f"{path}/{container}/{obj}"
        data = self.prefix + path.encode("utf-8", "surrogateescape") + self.suffix
        return hashlib.md5(data, usedforsecurity=False).digest()


def partition_of(digest: bytes, *, power: int) -> int:
    """The partition of a name's hash in a ring of 2**power partitions; 0 <= power <= 32."""
    return int.from_bytes(digest[:4], "big") >> (32 - power)
