"""What accounts are made of: rows of containers, and metadata."""

from swiftish.cluster.documents import BadDocument
from swiftish.db.heads import Head, Totals
from swiftish.db.schema import Schema, Stored, check_amount
from swiftish.domain.rows import ContainerRow, decode_container, encode_container, merge_containers
from swiftish.domain.timestamp import Timestamp

USER_METADATA = "x-account-meta-"
METADATA_FAMILIES = (USER_METADATA, "x-account-sysmeta-")

_POLICY_MAX = 2**16 - 2


class AccountSchema(Schema[ContainerRow]):
    """All rows are stored under policy 0: a row says itself which policy its container has."""

    kind = "account"
    metadata_names = METADATA_FAMILIES

    def decode(self, stored: Stored) -> tuple[ContainerRow, int]:
        return decode_container(stored.value)

    def encode(self, row: ContainerRow, number: int) -> Stored:
        return Stored(encode_container(row, number), row.deleted)

    def merge(self, a: ContainerRow, b: ContainerRow) -> ContainerRow:
        return merge_containers(a, b)

    def counts(self, row: ContainerRow, policy_index: int) -> tuple[int, tuple[int, ...]] | None:
        del policy_index
        return None if row.deleted else (row.policy_index, (1, row.objects, row.bytes))

    def deleted_at(self, row: ContainerRow) -> Timestamp | None:
        return row.delete_timestamp if row.deleted else None

    def check_row(self, row: ContainerRow, policy_index: int) -> None:
        check_amount(row.objects, "objects")
        check_amount(row.bytes, "bytes")
        # A policy that this node does not know is counted all the same, and named by nobody.
        known = type(row.policy_index) is int and 0 <= row.policy_index <= _POLICY_MAX
        if policy_index or not known:
            raise BadDocument("a container has no such policy")

    def is_deleted(self, head: Head, totals: Totals) -> bool:
        """Deleted by its owner (then containers may be left), or empty and never made."""
        return head.marked_deleted or (head.delete > head.put and totals.sum(0) == 0)

    def check_head(self, head: Head) -> None:
        if head.container or head.claims:
            raise BadDocument("this is no account")


SCHEMA = AccountSchema()
