"""Worker: is every device there, is it the right one, and does it answer?

Each process that uses devices has a watcher of its own: threads hang in the process that has them.
One look is taken before anything is served (`run_once`), so that nothing is written to a folder
whose disk is not mounted.
"""

import asyncio
from asyncio import Task

from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, DeviceSettings, LocalDevice
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Progress, Report

HANGING = "its threads hang"


class DeviceWatcher:
    """A unit is a look at all devices at once.  A look that does not come back is waited for, and
    no other taken: when it does, the device is back in service.

    Counters: `suspended`, `resumed`.
    """

    name = "device-watcher"

    def __init__(
        self, *, devices: Devices, clock: Clock, background: Background, settings: DeviceSettings
    ) -> None:
        self.interval_s = settings.check_interval_s
        self.report = Report()
        self._devices = devices
        self._clock = clock
        self._background = background
        self._timeout_s = settings.answer_timeout_s
        self._looks: dict[str, Task[str | None]] = {}

    async def work(self) -> Progress:
        devices = list(self._devices)
        self.report.begin_pass(self._clock.now(), total=len(devices))
        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(self._watch(device))
        self.report.end_pass(self._clock.now())
        return Progress.IDLE

    async def _watch(self, device: LocalDevice) -> None:
        look = self._looks.get(device.name)
        if look is None:
            name = f"look at device {device.name}"
            look = self._background.start(device.threads.run(device.trouble), name=name)
            self._looks[device.name] = look
        done, _ = await asyncio.wait({look}, timeout=self._timeout_s)
        trouble: str | None = HANGING
        if done:
            del self._looks[device.name]
            trouble = look.result()
        before = device.out_of_service
        if trouble is None:
            device.resume()
        else:
            device.suspend(trouble)
        if (before is None) != (device.out_of_service is None):
            self.report.counters["suspended" if trouble else "resumed"] += 1
        self.report.advance()
