"""The metadata that one request may carry: names, values, count, size (reference 1.0).

An account's or container's stored set is held to the limits once more where it is merged
(domain/metadata.py): several small requests must not add up to more.

Pure.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from swiftish.domain.limits import Limits
from swiftish.domain.names import RESERVED, is_utf8

Kind: TypeAlias = Literal["account", "container", "object"]


class BadMetadata(ValueError):
    """The metadata are refused; the message is a sentence for the client (status 400)."""


def check_metadata(headers: Mapping[str, str], kind: Kind, limits: Limits) -> None:
    """Hold the headers of a PUT or POST to the limits; sizes are counted in bytes.

    Raises BadMetadata.
    """
    prefix = f"x-{kind}-meta-"
    count = size = 0
    for header, value in headers.items():
        value_bytes = _length(value)
        if value_bytes > limits.max_header_size:
            raise BadMetadata(
                f"The value of header {_shown(header)} is longer than "
                f"{limits.max_header_size} bytes."
            )
        if not header.startswith(prefix):
            continue
        name = header[len(prefix) :]
        name_bytes = _length(name)
        if not name:
            raise BadMetadata("A metadata name is empty.")
        if kind != "object" and not (_is_clean(name) and _is_clean(value)):
            raise BadMetadata("Metadata must be valid UTF-8.")
        if name_bytes > limits.max_meta_name_length:
            raise BadMetadata(
                f"The metadata name {_shown(name)} is longer than "
                f"{limits.max_meta_name_length} bytes."
            )
        if value_bytes > limits.max_meta_value_length:
            raise BadMetadata(
                f"The value of metadata {_shown(name)} is longer than "
                f"{limits.max_meta_value_length} bytes."
            )
        count += 1
        size += name_bytes + value_bytes
    if count > limits.max_meta_count:
        raise BadMetadata(f"More than {limits.max_meta_count} metadata items.")
    if size > limits.max_meta_overall_size:
        raise BadMetadata(
            f"The metadata are larger than {limits.max_meta_overall_size} bytes in all."
        )


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _is_clean(text: str) -> bool:
    return is_utf8(text) and RESERVED not in text


def _shown(name: str) -> str:
    return name[:60].encode("utf-8", "replace").decode()
