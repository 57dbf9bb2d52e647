"""A device of the ring, and where it stands.

Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One disk: `device` is its name below the node's folder of devices."""

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

    def __str__(self) -> str:
        return f"{self.address}/{self.device}"
