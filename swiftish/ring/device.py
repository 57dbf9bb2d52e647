"""A device of the ring, and where it stands.

Pure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from swiftish.ring.errors import RingError

# A tier is a failure domain: (), (region,), (region, zone), (region, zone, ip) or, for one device,
# (region, zone, ip, id).  What fails together is below one tier.
Tier = tuple[int | str, ...]

# Every id up to the highest has a place in lists and files: 16 million are more than any ring has.
ID_MAX = 2**24 - 1
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One disk: `device` is its name below the node's folder of devices.

    `weight` has no unit: a device gets partitions in proportion to it, and 0 drains the device.
    `replication_ip` and `replication_port` are "" and 0 where they are the same as ip and port.
    """

    id: int
    device: str
    ip: str = "127.0.0.1"
    port: int = 0
    region: int = 1
    zone: int = 1
    weight: float = 100.0
    meta: str = ""
    replication_ip: str = ""
    replication_port: int = 0

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"

    @property
    def tiers(self) -> tuple[Tier, Tier, Tier, Tier]:
        """Its failure domains, the widest first: region, zone, host, device."""
        region, zone, ip = self.region, self.zone, self.ip
        return (region,), (region, zone), (region, zone, ip), (region, zone, ip, self.id)

    def __str__(self) -> str:
        return f"{self.address}/{self.device}"


def to_document(device: Device) -> dict[str, object]:
    """The device as Swift's rings describe it (reference 2.10)."""
    return {
        "id": device.id,
        "region": device.region,
        "zone": device.zone,
        "ip": device.ip,
        "port": device.port,
        "device": device.device,
        "weight": device.weight,
        "meta": device.meta,
        "replication_ip": device.replication_ip or device.ip,
        "replication_port": device.replication_port or device.port,
    }


def from_document(found: Mapping[str, object]) -> Device:
    """Read what Swift's rings say of a device; what old ones lack has its default.

    Raises RingError when something is missing or is not what it must be.
    """
    try:
        device = Device(
            id=_whole(found, "id"),
            region=_whole(found, "region", default=1),
            zone=_whole(found, "zone"),
            ip=_text(found, "ip"),
            port=_whole(found, "port"),
            device=_text(found, "device"),
            weight=float(str(found["weight"])),
            meta=str(found.get("meta") or ""),
            replication_ip=str(found.get("replication_ip") or _text(found, "ip")),
            replication_port=_whole(found, "replication_port", default=_whole(found, "port")),
        )
    except KeyError as error:
        raise RingError(f"a device lacks its {error.args[0]}") from None
    except ValueError as error:
        raise RingError(f"a device is described wrongly: {error}") from None
    if not 0 <= device.id <= ID_MAX:
        raise RingError(f"device id {device.id} is not between 0 and {ID_MAX}")
    if not (math.isfinite(device.weight) and device.weight >= 0):
        raise RingError(f"device {device.id} has a weight of {device.weight}")
    if not (0 <= device.port <= PORT_MAX and 0 <= device.replication_port <= PORT_MAX):
        raise RingError(f"device {device.id} has a port that is not between 0 and {PORT_MAX}")
    return device


def _text(found: Mapping[str, object], key: str) -> str:
    value = found[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"its {key} is {value!r}")
    return value


def _whole(found: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = found[key] if default is None else found.get(key)
    return default if value is None and default is not None else int(str(value))
