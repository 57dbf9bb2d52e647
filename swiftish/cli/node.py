"""A node of a cluster: its settings file and its rings to all that its processes need to serve.

`swiftish serve --config node.toml` is such a node when the file has a `[services]` table.  Nothing
is made here but the state folder: rings come from `ring-builder`, devices are mounted by whoever
runs the machine.  docs/reference/cluster.md describes the file.
"""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from swiftish.cli.settings import SERVICES, NodeSettings, Service
from swiftish.cluster.here import EVERYTHING, Here
from swiftish.cluster.transport import Kind
from swiftish.domain.policy import PolicySet
from swiftish.http.peers import needs_key
from swiftish.ring.device import Device
from swiftish.ring.errors import RingError
from swiftish.ring.hash_id import hash_id
from swiftish.ring.ring import Ring, RingSource
from swiftish.ring.watch import RingFile
from swiftish.runtime.device_check import look
from swiftish.runtime.device_mark import Identity, judge
from swiftish.runtime.settings import BadSettings, Table, build

KINDS: tuple[Kind, ...] = get_args(Kind)


class Unusable(Exception):
    """The node can't serve; the message is a sentence for the operator."""


@dataclass(frozen=True, kw_only=True)
class Rings:
    """The rings of a cluster; each of them is asked anew, for it may have been replaced."""

    account: RingFile
    container: RingFile
    objects: Mapping[int, RingFile]

    @property
    def object_sources(self) -> dict[int, RingSource]:
        return {index: file.current for index, file in self.objects.items()}

    @property
    def files(self) -> list[RingFile]:
        return [self.account, self.container, *self.objects.values()]

    def of(self, kind: Kind) -> list[Ring]:
        """All rings of one kind of service."""
        if kind == "object":
            return [each.current() for each in self.objects.values()]
        return [(self.account if kind == "account" else self.container).current()]


@dataclass(frozen=True, kw_only=True)
class Node:
    """All that a process needs to serve.

    `listens` says which services are here and where (HOST:PORT); `run` is a folder on a memory
    file system for what the processes share while they run.
    """

    settings: NodeSettings
    policies: PolicySet
    rings: Rings
    devices_root: Path
    run: Path
    listens: Mapping[Service, str]
    here: Here = EVERYTHING
    source: Path | None = None
    mount_check: bool = False

    @property
    def hash_id(self) -> str:
        """Which cluster this is: of its hash prefix and suffix."""
        cluster = self.settings.cluster
        return hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())

    def device_names(self) -> list[str]:
        """The devices of this node: those that the rings of now give it, and those that carry our
        mark though no ring has them any more, for there may be data on them to be brought home."""
        names = {
            device.device
            for kind, device in self.devices()
            if self.here.has(kind, device) and kind in self.listens
        }
        if set(KINDS) & set(self.listens):
            names.update(self._marked())
        return sorted(names)

    def _marked(self) -> Iterator[str]:
        try:
            found = list(self.devices_root.iterdir())
        except OSError:
            return
        for path in found:
            identity = Identity(cluster=self.hash_id, device=path.name)
            try:
                seen = look(path)
            except OSError:
                continue
            if seen.mark is not None and judge(seen, identity, mount_check=False).trouble is None:
                yield path.name

    def devices(self) -> Iterator[tuple[Kind, Device]]:
        """All devices of all rings, each once for each kind that it holds."""
        for kind in KINDS:
            seen: dict[tuple[str, str], Device] = {}
            for ring in self.rings.of(kind):
                seen.update({(d.address, d.device): d for d in ring.devices if d is not None})
            yield from ((kind, device) for device in seen.values())


def ring_file_name(kind: Kind, policy_index: int = 0) -> str:
    """As Swift calls them (reference 2.11)."""
    return f"{kind}-{policy_index}.ring.gz" if policy_index else f"{kind}.ring.gz"


def load_rings(folder: Path, policy_indexes: Iterable[int], *, expected_hash_id: str) -> Rings:
    """The rings in a folder, one for each policy.  Raises Unusable with the full path."""

    def load(kind: Kind, index: int = 0) -> RingFile:
        try:
            return RingFile(folder / ring_file_name(kind, index), hash_id=expected_hash_id)
        except RingError as error:
            raise Unusable(str(error)) from None

    return Rings(
        account=load("account"),
        container=load("container"),
        objects={index: load("object", index) for index in policy_indexes},
    )


def is_cluster_node(table: Table) -> bool:
    """Whether a settings file is that of a cluster's node, and not of a server on one machine."""
    return "services" in table


