"""Which of the rings' devices are this node's own.

Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from swiftish.cluster.transport import Kind
from swiftish.ring.device import Device


@dataclass(frozen=True, slots=True)
class Here:
    """`addresses` are the `ip:port` at which this node's services are found in the rings.

    None: all devices of all rings are here, as on a cluster of one machine.
    """

    addresses: Mapping[Kind, Collection[str]] | None = None

    def has(self, kind: Kind, device: Device) -> bool:
        """Whether the device is reached by a call."""
        return self.addresses is None or device.address in self.addresses.get(kind, ())


EVERYTHING = Here()
