"""The environments of one name on all devices, each opened when it is first needed.

Theory of operation.  An environment's file can go bad, or away, while several processes have it
open.  Who meets a page that makes no sense closes the environment and opens it again, with a look
at all of its pages; if they are bad, or the same happens again, the file is set aside
(runtime/environment_file.py), a fresh one is made, and the work goes on with that: replicas fill
it.  What has befallen the disk as a whole (an error of a read, a failed sync) is no reason for any
of this.  The other processes notice within a second that the file at the path is another one, and
before they acknowledge anything that they have written: then they do it again.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import (
    Environment,
    EnvironmentBusy,
    EnvironmentClosed,
    EnvironmentCorrupt,
    EnvironmentFailed,
    EnvironmentReplaced,
    Reader,
    Writer,
)
from swiftish.runtime.environment_file import identity, set_aside

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_INTERVAL_S = 1.0  # how long a replaced file may go unnoticed by readers
ATTEMPTS_MAX = 4  # with the first environment, one checked, one made anew, and one for a race

# After these another attempt is made.
_AGAIN = (EnvironmentClosed, EnvironmentReplaced, EnvironmentCorrupt)


def _nothing(_: object) -> None:
    return None


class Environments:
    """The environments called `<device>/<file name>`, with their tables.

    `prepare` is run on each that has been opened; `before_making`, on a device on which there is
    none, before one is made.  Both block.  With `may_replace` saying no, a corrupt one stays where
    it is and is an error: there is nobody to fill it again.
    """

    def __init__(
        self,
        file_name: str,
        *,
        tables: Sequence[str],
        prepare: Callable[[Environment], None] = _nothing,
        before_making: Callable[[LocalDevice], None] = _nothing,
        may_replace: Callable[[], bool] = lambda: True,
    ) -> None:
        self._file_name = file_name
        self._tables = tables
        self._prepare = prepare
        self._before_making = before_making
        self._may_replace = may_replace
        self._open: dict[str, Environment] = {}
        self._looked_at: dict[str, float] = {}  # monotonic
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._closed = False

    async def open(self, device: LocalDevice) -> Environment:
        """Open it, or make it; it is not to be kept.  Raises EnvironmentTrouble, OSError."""
        environment = self._open.get(device.name)
        if environment is None or self._is_look_due(device):
            environment = await device.threads.run(self._environment, device)
        return environment

    async def read(self, device: LocalDevice, work: Callable[[Reader], T]) -> T:
        """Run `work` in a thread of the device, on one moment's state.

        Raises EnvironmentTrouble, OSError, and what `work` raises; it may be run again.
        """
        return await device.threads.run(self.read_blocking, device, work)

    def read_blocking(self, device: LocalDevice, work: Callable[[Reader], T]) -> T:
        """As `read`, in this thread."""

        def reading(environment: Environment) -> T:
            with environment.read() as reader:
                return work(reader)

        return self.use_blocking(device, reading)

    def use_blocking(self, device: LocalDevice, work: Callable[[Environment], T]) -> T:
        """Run `work` on the open environment, in this thread."""
        corrupt = False
        for attempt in range(ATTEMPTS_MAX):
            environment = self._environment(device)
            try:
                return work(environment)
            except _AGAIN as error:
                self._replace(device, environment, error, again=corrupt)
                corrupt = corrupt or isinstance(error, EnvironmentCorrupt)
                if attempt == ATTEMPTS_MAX - 1:
                    raise
            except EnvironmentFailed as error:
                device.fail(str(error))
                raise
        raise AssertionError("the last attempt returns or raises")

    async def commit(self, device: LocalDevice, work: Callable[[Writer], T]) -> T:
        """Run `work` in the next shared transaction (Environment.commit).

        Raises EnvironmentTrouble, OSError, and what `work` raises.
        """
        corrupt = False
        for attempt in range(ATTEMPTS_MAX):
            environment = await self.open(device)
            try:
                return await environment.commit(work)
            except _AGAIN as error:
                run = device.threads.run
                await run(self._replace, device, environment, error, again=corrupt)
                corrupt = corrupt or isinstance(error, EnvironmentCorrupt)
                if attempt == ATTEMPTS_MAX - 1:
                    raise
            except EnvironmentFailed as error:
                device.fail(str(error))
                raise
        raise AssertionError("the last attempt returns or raises")

    def exists(self, device: LocalDevice) -> bool:
        """Whether anything was ever stored: a worker need not make an environment to find none."""
        return device.name in self._open or self.path(device).exists()

    def path(self, device: LocalDevice) -> Path:
        return device.path / self._file_name

    def close(self) -> None:
        """Wait for what is under way, then close all; what is asked later is EnvironmentBusy."""
        self._closed = True
        for environment in list(self._open.values()):
            environment.close()
        self._open.clear()

    # ---- in the device's threads ---------------------------------------------------------------

    def _environment(self, device: LocalDevice) -> Environment:
        environment = self._open.get(device.name)
        if environment is not None and not self._is_look_due(device):
            return environment
        with self._locks[device.name]:  # its own: a device that hangs holds up nobody else
            if self._closed:
                raise EnvironmentBusy(self.path(device), "closed")
            environment = self._open.get(device.name)
            if environment is None:
                return self._opened(device)
            if self._is_look_due(device) and not environment.is_in_place():
                self._let_go(device, environment)
                return self._opened(device)
            self._looked_at[device.name] = time.monotonic()
            return environment

    def _is_look_due(self, device: LocalDevice) -> bool:
        return time.monotonic() - self._looked_at.get(device.name, 0.0) > LOOK_INTERVAL_S

    def _let_go(self, device: LocalDevice, environment: Environment) -> None:
        log.warning("no longer in place", extra={"path": str(environment.path)})
        del self._open[device.name]
        environment.close()

    def _replace(
        self, device: LocalDevice, environment: Environment, error: Exception, *, again: bool
    ) -> None:
        """After one of `_AGAIN`: see to it that the next attempt has a better environment."""
        with self._locks[device.name]:
            if self._closed or self._open.get(device.name) is not environment:
                return  # somebody else has seen to it
            self._let_go(device, environment)
            if isinstance(error, EnvironmentCorrupt):
                if again:
                    self._set_aside(device, error, environment.identity)
                self._opened(device, check=True)

    def _opened(self, device: LocalDevice, *, check: bool = False) -> Environment:
        """Open it, or make it; one that is corrupt, and still is at a second look, is set aside."""
        device.verify()
        path = self.path(device)
        try:
            for attempt in range(ATTEMPTS_MAX):
                if (there := identity(path)) is None:
                    self._before_making(device)
                try:
                    environment = self._open_one(path, check=check)
                except EnvironmentCorrupt as error:
                    if attempt == ATTEMPTS_MAX - 1:
                        raise
                    if attempt:
                        self._set_aside(device, error, there)
                else:
                    self._open[device.name] = environment
                    self._looked_at[device.name] = time.monotonic()
                    return environment
        except EnvironmentFailed as error:
            device.fail(str(error))
            raise
        raise AssertionError("the last attempt returns or raises")

    def _open_one(self, path: Path, *, check: bool) -> Environment:
        environment = Environment(path, names=self._tables, check=check)
        try:
            self._prepare(environment)
        except BaseException:
            environment.close()
            raise
        return environment

    def _set_aside(
        self, device: LocalDevice, error: EnvironmentCorrupt, only: tuple[int, int] | None
    ) -> None:
        if not self._may_replace():
            raise error
        set_aside(self.path(device), str(error), only=only)
