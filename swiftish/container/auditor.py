"""Worker: the auditor of containers."""

from swiftish.container.schema import SCHEMA
from swiftish.db.auditor import DatabaseAuditor
from swiftish.db.peers import Peers
from swiftish.db.pool import Pool
from swiftish.db.second_copy import second_copies
from swiftish.db.settings import AuditorSettings
from swiftish.domain.hashing import HashPath
from swiftish.domain.rows import ObjectRow
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices


class ContainerAuditor(DatabaseAuditor[ObjectRow]):
    name = "container-auditor"
    schema = SCHEMA


def container_auditor(
    devices: Devices,
    pool: Pool,
    hash_path: HashPath,
    clock: Clock,
    settings: AuditorSettings,
    peers: Peers | None,
) -> ContainerAuditor:
    """One that lets go of damaged containers of which `peers` have all."""
    return ContainerAuditor(
        devices=devices,
        pool=pool,
        hash_path=hash_path,
        clock=clock,
        settings=settings,
        peers_have=second_copies(pool, peers, SCHEMA),
    )
