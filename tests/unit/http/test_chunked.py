"""The chunked coding: whole or byte by byte, it is the same body, and what is no coding is told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.http.chunked import TRAILERS_MAX, ChunkedDecoder, last_chunk
from swiftish.http.replies import Refusal


def decode(data: bytes, *, step: int | None = None) -> tuple[bytes, bool, bytes]:
    """The body, whether it has ended, and what came after it."""
    decoder = ChunkedDecoder()
    body = b""
    step = step or len(data) or 1
    for at in range(0, len(data), step):
        body += decoder.feed(data[at : at + step])
        if decoder.ended:
            return body, True, decoder.rest + data[at + step :]
    return body, False, b""


@given(st.lists(st.binary(min_size=1, max_size=40)), st.binary(max_size=20), st.integers(1, 50))
def test_what_is_coded_is_decoded(chunks: list[bytes], rest: bytes, step: int) -> None:
    """However the bytes are cut, and whatever follows."""
    coded = b"".join(b'%X;ext="1"\r\n%b\r\n' % (len(c), c) for c in chunks)
    coded += b"0\r\nTrailer: x\r\n\r\n" + rest
    assert decode(coded, step=step) == (b"".join(chunks), True, rest)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1_0\r\n",
        b"g\r\n",
        b";x\r\n",
        b"1\na\r\n",
        b"1\r\na\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"1\rx\r\na\r\n",
        b"1;\0\r\na\r\n",
        b"ffffffffffffffff\r\n",
        b"80000000000000000000000000000000\r\n",
        b"0\r\nX: a\n\r\n",
        b"1;" + b"x" * 9000,
        b"0\r\n" + b"X: a\r\n" * 2000,
    ],
)
def test_t69_bad_chunks(data: bytes) -> None:
    """Refused, whole or byte by byte; extensions and trailers are limited."""
    for step in (None, 1, 7):
        with pytest.raises(Refusal) as caught:
            decode(data + b"x" * 3, step=step)
        assert caught.value.status == 400


def test_any_bytes(chance: random.Random) -> None:
    """Whole and in pieces, random bytes have the same fate."""
    for _ in range(500):
        data = bytes(chance.choices(b"0123af;\r\n\r\n\r\nx", k=chance.randrange(30)))
        fates = []
        for step in (None, 1, 3):
            try:
                fates.append(decode(data, step=step))
            except Refusal:
                fates.append((b"refused", False, b""))
        assert fates[0] == fates[1] == fates[2]


def trailers_of(end: bytes, *, step: int, keep: bool = True) -> dict[str, str]:
    decoder = ChunkedDecoder(keep_trailers=keep)
    for at in range(0, len(end), step):
        decoder.feed(end[at : at + step])
    assert decoder.ended
    return dict(decoder.trailers)


@pytest.mark.parametrize("step", [1, 2, 1000])
def test_trailers(step: int) -> None:
    """Are kept for those who want them, and are the headers that they look like."""
    end = b"0;x\r\nETag: abc\r\nX-A: \xff \r\nx-a:b\r\nX_A: c\r\n\r\n"
    assert trailers_of(end, step=step) == {"etag": "abc", "x-a": "\udcff, b"}
    assert trailers_of(end, step=step, keep=False) == {}
    assert trailers_of(b"0\r\n\r\n", step=step) == {}


@given(
    st.dictionaries(
        st.text("abc-", min_size=1, max_size=5),
        st.binary(max_size=9).map(lambda data: data.decode("utf-8", "surrogateescape")),
        max_size=5,
    ),
    st.integers(1, 20),
)
def test_trailers_that_are_sent(trailers: dict[str, str], step: int) -> None:
    """Arrive, but for what would end a line."""
    told = trailers_of(last_chunk(trailers), step=step)
    assert told.keys() == trailers.keys()
    for name, value in trailers.items():
        if value.isprintable():
            assert told[name] == value.strip()


@pytest.mark.parametrize(
    "trailers",
    [
        b"no colon\r\n",
        b"X : a\r\n",
        b"X: a\r\n folded\r\n",
        b": a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: a\r\n",
        b"Connection: close\r\n",
        b"X: a\r\n" * (TRAILERS_MAX + 1),
        b"X: " + b"a" * 5000 + b"\r\nY: " + b"a" * 5000 + b"\r\n",
        b"X: " + b"a" * 100_000,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_t69_bad_trailers(trailers: bytes, step: int) -> None:
    """Are refused by those who keep them, and limited for all."""
    with pytest.raises(Refusal) as caught:
        trailers_of(b"0\r\n" + trailers + b"\r\n", step=step)
    assert caught.value.status == 400
