"""What of a container server can be set.

Pure.
"""

from dataclasses import dataclass


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
