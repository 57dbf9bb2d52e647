"""What the pages of an LMDB file must look like, so that LMDB can be let loose on them.

LMDB trusts its pages.  On one that is not what it was it says so, reads beyond the page, or ends
the process with a failed assertion, and so does every process that is started in its place.  A walk
over the pages, by ordinary reads, finds what is wrong with their form: a page of something else, an
older page in its place, pointers out of bounds, keys out of order, a page in two places, a page in
use that is held for free.  What it cannot find is a flipped bit within a value.

A file begins with two meta pages, of which the one with the later transaction counts.  Each has the
records of two tables: the free pages, and the named tables, whose values are such records again.

Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct, unpack_from

_HEADER = Struct("<QHHHH")  # number, padding, flags, lower, upper
_COUNT = Struct("<12xI")  # of the pages that a large value takes, where lower and upper are else
_NODE = Struct("<HHHH")  # size or child (two halves), flags or the child's third part, key's length
_NUMBER = Struct("<Q")
_RECORD = Struct("<IHHQQQQQ")  # padding, flags, depth, branches, leaves, large, entries, root
_META = Struct("<16xIIQQ")  # magic, version, address, size
_META_END = Struct("<136xQQ")  # last page, transaction
_FREE_AT, _MAIN_AT = 40, 88  # in a meta page

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _LARGE = 0x01, 0x02, 0x04
_KINDS = 0x6F  # of the flags: what makes out a page's kind
_BIG_VALUE, _TABLE = 0x01, 0x02  # flags of a leaf's nodes
_NO_ROOT = 2**64 - 1
META_PAGES = 2
_DEPTH_MAX = 32

# `read(first page, how many)`, as much as the file has of them.
Read = Callable[[int, int], bytes]


class BadPages(ValueError):
    """The pages are not what was written; the message says what is wrong with them."""


class OtherVersion(ValueError):
    """Sound, as far as can be seen, but written by another version of LMDB."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The meta page that counts."""

    transaction: int
    free: bytes  # the two tables' records
    main: bytes


def is_within(record: bytes, pages: int) -> bool:
    """Whether a table's first page, if it has one, is within a file of so many."""
    root: int = _RECORD.unpack(record)[-1]
    return root == _NO_ROOT or root < pages


def metas(read: Read, page_bytes: int) -> list[Meta]:
    """Both meta pages, the later first.  Raises BadPages, OtherVersion."""
    data = read(0, META_PAGES)
    if len(data) < META_PAGES * page_bytes:
        raise BadPages("the file is cut off")
    found, kinds, is_sound = [], set(), True
    for start in (0, page_bytes):
        page = data[start : start + page_bytes]
        magic, version, _, size = _META.unpack_from(page)
        last, transaction = _META_END.unpack_from(page)
        kinds.add((magic, version))
        is_sound = is_sound and last * page_bytes <= size
        free = page[_FREE_AT : _FREE_AT + _RECORD.size]
        main = page[_MAIN_AT : _MAIN_AT + _RECORD.size]
        found.append(Meta(transaction, free, main))
    if kinds != {(_MAGIC, _VERSION)}:
        if len(kinds) == 1 and kinds.pop()[0] == _MAGIC:
            raise OtherVersion("the file was written by another version of LMDB")
        raise BadPages("the file's first pages are not LMDB's")
    if not is_sound:
        raise BadPages("the last page is beyond the map")
    return sorted(found, key=lambda meta: meta.transaction, reverse=True)


def check(read: Read, meta: Meta, *, page_bytes: int, pages: int) -> int:
    """Look at all pages that are in use; how many there are.  The file has `pages` whole ones.

    Raises BadPages, and what `read` raises.
    """
    walk = _Walk(read, page_bytes, pages)
    for _, record in list(walk.table(meta.main, "the named tables")):
        for _ in walk.table(record, "a table"):
            pass
    for _, value in walk.table(meta.free, "the free pages", ordered=False):
        walk.check_free(value)
    return sum(walk.used)


