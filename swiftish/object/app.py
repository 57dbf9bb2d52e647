"""The object service: settings and neighbours to a Handler and its Workers."""

from collections.abc import Mapping, Sequence

from swiftish.cluster.backend_app import BackendApp, Verb
from swiftish.cluster.client import SwiftClient
from swiftish.cluster.direct import Direct
from swiftish.cluster.duty import Duty
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.named_nodes import NamedNodes
from swiftish.cluster.transport import Transport
from swiftish.cluster.updates import Updates
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import PolicySet
from swiftish.http.message import Handler
from swiftish.object.auditor import ObjectAuditor, auditors
from swiftish.object.backlog import backlog
from swiftish.object.change import Changes
from swiftish.object.container_update import ContainerUpdates
from swiftish.object.expirer import Expirer
from swiftish.object.get import Reads
from swiftish.object.index import Indexes
from swiftish.object.objects import Objects
from swiftish.object.put import Puts
from swiftish.object.recovery import Recovery
from swiftish.object.replication import Replication
from swiftish.object.settings import ObjectSettings
from swiftish.object.sweeper import Sweeper
from swiftish.object.updater import Updater
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.files import Files
from swiftish.runtime.tasks import Background
from swiftish.runtime.worker import Worker

_NO_RINGS: Mapping[int, RingSource] = {}


class ObjectService:
    """All objects of this process's devices.  Made after forking; closed before the devices are.

    `object_rings`, by policy, and `here` are for replication: without rings there is none.
    `client` and `direct`, ways to the whole cluster and to its nodes, are for the expirer.

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
        object_rings: Mapping[int, RingSource] = _NO_RINGS,
        here: Here = EVERYTHING,
        client: SwiftClient | None = None,
        direct: Direct | None = None,
    ) -> None:
        settings = settings or ObjectSettings()
        self._clock = clock
        self._indexes = Indexes()
        objects = self._objects = Objects(
            policies=policies,
            hash_path=hash_path,
            clock=clock,
            background=background,
            settings=settings,
            files=files or Files(),
        )
        self.named = NamedNodes("container", container_ring, clock)
        updates = ContainerUpdates(
            updates=Updates("container", transport, background, here),
            named=self.named,
            indexes=self._indexes,
            timeout_s=settings.container_update_timeout_s,
        )
        self.replication = Replication(
            devices=devices,
            disk_of=objects.disk,
            index=self._indexes.environments,
            policies=policies,
            rings=object_rings,
            here=here,
            transport=transport,
            hash_path=hash_path,
            clock=clock,
            settings=settings,
        )
        self._auditors = _auditors(devices, objects, self._indexes, policies, hash_path, settings)
        self.handler: Handler = BackendApp(
            devices,
            _verbs(objects, updates),
            self.replication.verbs,
            clock=clock,
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
            *_keepers(devices, objects, self._indexes, policies, settings),
            *self._auditors,
            *([self.replication.replicator()] if object_rings else []),
            *([_expirer(client, direct, here, clock, settings)] if client and direct else []),
        )

    async def gauges(self, device: LocalDevice) -> Mapping[str, float]:
        """How a device is: see object/backlog.py.  Raises EnvironmentTrouble, OSError."""
        if not await device.threads.run(self._indexes.environments.exists, device):
            return {}
        now = self._clock.now()
        return await self._indexes.environments.read(device, lambda reader: backlog(reader, now))

    def close(self) -> None:
        for auditor in self._auditors:
            auditor.close()
        self._objects.close()
        self._indexes.close()


def _verbs(objects: Objects, updates: ContainerUpdates) -> Mapping[str, Verb]:
    reads, puts, changes = Reads(objects), Puts(objects, updates), Changes(objects, updates)
    return {
        "GET": reads.get,
        "HEAD": reads.head,
        "PUT": puts.put,
        "POST": changes.post,
        "DELETE": changes.delete,
    }


def _auditors(
    devices: Devices,
    objects: Objects,
    indexes: Indexes,
    policies: PolicySet,
    hash_path: HashPath,
    settings: ObjectSettings,
) -> list[ObjectAuditor]:
    return auditors(
        devices=devices,
        disk_of=objects.disk,
        indexes=indexes,
        policies=policies,
        hash_path=hash_path,
        clock=objects.clock,
        settings=settings.auditor,
    )


def _keepers(
    devices: Devices,
    objects: Objects,
    indexes: Indexes,
    policies: PolicySet,
    settings: ObjectSettings,
) -> list[Worker]:
    """The workers that see to the devices themselves."""
    return [
        Sweeper(devices=devices, disk_of=objects.disk, clock=objects.clock, settings=settings),
        Recovery(
            devices=devices,
            disk_of=objects.disk,
            indexes=indexes,
            policies=policies,
            clock=objects.clock,
            settings=settings,
        ),
    ]


def _expirer(
    client: SwiftClient, direct: Direct, here: Here, clock: Clock, settings: ObjectSettings
) -> Expirer:
    """Each task has a place in the ring of the first policy, which every cluster has."""
    return Expirer(
        client=client,
        direct=direct,
        duty=Duty(direct, kind="object", ring=direct.object_rings[0], here=here),
        clock=clock,
        settings=settings.expirer,
    )
