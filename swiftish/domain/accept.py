"""The Accept header: which of the types on offer a client likes best (RFC 9110, 12.5.1).

Read in one pass without regular expressions, so that no header can make it slow (T81).  As in
Swift (reference 1.3), types are compared as written, and a q of 0 is only the last choice.

Pure.
"""

from collections.abc import Sequence
from math import isnan

_SEPARATORS = frozenset('()<>@,;:\\"/[]?={} \t\r\n')


class BadAccept(ValueError):
    """The header is malformed (status 400)."""


def best_match(header: str, offers: Sequence[str]) -> str | None:
    """The offer that the header likes best, the first of equals; None when it likes none.

    An empty header likes everything.  Raises BadAccept.
    """
    if not header:
        return offers[0]
    ranges = [_media_range(text) for text in header.split(",")]
    ranges.sort(key=lambda each: (-each[1], "*" in each[0]))
    for (kind, subtype), _ in ranges:
        for offer in offers:
            offered_kind, _, offered_subtype = offer.partition("/")
            if kind in ("*", offered_kind) and subtype in ("*", offered_subtype):
                return offer
    return None


def _media_range(text: str) -> tuple[tuple[str, str], float]:
    """`type/subtype;name=value;q=0.5` -> ((type, subtype), quality)."""
    media_type, *parameters = text.split(";")
    kind, slash, subtype = media_type.strip().partition("/")
    if not (slash and _is_token(kind) and _is_token(subtype)):
        raise BadAccept("The Accept header is malformed.")
    quality: float | None = None
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if not _is_token(name) or not (_is_token(value) or _is_quoted(value)):
            raise BadAccept("The Accept header is malformed.")
        if name == "q":
            if quality is not None:
                raise BadAccept("The Accept header has two q for one type.")
            quality = _quality(value)
    return (kind, subtype), 1.0 if quality is None else quality


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        quality = float("nan")
    if isnan(quality):
        raise BadAccept("The Accept header has a q that is no number.")
    return quality


def _is_token(text: str) -> bool:
    return bool(text) and _SEPARATORS.isdisjoint(text)


def _is_quoted(text: str) -> bool:
    inner = text[1:-1]
    return text == f'"{inner}"' and '"' not in inner and "\\" not in inner
