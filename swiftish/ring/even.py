"""A ring of equal devices on one machine: what `swiftish serve` makes on its first start.

Pure.
"""

from array import array
from collections.abc import Sequence

from swiftish.ring.device import Device
from swiftish.ring.ring import Ring

# 1,024 partitions: eight devices hold a few hundred each, and few folders are made twice.
PART_POWER = 10


def even_ring(
    devices: Sequence[Device], *, replicas: int, power: int = PART_POWER, hash_id: str = ""
) -> Ring:
    """Give each partition `replicas` different devices, each device as many as any other.

    Raises ValueError when there are fewer devices than replicas.
    """
    if not 0 < replicas <= len(devices):
        raise ValueError(f"{replicas} replicas need as many devices; there are {len(devices)}")
    rows = [
        array("H", ((part * replicas + replica) % len(devices) for part in range(2**power)))
        for replica in range(replicas)
    ]
    return Ring(devices=tuple(devices), rows=rows, power=power, version=1, hash_id=hash_id)
