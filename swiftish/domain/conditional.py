"""Conditional requests: If-Match, If-None-Match and their two dates, in Swift's order.

Swift asks all four, one after another, and the first that objects decides; RFC 9110 13.2.2 would
pass over a date when there is an ETag.  Clients have come to rely on Swift's way (reference 1.0).

Pure.
"""

import enum
from collections.abc import Mapping

from swiftish.domain.dates import parse_http_date


class Verdict(enum.Enum):
    """What becomes of a conditional request; the value is its status."""

    PROCEED = 200
    NOT_MODIFIED = 304
    PRECONDITION_FAILED = 412


HEADERS = ("if-none-match", "if-match", "if-modified-since", "if-unmodified-since")


def evaluate(
    method: str,
    headers: Mapping[str, str],
    *,
    etag: str | None,
    last_modified_seconds: int | None,
) -> Verdict:
    """Decide about something that exists.

    `etag` may be quoted or bare; None where there is none.  `last_modified_seconds` is what the
    Last-Modified header says: whole seconds, rounded up.  A date that can't be read is ignored.
    """
    reading = method in {"GET", "HEAD"}
    if etag is not None:
        tags = headers.get("if-none-match")
        if tags is not None and matches(tags, etag, weak=True):
            return Verdict.NOT_MODIFIED if reading else Verdict.PRECONDITION_FAILED
        tags = headers.get("if-match")
        if tags is not None and not matches(tags, etag):
            return Verdict.PRECONDITION_FAILED
    if last_modified_seconds is not None:
        since = _date(headers, "if-modified-since")
        if since is not None and reading and last_modified_seconds <= since:
            return Verdict.NOT_MODIFIED
        since = _date(headers, "if-unmodified-since")
        if since is not None and last_modified_seconds > since:
            return Verdict.PRECONDITION_FAILED
    return Verdict.PROCEED


def evaluate_absent(headers: Mapping[str, str]) -> Verdict:
    """Decide about something that does not exist: only `If-Match: *` objects (reference 1.0)."""
    tags = headers.get("if-match")
    if tags is not None and "*" in _tags(tags):
        return Verdict.PRECONDITION_FAILED
    return Verdict.PROCEED


def matches(header: str, etag: str, *, weak: bool = False) -> bool:
    """Whether a list of ETags, quoted or bare, names `etag`; `*` names every one.

    `weak`: `W/"x"` counts as "x", as RFC 9110 13.1.2 has it for If-None-Match.
    """
    bare = etag.strip('"')
    for tag in _tags(header):
        if tag == "*" or tag.strip('"') == bare:
            return True
        if weak and tag[:2] == "W/" and tag[2:].strip('"') == bare:
            return True
    return False


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]


def _date(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    return None if text is None else parse_http_date(text)
