"""What every verb starts from: where on which device the object of a request is."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from swiftish.cluster.backend_app import Call
from swiftish.cluster.wire import OBJECT_HEADERS, OPEN_EXPIRED
from swiftish.domain.hashing import HashPath
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.names import Target
from swiftish.domain.policy import PolicySet
from swiftish.http.message import Response
from swiftish.http.replies import Refusal
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.container_update import Untold
from swiftish.object.current import DELETE_AT
from swiftish.object.disk import Disk
from swiftish.object.metadata import SYSMETA
from swiftish.object.paths import Location
from swiftish.object.settings import ObjectSettings
from swiftish.object.store import Conditions
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background

_USER = ("x-object-meta-", "x-object-transient-sysmeta-")


class Objects:
    """The objects of this node."""

    def __init__(
        self,
        *,
        policies: PolicySet,
        hash_path: HashPath,
        clock: Clock,
        background: Background,
        settings: ObjectSettings,
        files: Files,
    ) -> None:
        self.clock = clock
        self.background = background
        self._policies = policies
        self._hash_path = hash_path
        self._settings = settings
        self._files = files
        self._disks: dict[str, AsyncDisk] = {}
        self._clean = True

    def disk(self, device: LocalDevice) -> AsyncDisk:
        found = self._disks.get(device.name)
        if found is None:
            disk = Disk(device, files=self._files, settings=self._settings)
            found = self._disks[device.name] = AsyncDisk(disk, self.background)
        return found

    def locate(self, call: Call) -> Location:
        """Where the object is on its device.  Raises Refusal 400, or 503 for a policy that this
        node has not heard of."""
        if not call.container or not call.object:
            raise Refusal(400, "This is not the path of an object.")
        policy = self._policies.by_index(call.policy_index)
        if policy is None:
            raise Refusal(503, f"There is no policy {call.policy_index} here.")
        digest = self._hash_path(call.account, call.container, call.object)
        return Location(
            datadir=policy.datadir,
            partition=call.partition,
            digest=digest.hex(),
            name=f"/{call.account}/{call.container}/{call.object}",
        )

    def conditions(self, call: Call) -> Conditions:
        """The change's moment and what must hold for it.  Raises Refusal 400."""
        return Conditions(
            timestamp=call.timestamp(),
            none_there=call.headers.get("if-none-match") == "*",
            now=self.clock.now(),
        )

    def close(self) -> None:
        """Say that this process ends as it should; `background` must have been closed before."""
        for disk in self._disks.values():
            disk.close(clean=self._clean)

    async def to_the_end(self, work: Coroutine[Any, Any, Response], *, name: str) -> Response:
        """The answer of `work`, which goes on to its end also when the request is cancelled."""
        return await asyncio.shield(self.background.start(self._answered(work), name=name))

    async def _answered(self, work: Coroutine[Any, Any, Response]) -> Response:
        try:
            return await work
        except Refusal as refusal:
            if isinstance(refusal, Untold):
                self._clean = False
            return refusal.response()
        except BaseException:  # cancelled, or our own fault: its container may not have been told
            self._clean = False
            raise


def target_of(call: Call) -> Target:
    """The object's name."""
    return Target(call.account, call.container, call.object)


def open_expired(call: Call) -> bool:
    """Whether the request is to see objects that have expired but are still there."""
    return call.headers.get(OPEN_EXPIRED, "").lower() in TRUE_WORDS


def kept_headers(call: Call, *, now: float, with_sysmeta: bool) -> dict[str, str]:
    """The headers of a PUT or POST that are stored (docs/reference/backend.md, object server).

    Raises Refusal 400 when X-Delete-At is no whole number, or has passed already (but for a
    request that is about objects that have expired).
    """
    kept = _families(call.headers, (*_USER, SYSMETA) if with_sysmeta else _USER)
    delete_at = kept.get(DELETE_AT)
    if delete_at is not None:
        if not (delete_at.isascii() and delete_at.isdecimal()):
            raise Refusal(400, "X-Delete-At is not a whole number.")
        if int(delete_at) <= now and not open_expired(call):
            raise Refusal(400, "X-Delete-At is in the past.")
    return kept


def _families(headers: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(prefixes) or (value and name in OBJECT_HEADERS)
    }