def open_cluster_node(table: Table, source: Path, *, run: Callable[[Path], Path]) -> Node:
    """The node that a settings file describes; `run` gives the run folder for a state folder.

    Relative paths in the file start at the file's own folder.  Raises BadSettings, Unusable.
    """
    try:
        settings = build(NodeSettings, table)
        _check(settings)
    except BadSettings as error:
        raise BadSettings(f"{source}: {error}") from None
    base = source.parent
    cluster = settings.cluster
    expected = hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    rings = load_rings(
        base / settings.node.rings,
        [policy.index for policy in settings.policy] or [0],
        expected_hash_id=expected,
    )
    policies = settings.policies(
        replicas={index: ring.current().replicas for index, ring in rings.objects.items()}
    )
    listens = settings.services.listens()
    ring_ips = settings.node.ring_ips
    addresses: dict[Kind, Collection[str]] = {
        kind: _addresses(listens[kind], ring_ips) for kind in KINDS if kind in listens
    }
    return Node(
        settings=settings,
        policies=policies,
        rings=rings,
        devices_root=base / settings.node.devices,
        run=run(base / settings.node.state),
        listens=listens,
        here=Here(addresses),
        source=source,
        mount_check=settings.devices.mount_check,
    )


def _check(settings: NodeSettings) -> None:
    """What only a cluster must say.  Raises BadSettings."""
    cluster = settings.cluster
    if not (cluster.hash_prefix or cluster.hash_suffix):
        raise BadSettings(
            "cluster.hash_prefix: missing, and so is cluster.hash_suffix; every node of a cluster "
            "needs the same, and they can't be changed once there are data"
        )
    listens = settings.services.listens()
    if not listens:
        raise BadSettings(f"services: none is here; name one of {', '.join(SERVICES)}")
    by_address: dict[str, str] = {}
    for service, bind in listens.items():
        host, _ = parse_address(bind, setting=f"services.{service}")
        if bind in by_address:
            raise BadSettings(
                f"services.{service}: {bind} is the address of services.{by_address[bind]} already"
            )
        by_address[bind] = service
        if service != "proxy" and needs_key(cluster.key.encode(), host):
            raise BadSettings(
                f"cluster.key: missing; services.{service} listens on {bind}, where anybody could "
                "ask for anything: give all nodes of the cluster the same secret key"
            )
    if cluster.devices != 1 or cluster.replicas != 1:
        raise BadSettings(
            "cluster.devices and cluster.replicas are for a server on one machine; "
            "in a cluster the rings say how many there are"
        )


def parse_address(bind: str, *, setting: str) -> tuple[str, int]:
    """HOST:PORT to its parts; an IPv6 address stands in brackets.  Raises BadSettings."""
    host, colon, port = bind.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadSettings(f"{setting}: {bind!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _addresses(bind: str, ring_ips: Collection[str]) -> Collection[str]:
    """The `ip:port` under which a service that listens at `bind` stands in the rings."""
    host, port = parse_address(bind, setting="services")
    if ring_ips:
        return {f"{ip}:{port}" for ip in ring_ips}
    if host not in ("0.0.0.0", "::"):  # noqa: S104  (only compared)
        return {f"{host}:{port}"}
    return OwnAddresses(port)


OTHERS_S = 10.0  # for so long an address that is not ours is not looked at again


@dataclass(frozen=True)
class OwnAddresses(Collection[str]):
    """Every `ip:port` with this port whose ip is one of this machine's.  Found out by binding."""

    port: int
    _known: set[str] = field(default_factory=set, compare=False)
    _others: dict[str, float] = field(default_factory=dict, compare=False)  # and until when

    def __contains__(self, address: object) -> bool:
        assert isinstance(address, str)
        host, _, port = address.rpartition(":")
        if port != str(self.port):
            return False
        if host in self._known:
            return True
        now = time.monotonic()
        if now < self._others.get(host, 0.0):
            return False
        if is_own_address(host):
            self._known.add(host)
            return True
        # Perhaps only now: an interface may not be up yet, or a name not be found.
        self._others[host] = now + OTHERS_S
        return False

    def __iter__(self) -> Iterator[str]:
        return (f"{host}:{self.port}" for host in self._known)

    def __len__(self) -> int:
        return len(self._known)


def is_own_address(host: str) -> bool:
    """Whether a host's name or address is one of this machine's: whether one can bind to it."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(where)
            except OSError:
                continue
            return True
    return False


def findings(node: Node) -> list[str]:
    """What an operator should know of a node that could serve: sentences, none when all is well."""
    found = {kind for kind, device in node.devices() if node.here.has(kind, device)}
    said = [
        f"services.{kind}: {node.listens[kind]} is in no {kind} ring: nobody will ask here"
        for kind in KINDS
        if kind in node.listens and kind not in found
    ]
    for name in node.device_names():
        path = node.devices_root / name
        if not path.is_dir():
            said.append(f"{path}: the rings give this node device {name}, and it is not there")
        elif not os.access(path, os.W_OK):
            said.append(f"{path}: can't be written")
        elif trouble := _device_trouble(node, name, path):
            said.append(f"{path}: {trouble}")
    return said


def _device_trouble(node: Node, name: str, path: Path) -> str | None:
    """Why the node would not use a device that is there."""
    identity = Identity(cluster=node.hash_id, device=name)
    try:
        return judge(look(path), identity, mount_check=node.mount_check).trouble
    except OSError as error:
        return f"can't be read: {error.strerror}"
