"""Dates of headers."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from swiftish.domain.dates import http_date, parse_http_date

MOMENT = 784_111_777


def test_formatting(chance: random.Random) -> None:
    """As the standard library writes them."""
    assert http_date(MOMENT) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(-5.5) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(1e15) == "Fri, 31 Dec 9999 23:59:59 GMT"
    for _ in range(500):
        seconds = chance.randrange(253_402_300_800)
        date = datetime.fromtimestamp(seconds, UTC)
        assert http_date(seconds + 0.9) == date.strftime("%a, %d %b %Y %H:%M:%S GMT")
        assert parse_http_date(http_date(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "  sun, 6 nov 1994 08:49:37 gmt ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
    ],
)
def test_the_three_spellings(text: str) -> None:
    """RFC 9110 5.6.7."""
    assert parse_http_date(text) == MOMENT


def test_two_digit_years() -> None:
    """69 and later are of the last century."""
    assert parse_http_date("Sunday, 06-Nov-68 08:49:37 GMT") == 3_119_417_377
    assert parse_http_date("Sunday, 06-Nov-69 08:49:37 GMT") == -4_806_623


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:-9:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "784111777",
        "a b c d e f g h",
        "\u0661 Nov",
    ],
)
def test_what_is_no_date(text: str) -> None:
    """None, and never an exception."""
    assert parse_http_date(text) is None
