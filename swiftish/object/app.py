"""The object service: settings and neighbours to a Handler and its Workers."""

from collections.abc import Sequence

from swiftish.cluster.backend_app import BackendApp
from swiftish.cluster.transport import Transport
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import PolicySet
from swiftish.http.message import Handler
from swiftish.object.change import Changes
from swiftish.object.container_update import ContainerUpdates
from swiftish.object.get import Reads
from swiftish.object.index import Indexes
from swiftish.object.objects import Objects
from swiftish.object.put import Puts
from swiftish.object.recovery import Recovery
from swiftish.object.settings import ObjectSettings
from swiftish.object.sweeper import Sweeper
from swiftish.object.updater import Updater
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker


class ObjectService:
    """All objects of this process's devices.  Made after forking; closed before the devices are.

    `handler` answers the verbs of docs/reference/backend.md; `workers` need to run in one process
    of the node only.  `close` comes after `background` has been closed.
    """

    def __init__(  # noqa: PLR0913  (a composition root's list of neighbours)
        self,
        *,
        devices: Devices,
        policies: PolicySet,
        clock: Clock,
        container_ring: RingSource,
        transport: Transport,
        hash_path: HashPath,
        background: Background,
        settings: ObjectSettings | None = None,
        files: Files | None = None,
    ) -> None:
        settings = settings or ObjectSettings()
        self._indexes = Indexes()
        objects = self._objects = Objects(
            policies=policies,
            hash_path=hash_path,
            clock=clock,
            background=background,
            settings=settings,
            files=files or Files(),
        )
        updates = ContainerUpdates(
            transport=transport,
            ring=container_ring,
            indexes=self._indexes,
            timeout_s=settings.container_update_timeout_s,
        )
        reads, puts, changes = Reads(objects), Puts(objects, updates), Changes(objects, updates)
        self.handler: Handler = BackendApp(
            devices,
            {
                "GET": reads.get,
                "HEAD": reads.head,
                "PUT": puts.put,
                "POST": changes.post,
                "DELETE": changes.delete,
            },
        )
        self.workers: Sequence[Worker] = (
            Updater(
                devices=devices,
                indexes=self._indexes,
                updates=updates,
                ring=container_ring,
                hash_path=hash_path,
                clock=clock,
                settings=settings,
            ),
            Sweeper(devices=devices, disk_of=objects.disk, settings=settings),
            Recovery(
                devices=devices,
                disk_of=objects.disk,
                indexes=self._indexes,
                policies=policies,
                settings=settings,
            ),
        )

    def close(self) -> None:
        self._objects.close()
        self._indexes.close()
