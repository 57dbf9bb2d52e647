"""What of an account server can be set.

Pure.
"""

from dataclasses import dataclass, field

from swiftish.db.settings import AuditorSettings, ReplicatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaperSettings:
    """`delay_reaping_s`: for how long the contents of a deleted account are kept.

    `reap_warn_after_s`: an account that is not empty so long after that is worth a warning.
    `concurrency`: so many objects are deleted at once.
    """

    interval_s: float = 3600.0
    concurrency: int = 25
    delay_reaping_s: float = 0.0
    reap_warn_after_s: float = 30 * 24 * 3600.0

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError("interval_s must be more than 0.")
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1.")
        if self.delay_reaping_s < 0 or self.reap_warn_after_s < 0:
            raise ValueError("delay_reaping_s and reap_warn_after_s must not be less than 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """`reaper`: what deletes the contents of deleted accounts."""

    reaper: ReaperSettings = field(default_factory=ReaperSettings)
    replicator: ReplicatorSettings = field(default_factory=ReplicatorSettings)
    auditor: AuditorSettings = field(default_factory=AuditorSettings)
