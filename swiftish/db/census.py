"""A count of one database's rows, in short steps, while others go on changing them.

Theory of operation.  The sums over a database's rows are only comparable with its totals at one
moment, and a database may have ten million rows: to read them in one transaction would take half a
minute and make the file grow meanwhile.  So they are counted in chunks of neighbours, each in a
transaction of its own, and for each chunk its last name and its sums are kept.  Every transaction
first reads in the log of changes what has changed since the one before; the chunks that this
concerns are counted again.  When none is left, the sums are those of that moment, and in the same
transaction they are compared with the totals.  That comes to an end if a step counts more than is
changed between two steps, or the count is given up.

On the way each row is decoded and looked up in the log, and each entry of the log among the rows:
these are right or wrong within one transaction.

What is wrong is repaired in transactions that look again first: totals are set to the sums; a row
that the log has lost is logged anew, as if it had just changed, so that replicas hear of it; an
entry without its row goes.  A row that cannot be decoded cannot be repaired.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from struct import error as struct_error
from typing import Generic, NamedTuple

from swiftish.db import heads, numbers, row_table
from swiftish.db.heads import Totals
from swiftish.db.name_index import NameIndex, space_of
from swiftish.db.schema import Row, Schema, Stored
from swiftish.runtime.environment import Reader, Writer

ROWS_MAX = 1000  # about so many in one step: some milliseconds
CHUNK_ROWS = 100  # a step counts several that have changed
FOLLOWED_MAX = 5000  # changes looked at in one step
CHASES_MAX = 1000  # steps for what has changed, once all rows were counted
FLAWS_MAX = 1000  # that are noted; the rest is found by the next audit

# What a damaged value can make of decoding.
DAMAGED = (ValueError, KeyError, TypeError, IndexError, AttributeError, struct_error)


class Key(NamedTuple):
    """Where a row is among its database's."""

    policy_index: int
    name: bytes


_END = Key(2**16, b"")

Sums = dict[int, list[int]]


class Gone(Exception):
    """The database is no more."""


class State(Enum):
    """How a count stands."""

    GOES_ON = "goes on"
    DONE = "done"
    GIVEN_UP = "given up"  # it changes faster than it can be counted


@dataclass(slots=True)
class Flaws:
    """What is wrong with a database's rows and log."""

    damaged: list[tuple[Key, str]] = field(default_factory=list)
    unlogged: list[Key] = field(default_factory=list)  # rows without their entry
    stray: list[int] = field(default_factory=list)  # entries without their row
    drift: bool = False  # the totals are not the sums

    def __bool__(self) -> bool:
        return bool(self.damaged or self.unlogged or self.stray or self.drift)


@dataclass(slots=True)
class _Chunk:
    last: Key
    sums: Sums


