"""What the tests of a cluster do again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.functional.account import Account
from tests.functional.server import alive, children, until
from tests.lab.disks import Disk
from tests.lab.lab import Lab, LabNode
from tests.lab.look import Place, Spot, ask, copies, place
from tests.lab.topology import Settings, Topology

ACCOUNT = "AUTH_test"

# Workers run when a test says so, each node's in turn, and nothing waits for long.
QUIET: Settings = {
    "services": {"workers": []},
    "proxy": {
        "node_timeout_s": 3.0,
        "recheck_account_s": 0.0,
        "recheck_container_s": 0.0,
        "error_limit_interval_s": 0.0,
    },
    "object.auditor": {"files_per_second": 0.0, "zero_byte_files_per_second": 1e6},
}
# Each node holds everything; and accounts with containers apart from objects.
WHOLE = Topology(policies={"gold": 3, "silver": 2}, settings=QUIET)
SPLIT = Topology(split=True, proxies=1, policies={"gold": 3, "silver": 3}, settings=QUIET)

# What brings all replicas of everything home, in an order in which one pass does most of it.
HEALERS = (
    "object-updater",
    "container-replicator",
    "account-replicator",
    "container-updater",
    "object-replicator",
)
HEALING_PASSES = 2


def heal(lab: Lab) -> None:
    """Run the workers of all nodes until all is where it belongs."""
    for _ in range(HEALING_PASSES):
        lab.once(*HEALERS)


def sign_in(
    lab: Lab, user: str = "test:tester", key: str = "testing", *, proxy: int = 0
) -> Account:
    return Account.sign_in(f"{lab.urls[proxy]}/auth/v1.0", user, key)


def container_name(test: str) -> str:
    """For a test's own container: its name without what a name may not have."""
    return test.replace("[", "-").replace("]", "").replace("/", "-")


def stop(*spots: Spot) -> None:
    """As if their nodes had lost their power."""
    for node in {spot.node.name: spot.node for spot in spots}.values():
        if node.running:
            node.kill()


def start(lab: Lab, *spots: Spot) -> None:
    if names := {spot.node.name for spot in spots if not spot.node.running}:
        lab.start(*names)


def reload(node: LabNode) -> None:
    """SIGHUP; returns when all processes are new ones."""
    before = children(node.process.pid)
    node.reload()
    until(lambda: not any(map(alive, before)), what=f"{node.name} has new processes only")


def spread(lab: Lab, container: str, stem: str = "o", *, policy: int = 0) -> str:
    """An object's name whose primaries are on as many nodes."""
    return next(
        n for n in _names(stem) if _is_spread(place(lab, ACCOUNT, container, n, policy=policy))
    )


def spread_container(lab: Lab, stem: str) -> str:
    """A container's name whose primaries are on as many nodes."""
    return next(n for n in _names(stem) if _is_spread(place(lab, ACCOUNT, n)))


def _names(stem: str) -> Iterable[str]:
    return (f"{stem}-{number}" for number in range(10_000))


def _is_spread(found: Place) -> bool:
    return len({spot.node.name for spot in found.primaries}) == len(found.primaries)


def on_primaries(lab: Lab, container: str, name: str, *, policy: int = 0) -> list[str]:
    """The object's files; fails unless exactly its primaries have them, and all the same."""
    found = copies(lab, ACCOUNT, container, name, policy=policy)
    homes = place(lab, ACCOUNT, container, name, policy=policy).primaries
    assert set(found) == {str(spot) for spot in homes}, found
    files, *others = found.values()
    assert all(other == files for other in others), found
    return files


def heads(lab: Lab, container: str | None = None) -> list[tuple[int, dict[str, str]]]:
    """What each primary says of a container, or the account, when it is asked alone."""
    found = place(lab, ACCOUNT, container)
    answers = [ask(lab, spot, "HEAD", found.at(spot)) for spot in found.primaries]
    return [(status, headers) for status, headers, _ in answers]


def in_account(account: Account, container: str) -> dict[str, int] | None:
    """How many objects and bytes a container has, as the account knows."""
    for row in account.rows():
        if row["name"] == container:
            return {"count": row["count"], "bytes": row["bytes"]}
    return None


class Stamps:
    """Moments, each a little later than the one before, all of them just past."""

    def __init__(self, *, age_s: float = 60.0) -> None:
        self._next = time.time() - age_s

    def __call__(self) -> str:
        self._next += 0.01
        return f"{self._next:.5f}"


def tells(container: Place, *spots: Spot) -> dict[str, str]:
    """With these headers an object's server tells these replicas of the container."""
    return {
        "x-container-host": ",".join(spot.device.address for spot in spots),
        "x-container-device": ",".join(spot.device.device for spot in spots),
        "x-container-partition": str(container.partition),
    }


def metadata_of(headers: Mapping[str, str], family: str = "x-object-meta-") -> dict[str, str]:
    return {n.removeprefix(family): v for n, v in headers.items() if n.startswith(family)}


def fill(disk: Disk, *, leave: int) -> Path:
    """Use up a device but for so many bytes."""
    ballast = disk.path / "ballast"
    there = os.statvfs(disk.path)
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, there.f_bavail * there.f_frsize - leave)
    return ballast
