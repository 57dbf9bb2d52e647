"""The files of an object: `<timestamp>.data`, `.meta`, `.ts`, spelled as Swift spells them.

`.data` may name a fragment of an erasure-coded object, `#3` or, once durable, `#3#d`.  `.meta`
names the age of the content type in it as a signed hexadecimal difference, in 10 microseconds:
`1700000000.00000-2af8.meta`; without one it has no content type (reference 2.4).

Pure.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from swiftish.domain.timestamp import BadTimestamp, Timestamp

Kind: TypeAlias = Literal["data", "meta", "ts"]


@dataclass(frozen=True, slots=True)
class FileName:
    """One parsed name.  `text` is the name itself."""

    text: str
    timestamp: Timestamp
    kind: Kind
    fragment: int | None = None
    durable: bool = True
    content_type_timestamp: Timestamp | None = None


def data_name(timestamp: Timestamp) -> str:
    return f"{timestamp.internal}.data"


def tombstone_name(timestamp: Timestamp) -> str:
    return f"{timestamp.internal}.ts"


def meta_name(timestamp: Timestamp, content_type_timestamp: Timestamp | None) -> str:
    """The name of a `.meta`; the second timestamp is that of the content type in it, if any."""
    if content_type_timestamp is None:
        return f"{timestamp.internal}.meta"
    return f"{timestamp.internal}{content_type_timestamp.raw - timestamp.raw:+x}.meta"


def parse(text: str) -> FileName | None:
    """The parts of a name; None when it is not one of ours (a lock, say): such are left alone."""
    stem, dot, suffix = text.rpartition(".")
    if not dot:
        return None
    try:
        if suffix == "data":
            return _parse_data(text, stem)
        if suffix == "ts":
            return FileName(text, Timestamp.parse(stem), "ts")
        if suffix == "meta":
            return _parse_meta(text, stem)
    except (BadTimestamp, ValueError):
        return None
    return None


def _parse_data(text: str, stem: str) -> FileName | None:
    if "#" not in stem:
        return FileName(text, Timestamp.parse(stem), "data")
    first, fragment, *mark = stem.split("#")
    if mark not in ([], ["d"]) or not fragment.isdigit():
        return None
    return FileName(text, Timestamp.parse(first), "data", int(fragment), mark == ["d"])


def _parse_meta(text: str, stem: str) -> FileName:
    cut = max(stem.rfind("+"), stem.rfind("-"))
    if cut < 0:
        return FileName(text, Timestamp.parse(stem), "meta")
    timestamp = Timestamp.parse(stem[:cut])
    content_type_timestamp = Timestamp(timestamp.raw + int(stem[cut:], 16))
    return FileName(text, timestamp, "meta", content_type_timestamp=content_type_timestamp)
