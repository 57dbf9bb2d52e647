"""Listings: prefix, delimiter, path, markers, reverse, over any sorted names (reference 2.6).

Swift itself, asked with `path`, overlooks an object whose name is a shown folder's with "0" in the
place of the slash, and backwards the objects that stand for folders; here they are listed.

A page is one walk.  Where a name shows a subdirectory, the walk goes on behind it: a thousand
subdirectories of a million names cost a thousand steps.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias, TypeVar

from swiftish.domain.names import RESERVED, is_utf8

V = TypeVar("V")

# (start, stop) -> the names with start <= name < stop (no stop: all), in the listing's direction.
Walk: TypeAlias = Callable[[bytes, bytes | None], Iterable[tuple[bytes, V]]]

TRUE_WORDS = frozenset({"true", "1", "yes", "on", "t", "y"})
_UNRESERVED = bytes((ord(RESERVED) + 1,))  # the least name that is not the system's own


class BadQuery(ValueError):
    """A parameter makes no sense; `status` is 400, or 412 for a limit that is too high."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a client asks a listing for.  Markers are exclusive, an empty one is none.

    `path` is the older way to ask for one level: like prefix `path/` with delimiter `/`, but
    without subdirectories.  `reserved` shows names that are the system's own.
    """

    limit: int
    marker: bytes = b""
    end_marker: bytes = b""
    prefix: bytes = b""
    delimiter: bytes = b""
    path: bytes | None = None
    reverse: bool = False
    reserved: bool = False

    @classmethod
    def parse(cls, params: Mapping[str, str], *, limit_max: int, reserved: bool = False) -> "Query":
        """Read a query string's parameters.  Raises BadQuery."""
        limit = limit_max
        text = params.get("limit", "")
        if text.isascii() and text.isdigit():
            limit = int(text)
            if limit > limit_max:
                raise BadQuery(412, f"Maximum limit is {limit_max}")
        for name in ("marker", "end_marker", "prefix", "delimiter", "path"):
            if not is_utf8(params.get(name, "")):
                raise BadQuery(400, f'"{name}" parameter not valid UTF-8')
        return cls(
            limit=limit,
            marker=params.get("marker", "").encode(),
            end_marker=params.get("end_marker", "").encode(),
            prefix=params.get("prefix", "").encode(),
            delimiter=params.get("delimiter", "").encode(),
            path=params["path"].encode() if "path" in params else None,
            reverse=params.get("reverse", "").lower() in TRUE_WORDS,
            reserved=reserved,
        )


def page(walk: Walk[V], query: Query) -> list[tuple[bytes, V | None]]:
    """One page: names with their values, subdirectories with None, at most `limit` in all."""
    prefix, delimiter = query.prefix, query.delimiter
    if query.path is not None:
        prefix = query.path.rstrip(b"/") + b"/" if query.path else b""
        delimiter = b"/"
    below, above = (
        (query.end_marker, query.marker) if query.reverse else (query.marker, query.end_marker)
    )
    low = max(prefix, below + b"\0" if below else b"", b"" if query.reserved else _UNRESERVED)
    high = after_prefix(prefix)
    if above and (high is None or above < high):
        high = above
    if not delimiter:
        return list(islice(walk(low, high), query.limit))
    if query.path is not None:
        return _one_level(walk, low, high, prefix=prefix, query=query)
    return _folded(walk, low, high, len(prefix), delimiter=delimiter, hidden=below, query=query)


def after_prefix(prefix: bytes) -> bytes | None:
    """The least name greater than all that begin with `prefix`; None when there is no such."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _folded(
    walk: Walk[V],
    low: bytes,
    high: bytes | None,
    skip: int,
    *,
    delimiter: bytes,
    hidden: bytes,
    query: Query,
) -> list[tuple[bytes, V | None]]:
    """Names below a delimiter fold into one subdirectory, shown unless a marker names it."""
    found: list[tuple[bytes, V | None]] = []
    while len(found) < query.limit and (high is None or low < high):
        for name, value in walk(low, high):
            end = name.find(delimiter, skip)
            if end < 0:
                found.append((name, value))
                if len(found) == query.limit:
                    return found
                continue
            folder = name[: end + len(delimiter)]
            if folder != hidden:
                found.append((folder, None))
            if query.reverse:
                high = folder
            elif (after := after_prefix(folder)) is not None:
                low = after
            else:
                return found
            break
        else:
            return found
    return found


def _one_level(
    walk: Walk[V], low: bytes, high: bytes | None, *, prefix: bytes, query: Query
) -> list[tuple[bytes, V | None]]:
    """Names directly in the folder `prefix`, among them objects that stand for folders (`a/`)."""
    found: list[tuple[bytes, V | None]] = []
    while len(found) < query.limit and (high is None or low < high):
        for name, value in walk(low, high):
            if name == prefix:
                continue
            end = name.find(b"/", len(prefix))
            if end < 0 or end == len(name) - 1:
                found.append((name, value))
                if len(found) == query.limit:
                    return found
                continue
            folder = name[: end + 1]
            if query.reverse:
                high = folder + b"\0"  # the object that stands for the folder is still to come
            else:
                low = folder[:-1] + b"0"  # the byte after "/"
            break
        else:
            return found
    return found
