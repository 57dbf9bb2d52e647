"""The container of ring files: gzip, and in version 2 of the format sections with an index.

A version 2 file is one gzip stream, so that gunzip shows all of it, and yet each section can be
read alone: between sections the compressor forgets what it has seen (a full flush), so inflating
can begin there.  Its plain bytes are the magic number, the sections, the index, and where the index
begins in the plain and in the compressed bytes.  Sections and index are a length of eight bytes and
so many more; the index says for each section where it begins and ends, compressed and plain, and
its checksum (reference 2.10).

Reading inflates each part once, up to the length that is stated for it, and no more than the file
could hold: a small file can't ask for much memory without having said so.

Pure.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from swiftish.ring.errors import BadRing

MAGIC = b"R1NG"
HEAD = struct.Struct(">4sH")
LENGTH = struct.Struct(">Q")

MTIME = 1300507380  # what Swift stamps into the gzip header, so that equal rings are equal files
_GZIP_HEADER = struct.pack("<4BLBB", 0x1F, 0x8B, zlib.DEFLATED, 0, MTIME, 2, 255)
_GZIP_TRAILER = struct.Struct("<LL")

DEFLATE_RATIO_MAX = 1032  # a match of 258 bytes in two bits: nothing deflates better
FED_BYTES = 2**14  # compressed bytes at a time, while little is wanted
PIECE_BYTES = 2**20  # of a section that nobody asked for: it is only checked
INDEX_BYTES_MAX = 2**20  # thousands of sections
CHECKSUMS = ("md5", "sha1", "sha256", "sha512")

# A file ends in two numbers of eight bytes, each stored as it is (5 bytes before, and 5 of flush
# after), an empty last block (5) and gzip's trailer.  By these lengths Swift finds the second
# number.
_ENDS = struct.Struct(">QQ")
# Ids in no order repeat nothing, they only differ in how often a byte occurs: looking for repeats
# takes four times as long and makes rings of 1,000 devices larger.
_LEVEL = 1
_LAST_BYTES = 5 + LENGTH.size + 5 + 5 + _GZIP_TRAILER.size
assert _LAST_BYTES == 31


# ---- writing -----------------------------------------------------------------------------------


@dataclass
class Writer:
    """Collects a file's bytes.  The magic number comes first and stays legible in the file."""

    version: int
    _pieces: list[bytes] = field(default_factory=lambda: [_GZIP_HEADER])
    _index: dict[str, list[object]] = field(default_factory=dict)
    _crc: int = 0
    _plain: int = 0
    _compressed: int = len(_GZIP_HEADER)

    def __post_init__(self) -> None:
        self._use_level(0)
        self.write(HEAD.pack(MAGIC, self.version))
        self._flush()
        self._use_level(_LEVEL)

    def write(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._plain += len(data)
        self._put(self._deflate.compress(data))

    def section(self, name: str, data: bytes) -> None:
        start = self._compressed, self._plain
        whole = LENGTH.pack(len(data)) + data
        self.write(whole)
        self._flush()
        end = self._compressed, self._plain
        self._index[name] = [*start, *end, "sha256", hashlib.sha256(whole).hexdigest()]

    def finish(self) -> bytes:
        """The file's bytes; with an index, if there were sections."""
        if self._index:
            plain, compressed = self._plain, self._compressed
            index = json.dumps(self._index, sort_keys=True).encode()
            self.write(LENGTH.pack(len(index)) + index)
            self._flush()
            self._use_level(0)
            for position in (plain, compressed):
                self.write(LENGTH.pack(position))
                self._flush()
        self._put(self._deflate.flush(zlib.Z_FINISH))
        self._put(_GZIP_TRAILER.pack(self._crc, self._plain % 2**32))
        return b"".join(self._pieces)

    def _use_level(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=zlib.Z_RLE)

    def _flush(self) -> None:
        self._put(self._deflate.flush(zlib.Z_FULL_FLUSH))

    def _put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._compressed += len(data)


# ---- reading -----------------------------------------------------------------------------------


class Stream:
    """The plain bytes of a gzip stream, or of a part of one.  All methods raise BadRing."""

    def __init__(self, data: bytes | memoryview, *, part: bool = False) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if part else 16 + zlib.MAX_WBITS)
        self._data = memoryview(data)
        self._fed = 0
        self._rest: bytes | memoryview = b""

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        found = self.take_up_to(count)
        if len(found) < count:
            raise BadRing("the ring is truncated")
        return found

    def take_up_to(self, count: int) -> bytes:
        """The next `count` bytes, or fewer where there are no more."""
        check_possible(count, len(self._data))
        found = []
        while count > 0 and not self._inflate.eof:
            if not self._rest:  # no more than is needed: what zlib leaves over, it copies
                self._rest = self._data[self._fed : self._fed + max(count, FED_BYTES)]
                self._fed += len(self._rest)
            try:
                piece = self._inflate.decompress(self._rest, count)
            except zlib.error as error:
                raise BadRing(f"the ring is damaged: it can't be uncompressed ({error})") from None
            self._rest = self._inflate.unconsumed_tail
            if not piece and self._fed == len(self._data):
                break
            found.append(piece)
            count -= len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def end(self, *, part: bool = False) -> None:
        """There must be no more; and it must be the stream's end, or that of the part."""
        if self.take_up_to(1):
            raise BadRing("the ring has more bytes than it says")
        if self._inflate.eof == part:
            raise BadRing("the ring is truncated")
        if self._inflate.unused_data or self._fed < len(self._data):
            raise BadRing("something follows after the end of the ring")


