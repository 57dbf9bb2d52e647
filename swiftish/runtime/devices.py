"""The local devices of this process: where each one is, its threads, whether it can be used."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from swiftish.runtime.threads import DeviceThreads

log = logging.getLogger(__name__)


class LocalDevice:
    """One device: a folder, its own threads, and the reason why it is out of service, if it is.

    A device goes out of service when a sync on it fails: what the kernel then holds in memory
    can no longer be told from what is on disk, so nothing more is written until a restart.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.threads = DeviceThreads(name)
        self.out_of_service: str | None = None

    def fail(self, why: str) -> None:
        """Take the device out of service; it answers 507 from now on."""
        if self.out_of_service is None:
            self.out_of_service = why
            log.error("device out of service", extra={"device": self.name, "reason": why})

    def __repr__(self) -> str:
        return f"<LocalDevice {self.name}: {self.out_of_service or 'in service'}>"


class Devices:
    """The devices of this node by name.  Made after forking, closed once."""

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = root
        self._devices = {name: LocalDevice(name, root / name) for name in names}

    def get(self, name: str) -> LocalDevice | None:
        """The device, or None when this node has none of that name."""
        return self._devices.get(name)

    def __iter__(self) -> Iterator[LocalDevice]:
        return iter(self._devices.values())

    def close(self) -> None:
        for device in self._devices.values():
            device.threads.close()
