"""Which containers each replica of an object tells about a change (reference 2.2).

Every container replica must be told by somebody, and so many updates must be under way that a
quorum of the containers still hears of an object that only a quorum of its replicas stored.

Pure.
"""

from collections.abc import Sequence

from swiftish.cluster.wire import update_headers
from swiftish.domain.policy import quorum_size
from swiftish.ring.device import Device


def container_updates(
    *, partition: int, containers: Sequence[Device], objects: int
) -> list[dict[str, str]]:
    """For each of `objects` requests to object servers, the headers that name its containers."""
    return update_headers(
        "container",
        partition,
        containers,
        requests=objects,
        updates=updates_needed(containers=len(containers), objects=objects),
    )


def account_updates(
    *, partition: int, accounts: Sequence[Device], containers: int
) -> list[dict[str, str]]:
    """For each of `containers` requests to container servers, the headers of its accounts."""
    return update_headers(
        "account", partition, accounts, requests=containers, updates=len(accounts)
    )


def updates_needed(*, containers: int, objects: int) -> int:
    """How many updates to distribute over the object requests."""
    return max(quorum_size(containers) + objects - quorum_size(objects), containers)
