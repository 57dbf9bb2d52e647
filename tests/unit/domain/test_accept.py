"""The Accept header."""

from __future__ import annotations

from time import process_time

import pytest

from swiftish.domain.accept import BadAccept, best_match

TEXT, JSON, XML, TEXT_XML = OFFERS = (
    *("text/plain", "application/json"),
    *("application/xml", "text/xml"),
)


@pytest.mark.parametrize(
    ("header", "liked"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("*/xml", XML),
        ("*/json", JSON),
        (TEXT_XML, TEXT_XML),
        (" text/xml ", TEXT_XML),
        ("application/json;charset=utf-8", JSON),
        ("text/plain;level=1", TEXT),
        ('text/xml;level="1"', TEXT_XML),
        ("text/plain;q=0.1,application/json", JSON),
        ("text/plain; q = 0.1 , application/json", JSON),
        ("text/plain;q=0.5,application/json;q=0.5", TEXT),
        ("application/json;q=0.5,text/plain;q=0.5", JSON),
        ("*/*;q=0.8,application/xml", XML),
        ("text/*,application/json", JSON),  # of equals, the one that says more
        ("application/*;q=0.2,text/xml;q=0.2", TEXT_XML),
        ("image/png,application/json", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", XML),
        ("text/plain;q=0", TEXT),  # as Swift: the last choice, but a choice
        ("application/json;q=0,text/plain", TEXT),
        ("image/png", None),
        ("TEXT/PLAIN", None),
        ("text/plain\udce9", None),
    ],
)
def test_best_match(header: str, liked: str | None) -> None:
    """The best by q, then by how much it says, then by the client's order, then by ours."""
    assert best_match(header, OFFERS) == liked


@pytest.mark.parametrize(
    "header",
    [
        *("bogus", "*", ",", "/", "text/", "/plain", "text/plain/x", "text/ plain", "te(xt/plain"),
        *("text/plain,", "text/plain,,text/xml", "text/plain text/xml", "text/plain q=0.5"),
        *("text/plain;", "text/plain;;q=1", "text/plain;q", "text/plain;q=", "text/plain;q=a"),
        *("text/plain;q=nan", "text/plain;q=1;q=1", "text/plain;=1", "text/plain;a", "q=1"),
        *("text/plain;a=b=c", 'text/plain;a="b', 'text/plain;a="\\"', 'text/plain;a="1;q=0"'),
        "text/plain;q=0.5 x",
    ],
)
def test_malformed(header: str) -> None:
    """What is no list of media ranges is refused, as Swift does."""
    with pytest.raises(BadAccept):
        best_match(header, OFFERS)


@pytest.mark.parametrize("stuff", ["\\", '"', "a/b,", ";", " ", "a/b;c=d,", "/", '"\\', "*/*;q=1,"])
def test_t81_long_headers_take_no_time(stuff: str) -> None:
    """T81, CVE-2026-71190: 8 KiB of anything is read in well under 10 ms."""
    start = process_time()
    for prefix in ("", 'text/plain;a="'):
        try:
            best_match((prefix + stuff * 8192)[:8192], OFFERS)
        except BadAccept:
            continue
    assert process_time() - start < 0.1
