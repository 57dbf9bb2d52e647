"""Worker: remove the temporary files that killed processes left behind.

Only file systems without O_TMPFILE have any.  However many there are, a start does not wait for
it: they go some at a time, beside everything else.
"""

from collections.abc import Callable

from swiftish.object.async_disk import AsyncDisk
from swiftish.object.disk import Disk
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.passes import Passes, Units
from swiftish.runtime.worker import Progress, Report

BATCH = 500


class Sweeper:
    """A pass looks at each device until it is clean."""

    name = "object-sweeper"

    def __init__(
        self,
        *,
        devices: Devices,
        disk_of: Callable[[LocalDevice], AsyncDisk],
        clock: Clock,
        settings: ObjectSettings,
    ) -> None:
        self.interval_s = settings.sweep_interval_s
        self.report = Report()
        self._devices = devices
        self._disk_of = disk_of
        self._passes = Passes(self._units, self.report, clock)

    async def work(self) -> Progress:
        return await self._passes.step()

    async def _units(self) -> Units:
        for device in self._devices:
            removed = BATCH
            while removed == BATCH and device.out_of_service is None:
                removed = await self._disk_of(device).run_blocking(Disk.sweep, limit=BATCH)
                self.report.advance(removed)
                yield
