"""Names of any length as LMDB keys, in byte order.

Theory of operation.  LMDB's keys end at 511 bytes, names at 1,024 and more.  A key is a *space*
(whose names these are) and the name.  Of a longer name the key holds the first part and one byte
more, and its value is another space in which the rest of the name goes on, in the same way:

    space + "photos/cat.jpg"                    -> the row
    space + 480 bytes                           -> the row of a name of exactly 480 bytes
    space + 480 bytes + CONTINUED               -> a space with the rests of all longer ones

A continuation sorts after the name of exactly those bytes and before all that is greater, so a walk
that enters it where it meets it is in order.  Short names pay nothing.  (A hash for the tail would
be simpler and would lose the order; one value for all tails would grow without bound.)
"""

from collections.abc import Iterator
from struct import Struct

from swiftish.domain.listing import after_prefix
from swiftish.runtime.environment import KEY_BYTES_MAX, Reader, Writer

_SPACE = Struct(">QH")
SPACE_BYTES = _SPACE.size
PART_BYTES = 480
CONTINUED = b"\0"
_CONTINUATION_BYTES = SPACE_BYTES + PART_BYTES + len(CONTINUED)
_CHILD = 0xFFFF  # in the place of a policy's index

assert _CONTINUATION_BYTES <= KEY_BYTES_MAX

META = "meta"  # the table of an environment's own facts
_LAST_ID = b"last-id"


def space_of(database_id: int, policy_index: int = 0) -> bytes:
    """The space of one database's names in one storage policy."""
    assert 0 <= policy_index < _CHILD
    return _SPACE.pack(database_id, policy_index)


def policy_of(key: bytes) -> int:
    """The policy of the space that a table's key begins with."""
    return int(_SPACE.unpack_from(key)[1])


def next_id(writer: Writer) -> int:
    """A number that no database or space of this environment ever had."""
    number = int.from_bytes(writer.get(META, _LAST_ID) or b"", "big") + 1
    writer.put(META, _LAST_ID, number.to_bytes(8, "big"))
    return number


class NameIndex:
    """Names and their values in one table."""

    def __init__(self, table: str) -> None:
        self.table = table

    def get(self, reader: Reader, space: bytes, name: bytes) -> bytes | None:
        while len(name) > PART_BYTES:
            child = reader.get(self.table, _continuation(space, name))
            if child is None:
                return None
            space, name = child, name[PART_BYTES:]
        return reader.get(self.table, space + name)

    def put(self, writer: Writer, space: bytes, name: bytes, value: bytes) -> None:
        while len(name) > PART_BYTES:
            key = _continuation(space, name)
            child = writer.get(self.table, key)
            if child is None:
                child = _SPACE.pack(next_id(writer), _CHILD)
                writer.put(self.table, key, child)
            space, name = child, name[PART_BYTES:]
        writer.put(self.table, space + name, value)

    def delete(self, writer: Writer, space: bytes, name: bytes) -> bool:
        """Remove a name; False when it was not there.  An empty space goes with its last name."""
        if len(name) <= PART_BYTES:
            return writer.delete(self.table, space + name)
        key = _continuation(space, name)
        child = writer.get(self.table, key)
        if child is None or not self.delete(writer, child, name[PART_BYTES:]):
            return False
        if next(writer.scan(self.table, start=child, stop=after_prefix(child)), None) is None:
            writer.delete(self.table, key)
        return True

    def walk(
        self,
        reader: Reader,
        space: bytes,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (name, value) for start <= name < stop in byte order, or backwards."""
        low, high = space + start, after_prefix(space)
        if len(start) > PART_BYTES:
            low = _continuation(space, start)
        if stop is not None:
            high = space + stop
            if len(stop) > PART_BYTES:
                high = _continuation(space, stop) + b"\0"  # what begins there is partly wanted
        for key, value in reader.scan(self.table, start=low, stop=high, reverse=reverse):
            if len(key) < _CONTINUATION_BYTES:
                yield key[SPACE_BYTES:], value
                continue
            head = key[SPACE_BYTES : SPACE_BYTES + PART_BYTES]
            child_start = start[PART_BYTES:] if start.startswith(head) else b""
            child_stop = stop[PART_BYTES:] if stop is not None and stop.startswith(head) else None
            for rest, found in self.walk(reader, value, child_start, child_stop, reverse=reverse):
                yield head + rest, found


def _continuation(space: bytes, name: bytes) -> bytes:
    return space + name[:PART_BYTES] + CONTINUED
