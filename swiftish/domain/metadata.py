"""Metadata of accounts and containers: per key, the newest value wins (reference 2.5).

Pure.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from swiftish.domain.limits import Limits
from swiftish.domain.timestamp import ZERO, Timestamp

# Lower-case header name -> value and when it was set; "" says that it was removed then.
Metadata: TypeAlias = Mapping[str, tuple[str, Timestamp]]


class TooMuchMetadata(ValueError):
    """The merged set is beyond the limits; the message says which."""


def merge(a: Metadata, b: Metadata) -> dict[str, tuple[str, Timestamp]]:
    """Of each key the newest value; of two from one moment the greater."""
    merged = dict(a)
    for name, new in b.items():
        old = merged.get(name)
        if old is None or new[::-1] > old[::-1]:
            merged[name] = new
    return merged


def cleared(metadata: Metadata, timestamp: Timestamp) -> dict[str, tuple[str, Timestamp]]:
    """All removed, as of `timestamp`: what deleting a container does."""
    return merge(metadata, dict.fromkeys(metadata, ("", timestamp)))


def newest(metadata: Metadata, names: Iterable[str]) -> Timestamp:
    """When the last of these keys was set or removed."""
    return max((metadata[name][1] for name in names if name in metadata), default=ZERO)


def present(metadata: Metadata) -> dict[str, str]:
    """What has a value."""
    return {name: value for name, (value, _) in metadata.items() if value}


def check(metadata: Metadata, *, prefix: str, limits: Limits) -> None:
    """Hold the set to the limits; only user metadata (`prefix`) counts.

    Raises TooMuchMetadata.
    """
    count = size = 0
    for name, value in present(metadata).items():
        if name.startswith(prefix):
            count += 1
            size += len(name.encode("utf-8", "surrogateescape")) - len(prefix)
            size += len(value.encode("utf-8", "surrogateescape"))
    if count > limits.max_meta_count:
        raise TooMuchMetadata(f"Too many metadata items; max {limits.max_meta_count}")
    if size > limits.max_meta_overall_size:
        raise TooMuchMetadata(f"Total metadata too large; max {limits.max_meta_overall_size}")
