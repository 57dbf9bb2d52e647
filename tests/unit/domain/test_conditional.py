"""Conditional requests in Swift's order."""

from __future__ import annotations

import pytest

from swiftish.domain.conditional import Verdict, evaluate, evaluate_absent, matches
from swiftish.domain.dates import http_date

GO, UNCHANGED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.PRECONDITION_FAILED
THEN = 1_000_000
OLD, SAME, NEW = (http_date(THEN + n) for n in (-1, 0, 1))


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, GO),
        ({"if-match": "x"}, GO),
        ({"if-match": '"x"'}, GO),
        ({"if-match": '"y", "x"'}, GO),
        ({"if-match": "y,x"}, GO),
        ({"if-match": "*"}, GO),
        ({"if-match": "y"}, FAILED),
        ({"if-match": 'W/"x"'}, FAILED),
        ({"if-match": ""}, FAILED),
        ({"if-none-match": "y"}, GO),
        ({"if-none-match": "x"}, UNCHANGED),
        ({"if-none-match": '"y", W/"x"'}, UNCHANGED),
        ({"if-none-match": "*"}, UNCHANGED),
        ({"if-modified-since": OLD}, GO),
        ({"if-modified-since": SAME}, UNCHANGED),
        ({"if-modified-since": NEW}, UNCHANGED),
        ({"if-modified-since": "yesterday"}, GO),
        ({"if-unmodified-since": OLD}, FAILED),
        ({"if-unmodified-since": SAME}, GO),
        ({"if-unmodified-since": "yesterday"}, GO),
        # One after another, and not as RFC 9110 has it (reference 6.43).
        ({"if-none-match": "y", "if-modified-since": SAME}, UNCHANGED),
        ({"if-match": "x", "if-unmodified-since": OLD}, FAILED),
        ({"if-none-match": "x", "if-match": "y"}, UNCHANGED),
        ({"if-match": "y", "if-modified-since": SAME}, FAILED),
        ({"if-modified-since": SAME, "if-unmodified-since": OLD}, UNCHANGED),
    ],
)
def test_reading(headers: dict[str, str], verdict: Verdict) -> None:
    """GET and HEAD; a quoted ETag is the same as a bare one."""
    for method in ("GET", "HEAD"):
        for etag in ("x", '"x"'):
            assert evaluate(method, headers, etag=etag, last_modified_seconds=THEN) is verdict


def test_changing() -> None:
    """For other methods there is no 304."""
    for headers in ({"if-none-match": "*"}, {"if-match": "y"}, {"if-unmodified-since": OLD}):
        assert evaluate("PUT", headers, etag="x", last_modified_seconds=THEN) is FAILED
    assert evaluate("PUT", {"if-modified-since": NEW}, etag="x", last_modified_seconds=THEN) is GO


def test_what_has_neither() -> None:
    """Without an ETag and a date there is nothing to compare."""
    headers = {"if-match": "x", "if-none-match": "*", "if-unmodified-since": OLD}
    assert evaluate("GET", headers, etag=None, last_modified_seconds=None) is GO


def test_what_does_not_exist() -> None:
    """Only If-Match: * makes a 404 a 412."""
    assert evaluate_absent({"if-match": "*"}) is FAILED
    assert evaluate_absent({"if-match": "y, *"}) is FAILED
    assert evaluate_absent({"if-match": "x"}) is GO
    assert evaluate_absent({"if-none-match": "*"}) is GO


def test_t81_long_lists() -> None:
    """Any list that fits in a header is read."""
    assert not matches(",".join(['"y"'] * 2000) + '"' * 2000, "x")
