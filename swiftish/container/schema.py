"""What containers are made of: rows of objects, each in a storage policy, and metadata.

A container that has changed since its accounts were told is marked as dirty in the transaction that
changes it; the mark is the number of the change.

Tables: dirty, hash -> number; fed, id -> how far its misplaced rows are fed (strays.py).
"""

from struct import Struct

from swiftish.cluster.documents import BadDocument
from swiftish.cluster.wire import CONTAINER_HEADERS
from swiftish.db.heads import Found, Head, Totals
from swiftish.db.schema import TEXT_MAX, Schema, Stored, check_amount
from swiftish.domain.policy import PolicySet
from swiftish.domain.rows import ObjectRow, decode_row, encode_row, merge
from swiftish.domain.timestamp import Timestamp
from swiftish.runtime.environment import Reader, Writer

DIRTY = "dirty"
FED = "fed"
TABLES = (DIRTY, FED)

USER_METADATA = "x-container-meta-"
METADATA_FAMILIES = (USER_METADATA, "x-container-sysmeta-")

_ID = Struct(">Q")


class ContainerSchema(Schema[ObjectRow]):
    """`policies` are those of this node: what peers say of others is refused (None: of none)."""

    kind = "container"
    metadata_names = (*METADATA_FAMILIES, *CONTAINER_HEADERS)

    def __init__(self, policies: PolicySet | None = None) -> None:
        self._policies = policies

    def decode(self, stored: Stored) -> tuple[ObjectRow, int]:
        return decode_row(stored.value, deleted=stored.deleted)

    def encode(self, row: ObjectRow, number: int) -> Stored:
        return Stored(encode_row(row, number), row.deleted)

    def merge(self, a: ObjectRow, b: ObjectRow) -> ObjectRow:
        return merge(a, b)

    def counts(self, row: ObjectRow, policy_index: int) -> tuple[int, tuple[int, ...]]:
        """A tombstone adds nothing, but shows that there are rows of its policy."""
        return policy_index, (0, 0) if row.deleted else (1, row.size)

    def deleted_at(self, row: ObjectRow) -> Timestamp | None:
        return row.timestamp if row.deleted else None

    def check_row(self, row: ObjectRow, policy_index: int) -> None:
        check_amount(row.size, "a size")
        for text in (row.etag, row.content_type):
            if type(text) is not str or len(text) > TEXT_MAX:
                raise BadDocument("a row has no etag or content type")
        if min(row.content_type_timestamp, row.metadata_timestamp) < row.timestamp:
            raise BadDocument("a row is younger than what belongs to it")
        self._check_policy(policy_index)

    def is_deleted(self, head: Head, totals: Totals) -> bool:
        """Deleted after it was last put, and empty in its own policy.

        (Rows of other policies are strays that do not bring it back, but forbid to delete it.)
        """
        return head.delete > head.put and not objects_and_bytes(head, totals)[0]

    def check_head(self, head: Head) -> None:
        if not head.container or not head.claims or head.marked_deleted:
            raise BadDocument("this is no container")
        for policy_index in head.claims:
            self._check_policy(policy_index)

    def changed(self, writer: Writer, digest: bytes, totals: Totals) -> None:
        writer.put(DIRTY, digest, totals.sequence.to_bytes(8, "big"))

    def may_forget(self, reader: Reader, digest: bytes) -> bool:
        return reader.get(DIRTY, digest) is None

    def forget(self, writer: Writer, found: Found) -> None:
        writer.delete(DIRTY, found.digest)
        writer.delete(FED, _ID.pack(found.head.id))

    def _check_policy(self, policy_index: int) -> None:
        known = self._policies is None or self._policies.by_index(policy_index) is not None
        if type(policy_index) is not int or not known:
            raise BadDocument(f"there is no storage policy {policy_index!r:.20} here")


def objects_and_bytes(head: Head, totals: Totals) -> tuple[int, int]:
    """Of the container's own policy."""
    objects, size = totals.by_policy.get(head.policy_index, (0, 0))
    return objects, size


SCHEMA = ContainerSchema()
