"""Worker: the replicator of accounts."""

from swiftish.account.schema import SCHEMA
from swiftish.db.replicator import Replicator
from swiftish.domain.rows import ContainerRow


class AccountReplicator(Replicator[ContainerRow]):
    """What is done for all databases is all that accounts need (db/replicator.py)."""

    name = "account-replicator"
    schema = SCHEMA
