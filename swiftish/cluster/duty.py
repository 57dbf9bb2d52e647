"""Whose turn it is: what needs to be done once in a cluster, and could be done by any node.

Theory of operation.  Each thing has a name, a name has a partition in some ring, and a partition
has primaries: the first of them that answers does it.  Nodes need not agree on who that is.  While
one comes or goes, two may do the same thing, so it must be harmless to do it twice; and for a while
nobody may, so whoever does it looks again later.
"""

from collections.abc import Iterable

from swiftish.cluster.direct import Direct
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Kind
from swiftish.ring.device import Device
from swiftish.ring.ring import RingSource

# Nobody has it: a node that works says so.
NOBODYS = ".swiftish/alive/alive"


class Duty:
    """What this node does of that which only one needs to do.

    What it has found out of other nodes holds until `look_again`: once in a worker's pass.
    """

    def __init__(self, direct: Direct, *, kind: Kind, ring: RingSource, here: Here) -> None:
        self._direct = direct
        self._kind: Kind = kind
        self._ring = ring
        self._here = here
        self._answers: dict[int, bool] = {}  # by the device's id

    def look_again(self) -> None:
        """Forget who answered."""
        self._answers.clear()

    async def is_ours(self, account: str, container: str, name: str) -> bool:
        """Whether this node does the thing of that name."""
        ring = self._ring()
        primaries = ring.primaries(ring.partition(self._direct.hash_path(account, container, name)))
        first = await self.first_alive(primaries)
        return first is not None and self._here.has(self._kind, first)

    def is_here(self, device: Device, name: str) -> bool:
        """Whether a device is this node's own one of that name."""
        return device.device == name and self._here.has(self._kind, device)

    async def first_alive(self, devices: Iterable[Device]) -> Device | None:
        """The first device that answers."""
        for device in devices:
            if device.id not in self._answers:
                self._answers[device.id] = await self._ask(device)
            if self._answers[device.id]:
                return device
        return None

    async def _ask(self, device: Device) -> bool:
        answer = await self._direct.send(
            self._kind, device, f"/{device.device}/0/{NOBODYS}", "HEAD"
        )
        return answer.status < 500
