"""Which nodes a lab has; their rings and settings files."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swiftish.cli import ring as ring_command

PORTS = {"account": 6202, "container": 6201, "object": 6200}
PROXY_PORT = 8080
USERS = (
    "test:tester:testing:.admin",
    "test2:tester2:testing2:.admin",
    "test3:tester3:testing3:.admin",
)
HASH_PREFIX, HASH_SUFFIX = "lab-prefix", "lab-suffix"
KEY = "the lab's own key"

Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, kw_only=True)
class Topology:
    """`storage` nodes in as many zones, with `disks` devices each, and `proxies` proxies.

    When it is `split` there are as many nodes again: `c1`… hold accounts and containers, `o1`…
    objects, so that one kind can be lost without the other; else `n1`… hold all.
    Those `outside` are in no ring at first.
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
    split: bool = False
    outside: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The storage nodes, then the proxies."""
        letters = "co" if self.split else "n"
        storage = [f"{letter}{n + 1}" for letter in letters for n in range(self.storage)]
        return [*storage, *(f"p{n + 1}" for n in range(self.proxies))]

    def kinds(self, name: str) -> list[str]:
        """The storage services of a node."""
        by_letter = {"c": ["account", "container"], "o": ["object"], "p": [], "n": list(PORTS)}
        return by_letter[name[0]]

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

    def make(self, topology: Topology, addresses: Mapping[str, str]) -> None:
        """All rings of a topology, devices on the storage nodes at these addresses, by name."""
        secrets = {"hash_prefix": HASH_PREFIX, "hash_suffix": HASH_SUFFIX}
        cluster = self.folder / "cluster.toml"
        cluster.write_text(settings_text({"cluster": secrets}))
        for name, (kind, replicas) in topology.rings().items():
            numbers = str(topology.part_power), str(replicas), "0"
            self.do(name, "create", *numbers, "--settings", str(cluster))
            for node, address in addresses.items():
                if node in topology.outside:
                    continue
                for disk in range(topology.disks) if kind in topology.kinds(node) else ():
                    word = f"r1z{node[1:]}-{address}:{PORTS[kind]}/d{disk + 1}"
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


def with_settings(text: str, further: Settings) -> str:
    """A settings file with more said in it: a section's lines are added to it, or replaced."""
    for section, values in further.items():
        head = f"[{section}]\n"
        before, _, after = text.partition(head)
        kept, bracket, rest = after.partition("\n[")
        lines = [each for each in kept.split("\n") if each.partition(" = ")[0] not in values]
        lines = [*(f"{k} = {json.dumps(v)}" for k, v in values.items()), *lines]
        text = before.rstrip("\n") + f"\n\n{head}" + "\n".join(lines) + bracket + rest
    return text


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
    topology: Topology,
    name: str,
    address: str,
    *,
    devices: Path,
    rings: Path,
    state: Path,
    mounted: bool,
) -> str:
    """The settings file of one node; `mounted`: whether its devices are mount points."""
    if name.startswith("p"):
        services: dict[str, object] = {"proxy": f"{address}:{PROXY_PORT}"}
    else:
        services = {kind: f"{address}:{PORTS[kind]}" for kind in topology.kinds(name)}
    sections: dict[str, dict[str, object]] = {
        "cluster": {
            "hash_prefix": HASH_PREFIX,
            "hash_suffix": HASH_SUFFIX,
            "key": topology.key,
        },
        "services": services,
        "node": {"devices": str(devices), "rings": str(rings), "state": str(state)},
        "devices": {"mount_check": mounted},
        "server": {"workers": topology.processes},
    }
    for section, values in topology.settings.items():
        sections.setdefault(section, {}).update(values)
    return "\n".join(
        (settings_text(sections), policies_text(topology.policies), *map(user_text, USERS))
    )
