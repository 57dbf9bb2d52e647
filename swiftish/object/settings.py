"""Settings of the object server.

Pure.
"""

from dataclasses import dataclass

from swiftish.domain.limits import MiB


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

    def __post_init__(self) -> None:
        if not 0 <= self.free_space_reserve < 1:
            raise ValueError("free_space_reserve must be at least 0 and less than 1.")
        if self.container_update_timeout_s <= 0:
            raise ValueError("container_update_timeout_s must be more than 0.")
        if self.updater_concurrency < 1:
            raise ValueError("updater_concurrency must be at least 1.")
