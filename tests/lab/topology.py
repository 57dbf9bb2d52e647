"""Which nodes a lab has; their rings and settings files."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swiftish.cli import ring as ring_command

PORTS = {"account": 6202, "container": 6201, "object": 6200}
PROXY_PORT = 8080
USER = "test:tester:testing:.admin"
HASH_PREFIX, HASH_SUFFIX = "lab-prefix", "lab-suffix"
KEY = "the lab's own key"

Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """`storage` nodes in as many zones, with `disks` devices each, and `proxies` proxies.

    `policies` maps each policy's name to its replicas; the first is the default.  `settings` are
    further settings of all nodes, by section.
    """

    storage: int = 4
    proxies: int = 2
    disks: int = 2
    replicas: int = 3
    part_power: int = 6
    processes: int = 1
    policies: Mapping[str, int] = field(default_factory=lambda: {"gold": 3})
    settings: Settings = field(default_factory=dict)
    key: str = KEY

    @property
    def names(self) -> list[str]:
        """The storage nodes, then the proxies."""
        return [f"n{n + 1}" for n in range(self.storage)] + [
            f"p{n + 1}" for n in range(self.proxies)
        ]

    def rings(self) -> dict[str, tuple[str, int]]:
        """Each ring's kind and replicas, by the name of its files."""
        found = {"account": ("account", self.replicas), "container": ("container", self.replicas)}
        for index, replicas in enumerate(self.policies.values()):
            found[f"object-{index}" if index else "object"] = ("object", replicas)
        return found


class RingFolder:
    """Builders, and the rings made from them; `ring-builder` is what makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, topology: Topology, addresses: Sequence[str]) -> None:
        """All rings of a topology, devices on the storage nodes at these addresses."""
        secrets = {"hash_prefix": HASH_PREFIX, "hash_suffix": HASH_SUFFIX}
        cluster = self.folder / "cluster.toml"
        cluster.write_text(settings_text({"cluster": secrets}))
        for name, (kind, replicas) in topology.rings().items():
            numbers = str(topology.part_power), str(replicas), "0"
            self.do(name, "create", *numbers, "--settings", str(cluster))
            for number, address in enumerate(addresses[: topology.storage]):
                for disk in range(topology.disks):
                    word = f"r1z{number + 1}-{address}:{PORTS[kind]}/d{disk + 1}"
                    self.do(name, "add", word, "100")
            self.rebalance(name)

    def rebalance(self, name: str) -> None:
        """Give partitions to devices, and replace the ring's file."""
        self.do(name, "rebalance", "--seed", "1", "--force")

    def do(self, name: str, *arguments: str) -> None:
        """A command of the ring builder; exit code 1 only says that not all is well."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = ring_command.main([str(self.folder / f"{name}.builder"), *arguments], prog="x")
        assert code in (0, 1), f"{name} {arguments}: {said.getvalue()}"


def settings_text(sections: Settings) -> str:
    """TOML of plain values."""
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items()), ""]
    return "\n".join(lines)


def policies_text(policies: Mapping[str, int]) -> str:
    lines = []
    for index, name in enumerate(policies):
        lines += ["[[policy]]", f"index = {index}", f"name = {json.dumps(name)}"]
        lines += ["default = true", ""] if index == 0 else [""]
    return "\n".join(lines)


def user_text(user: str) -> str:
    account, name, key, *groups = user.split(":")
    values = {"account": account, "user": name, "key": key, "groups": groups}
    return settings_text({"[auth.tempauth.user]": values})


def node_settings(
    topology: Topology, name: str, address: str, *, devices: Path, rings: Path, state: Path
) -> str:
    """The settings file of one node."""
    if name.startswith("p"):
        services: dict[str, object] = {"proxy": f"{address}:{PROXY_PORT}"}
    else:
        services = {kind: f"{address}:{port}" for kind, port in PORTS.items()}
    sections: dict[str, dict[str, object]] = {
        "cluster": {
            "hash_prefix": HASH_PREFIX,
            "hash_suffix": HASH_SUFFIX,
            "key": topology.key,
        },
        "services": services,
        "node": {"devices": str(devices), "rings": str(rings), "state": str(state)},
        "server": {"workers": topology.processes},
    }
    for section, values in topology.settings.items():
        sections.setdefault(section, {}).update(values)
    return "\n".join((settings_text(sections), policies_text(topology.policies), user_text(USER)))
