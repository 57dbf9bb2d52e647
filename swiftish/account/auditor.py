"""Worker: the auditor of accounts."""

from swiftish.account.schema import SCHEMA
from swiftish.db.auditor import DatabaseAuditor
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.second_copy import second_copies
from swiftish.db.settings import AuditorSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.rows import ContainerRow
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices


class AccountAuditor(DatabaseAuditor[ContainerRow]):
    name = "account-auditor"
    schema = SCHEMA


def account_auditor(
    devices: Devices,
    pool: Pool,
    hash_path: HashPath,
    clock: Clock,
    settings: AuditorSettings,
    peers: Peers | None,
) -> AccountAuditor:
    """One that lets go of damaged accounts of which `peers` have all."""
    return AccountAuditor(
        devices=devices,
        pool=pool,
        hash_path=hash_path,
        clock=clock,
        settings=settings,
        peers_have=second_copies(pool, peers, SCHEMA),
    )
