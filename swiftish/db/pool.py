"""The open environments of this process, one per device and kind, opened when first needed."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from swiftish.db import numbers
from swiftish.db.name_index import META
from swiftish.domain.rows import UnknownVersion
from swiftish.http.replies import Refusal
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentForeign,
    EnvironmentFull,
    EnvironmentTrouble,
    Reader,
    Writer,
)
from swiftish.runtime.environments import Environments
from swiftish.runtime.errnos import EXHAUSTED

log = logging.getLogger(__name__)

T = TypeVar("T")

_FORMAT = b"format"
_VERSION = 2  # 1 numbered the changes of each database by themselves, and none came to this many:
_COUNTED_AT_MOST = 2**40

# What can go wrong without being our bug; `refusal` turns it into an answer.
TROUBLE = (EnvironmentTrouble, UnknownVersion, OSError)


class Pool:
    """The environments called `<device>/<kind>.mdb`; `tables` are what each consists of.

    One that is corrupt is set aside, and a fresh one takes its place (runtime/environments.py), if
    `may_replace` says that there are replicas to fill it; else the device answers 507.
    """

    def __init__(
        self,
        kind: str,
        *,
        tables: Sequence[str],
        may_replace: Callable[[], bool] = lambda: False,
    ) -> None:
        self.kind = kind
        self._environments = Environments(
            f"{kind}.mdb", tables=tables, prepare=self._begin, may_replace=may_replace
        )

    async def read(self, device: LocalDevice, work: Callable[[Reader], T]) -> T:
        """Run `work` in a thread of the device, on one moment's state.  Raises Refusal."""
        try:
            return await self._environments.read(device, work)
        except TROUBLE as error:
            raise refusal(error, device) from error

    async def commit(self, device: LocalDevice, work: Callable[[Writer], T]) -> T:
        """Run `work` in the next shared transaction (Environment.commit).  Raises Refusal."""
        try:
            return await self._environments.commit(device, work)
        except TROUBLE as error:
            raise refusal(error, device) from error

    async def check(self, device: LocalDevice) -> None:
        """Look at the form of all pages of the device's environment.  Raises Refusal when the disk
        cannot read it; what is corrupt has been set aside when this returns."""
        try:
            run = device.threads.run
            await run(self._environments.use_blocking, device, Environment.check)
        except TROUBLE as error:
            raise refusal(error, device) from error

    def exists(self, device: LocalDevice) -> bool:
        """Whether anything was ever stored: a worker need not make an environment to find none."""
        return self._environments.exists(device)

    def close(self) -> None:
        """Wait for what is under way, then close all; what is asked later is a 503."""
        self._environments.close()

    def _begin(self, environment: Environment) -> None:
        """Look whether this is ours, bring it up to date, and begin a life (numbers.py)."""
        formats = [f"swiftish {self.kind} {version}".encode() for version in range(_VERSION + 1)]

        def begin(writer: Writer) -> None:
            found = writer.get(META, _FORMAT)
            if found is not None and found not in formats[1:]:
                text = f"the format is {found!r}, not {formats[-1]!r}"
                raise EnvironmentForeign(environment.path, text)
            if found == formats[1]:
                numbers.start_at(writer, _COUNTED_AT_MOST)
            if found != formats[-1]:
                writer.put(META, _FORMAT, formats[-1])
            numbers.begin_life(writer)

        environment.write(begin)


def refusal(error: Exception, device: LocalDevice) -> Refusal:
    """What a client is told."""
    match error:
        case EnvironmentBusy():
            return Refusal(503, f"device {device.name} is too busy")
        case OSError() if error.errno in EXHAUSTED:
            return Refusal(503, str(error.strerror))
        case EnvironmentFull():
            log.error("environment full", extra={"device": device.name, "reason": str(error)})
            return Refusal(507, f"device {device.name} is full")
        case _:
            log.error("environment unusable", extra={"device": device.name, "reason": str(error)})
    return Refusal(507, f"device {device.name} is not in service")
