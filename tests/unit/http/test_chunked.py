"""The chunked coding: whole or byte by byte, it is the same body, and what is no coding is told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.http.chunked import ChunkedDecoder
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
