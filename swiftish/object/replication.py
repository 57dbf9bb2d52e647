"""Replication as a part of the object service: the verb, and the workers that ask for it."""

from collections.abc import Callable, Mapping

from swiftish.cluster.backend_app import PartitionVerb
from swiftish.cluster.here import Here
from swiftish.cluster.transport import Transport
from swiftish.domain.hashing import HashPath
from swiftish.domain.policy import PolicySet
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.exchange.means import Means
from swiftish.object.exchange.receiver import Receiver
from swiftish.object.exchange.sender import VERB, Sender
from swiftish.object.presence import Presences
from swiftish.object.replicator import EVERYWHERE, ObjectReplicator, Scope
from swiftish.object.settings import ObjectSettings
from swiftish.ring.ring import RingSource
from swiftish.runtime.clock import Clock
from swiftish.runtime.devices import Devices, LocalDevice
from swiftish.runtime.environments import Environments
from swiftish.runtime.pace import Pace


class Replication:
    """`verbs` are those about partitions; without `rings`, by policy, there are none."""

    def __init__(  # noqa: PLR0913  (a composition root's list of neighbours)
        self,
        *,
        devices: Devices,
        disk_of: Callable[[LocalDevice], AsyncDisk],
        index: Environments,
        policies: PolicySet,
        rings: Mapping[int, RingSource],
        here: Here,
        transport: Transport,
        hash_path: HashPath,
        clock: Clock,
        settings: ObjectSettings,
    ) -> None:
        self._devices = devices
        self._policies = policies
        self._settings = settings
        pace = Pace(settings.replicator_bytes_per_second)
        self._means = Means(
            disk_of=disk_of,
            index=index,
            presences=Presences(index, clock, reclaim_age_s=settings.reclaim_age_s),
            sender=Sender(transport, pace, timeout_s=settings.replicator_timeout_s),
            rings=rings,
            here=here,
            hash_path=hash_path,
            clock=clock,
            reclaim_age_s=settings.reclaim_age_s,
        )
        receiver = Receiver(means=self._means, policies=policies, settings=settings)
        self.refused = receiver.refused
        self.verbs: Mapping[str, PartitionVerb] = {VERB: receiver.replicate} if rings else {}

    def replicator(self, scope: Scope = EVERYWHERE) -> ObjectReplicator:
        """A replicator; several may run beside each other."""
        return ObjectReplicator(
            devices=self._devices,
            policies=self._policies,
            means=self._means,
            settings=self._settings,
            scope=scope,
        )