class _Walk:
    """One look at a file."""

    def __init__(self, read: Read, page_bytes: int, pages: int) -> None:
        self._read = read
        self._page_bytes = page_bytes
        self._pages = pages
        self.used = bytearray(pages)
        self.used[:META_PAGES] = b"\1" * min(META_PAGES, pages)
        self._free: set[int] = set()

    def table(
        self, record: bytes, what: str, *, ordered: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """Walk one table; yields (key, value) of those values that matter here: the records of
        other tables, and everything of the table of free pages."""
        if len(record) != _RECORD.size:
            raise BadPages(f"{what}: a record has {len(record)} bytes")
        *_, entries, root = _RECORD.unpack(record)
        found = 0
        if root != _NO_ROOT:
            for key, value in self._page(root, None, None, 0, ordered=ordered):
                found += 1
                if value is not None:
                    yield key, value
        if found != entries:
            raise BadPages(f"{what}: {found} entries, not {entries}")

    def check_free(self, value: bytes) -> None:
        """One list of pages that are held for free: its length, then their numbers."""
        (count,) = _NUMBER.unpack_from(value)
        if len(value) < _NUMBER.size * (count + 1):
            raise BadPages("a list of free pages is cut off")
        for number in unpack_from(f"<{count}Q", value, _NUMBER.size):
            if number < self._pages and self.used[number]:
                raise BadPages(f"page {number} is in use, and free as well")

    def _take(self, number: int, count: int = 1) -> bytes:
        if number + count > self._pages:
            raise BadPages(f"the file ends before page {number}")
        if any(self.used[number : number + count]):
            raise BadPages(f"page {number} is in two places")
        self.used[number : number + count] = b"\1" * count
        return self._read(number, count)

    def _page(
        self, number: int, low: bytes | None, high: bytes | None, depth: int, *, ordered: bool
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """The keys below a page, which must be between `low` and `high`."""
        page = self._take(number)
        own, _, flags, lower, upper = _HEADER.unpack_from(page)
        kind = flags & _KINDS
        count = (lower - _HEADER.size) // 2
        if own != number or kind not in (_BRANCH, _LEAF) or depth > _DEPTH_MAX:
            raise BadPages(f"page {number} is another")
        if not (_HEADER.size + 2 <= lower <= upper <= self._page_bytes) or lower % 2:
            raise BadPages(f"page {number} has no sound head")
        nodes = [self._node(page, at) for at in unpack_from(f"<{count}H", page, _HEADER.size)]
        keys = [key for key, *_ in nodes]
        if kind == _BRANCH:
            keys[0] = low or b""  # a branch's first key may be left out
        if ordered and not _in_order(keys, low, high):
            raise BadPages(f"page {number}: the keys are out of order")
        if kind == _LEAF:
            yield from (self._leaf(page, node, whole=not ordered) for node in nodes)
            return
        for (_, first, second, third, _), below, above in zip(
            nodes, keys, [*keys[1:], high], strict=True
        ):
            child = first | second << 16 | third << 32
            yield from self._page(child, below, above, depth + 1, ordered=ordered)

    def _node(self, page: bytes, at: int) -> tuple[bytes, int, int, int, int]:
        """(key, three numbers, where the value begins)."""
        if at + _NODE.size > self._page_bytes or at < _HEADER.size:
            raise BadPages("a pointer leaves its page")
        first, second, third, length = _NODE.unpack_from(page, at)
        start = at + _NODE.size
        if start + length > self._page_bytes:
            raise BadPages("a key leaves its page")
        return page[start : start + length], first, second, third, start + length

    def _leaf(
        self, page: bytes, node: tuple[bytes, int, int, int, int], *, whole: bool
    ) -> tuple[bytes, bytes | None]:
        key, first, second, flags, start = node
        length = first | second << 16
        if not flags & _BIG_VALUE:
            if start + length > self._page_bytes:
                raise BadPages("a value leaves its page")
            wanted = whole or flags & _TABLE
            return key, page[start : start + length] if wanted else None
        if start + _NUMBER.size > self._page_bytes:
            raise BadPages("a value leaves its page")
        (number,) = _NUMBER.unpack_from(page, start)
        count = -(-(_HEADER.size + length) // self._page_bytes)
        data = self._take(number, count)
        own, _, kind, _, _ = _HEADER.unpack_from(data)
        if own != number or kind & _KINDS != _LARGE or _COUNT.unpack_from(data)[0] < count:
            raise BadPages(f"page {number} is another")
        return key, data[_HEADER.size : _HEADER.size + length] if whole else None


def _in_order(keys: list[bytes], low: bytes | None, high: bytes | None) -> bool:
    if (low is not None and keys[0] < low) or (high is not None and keys[-1] >= high):
        return False
    return all(one < other for one, other in pairwise(keys))