class Census(Generic[Row]):
    """The count of the database that has this hash and id.  `rows` is how many were looked at."""

    def __init__(self, schema: Schema[Row], digest: bytes, database_id: int) -> None:
        self.flaws = Flaws()
        self.rows = 0
        self._schema = schema
        self._digest = digest
        self._id = database_id
        self._chases = 0
        self._log_from = 0
        self._log_to: int | None = None
        self._is_log_done = False
        self._grave: Key | None = None  # the last tombstone that was looked at
        self._are_graves_done = False
        self._followed: int | None = None  # the number of the last change that is accounted for
        self._chunks: list[_Chunk] = []
        self._stale: set[int] = set()
        self._are_totals_lost = False

    def step(self, reader: Reader) -> State:
        """Go on counting; DONE when the sums are right at the moment of `reader`, and `flaws` say
        whether the totals are.  Raises Gone."""
        if self.is_chasing:
            self._chases += 1
            if self._chases > CHASES_MAX:
                return State.GIVEN_UP
        totals = self._totals(reader)
        if not self._is_log_done:
            self._look_at_log(reader, totals)
        elif not self._are_graves_done:
            self._look_at_graves(reader)
        elif self._count_some(reader, totals):
            is_right = self._sums() == _present(totals.by_policy)
            self.flaws.drift = self._are_totals_lost or not is_right
            return State.DONE
        return State.GOES_ON

    @property
    def is_chasing(self) -> bool:
        """Whether all has been counted once, and what has changed since is being counted: then it
        is better not to wait."""
        return bool(self._chunks) and self._chunks[-1].last == _END

    def repair(self, writer: Writer) -> bool:
        """Put right what can be, but for what a peer would have to send; False when the totals have
        to be counted on first.  Raises Gone."""
        totals = self._totals(writer)
        flaws, schema = self.flaws, self._schema
        changed = False
        for number in flaws.stray:
            row_table.unlog(writer, schema, self._id, number)
        for policy_index, name in flaws.unlogged:
            again = row_table.log_anew(writer, schema, self._id, policy_index, name)
            if again is not None:
                totals.sequence, changed = again, True
        flaws.stray, flaws.unlogged = [], []
        counted = not flaws.drift
        if not counted and self._count_some(writer, totals):
            none = {index: [0] * len(found) for index, found in totals.by_policy.items()}
            totals.by_policy = {**none, **self._sums()}
            totals.sequence = numbers.take(writer)  # so that whoever is told learns of it
            counted = changed = True
        if changed:
            heads.save_totals(writer, self._id, totals)
            schema.changed(writer, self._digest, totals)
        return counted

    def _totals(self, reader: Reader) -> Totals:
        if heads.find_id(reader, self._digest) != self._id:
            raise Gone
        try:
            return heads.find_totals(reader, self._id)
        except DAMAGED:
            self._are_totals_lost = True
            return Totals(numbers.last(reader))

    # ---- the log -------------------------------------------------------------------------------

    def _look_at_log(self, reader: Reader, totals: Totals) -> None:
        """Entries that are made meanwhile come behind the last one, and are left out."""
        if self._log_to is None:
            self._log_to = totals.sequence
        entries = row_table.log_since(reader, self._id, self._log_from)
        found = [number for number, _, _ in islice(entries, ROWS_MAX)]
        for number in found:
            try:
                is_right = row_table.is_logged_rightly(reader, self._schema, self._id, number)
            except DAMAGED:
                continue  # the row will be found
            if not is_right and len(self.flaws.stray) < FLAWS_MAX:
                self.flaws.stray.append(number)
        if len(found) < ROWS_MAX or found[-1] > self._log_to:
            self._is_log_done = True
        else:
            self._log_from = found[-1]

    # ---- tombstones ----------------------------------------------------------------------------

    def _look_at_graves(self, reader: Reader) -> None:
        found = list(islice(self._walk(reader, row_table.TOMBSTONES, self._grave), ROWS_MAX))
        for key, value in found:
            self._decode(reader, key, Stored(value, deleted=True))
        if len(found) < ROWS_MAX:
            self._are_graves_done = True
        else:
            self._grave = found[-1][0]

    # ---- live rows -----------------------------------------------------------------------------

    def _count_some(self, reader: Reader, totals: Totals) -> bool:
        """Count the next chunks, or those that have changed; True when all sums are right."""
        is_up_to_date = self._follow(reader, totals)
        left = ROWS_MAX
        while left > 0 and (self._stale or not self.is_chasing):
            left -= self._count(reader, self._stale.pop() if self.is_chasing else len(self._chunks))
        return is_up_to_date and not self._stale and self.is_chasing

    def _follow(self, reader: Reader, totals: Totals) -> bool:
        """Find out which chunks have changed since the last transaction; False when there is more
        to find out."""
        if self._followed is None:
            self._followed = totals.sequence
            return True
        entries = row_table.log_since(reader, self._id, self._followed)
        ends = [chunk.last for chunk in self._chunks]
        count = 0
        for number, policy_index, name in islice(entries, FOLLOWED_MAX):
            at = bisect_left(ends, (policy_index, name))
            if at < len(ends):
                self._stale.add(at)
            self._followed = number
            count += 1
        return count < FOLLOWED_MAX

    def _count(self, reader: Reader, at: int) -> int:
        """Count one chunk, which may be the next new one; how many rows it has."""
        after = self._chunks[at - 1].last if at else None
        is_new = at == len(self._chunks)
        last = None if is_new else self._chunks[at].last
        sums: Sums = {}
        count = 0
        for key, value in self._walk(reader, row_table.ROWS, after):
            if last is not None and key > last:
                break
            count += 1
            row = self._decode(reader, key, Stored(value, deleted=False))
            if row is not None and (counted := self._schema.counts(row, key.policy_index)):
                _add(sums, *counted)
            if is_new and count == CHUNK_ROWS:
                last = key
                break
        chunk = _Chunk(last or _END, sums)
        self._chunks[at : at + 1] = [chunk]
        return max(1, count)

    def _sums(self) -> Sums:
        sums: Sums = {}
        for chunk in self._chunks:
            for policy_index, amounts in chunk.sums.items():
                _add(sums, policy_index, amounts)
        return _present(sums)

    # ---- rows ----------------------------------------------------------------------------------

    def _decode(self, reader: Reader, key: Key, stored: Stored) -> Row | None:
        """A row, when it can be read; what is wrong with it or its entry in the log is noted."""
        self.rows += 1
        try:
            row, number = self._schema.decode(stored)
        except DAMAGED as error:
            if len(self.flaws.damaged) < FLAWS_MAX:
                self.flaws.damaged.append((key, str(error)))
            return None
        entry = row_table.logged(reader, self._id, number)
        if entry != key and len(self.flaws.unlogged) < FLAWS_MAX:
            self.flaws.unlogged.append(key)
        return row

    def _walk(
        self, reader: Reader, names: NameIndex, after: Key | None
    ) -> Iterator[tuple[Key, bytes]]:
        for policy_index in row_table.policies_of(reader, names, self._id):
            start = b""
            if after is not None:
                if policy_index < after.policy_index:
                    continue
                if policy_index == after.policy_index:
                    start = after.name + b"\0"
            space = space_of(self._id, policy_index)
            for name, value in names.walk(reader, space, start):
                yield Key(policy_index, name), value


def _add(sums: Sums, policy_index: int, amounts: tuple[int, ...] | list[int]) -> None:
    so_far = sums.setdefault(policy_index, [0] * len(amounts))
    for place, amount in enumerate(amounts):
        so_far[place] += amount


def _present(sums: Sums) -> Sums:
    """Without those of which there is nothing."""
    return {index: list(amounts) for index, amounts in sums.items() if any(amounts)}
