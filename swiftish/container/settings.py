"""What of a container server can be set.

Pure.
"""

from dataclasses import dataclass, field

from swiftish.db.settings import AuditorSettings, ReplicatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerSettings:
    """`concurrency`: so many objects are moved at once.  `reclaim_age_s`: for how long to wait for
    a copy of an object that is nowhere to be found; as long as tombstones are kept."""

    interval_s: float = 30.0
    concurrency: int = 1
    reclaim_age_s: float = 7 * 24 * 3600.0

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError("interval_s must be more than 0.")
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """`account_update_timeout_s`: how long a PUT or DELETE waits for the accounts to hear of it.

    `report_interval_s`: how long totals may take to reach the accounts when nothing hinders;
    `report_retry_s`: when to try an account again that did not take a report.
    """

    account_update_timeout_s: float = 3.0
    report_interval_s: float = 1.0
    report_retry_s: float = 60.0
    report_batch: int = 100
    replicator: ReplicatorSettings = field(default_factory=ReplicatorSettings)
    auditor: AuditorSettings = field(default_factory=AuditorSettings)
    reconciler: ReconcilerSettings = field(default_factory=ReconcilerSettings)
