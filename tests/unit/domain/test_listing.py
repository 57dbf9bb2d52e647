"""Listings: the walk that seeks, against a twin that looks at every name."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.listing import BadQuery, Query, after_prefix, page

Entry = tuple[bytes, int | None]


class Names:
    """Sorted names, and how many of them a walk has looked at."""

    def __init__(self, names: Iterable[bytes], *, reverse: bool = False) -> None:
        self.names = sorted(names)
        self.reverse = reverse
        self.steps = 0

    def walk(self, start: bytes, stop: bytes | None) -> Iterable[tuple[bytes, int]]:
        low = bisect_left(self.names, start)
        high = len(self.names) if stop is None else bisect_left(self.names, stop)
        places = range(low, high)
        for place in reversed(places) if self.reverse else places:
            self.steps += 1
            yield self.names[place], 1


def naive(names: Iterable[bytes], query: Query) -> list[Entry]:
    """What a listing is, in so many words."""
    prefix, delimiter = query.prefix, query.delimiter
    if query.path is not None:
        prefix = query.path.rstrip(b"/") + b"/" if query.path else b""
        delimiter = b"/"
    low, high = query.marker, query.end_marker
    if query.reverse:
        low, high = high, low
    found: list[Entry] = []
    for name in sorted(names, reverse=query.reverse):
        if not name.startswith(prefix) or (low and name <= low) or (high and name >= high):
            continue
        if name.startswith(b"\0") and not query.reserved:
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        folder = name[: end + len(delimiter)]
        if query.path is not None:
            if name != prefix and (end < 0 or name == folder):
                found.append((name, 1))
        elif end < 0:
            found.append((name, 1))
        elif folder != low and (folder, None) not in found:
            found.append((folder, None))
    return found[: query.limit]


# Few characters, among them the delimiters, their neighbours and what is longer than a byte.
words = st.text(alphabet="ab/-.0\u00fc", max_size=6).map(str.encode)
some_names = st.sets(words | words.map(lambda word: b"\0" + word), max_size=30).map(
    lambda names: names - {b""}
)
queries = st.builds(
    Query,
    limit=st.integers(0, 12),
    marker=st.just(b"") | words,
    end_marker=st.just(b"") | words,
    prefix=st.just(b"") | words,
    delimiter=st.sampled_from([b"", b"/", b"-", b"--", b"/a", b"\xc3\xbc"]),
    path=st.none() | words,
    reverse=st.booleans(),
    reserved=st.booleans(),
)


@given(some_names, queries)
def test_a_page_is_what_it_is_said_to_be(names: set[bytes], query: Query) -> None:
    """The walk that seeks finds what looking at every name finds."""
    walk = Names(names, reverse=query.reverse).walk
    assert page(walk, query) == naive(names, query)


@given(some_names, queries, st.integers(1, 5))
def test_pages_join(names: set[bytes], query: Query, limit: int) -> None:
    """Asking from the last name of each page gives all, once: no subdirectory comes twice."""
    walk = Names(names, reverse=query.reverse).walk
    query = replace(query, limit=limit, marker=b"", end_marker=b"")
    whole = naive(names, replace(query, limit=1000))
    joined: list[Entry] = []
    while found := page(walk, query):
        joined += found
        query = replace(query, marker=found[-1][0])
        assert len(joined) <= len(whole)
    assert joined == whole


@pytest.mark.parametrize("reverse", [False, True])
def test_a_delimiter_is_a_seek(reverse: bool) -> None:
    """The cost of a page is what it shows, not what it folds."""
    names = Names(
        (b"%03d/%04d" % (folder, n) for folder in range(100) for n in range(100)), reverse=reverse
    )
    found = page(names.walk, Query(limit=50, delimiter=b"/", reverse=reverse))
    assert len(found) == 50
    assert names.steps <= 51


def test_after_prefix() -> None:
    """The least name behind all that begin so."""
    assert after_prefix(b"") is None
    assert after_prefix(b"\xff") is None
    assert after_prefix(b"a") == b"b"
    assert after_prefix(b"a\xff\xff") == b"b"


@pytest.mark.parametrize(
    ("params", "want"),
    [
        ({}, Query(limit=100)),
        ({"limit": ""}, Query(limit=100)),
        ({"limit": "many"}, Query(limit=100)),
        ({"limit": "0"}, Query(limit=0)),
        ({"limit": "100", "path": ""}, Query(limit=100, path=b"")),
        (
            {"reverse": "True", "marker": "\u00fc"},
            Query(limit=100, reverse=True, marker=b"\xc3\xbc"),
        ),
        ({"reverse": "no", "delimiter": ""}, Query(limit=100)),
    ],
)
def test_parameters(params: dict[str, str], want: Query) -> None:
    """Empty and odd values are as if they were not there (reference 1.3)."""
    assert Query.parse(params, limit_max=100) == want


@pytest.mark.parametrize(
    ("params", "status"),
    [({"limit": "101"}, 412), ({"prefix": "\udcff"}, 400), ({"path": "\udcff"}, 400)],
)
def test_bad_parameters(params: dict[str, str], status: int) -> None:
    """A limit that is too high is refused, not cut."""
    with pytest.raises(BadQuery) as caught:
        Query.parse(params, limit_max=100)
    assert caught.value.status == status
