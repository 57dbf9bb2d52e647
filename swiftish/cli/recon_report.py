"""What to make of the answers of all nodes: tables, what needs attention, and is my data safe?

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swiftish.cli.fact_metrics import BELOW
from swiftish.cli.facts import DeviceFacts, NodeFacts
from swiftish.cli.ring_tables import columns, count

DRIFT_MAX_S = 1.0
PENDING_MAX_S = 3600.0
WORKERS_MAX_S = 20.0
USED_MAX = 0.95

KINDS = ("object", "container", "account")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of asking one address of the rings, or why nothing did.

    `drift_s` is how far the node's clock is ahead of ours, `round_trip_s` how much that may be off.
    """

    address: str
    facts: NodeFacts | None = None
    error: str = ""
    drift_s: float = 0.0
    round_trip_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What the asking node has itself: its rings by file name, and its settings."""

    rings: Mapping[str, str]
    settings: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One node, at all of its addresses."""

    name: str
    facts: NodeFacts | None
    error: str
    drift_s: float
    round_trip_s: float

    @property
    def is_up(self) -> bool:
        return self.facts is not None

    @property
    def drifts(self) -> bool:
        return abs(self.drift_s) - self.round_trip_s > DRIFT_MAX_S

    def other_rings(self, ours: Ours) -> list[str]:
        """The rings that are not as ours are."""
        rings = self.facts.rings if self.facts else ()
        found = {ring.path.rpartition("/")[2]: ring.md5 for ring in rings}
        return [name for name, md5 in found.items() if ours.rings.get(name, md5) != md5]

    def has_other_settings(self, ours: Ours) -> bool:
        return self.facts is not None and self.facts.settings != ours.settings

    def below(self, kind: str) -> float:
        """How many of a kind have fewer copies than they should, as its replicator says."""
        gauges = self._replicator(kind).get("gauges", {})
        return sum(float(n) for key, n in gauges.items() if key.partition(" ")[0] == BELOW)

    def unheard(self) -> float:
        """Partitions of objects of which a primary did not answer in the last pass."""
        unheard: float = self._replicator("object").get("gauges", {}).get("partitions_unheard", 0)
        return unheard

    def in_the_dark(self, kind: str) -> bool:
        """Whether nobody has looked yet at replicas of that kind on this node."""
        if self.facts is None or not any(kind in device.kinds for device in self.facts.devices):
            return False
        rings = [r for r in self.facts.rings if r.path.rpartition("/")[2].startswith(kind)]
        replicated = any(ring.replicas > 1 for ring in rings)
        return replicated and not self._replicator(kind).get("passes")

    def since(self, kind: str) -> str:
        """When the replicator's last pass ended, and how long it took."""
        worker = self._replicator(kind)
        if not worker or self.facts is None:
            return ""
        if not worker["passes"]:
            return "never"
        took_s = worker["last_pass_s"]
        return f"{age(self.facts.at - worker['last_pass_began'] - took_s)} ago, took {age(took_s)}"

    def _replicator(self, kind: str) -> Mapping[str, Any]:
        return self.facts.worker(f"{kind}-replicator") if self.facts else {}


def nodes_of(answers: Iterable[Answer]) -> list[Seen]:
    """The nodes behind the addresses; those that do not answer are told apart by their host."""
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        host = answer.address.rpartition(":")[0]
        key = ("", host) if answer.facts is None else (answer.facts.id or host, "up")
        groups.setdefault(key, []).append(answer)
    return [
        Seen(
            name=_name([answer.address for answer in group]),
            facts=group[0].facts,
            error=group[0].error,
            drift_s=group[0].drift_s,
            round_trip_s=group[0].round_trip_s,
        )
        for group in groups.values()
    ]


