"""What listings say, as workers read it.

Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson

from swiftish.domain.timestamp import Timestamp

T = TypeVar("T")


class BadListing(OSError):
    """The answer is no listing: something is wrong with whoever gave it."""


class ContainerEntry(NamedTuple):
    """A container in an account's listing."""

    name: str
    objects: int
    bytes: int


class ObjectEntry(NamedTuple):
    """An object in a container's listing.  `timestamp` has no offset: listings show none."""

    name: str
    etag: str
    bytes: int
    content_type: str
    timestamp: Timestamp


def entries(data: bytes, entry: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """The rows of a listing, each made an `entry`; none of an empty answer.  Raises BadListing."""
    try:
        return [entry(row) for row in orjson.loads(data)] if data else []
    except (ValueError, KeyError, TypeError) as error:
        raise BadListing(f"no listing: {error!r}") from error


def container_entry(row: Mapping[str, Any]) -> ContainerEntry:
    """A row of an account's listing."""
    return ContainerEntry(row["name"], row["count"], row["bytes"])


def object_entry(row: Mapping[str, Any]) -> ObjectEntry:
    """A row of a container's listing."""
    modified = Timestamp.from_iso(row["last_modified"])
    return ObjectEntry(row["name"], row["hash"], row["bytes"], row["content_type"], modified)
