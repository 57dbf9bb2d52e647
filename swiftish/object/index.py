"""Each device's index: container updates that could not be sent yet, notes of the workers.

An update is here, durably, before the client whose change it tells of is answered, and until every
container it is for has acknowledged it.  Adding or sending one twice does no harm: its key is the
change itself, and containers merge rows by timestamp (reference 2.3, container update).

An index that is lost, or corrupt and set aside (runtime/environments.py), takes the pending updates
with it.  So before one is made on a device that has objects, a mark is left there by which
object/recovery.py tells the containers of everything on it again (T7).
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from swiftish.domain.checksums import xxh3_64
from swiftish.domain.rows import VERSION, packed, unpacked
from swiftish.domain.timestamp import Timestamp
from swiftish.object.mark import leave_mark
from swiftish.object.paths import INDEX, OBJECTS
from swiftish.runtime.devices import LocalDevice
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.environments import Environments

# The tables' names.
PENDING = "pending"
SUFFIXES = "suffixes"  # object/suffix_hashes.py
PRESENCE = "presence"  # object/presence.py
AUDITS = "audits"  # object/audit_record.py
TABLES = (PENDING, SUFFIXES, PRESENCE, AUDITS)


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A container server's device as a proxy named it: `ip:port` and the device there."""

    address: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A row for the container replicas `nodes`: what a change of an object means to a listing.

    `partition` is the container's; `timestamp` that of the change.
    """

    method: str  # PUT or DELETE
    account: str
    container: str
    object: str
    timestamp: Timestamp
    policy: int
    partition: int
    headers: Mapping[str, str]
    nodes: tuple[Node, ...]

    def to(self, nodes: Sequence[Node]) -> "Update":
        return replace(self, nodes=tuple(nodes))


def pending_key(digest: str, update: Update) -> bytes:
    """Where an update is kept: the object's hash (hex), the moment, and what it says of which row,
    for two changes may have one moment, and one change concern two rows."""
    policy = update.policy.to_bytes(4, "big")
    row = [update.method, update.account, update.container, update.object, dict(update.headers)]
    says = xxh3_64(packed(row)).to_bytes(8, "big")
    return bytes.fromhex(digest) + update.timestamp.pack() + policy + says


def pack_update(update: Update) -> bytes:
    """msgpack, the version first."""
    nodes = [[node.address, node.device] for node in update.nodes]
    return packed(
        [
            VERSION,
            update.method,
            update.account,
            update.container,
            update.object,
            update.timestamp.pack(),
            update.policy,
            update.partition,
            dict(update.headers),
            nodes,
        ]
    )


def unpack_update(data: bytes) -> Update:
    """The other way round.  Raises UnknownVersion, ValueError for what we have not written."""
    _, *fields = unpacked(data)
    method, account, container, obj, timestamp, policy, partition, headers, nodes = fields
    return Update(
        method=method,
        account=account,
        container=container,
        object=obj,
        timestamp=Timestamp.unpack(timestamp),
        policy=policy,
        partition=partition,
        headers=headers,
        nodes=tuple(Node(address=address, device=device) for address, device in nodes),
    )


class PendingUpdates:
    """The pending updates of one device, which goes out of service when they cannot be synced."""

    def __init__(self, device: LocalDevice, environments: Environments) -> None:
        self._device = device
        self._environments = environments

    async def add(self, key: bytes, update: Update) -> None:
        """Durable when this returns.  Raises EnvironmentTrouble, OSError."""
        await self.settle({key: update})

    async def settle(self, rest: Mapping[bytes, Update | None]) -> None:
        """Write many at once: each by what is left of it, None for those that are done.

        Raises EnvironmentTrouble, OSError.
        """
        await self._environments.commit(self._device, _settling(rest))

    def read(self, *, after: bytes, limit: int) -> list[tuple[bytes, Update]]:
        """Up to `limit` updates in the order of their keys, beginning beyond `after`.  Blocking.

        One that cannot be read stays where it is.  Raises EnvironmentTrouble, OSError.
        """

        def work(reader: Reader) -> list[tuple[bytes, Update]]:
            found: list[tuple[bytes, Update]] = []
            for key, value in reader.scan(PENDING, start=after + b"\x00" if after else b""):
                try:
                    found.append((key, unpack_update(value)))
                except (ValueError, TypeError) as error:
                    fields = {"device": self._device.name, "key": key.hex(), "reason": str(error)}
                    log.error("a pending update cannot be read", extra=fields)  # noqa: TRY400
                if len(found) == limit:
                    break
            return found

        return self._environments.read_blocking(self._device, work)


def _settling(rest: Mapping[bytes, Update | None]) -> Callable[[Writer], None]:
    def work(writer: Writer) -> None:
        for key, update in rest.items():
            if update is None:
                writer.delete(PENDING, key)
            else:
                writer.put(PENDING, key, pack_update(update))

    return work


class Indexes:
    """The indexes of this process's devices, each opened when it is first needed.

    `environments` is for those who have a table there.
    """

    def __init__(self) -> None:
        self.environments = Environments(INDEX, tables=TABLES, before_making=_tell_all_again)

    async def of(self, device: LocalDevice) -> PendingUpdates:
        """The device's pending updates.  Raises EnvironmentTrouble, OSError."""
        await self.environments.open(device)
        return PendingUpdates(device, self.environments)

    def close(self) -> None:
        self.environments.close()


def _tell_all_again(device: LocalDevice) -> None:
    """A device with objects has had an index, but for the moments before its first."""
    if any(name.startswith(OBJECTS) for name in os.listdir(device.path)):
        leave_mark(device.path)
