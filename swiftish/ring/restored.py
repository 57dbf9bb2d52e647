"""A builder from a ring file, for when the builder and its backups are lost.

The partitions stay where they are.  What a ring does not know is lost: the overload, when
partitions last moved (any may move next), which devices were to leave.

Pure.
"""

import numpy as np

from swiftish.ring.builder import HOURS_MAX, Builder
from swiftish.ring.ring import Ring
from swiftish.ring.table import table_of


def builder_of(ring: Ring, *, min_part_hours: int) -> Builder:
    """Raises RingError when no builder can have these hours, or as many replicas."""
    replicas = sum(map(len, ring.rows)) / ring.partitions
    builder = Builder.create(power=ring.power, replicas=replicas, min_part_hours=min_part_hours)
    builder.devices = list(ring.devices)
    builder.assignment = table_of(list(ring.rows), partitions=ring.partitions)
    builder.moved_hours_ago = np.full(ring.partitions, HOURS_MAX, np.uint8)
    builder.next_power, builder.version = ring.next_power, ring.version
    builder.hash_id = ring.hash_id
    builder.dispersion = builder.survey().dispersion
    return builder
