"""Where the replicas of a node's databases are, and how to reach them."""

from dataclasses import dataclass

from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.transport import Kind, Transport
from swiftish.db.sync_rules import Placement, place
from swiftish.ring.device import Device
from swiftish.ring.ring import RingSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The ring of a kind of database, asked each time; which of its devices are this node's own;
    the way to the others."""

    kind: Kind
    ring: RingSource
    transport: Transport
    here: Here = EVERYTHING

    def is_own(self, name: str, device: Device) -> bool:
        """Whether a device of the ring is this node's own one of that name."""
        return device.device == name and self.here.has(self.kind, device)

    def place(self, name: str, digest: bytes) -> Placement:
        """Where a database belongs, as seen from this node's device of that name."""
        ring = self.ring()
        return place(ring, ring.partition(digest), lambda device: self.is_own(name, device))
