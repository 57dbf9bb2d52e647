"""The failure domains as numbers: regions, zones, hosts and devices, one array for each level.

Each level numbers its tiers from 0; `of[level][device id]` is the tier that a device is in, and
`parent[level][tier]` the tier above it (level 0 is below the one root).  Ids without a device are
in no tier (-1), and so is NOWHERE, which as an index reaches the entry after the last id.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swiftish.ring.device import Device

LEVELS = 4
HOST, DEVICE = 2, 3

Numbers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """`of` and `parent` as above; `weights` and `ids` by number of device (level 3)."""

    of: tuple[Numbers, ...]
    parent: tuple[Numbers, ...]
    weights: Floats
    ids: Numbers

    @classmethod
    def grow(cls, devices: Sequence[Device | None]) -> "Tree":
        """The tree of all devices, those without weight too: they may still hold something."""
        there = sorted((d for d in devices if d is not None), key=lambda device: device.tiers[2])
        of, parent = [], []
        above = np.zeros(len(there), np.int32)
        for level in range(LEVELS):
            names = {d.tiers[level]: None for d in there}
            numbers = {name: number for number, name in enumerate(names)}
            mine = np.array([numbers[d.tiers[level]] for d in there], np.int32)
            up = np.zeros(len(numbers), np.int32)
            up[mine] = above
            by_id = np.full(len(devices) + 1, -1, np.int32)
            by_id[[d.id for d in there]] = mine
            of.append(by_id)
            parent.append(up)
            above = mine
        return cls(
            of=tuple(of),
            parent=tuple(parent),
            weights=np.array([d.weight for d in there], np.float64),
            ids=np.array([d.id for d in there], np.int32),
        )

    def width(self, level: int) -> int:
        """How many tiers the level has; the root is level -1."""
        return len(self.parent[level]) if level >= 0 else 1

    def sums(self, values: Counts | Floats, *, level: int) -> Floats:
        """Add up the values of a level's tiers for each tier above."""
        sums = np.bincount(self.parent[level], weights=values, minlength=self.width(level - 1))
        return sums.astype(np.float64)

    def upwards(self, leaves: Counts | Floats) -> list[Floats]:
        """The sums of the devices' values at every level, regions first, devices last."""
        found = [np.asarray(leaves, np.float64)]
        for level in range(LEVELS - 1, 0, -1):
            found.append(self.sums(found[-1], level=level))
        return found[::-1]

    def children(self, tier: int, *, level: int) -> Numbers:
        """The tiers of a level that are below `tier` of the level above."""
        return np.flatnonzero(self.parent[level] == tier).astype(np.int32)
