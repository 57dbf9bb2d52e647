"""Blocks of 1 MiB: what is verified as a whole before any byte of it leaves.

An object of one block has that block's checksum in its metadata.  A larger one has a trailer, the
checksums of its blocks one after another, and the metadata hold the trailer's checksum.

Pure.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from swiftish.domain.checksums import xxh3_64
from swiftish.domain.limits import MiB
from swiftish.object.metadata import Metadata

BLOCK_BYTES = 1 * MiB
CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `stop` of an object."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def block_count(length: int) -> int:
    """How many blocks `length` bytes take; nothing is one empty block."""
    return max(1, -(-length // BLOCK_BYTES))


def trailer_bytes(length: int) -> int:
    """How long the trailer of an object of `length` bytes is: nothing for one block."""
    count = block_count(length)
    return 0 if count == 1 else count * CHECKSUM_BYTES


def pack(checksums: Sequence[int]) -> tuple[bytes, int]:
    """The trailer (empty for one block), and what the metadata's `checksum` must be."""
    if len(checksums) == 1:
        return b"", checksums[0]
    trailer = struct.pack(f">{len(checksums)}Q", *checksums)
    return trailer, xxh3_64(trailer)


def unpack(trailer: bytes, metadata: Metadata) -> tuple[int, ...] | None:
    """The checksums of all blocks; None when the trailer is not the one that was written."""
    assert metadata.content_length is not None
    if metadata.checksum is None:
        return None
    count = block_count(metadata.content_length)
    if count == 1:
        return (metadata.checksum,)
    if len(trailer) != count * CHECKSUM_BYTES or xxh3_64(trailer) != metadata.checksum:
        return None
    return struct.unpack(f">{count}Q", trailer)
