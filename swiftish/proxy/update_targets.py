"""Which containers each replica of an object tells about a change (reference 2.2).

Every container replica must be told by somebody, and so many updates must be under way that a
quorum of the containers still hears of an object that only a quorum of its replicas stored.

Pure.
"""

from collections.abc import Sequence

from swiftish.cluster.wire import CLEAN_QUEUE, update_headers
from swiftish.domain.policy import quorum_size
from swiftish.ring.device import Device

_CLEANERS = 2


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


def queue_updates(
    *, container: str, partition: int, containers: Sequence[Device], objects: int
) -> list[dict[str, str]]:
    """For each of `objects` requests to object servers, the headers that name a container of the
    queue of objects that are to expire, and which of its replicas to tell.

    They are dealt from the last request backwards: the first have most to tell already.
    """
    dealt = update_headers(
        "delete-at",
        partition,
        containers,
        requests=objects,
        updates=updates_needed(containers=len(containers), objects=objects),
    )
    # Also who tells nobody is told where: what is pending is sent by it later.
    return [{"x-delete-at-container": container, **headers} for headers in reversed(dealt)]


def cleaning(objects: int) -> list[dict[str, str]]:
    """For each of `objects` requests, whether its replica takes an object's old row out of that
    queue: the first two do, for one may fail, and more would only do the same again."""
    no = {CLEAN_QUEUE: "false"}
    return [no if number >= _CLEANERS else {} for number in range(objects)]


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