def head(data: bytes) -> int:
    """The version of the format.  Raises BadRing when it is not a ring."""
    try:
        magic, version = HEAD.unpack(Stream(data).take(HEAD.size))
    except BadRing:
        raise BadRing("not a ring, or truncated: it can't be uncompressed") from None
    if magic != MAGIC:
        raise BadRing("not a ring: the magic number is missing")
    assert isinstance(version, int)
    return version


def check_possible(count: int, compressed: int) -> None:
    """Raises BadRing when `count` plain bytes can't have been in so many compressed ones."""
    if count > (compressed + 1) * DEFLATE_RATIO_MAX:
        raise BadRing("the ring is truncated, or says that it is larger than it can be")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A line of the index: where a section is in the compressed bytes, and in the plain ones."""

    compressed_start: int
    start: int
    compressed_end: int
    end: int
    method: str
    checksum: str


class Sections:
    """The sections of a version 2 file.  All methods raise BadRing."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._tail, index, here = _read_index(data)
        self._entries = _parse_index(index)
        # The sections must follow each other from the magic number to the index.
        first = next(iter(self._entries.values()), here)
        self._magic = Stream(self._data[: first.compressed_start]).take_up_to(HEAD.size + 1)
        compressed, plain = first.compressed_start, HEAD.size
        for name, entry in [*self._entries.items(), ("the index", here)]:
            if (entry.compressed_start, entry.start) != (compressed, plain):
                raise BadRing(f"the ring's index is wrong: {name} is not where it should be")
            compressed, plain = entry.compressed_end, entry.end

    def length(self, name: str) -> int:
        """How long the content of the section is, if the index is right."""
        if name not in self._entries:
            raise BadRing(f"the ring lacks its section {name}")
        entry = self._entries[name]
        return entry.end - entry.start - LENGTH.size

    def read(self, name: str) -> bytes:
        """The content of one section.  The caller has looked at its length."""
        length = self.length(name)
        return b"".join(_content(self._data, name, self._entries[name], step=length)[1])

    def read_all(self, steps: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
        """Look at every byte of the file; yield the content of each section of `steps`.

        In the order of the file, each in pieces of so many bytes.  What is wrong with a piece may
        show only at the end: until then nothing of it is to be believed.
        """
        crc = zlib.crc32(self._magic)
        for name, entry in self._entries.items():
            head, pieces = _content(self._data, name, entry, step=steps.get(name, PIECE_BYTES))
            crc = zlib.crc32(head, crc)
            for piece in pieces:
                crc = zlib.crc32(piece, crc)
                if name in steps:
                    yield name, piece
        crc = zlib.crc32(self._tail, crc)
        length = len(self._tail) + max(e.end for e in self._entries.values())
        if self._data[-_GZIP_TRAILER.size :] != _GZIP_TRAILER.pack(crc, length % 2**32):
            raise BadRing("the ring is damaged: its checksum is another")


def _read_index(data: bytes) -> tuple[bytes, bytes, _Entry]:
    """All plain bytes from the index on, the index alone, and where it is."""
    end = len(data) - _GZIP_TRAILER.size
    try:
        (compressed,) = LENGTH.unpack(_to_end(data[-_LAST_BYTES:end], LENGTH.size))
        tail = _to_end(data[compressed:end], INDEX_BYTES_MAX)
        plain, again = _ENDS.unpack(tail[-_ENDS.size :])
        (length,) = LENGTH.unpack_from(tail)
    except (zlib.error, struct.error, ValueError):
        raise BadRing(
            "the ring's index can't be found: it is truncated, or was compressed anew"
        ) from None
    if again != compressed or length != len(tail) - LENGTH.size - _ENDS.size:
        raise BadRing("the ring's index is wrong: it is not where it should be")
    here = _Entry(
        compressed_start=compressed,
        start=plain,
        compressed_end=end,
        end=plain + len(tail),
        method="",
        checksum="",
    )
    return tail, tail[LENGTH.size : -_ENDS.size], here


def _to_end(deflated: bytes, limit: int) -> bytes:
    """What is in the last part of a deflate stream.  Raises zlib.error or ValueError."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflate.decompress(deflated, limit + 1)
    if len(plain) > limit or not inflate.eof or inflate.unused_data:
        raise ValueError("not the end of the stream")
    return plain


def _parse_index(index: bytes) -> dict[str, _Entry]:
    """The sections by name, in the order in which they are in the file."""
    try:
        found = orjson.loads(index)
        entries = {
            name: _Entry(
                compressed_start=_position(line[0]),
                start=_position(line[1]),
                compressed_end=_position(line[2]),
                end=_position(line[3]),
                method=str(line[4]),
                checksum=str(line[5]),
            )
            for name, line in found.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadRing("the ring's index is not what it must be") from None
    for name, entry in entries.items():
        if entry.method not in CHECKSUMS:
            raise BadRing(f"the ring's section {name} has a checksum of an unknown kind")
    return dict(sorted(entries.items(), key=lambda item: item[1].compressed_start))


def _position(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("no position")
    return value


def _content(
    data: memoryview, name: str, entry: _Entry, *, step: int
) -> tuple[bytes, Iterator[bytes]]:
    """The length that is written before a section; its content in pieces, verified at the end."""
    length = entry.end - entry.start - LENGTH.size
    if length < 0:
        raise BadRing(f"the ring's section {name} is damaged")
    stream = Stream(data[entry.compressed_start : entry.compressed_end], part=True)
    head = stream.take(LENGTH.size)
    if head != LENGTH.pack(length):
        raise BadRing(f"the ring's section {name} is not as long as its index says")

    def pieces() -> Iterator[bytes]:
        checksum = hashlib.new(entry.method, head, usedforsecurity=False)
        for start in range(0, length, max(1, step)):
            piece = stream.take(min(step, length - start))
            checksum.update(piece)
            yield piece
        stream.end(part=True)
        if checksum.hexdigest() != entry.checksum:
            raise BadRing(f"the ring's section {name} is damaged: its checksum is another")

    return head, pieces()
