"""The data folder of a server on one machine: made on the first start, found on later ones.

swiftish.toml       what the data was laid out with, its secrets, its users
rings/              account.ring.gz, container.ring.gz, object[-N].ring.gz
devices/d1 …        one folder for each device
lock                held by the server that runs
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from swiftish.cli.node import Node, Rings, Unusable, load_rings, ring_file_name
from swiftish.cli.settings import NodeSettings, ServerSettings
from swiftish.domain.policy import PolicySet
from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.format import encode
from swiftish.ring.hash_id import hash_id
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import MARK, Identity
from swiftish.runtime.files import Files, write_durably
from swiftish.runtime.settings import BadSettings, Table, build, merge, read_toml

SETTINGS_FILE = "swiftish.toml"
PROBE = ".probe"
XATTR_PROBE = "user.swiftish.probe"
FIRST_USER = ("admin", "admin")


@dataclass(frozen=True, kw_only=True)
class OneNode:
    """A data folder that can be served."""

    data: Path
    first_start: bool
    node: Node


def lock(data: Path) -> int:
    """Make the folder if it is missing and take it for this process and its children.

    Returns the descriptor that holds the lock.  Raises Unusable.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        held = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unusable(f"the data folder {data} can't be written: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise Unusable(f"another swiftish is serving the data folder {data} already") from None
    return held


def server_settings(data: Path, above: Table, *, source: Path | None) -> ServerSettings:
    """What the processes need to know before the folder is opened.  Raises BadSettings."""
    own = data / SETTINGS_FILE
    found = read_toml(own) if own.exists() else {}
    return _build(merge(found, above), source or own).server


def open_node(
    data: Path, above: Table, *, source: Path | None, users: list[Table], run: Path | None = None
) -> OneNode:
    """Read the settings' layers; make what is missing of settings, rings and devices.

    `above` is what goes over the folder's own settings, `source` the file it came from (for
    messages), `users` are those of `--user`, `run` is the run folder (cli/node.py).  The caller
    holds the lock.  Raises Unusable and BadSettings; what is on disk already is never changed.
    """
    own = data / SETTINGS_FILE
    first_start = not own.exists()
    if first_start:
        if not _is_fresh(data):
            raise Unusable(f"the folder {data} holds something else: {SETTINGS_FILE} is missing")
        table = _first_settings(above, users)
    else:
        table = _later_settings(own, above, users)
    settings = _build(table, source or own)
    policies = settings.policies()
    _check_xattrs(data)
    if first_start:
        shutil.rmtree(data / "rings", ignore_errors=True)  # of a first start that was cut off
        _make_devices(data / "devices", settings)
    rings = _rings(data / "rings", settings, policies)
    if first_start:
        write_durably(own, _spell(table, policies).encode(), mode=0o600)
    node = Node(
        settings=settings,
        policies=policies,
        rings=rings,
        devices_root=data / "devices",
        run=run or data,
        listens={"proxy": settings.server.bind, "account": "", "container": "", "object": ""},
        source=source,
    )
    return OneNode(data=data, first_start=first_start, node=node)


def _is_fresh(data: Path) -> bool:
    """Whether nothing is here but what a first start that was cut off may have left."""
    names = {path.name for path in data.iterdir()}
    if not names <= {"lock", "lost+found", "rings", "devices", PROBE, f".{SETTINGS_FILE}.new"}:
        return False
    return all(path.name == MARK for path in (data / "devices").glob("*/*"))


def _first_settings(above: Table, users: list[Table]) -> Table:
    layout = {"hash_prefix": secrets.token_hex(16), "hash_suffix": secrets.token_hex(16)}
    table = merge({"cluster": layout}, above)
    if not users and not _users(table):
        account, user = FIRST_USER
        key = secrets.token_urlsafe(18)
        users = [{"account": account, "user": user, "key": key, "groups": [".admin"]}]
    return _with_users(table, users)


def _later_settings(own: Path, above: Table, users: list[Table]) -> Table:
    found = read_toml(own)
    for key, value in above.get("cluster", {}).items():
        there = found.get("cluster", {}).get(key)
        if there is not None and there != value:
            raise BadSettings(
                f"cluster.{key}: is {value!r}, but the data in {own.parent} was laid out with "
                f"{there!r}; use that, or another data folder"
            )
    named = {policy.get("index") for policy in above.get("policy", [])}
    for policy in found.get("policy", []) if named else []:
        if policy["index"] not in named:
            raise BadSettings(
                f"policy: {policy['name']!r} (index {policy['index']}) holds data in {own.parent}; "
                "it can be deprecated, but not left out"
            )
    return _with_users(merge(found, above), users)


def _users(table: Table) -> list[Table]:
    found = table.get("auth", {}).get("tempauth", {}).get("user", [])
    assert isinstance(found, list)
    return found


def _with_users(table: Table, users: list[Table]) -> Table:
    """`users` added to those of the table; one of the same name is replaced."""
    if not users:
        return table
    new = {(user["account"], user["user"]) for user in users}
    kept = [u for u in _users(table) if (u.get("account"), u.get("user")) not in new]
    return merge(table, {"auth": {"tempauth": {"user": [*kept, *users]}}})


def _build(table: Table, source: Path) -> NodeSettings:
    try:
        return build(NodeSettings, table)
    except BadSettings as error:
        # On a first start without a settings file all comes from the command line.
        where = f"{source}: " if source.exists() else ""
        raise BadSettings(f"{where}{error}") from None


def _device_names(count: int) -> list[str]:
    return [f"d{number}" for number in range(1, count + 1)]


def _check_xattrs(data: Path) -> None:
    """Objects keep their metadata in user extended attributes: try one.  Raises Unusable."""
    probe = data / PROBE
    try:
        probe.touch()
        try:
            Files().setxattr(probe, XATTR_PROBE, b"1")
        finally:
            probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            raise Unusable(
                f"the file system of {data} has no user extended attributes; use XFS, ext4 or btrfs"
            ) from None
        raise Unusable(f"the data folder {data} can't be written: {error.strerror}") from None


def _make_devices(root: Path, settings: NodeSettings) -> None:
    """On the first start only: a folder that is missing later is a disk that is not mounted."""
    cluster = settings.cluster
    known = hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    for name in _device_names(cluster.devices):
        (root / name).mkdir(parents=True, exist_ok=True)
        mark_device(root / name, Identity(cluster=known, device=name))


def _rings(folder: Path, settings: NodeSettings, policies: PolicySet) -> Rings:
    """Load the rings, making those that are missing.  Raises Unusable."""
    cluster = settings.cluster
    wanted = {
        ring_file_name("account"): cluster.replicas,
        ring_file_name("container"): cluster.replicas,
    }
    for policy in policies:
        wanted[ring_file_name("object", policy.index)] = policy.replicas
    expected = hash_id(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    folder.mkdir(exist_ok=True)
    for name, replicas in wanted.items():
        path = folder / name
        if not path.exists():
            devices = [
                Device(id=number, device=device)
                for number, device in enumerate(_device_names(cluster.devices))
            ]
            ring = even_ring(devices, replicas=replicas, power=cluster.part_power, hash_id=expected)
            write_durably(path, encode(ring), mode=0o644)
    indexes = [policy.index for policy in policies]
    rings = load_rings(folder, indexes, expected_hash_id=expected)
    for file in rings.files:
        if file.current().replicas != wanted[file.path.name]:
            raise Unusable(
                f"{file.path}: the ring has {file.current().replicas} replicas, "
                f"the settings want {wanted[file.path.name]}"
            )
    return rings


def _spell(table: Table, policies: PolicySet) -> str:
    """The first start's `swiftish.toml`: the layout, the policies, the users."""
    cluster = build(NodeSettings, table).cluster
    lines = [
        "# Made on the first start. [cluster] and the policies say how the data here is laid out:",
        "# leave them alone. Everything else may be changed, and settings added.",
        "",
        "[cluster]",
        f"hash_prefix = {json.dumps(cluster.hash_prefix)}",
        f"hash_suffix = {json.dumps(cluster.hash_suffix)}",
        f"devices = {cluster.devices}",
        f"replicas = {cluster.replicas}",
        f"part_power = {cluster.part_power}",
    ]
    for policy in policies:
        lines += ["", "[[policy]]", f"index = {policy.index}", f"name = {json.dumps(policy.name)}"]
        lines += [f"aliases = {json.dumps(policy.aliases)}"] if policy.aliases else []
        lines += ["default = true"] if policy.default else []
        lines += ["deprecated = true"] if policy.deprecated else []
        lines += [f"replicas = {policy.replicas}"]
    for user in _users(table):
        lines += ["", "[[auth.tempauth.user]]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in user.items()]
    return "\n".join(lines) + "\n"
