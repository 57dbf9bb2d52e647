"""What of the workers of accounts and containers can be set.

Pure.
"""

from dataclasses import dataclass

BATCH_MAX = 1000  # what one document may speak of (deltas.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicatorSettings:
    """`interval_s`: how long to rest between two passes.  `timeout_s`: how long a node may take
    to answer.  A pass looks at so many databases, and sends so many rows to each node, in a second
    (0: as many as it can).

    What is deleted is remembered for `reclaim_age_s`; every `reclaim_interval_s` a pass looks for
    what has become older.
    """

    interval_s: float = 30.0
    timeout_s: float = 30.0
    batch: int = 500
    concurrency: int = 8
    databases_per_second: float = 2000.0
    rows_per_second: float = 10_000.0
    reclaim_age_s: float = 7 * 24 * 3600.0
    reclaim_interval_s: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("interval_s", "timeout_s", "reclaim_age_s", "reclaim_interval_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0.")
        for name in ("batch", "concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1.")
        if self.batch > BATCH_MAX:
            raise ValueError(f"batch must not be more than {BATCH_MAX}.")
        for name in ("databases_per_second", "rows_per_second"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditorSettings:
    """`interval_s`: how long to rest between two passes, which look at so many databases and rows
    in a second (0: as many as they can).  Rows that have had no head for `leftover_age_s` are
    removed."""

    interval_s: float = 1800.0
    databases_per_second: float = 200.0
    rows_per_second: float = 10_000.0
    leftover_age_s: float = 24 * 3600.0

    def __post_init__(self) -> None:
        if self.interval_s <= 0 or self.leftover_age_s < 0:
            raise ValueError("interval_s must be more than 0, leftover_age_s not negative.")
        if self.databases_per_second < 0 or self.rows_per_second < 0:
            raise ValueError("databases_per_second and rows_per_second must not be negative.")
