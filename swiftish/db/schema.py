"""What differs between accounts and containers, as far as storing and replicating rows goes."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

from swiftish.cluster.documents import BadDocument
from swiftish.cluster.transport import Kind
from swiftish.db.heads import Found, Head, Totals
from swiftish.domain.metadata import Metadata
from swiftish.domain.timestamp import Timestamp
from swiftish.runtime.environment import Reader, Writer

Row = TypeVar("Row")

# What peers may say: names of the reconciler's queue hold a policy, an account, a container and an
# object; a header has as much room as a request's line.
NAME_BYTES_MAX = 8192
TEXT_MAX = 8192
METADATA_MAX = 1000
SIZE_MAX = 2**63 - 1

_SPLITS = re.compile(r"[\0\r\n]")


class Stored(NamedTuple):
    """A row as it is stored, and whether it is a tombstone."""

    value: bytes
    deleted: bool


class Schema(ABC, Generic[Row]):
    """The rows of one kind of database: their form, how two merge, what they count for.

    `metadata_names` are what begins the names of the headers that it keeps, or all of a name.
    """

    kind: Kind
    metadata_names: Collection[str]

    # ---- rows ------------------------------------------------------------------------------

    @abstractmethod
    def decode(self, stored: Stored) -> tuple[Row, int]:
        """A row and the number of its last change.  Raises UnknownVersion."""

    @abstractmethod
    def encode(self, row: Row, number: int) -> Stored:
        """The other way round."""

    @abstractmethod
    def merge(self, a: Row, b: Row) -> Row:
        """The row that knows everything that either knows."""

    @abstractmethod
    def counts(self, row: Row, policy_index: int) -> tuple[int, tuple[int, ...]] | None:
        """The policy whose totals the row belongs to, and what it adds to them."""

    @abstractmethod
    def deleted_at(self, row: Row) -> Timestamp | None:
        """When it was deleted, if it is a tombstone."""

    @abstractmethod
    def check_row(self, row: Row, policy_index: int) -> None:
        """Look at a row that a peer has sent, in one of its policies.  Raises BadDocument."""

    # ---- databases -------------------------------------------------------------------------

    @abstractmethod
    def is_deleted(self, head: Head, totals: Totals) -> bool:
        """Whether clients find none of that name."""

    @abstractmethod
    def check_head(self, head: Head) -> None:
        """Look at what a peer has sent, beside what all heads have.  Raises BadDocument."""

    def changed(self, writer: Writer, digest: bytes, totals: Totals) -> None:
        """In a transaction that has changed a database: tell whom it concerns."""
        del writer, digest, totals

    def may_forget(self, reader: Reader, digest: bytes) -> bool:
        """Whether everybody has heard that this database is deleted."""
        del reader, digest
        return True

    def forget(self, writer: Writer, found: Found) -> None:
        """In the transaction that removes a database: remove what else is known of it."""
        del writer, found


def decode_checked(schema: Schema[Row], stored: Stored, policy_index: int) -> Row:
    """A row that a peer has sent.  Raises BadDocument."""
    try:
        row, _ = schema.decode(stored)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadDocument(f"no row: {error}") from None
    schema.check_row(row, policy_index)
    return row


def check_text(text: object, what: str) -> None:
    """Raises BadDocument unless this is text that a header can hold."""
    if type(text) is not str or len(text) > TEXT_MAX or _SPLITS.search(text):
        raise BadDocument(f"{what} is not fit for a header")


def check_amount(amount: object, what: str) -> None:
    """Raises BadDocument unless this is a number of things, or bytes."""
    if type(amount) is not int or not 0 <= amount <= SIZE_MAX:
        raise BadDocument(f"{what} is no amount: {amount!r:.40}")


def check_metadata(metadata: Metadata, known: Collection[str]) -> None:
    """Raises BadDocument unless all names are known, or begin so, and the values are text."""
    if len(metadata) > METADATA_MAX:
        raise BadDocument("too many metadata")
    for name, (value, _) in metadata.items():
        check_text(name, "a metadata's name")
        if not name.startswith(tuple(known)):
            raise BadDocument(f"metadata are not called {name!r:.100}")
        check_text(value, name)