class Picture:
    """All nodes.  `what` in the methods are the names of the tables."""

    def __init__(self, answers: Iterable[Answer], ours: Ours) -> None:
        self.nodes = sorted(nodes_of(answers), key=lambda node: node.name)
        self.ours = ours
        self.below = {kind: sum(node.below(kind) for node in self.nodes) for kind in KINDS}

    @property
    def down(self) -> list[Seen]:
        return [node for node in self.nodes if not node.is_up]

    def safe(self) -> tuple[str, str]:
        """`yes`, `no` or `not known`, and why."""
        if any(self.below.values()):
            return "no", ""
        if self.down:
            return "not known", f"{self.down[0].name} does not answer"
        for node, device in self._devices():
            if device.trouble:
                return "not known", f"{device.name} of {node.name} is out of service"
        for node in self.nodes:
            if node.unheard():
                partitions = count(int(node.unheard()), "partition")
                return "not known", f"a primary of {partitions} did not answer {node.name}"
            for kind in KINDS:
                if node.in_the_dark(kind):
                    return "not known", f"the {kind}-replicator of {node.name} has made no pass yet"
        return "yes", ""

    def summary(self) -> str:
        """The last line: how many nodes, and is my data safe?"""
        answer, why = self.safe()
        below = ", ".join(count(int(self.below[kind]), kind) for kind in KINDS)
        return (
            f"{count(len(self.nodes), 'node')}, {len(self.down)} down; "
            f"safe: {answer}{f' ({why})' if why else ''}: {below} below their replica count"
        )

    def findings(self) -> list[str]:
        """A sentence for each thing that needs attention."""
        found = [sentence for node in self.nodes for sentence in self._of_node(node)]
        for kind, number in self.below.items():
            if number:
                they = count(int(number), kind)
                found.append(f"{they} below the replica count: `swiftish workers` says what heals")
        answer, why = self.safe()
        if answer == "not known" and not self.down:
            found.append(f"whether all replicas are in place is not known: {why}")
        return found

    def tables(self, what: Sequence[str]) -> str:
        """The tables asked for, one below the other."""
        return "\n\n".join(text for name in what if (text := TABLES[name](self)))

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        answer, why = self.safe()
        return {
            "nodes": [
                {
                    "name": node.name,
                    "up": node.is_up,
                    "error": node.error,
                    "drift_s": node.drift_s,
                    "other_rings": node.other_rings(self.ours),
                    "facts": node.facts.document() if node.facts else None,
                }
                for node in self.nodes
            ],
            "down": len(self.down),
            "below_replicas": {f"{kind}s": number for kind, number in self.below.items()},
            "safe": answer,
            "why": why,
            "findings": self.findings(),
        }

    def _devices(self) -> Iterable[tuple[Seen, DeviceFacts]]:
        return ((n, device) for n in self.nodes if n.facts for device in n.facts.devices)

    def _of_node(self, node: Seen) -> Iterable[str]:
        if node.facts is None:
            yield f"{node.name}: no answer: {node.error}"
            return
        if node.drifts:
            yield f"{node.name}: its clock is {node.drift_s:+.1f} s off ours"
        for ring in node.other_rings(self.ours):
            yield f"{node.name}: its {ring} is not the one that is here"
        if node.has_other_settings(self.ours):
            yield f"{node.name}: policies, limits or hash prefix and suffix differ from those here"
        for device in node.facts.devices:
            yield from (f"{node.name}: {device.name}: {text}" for text in _of_device(device))
        at = node.facts.workers_at
        if at is not None and node.facts.at - at > WORKERS_MAX_S:
            yield f"{node.name}: its workers have said nothing for {age(node.facts.at - at)}"
        for worker in node.facts.workers:
            if worker["state"] == "failing":
                yield f"{node.name}: {worker['name']} fails: {worker['last_error']}"


