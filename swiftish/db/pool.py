"""The open environments of this process, one per device and kind, opened when first needed."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from swiftish.db.name_index import META
from swiftish.domain.rows import UnknownVersion
from swiftish.http.replies import Refusal
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentCorrupt,
    EnvironmentFailed,
    EnvironmentFull,
    EnvironmentTrouble,
    Reader,
    Writer,
)
from swiftish.runtime.errnos import EXHAUSTED

log = logging.getLogger(__name__)

T = TypeVar("T")

_FORMAT = b"format"

# What can go wrong without being our bug; `refusal` turns it into an answer.
TROUBLE = (EnvironmentTrouble, UnknownVersion, OSError)


class Pool:
    """The environments called `<device>/<kind>.mdb`; `tables` are what each consists of."""

    def __init__(self, kind: str, *, tables: Sequence[str]) -> None:
        self.kind = kind
        self._tables = tables
        self._format = f"swiftish {kind} 1".encode()
        self._open: dict[str, Environment] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    async def read(self, device: LocalDevice, work: Callable[[Reader], T]) -> T:
        """Run `work` in a thread of the device, on one moment's state.  Raises Refusal."""
        try:
            return await device.threads.run(self._read, device, work)
        except TROUBLE as error:
            raise refusal(error, device) from error

    async def commit(self, device: LocalDevice, work: Callable[[Writer], T]) -> T:
        """Run `work` in the next shared transaction (Environment.commit).  Raises Refusal."""
        try:
            environment = self._open.get(device.name)
            if environment is None:
                environment = await device.threads.run(self._environment, device)
            return await environment.commit(work)
        except TROUBLE as error:
            raise refusal(error, device) from error

    def exists(self, device: LocalDevice) -> bool:
        """Whether anything was ever stored: a worker need not make an environment to find none."""
        return device.name in self._open or self._path(device).exists()

    def close(self) -> None:
        """Wait for what is under way, then close all; what is asked later is a 503."""
        for environment in self._open.values():
            environment.close()
        self._open.clear()

    def _path(self, device: LocalDevice) -> Path:
        return device.path / f"{self.kind}.mdb"

    def _read(self, device: LocalDevice, work: Callable[[Reader], T]) -> T:
        environment = self._open.get(device.name) or self._environment(device)
        with environment.read() as reader:
            return work(reader)

    def _environment(self, device: LocalDevice) -> Environment:
        with self._locks[device.name]:  # its own: a device that hangs holds up nobody else
            environment = self._open.get(device.name)
            if environment is None:
                environment = Environment(self._path(device), names=self._tables)
                try:
                    self._check_format(environment)
                except BaseException:
                    environment.close()
                    raise
                self._open[device.name] = environment
            return environment

    def _check_format(self, environment: Environment) -> None:
        with environment.read() as reader:
            found = reader.get(META, _FORMAT)
        if found is None:
            environment.write(lambda writer: writer.put(META, _FORMAT, self._format))
        elif found != self._format:
            text = f"the format is {found!r}, not {self._format!r}"
            raise EnvironmentCorrupt(environment.path, text)


def refusal(error: Exception, device: LocalDevice) -> Refusal:
    """What a client is told; a device whose disk failed goes out of service."""
    match error:
        case EnvironmentBusy():
            return Refusal(503, f"device {device.name} is too busy")
        case OSError() if error.errno in EXHAUSTED:
            return Refusal(503, str(error.strerror))
        case EnvironmentFull():
            log.error("environment full", extra={"device": device.name, "reason": str(error)})
            return Refusal(507, f"device {device.name} is full")
        case EnvironmentFailed():
            device.fail(str(error))
        case _:
            log.error("environment unusable", extra={"device": device.name, "reason": str(error)})
    return Refusal(507, f"device {device.name} is not in service")
