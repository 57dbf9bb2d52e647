"""An object as clients see it: its `.data` with what later POSTs changed.

A POST replaces all user metadata and allowed headers, whether or not it names them; system
metadata, and whether the object is a manifest, stay as the PUT left them (reference 2.3).

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.domain.timestamp import Timestamp
from swiftish.object.metadata import SYSMETA, Metadata

STATIC_LARGE_OBJECT = "x-static-large-object"
DELETE_AT = "x-delete-at"


@dataclass(frozen=True, slots=True)
class Current:
    """`timestamp` is the newest of data and metadata; `headers` are all that are kept."""

    data: Metadata
    timestamp: Timestamp
    content_type: str
    content_type_timestamp: Timestamp
    headers: Mapping[str, str]

    @property
    def content_length(self) -> int:
        assert self.data.content_length is not None
        return self.data.content_length

    @property
    def etag(self) -> str:
        assert self.data.etag is not None
        return self.data.etag

    @property
    def delete_at(self) -> int | None:
        """When the object expires, in seconds since the epoch."""
        text = self.headers.get(DELETE_AT)
        return int(text) if text is not None and text.isdecimal() else None

    def expired(self, *, now: float) -> bool:
        delete_at = self.delete_at
        return delete_at is not None and delete_at <= now


def merge(
    data: Metadata, meta: Metadata | None = None, content_type_meta: Metadata | None = None
) -> Current:
    """The object of a `.data`, and of the `.meta` that object/hashdir.py chose."""
    content_type, since = data.content_type or "application/octet-stream", data.timestamp
    for other in (meta, content_type_meta):
        if other is not None and other.content_type is not None:
            changed = other.content_type_timestamp or other.timestamp
            if changed > since:
                content_type, since = other.content_type, changed
    if meta is None:
        return Current(data, data.timestamp, content_type, since, data.headers)
    headers = {
        name: value
        for name, value in data.headers.items()
        if name.startswith(SYSMETA) or name == STATIC_LARGE_OBJECT
    }
    headers.update(meta.headers)
    return Current(data, meta.timestamp, content_type, since, headers)
