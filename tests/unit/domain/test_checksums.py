"""Checksums of wholes, pieces and blocks."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from swiftish.domain.checksums import ETAG_OF_NOTHING, BlockChecksums, Md5, md5_hex, xxh3_64


def test_known_values() -> None:
    """The published values for no bytes at all: the algorithms are the ones they claim to be."""
    assert xxh3_64(b"") == 0x2D06800538D394C2
    assert md5_hex(b"") == ETAG_OF_NOTHING == "d41d8cd98f00b204e9800998ecf8427e"


@given(st.lists(st.binary(max_size=30)), st.integers(1, 16))
def test_pieces_are_the_whole(pieces: list[bytes], block_bytes: int) -> None:
    """However the bytes come, MD5 and the blocks' checksums are those of the bytes together."""
    whole = b"".join(pieces)
    md5, blocks = Md5(), BlockChecksums(block_bytes=block_bytes)
    for piece in pieces:
        md5.update(piece)
        blocks.update(piece)
    assert md5.hexdigest() == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    cut = [whole[i : i + block_bytes] for i in range(0, len(whole), block_bytes)] or [b""]
    assert blocks.finish() == [xxh3_64(block) for block in cut]
