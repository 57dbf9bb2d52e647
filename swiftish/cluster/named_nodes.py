"""Nodes that a request names in its headers, for this node to tell them something (T89).

Only devices of the ring are ever contacted: a name that is not there, a foreign host's, is passed
over, counted, and said once in a while.
"""

import logging

from swiftish.cluster.transport import Kind
from swiftish.ring.device import Device
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.seldom import Seldom

log = logging.getLogger(__name__)

NAME_MAX = 100  # of what a log says


class NamedNodes:
    """Finds devices of one kind by what headers say; `unknown` counts those that are not there."""

    def __init__(self, kind: Kind, ring: RingSource, clock: Clock) -> None:
        self.unknown = 0
        self._kind = kind
        self._ring = ring
        self._seldom = Seldom(clock)

    def find(self, address: str, device: str) -> Device | None:
        """The device at `ip:port`, if the ring has it."""
        found = self._ring().find(address=address, device=device)
        if found is None:
            self.unknown += 1
            name = f"{address}/{device}"[:NAME_MAX]
            if self._seldom.may(name):
                log.warning("not in the ring", extra={"node": name, "service": self._kind})
        return found