def _of_device(device: DeviceFacts) -> Iterable[str]:
    if device.trouble:
        yield f"out of service: {device.trouble}"
        return
    if device.size and device.used > USED_MAX * device.size:
        yield f"{device.used / device.size:.0%} full"
    if quarantined := sum(device.quarantined.values()):
        yield f"{quarantined} in quarantine"
    oldest_s = device.gauges.get("pending_oldest_s", 0.0)
    if oldest_s > PENDING_MAX_S:
        yield f"container updates have been pending for {age(oldest_s)}"


# ---- tables --------------------------------------------------------------------------------------


def _nodes(picture: Picture) -> str:
    rows = []
    for node in picture.nodes:
        facts = node.facts
        others = node.other_rings(picture.ours)
        rows.append(
            (
                node.name,
                "up" if facts else "down",
                ", ".join(facts.services) if facts else "",
                f"{node.drift_s:+.2f} s" if facts else "",
                (", ".join(others) + " differ" if others else "as here") if facts else "",
                ("differ" if node.has_other_settings(picture.ours) else "as here") if facts else "",
                facts.version if facts else "",
            )
        )
    head = ("node", "state", "services", "clock", "rings", "settings", "version")
    return columns(head, rows, left="<<<><<<")


def _replication(picture: Picture) -> str:
    head = ["node"]
    for kind in KINDS:
        head += [f"{kind}s below", f"{kind} pass"]
    rows = []
    for node in picture.nodes:
        row = [node.name]
        for kind in KINDS:
            since = node.since(kind)
            row += [f"{node.below(kind):,.0f}" if since else "", since]
        rows.append(row)
    if not any(any(row[1:]) for row in rows):
        return ""  # no replicator runs anywhere
    return columns(head, rows, left="<><><><")


def _updates(picture: Picture) -> str:
    rows = []
    for node in picture.nodes:
        devices = node.facts.devices if node.facts else ()
        oldest_s = max((d.gauges.get("pending_oldest_s", 0.0) for d in devices), default=0.0)
        rows.append(
            (
                node.name,
                _sum(devices, "pending_updates"),
                age(oldest_s) if oldest_s else "",
                _sum(devices, "unreported"),
                f"{sum(sum(d.quarantined.values()) for d in devices):,}" if node.facts else "",
            )
        )
    head = ("node", "pending updates", "oldest", "unreported containers", "quarantined")
    return columns(head, rows, left="<")


def _disks(picture: Picture) -> str:
    rows = []
    for node in picture.nodes:
        devices = node.facts.devices if node.facts else ()
        used = [(d.used / d.size, d) for d in devices if d.size]
        shares = [share for share, _ in used]
        lowest = min((d for _, d in used), key=lambda device: device.free, default=None)
        rows.append(
            (
                node.name,
                str(len(devices)) if node.facts else "",
                *(
                    f"{share:.1%}" if used else ""
                    for share in (
                        min(shares, default=0.0),
                        sum(shares) / max(1, len(shares)),
                        max(shares, default=0.0),
                    )
                ),
                f"{size(lowest.free)} on {lowest.name}" if lowest else "",
                ", ".join(d.name for d in devices if d.trouble),
            )
        )
    head = ("node", "devices", "used min", "avg", "max", "lowest free", "out of service")
    return columns(head, rows, left="<>>>><<")


TABLES = {
    "nodes": _nodes,
    "replication": _replication,
    "updates": _updates,
    "disks": _disks,
}


def age(seconds: float) -> str:
    """A duration as people say it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(0.0, seconds):.1f} s"


def size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _sum(devices: Sequence[DeviceFacts], gauge: str) -> str:
    found = [device.gauges[gauge] for device in devices if gauge in device.gauges]
    return f"{sum(found):,.0f}" if found else ""


def _name(addresses: list[str]) -> str:
    """`10.0.0.1:6200,6201` for two ports of one host."""
    hosts: dict[str, list[str]] = {}
    for address in sorted(set(addresses)):
        host, _, port = address.rpartition(":")
        hosts.setdefault(host, []).append(port)
    return " ".join(f"{host}:{','.join(ports)}" for host, ports in hosts.items())
