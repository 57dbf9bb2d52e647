"""Settings of the object server.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from swiftish.domain.limits import MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpirerSettings:
    """`delay_reaping_s`: for how long objects are kept beyond their time, by account, or by
    `account/container`.  With `processes` the tasks are shared out among so many processes, of
    which this node's is number `process`; without, nodes find out by themselves who does what."""

    interval_s: float = 300.0
    tasks_per_second: float = 50.0
    concurrency: int = 1
    processes: int = 0
    process: int = 0
    reclaim_age_s: float = 7 * 24 * 3600.0  # as long as tombstones are kept
    delay_reaping_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.tasks_per_second < 0:
            raise ValueError("interval_s must be more than 0, tasks_per_second not less.")
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1.")
        if self.processes < 0 or not 0 <= self.process < max(1, self.processes):
            raise ValueError("process must be at least 0 and less than processes.")
        if any(delay_s < 0 for delay_s in self.delay_reaping_s.values()):
            raise ValueError("delay_reaping_s must not be less than 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorSettings:
    """How fast each device is audited, and how thoroughly.

    `zero_byte_files_per_second`: the pace of the quick auditor, which looks at metadata and sizes
    only, as Swift's scanner of that name; 0: there is none.  `etag_every`: in how many passes each
    object's MD5 is computed once; 0: never.  `devices`: only these; none named: all.
    """

    interval_s: float = 30.0
    files_per_second: float = 20.0
    bytes_per_second: float = 10_000_000.0
    zero_byte_files_per_second: float = 50.0
    etag_every: int = 10
    save_interval_s: float = 5.0  # so much is audited again after a crash
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.save_interval_s <= 0:
            raise ValueError("interval_s and save_interval_s must be more than 0.")
        rates = self.files_per_second, self.bytes_per_second, self.zero_byte_files_per_second
        if min(rates) < 0 or self.etag_every < 0:
            raise ValueError("the rates and etag_every must not be less than 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSettings:
    """`free_space_reserve` is the part of a device that uploads leave free, so that deletes,
    which need space too, still work on a full device (Swift's fallocate_reserve)."""

    container_update_timeout_s: float = 1.0
    free_space_reserve: float = 0.01
    # Written back and synced every so often, so that the last sync of a large upload is short.
    sync_every_bytes: int = 64 * MiB
    reclaim_age_s: float = 7 * 24 * 3600.0  # as long as tombstones are kept
    updater_interval_s: float = 5.0
    updater_timeout_s: float = 10.0
    updater_concurrency: int = 8
    sweep_interval_s: float = 3600.0
    recovery_interval_s: float = 30.0
    replicator_interval_s: float = 30.0
    replicator_concurrency: int = 8  # partitions at once
    replicator_bytes_per_second: float = 0.0  # of files sent; 0: no limit
    replicator_timeout_s: float = 60.0  # for an answer; for the next block of a large file
    replicator_thorough_every: int = 10  # passes, after which digests are made afresh
    replication_incoming_max: int = 8  # requests at once, for each device
    auditor: AuditorSettings = field(default_factory=AuditorSettings)
    expirer: ExpirerSettings = field(default_factory=ExpirerSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.free_space_reserve < 1:
            raise ValueError("free_space_reserve must be at least 0 and less than 1.")
        if self.container_update_timeout_s <= 0:
            raise ValueError("container_update_timeout_s must be more than 0.")
        for name in (
            "updater_concurrency",
            "replicator_concurrency",
            "replicator_thorough_every",
            "replication_incoming_max",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1.")
        if self.replicator_bytes_per_second < 0:
            raise ValueError("replicator_bytes_per_second must be at least 0.")
        if self.replicator_timeout_s <= 0:
            raise ValueError("replicator_timeout_s must be more than 0.")
