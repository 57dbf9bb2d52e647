"""The local devices of this process: where each one is, its threads, whether it can be used."""

import errno
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from swiftish.runtime.device_check import look, mark_device
from swiftish.runtime.device_mark import Identity, Verdict, judge
from swiftish.runtime.threads import DeviceThreads

log = logging.getLogger(__name__)


VERIFIED_S = 1.0  # a look is good for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """`mount_check`: each device's folder must be a mount point (Swift's option of that name).

    `check_interval_s`: how often every device is looked at; `answer_timeout_s`: how long its
    threads may take for that until it is out of service.
    """

    mount_check: bool = True
    check_interval_s: float = 5.0
    answer_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.check_interval_s <= 0 or self.answer_timeout_s <= 0:
            raise ValueError("check_interval_s and answer_timeout_s must be more than 0.")


class LocalDevice:
    """One device: a folder, its own threads, and the reason why it is out of service, if it is.

    A device goes out of service for good when a sync on it fails: what the kernel then holds in
    memory can no longer be told from what is on disk, so nothing more is written until a restart,
    or until another disk is in its place.
    As long as it is not mounted, another's disk is in its place or its threads hang it is
    suspended (runtime/device_watcher.py).

    `generation` changes when another disk is found in its place: what was remembered of the folder
    is then no longer true.  With `identity` None the folder is trusted.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        identity: Identity | None = None,
        mount_check: bool = False,
    ) -> None:
        self.name = name
        self.path = path
        self.threads = DeviceThreads(name)
        self.generation = 0
        self._identity = identity
        self._mount_check = mount_check
        self._failure: str | None = None
        self._suspension: str | None = None
        self._disk_id = ""
        self._lock = Lock()  # of the disk's id
        self._verified_until = 0.0  # by the monotonic clock

    @property
    def out_of_service(self) -> str | None:
        """Why not to use it; None when it may be used."""
        return self._failure or self._suspension

    def fail(self, why: str) -> None:
        """Take the device out of service; it answers 507 from now on."""
        if self._failure is None:
            self._failure = why
            log.error("device out of service", extra={"device": self.name, "reason": why})

    def suspend(self, why: str) -> None:
        """The same, until `resume`."""
        if self._suspension != why:
            self._suspension = why
            log.error("device suspended", extra={"device": self.name, "reason": why})

    def resume(self) -> None:
        """Whatever the device was suspended for is over."""
        if self._suspension is not None:
            log.warning("device resumed", extra={"device": self.name, "was": self._suspension})
            self._suspension = None

    def trouble(self) -> str | None:
        """Look whether the folder is the device that it should be, and mark it if it is new; why
        it must not be used.  Blocking."""
        if self._identity is None:
            return None
        try:
            with self._lock:
                verdict = self._judge(self._identity)
                if verdict.adopt:
                    mark_device(self.path, self._identity)
                    log.info("device marked", extra={"device": self.name})
                    verdict = self._judge(self._identity)
                if verdict.id and verdict.id != self._disk_id:
                    if self._disk_id:
                        self._failure = None  # that was the other disk's
                    self._disk_id = verdict.id
                    self.generation += 1
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        return verdict.trouble

    def _judge(self, identity: Identity) -> Verdict:
        return judge(
            look(self.path), identity, mount_check=self._mount_check, known_id=self._disk_id
        )

    def verify(self) -> None:
        """Called before something new is made right below the folder.  Blocking.

        Raises OSError (ENODEV) when this is not the device: it would fill what is below.
        """
        if (trouble := self.trouble()) is not None:
            raise OSError(errno.ENODEV, f"device {self.name}: {trouble}")

    def verify_lately(self) -> None:
        """The same, where it was not done in the last second: a look costs as much as a folder.
        Blocking."""
        if time.monotonic() >= self._verified_until:
            self.verify()
            self._verified_until = time.monotonic() + VERIFIED_S

    def __repr__(self) -> str:
        return f"<LocalDevice {self.name}: {self.out_of_service or 'in service'}>"


class Devices:
    """The devices of this node by name.  Made after forking, closed once.

    With `cluster` (ring/hash_id.py) each must have the mark of its cluster and name.
    """

    def __init__(
        self,
        root: Path,
        names: Iterable[str],
        *,
        cluster: str | None = None,
        mount_check: bool = False,
    ) -> None:
        self.root = root
        self._cluster = cluster
        self._mount_check = mount_check
        self._devices = {name: self._make(name) for name in names}

    def admit(self, names: Iterable[str]) -> None:
        """Take up devices that a new ring gives to this node.  They are suspended until they have
        been looked at; those that it no longer has stay, for there may be data on them."""
        for name in names:
            if name not in self._devices:
                device = self._make(name)
                device.suspend("it has not been looked at yet")
                self._devices[name] = device

    def _make(self, name: str) -> LocalDevice:
        identity = None
        if self._cluster is not None:
            identity = Identity(cluster=self._cluster, device=name)
        return LocalDevice(name, self.root / name, identity=identity, mount_check=self._mount_check)

    def get(self, name: str) -> LocalDevice | None:
        """The device, or None when this node has none of that name."""
        return self._devices.get(name)

    def __iter__(self) -> Iterator[LocalDevice]:
        return iter(list(self._devices.values()))

    def close(self) -> None:
        for device in self._devices.values():
            device.threads.close()
