"""MD5 for what clients see, XXH3-64 for what disks keep.  The only import of xxhash.

An ETag has to be an MD5 (reference 1.4), and MD5 is the only slow hash here: it is computed once
per upload.  Everything else that must be known unharmed is verified with XXH3-64, which runs at
the speed of memory.

Pure.
"""

import hashlib

import xxhash

ETAG_OF_NOTHING = hashlib.md5(usedforsecurity=False).hexdigest()


def xxh3_64(data: bytes | memoryview) -> int:
    """The XXH3-64 of `data`: a whole number below 2**64."""
    return xxhash.xxh3_64_intdigest(data)


def md5_hex(data: bytes | memoryview) -> str:
    """The MD5 of `data` as an ETag spells it: 32 lower-case hex digits, no quotes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Md5:
    """The MD5 of bytes that come in pieces."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class BlockChecksums:
    """XXH3-64 of each block of `block_bytes` of a stream that comes in pieces of any size.

    No bytes at all are one empty block, so there is always something to verify.
    """

    def __init__(self, *, block_bytes: int) -> None:
        assert block_bytes > 0
        self._block_bytes = block_bytes
        self._done: list[int] = []
        self._current = xxhash.xxh3_64()
        self._room = block_bytes

    def update(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while len(rest) > self._room:
            self._current.update(rest[: self._room])
            rest = rest[self._room :]
            self._done.append(self._current.intdigest())
            self._current.reset()
            self._room = self._block_bytes
        self._current.update(rest)
        self._room -= len(rest)

    def finish(self) -> list[int]:
        """The checksums in order, the last block's (which may be short) included."""
        return [*self._done, self._current.intdigest()]
