"""What goes wrong: seeded faults, each with a beginning and an end.

Most can come in any number and over each other: nodes and proxies die, hang or are cut off, clocks
are wrong, disks fill up or hang, the ring changes and some keep an old one.  They harm no byte that
was stored.  Those that do (a disk is lost, bits flip, a write was lost, a table's file is gone)
befall one node, the victim, between two mornings on which all had been mended: so what was
acknowledged, by a quorum, has a copy elsewhere.  What was not acknowledged, and rows of listings of
which nobody promises how many have heard, are spared where the victim has the only one (survey.py).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from swiftish.ring.errors import RingError
from tests.simulation.nemesis.cluster import NemesisCluster, NemesisNode
from tests.simulation.nemesis.model import Model
from tests.simulation.nemesis.network import Cut
from tests.simulation.nemesis.survey import is_needed, is_spared

Fault: TypeAlias = Callable[[], Coroutine[Any, Any, str]]

HOUR_S = 3600.0
SPARED_MAX = 20
# How often what is chosen, where it is enabled.
WEIGHTS: Mapping[str, float] = {
    "kill": 3,
    "restart": 1,
    "kill_proxy": 1,
    "pause": 2,
    "cut_off": 3,
    "cut_one_way": 2,
    "split": 2,
    "corner": 1.5,
    "clock": 2,
    "full": 1.5,
    "hang": 1.5,
    "ring": 1,
    "old_ring": 1,
    "lose_disk": 1,
    "rot": 2,
    "lose_write": 1,
    "lose_table": 1,
}
DESTRUCTIVE = frozenset({"lose_disk", "rot", "lose_write", "lose_table"})
CLOCKS = frozenset({"clock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """How bad it is: the faults there are, the mean time between two, how long they last."""

    faults: tuple[str, ...]
    pause_s: float = 300.0
    lasting_s: float = 900.0


class Nemesis:
    """Breaks a cluster, and mends it."""

    def __init__(
        self, cluster: NemesisCluster, model: Model, *, temper: Temper, chance: random.Random
    ) -> None:
        self.log: list[str] = []
        self.rotten: set[tuple[str, str]] = set()  # node and hash, or table: may be in quarantine
        self.count = 0
        self.calm_since = float("inf")
        self._cluster = cluster
        self._model = model
        self._temper = temper
        self._chance = chance
        self._victim: str | None = None
        self._ending: list[asyncio.Task[None]] = []
        self._mending = asyncio.Event()

    # ---- a day -------------------------------------------------------------------------------

    async def run(self, until: float) -> None:
        """Begin one fault after the other; `mend` ends those that are left."""
        self._mending.clear()
        self._victim = None
        now = self._cluster.clock.now
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / self._temper.pause_s))
            if now() >= until:
                return
            kinds = self._temper.faults
            [kind] = self._chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])
            self.calm_since = float("inf")
            self.count += 1
            work = getattr(self, f"_{kind}")()
            self._ending.append(asyncio.get_running_loop().create_task(self._one(kind, work)))

    async def mend(self) -> None:
        """End all faults."""
        self._mending.set()
        for task in self._ending:
            await task
        self._ending.clear()

    def all_is_well(self) -> None:
        """It has been mended, and settled."""
        self.calm_since = self._cluster.clock.now()

    async def _one(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        began = self._cluster.clock.now()
        span: tuple[float, float | None] = (began, None)
        if kind not in CLOCKS:
            self._model.troubles.spans.append(span)
        await work
        if kind not in CLOCKS:  # what it left behind is mended by the workers, later
            self._model.troubles.spans.remove(span)
            self._model.troubles.spans.append((began, self._cluster.clock.now() + 2 * HOUR_S))

    def _note(self, text: str) -> None:
        self.log.append(f"{self._cluster.clock.now():.2f} {text}")

    async def _for_a_while(self, factor: float = 1.0) -> None:
        """As long as a fault lasts; all end when everything is mended."""
        try:
            async with asyncio.timeout(
                self._chance.expovariate(1 / self._temper.lasting_s) * factor
            ):
                await self._mending.wait()
        except TimeoutError:
            return

    def _node(self) -> NemesisNode:
        return self._cluster.nodes[self._chance.choice(sorted(self._cluster.nodes))]

    def _others(self, name: str) -> list[str]:
        places = [*self._cluster.nodes, *self._cluster.gates]
        return [place for place in places if place != name]

    # ---- processes ---------------------------------------------------------------------------

    async def _kill(self) -> None:
        name = self._node().name
        if not self._cluster.nodes[name].dead:
            self._note(f"kill {name}")
            await self._cluster.kill(name)
            await self._for_a_while()
            self._start(name)

    def _start(self, name: str) -> None:
        if self._cluster.nodes[name].dead:
            self._note(f"start {name}")
            self._cluster.start(name)

    async def _restart(self) -> None:
        name = self._node().name
        if not self._cluster.nodes[name].dead:
            self._note(f"kill and start {name}")
            await self._cluster.kill(name)
            self._start(name)

    async def _kill_proxy(self) -> None:
        name = self._chance.choice(sorted(self._cluster.gates))
        self._note(f"kill and start {name}")
        await self._cluster.restart_gate(name)

    # ---- the network -------------------------------------------------------------------------

    async def _pause(self) -> None:
        await self._cut_all(self._node().name, "drop", to=True, back=True)

    async def _cut_off(self) -> None:
        await self._cut_all(self._node().name, self._how(), to=True, back=True)

    async def _cut_one_way(self) -> None:
        to = self._chance.random() < 0.5
        await self._cut_all(self._node().name, self._how(), to=to, back=not to)

    async def _cut_all(self, name: str, how: Cut, *, to: bool, back: bool) -> None:
        """A node's links with some of the others, or all of them."""
        others = self._others(name)
        if self._chance.random() < 0.5:
            others = self._chance.sample(others, self._chance.randint(1, len(others)))
        links = [(other, name) for other in others if to] + [(name, o) for o in others if back]
        await self._cut(links, how, f"{name} {'to ' * to}{'from ' * back}{others}")

    async def _split(self) -> None:
        places = self._others("")
        self._chance.shuffle(places)
        at = self._chance.randint(1, len(places) - 1)
        here, there = places[:at], places[at:]
        links = [(a, b) for a in here for b in there] + [(b, a) for a in here for b in there]
        await self._cut(links, self._how(), f"{here} from {there}")

    async def _corner(self) -> None:
        """A proxy and one node, cut off from all others."""
        here = [self._chance.choice(sorted(self._cluster.gates)), self._node().name]
        if self._chance.random() < 0.5:
            here[1] = self._chosen()
        there = [place for place in self._others("") if place not in here]
        links = [(a, b) for a in here for b in there] + [(b, a) for a in here for b in there]
        await self._cut(links, self._how(), f"{here} from {there}")

    async def _cut(self, links: list[tuple[str, str]], how: Cut, what: str) -> None:
        self._note(f"cut ({how}) {what}")
        for source, target in links:
            self._cluster.network.cut(source, target, how)
        await self._for_a_while()
        self._note(f"mended: {what}")
        for source, target in links:
            self._cluster.network.mend(source, target, how)

    def _how(self) -> Cut:
        return self._chance.choice(["refuse", "drop"])

    # ---- clocks ------------------------------------------------------------------------------

    async def _clock(self) -> None:
        cluster = self._cluster
        name = self._chance.choice(sorted([*cluster.nodes, *cluster.gates]))
        seconds = self._chance.choice([-1, 1]) * self._chance.choice([0.5, 30, 600, HOUR_S])
        self._note(f"the clock of {name} is {seconds} s ahead")
        if seconds > 0:
            self._model.clock_was_ahead(HOUR_S)
        self._model.skewed = True
        self._set_clock(name, seconds)
        await self._for_a_while(2.0)
        self._note(f"the clock of {name} is right")
        self._set_clock(name, 0.0)

    def _set_clock(self, name: str, seconds: float) -> None:
        owners: Mapping[str, Any] = {**self._cluster.nodes, **self._cluster.gates}
        owners[name].clock.seconds = seconds

    # ---- disks -------------------------------------------------------------------------------

    async def _full(self) -> None:
        name = self._node().name
        self._note(f"the disk of {name} is full")
        self._cluster.nodes[name].disk.full = True
        await self._for_a_while()
        self._note(f"the disk of {name} has room")
        self._cluster.nodes[name].disk.full = False

    async def _hang(self) -> None:
        node = self._node()
        if node.dead:
            return
        self._note(f"the disk of {node.name} hangs")
        node.disk.hang()
        await self._for_a_while()
        self._note(f"the disk of {node.name} answers")
        node.disk.answer()

    # ---- rings -------------------------------------------------------------------------------

    async def _ring(self) -> None:
        cluster, builder = self._cluster, self._cluster.builder
        devices = list(builder.each())
        there = {device.device for device in devices}
        spare = [d for d in cluster.spare if d.device not in there]
        choice = self._chance.random()
        if choice < 0.35 and spare:
            added = self._chance.choice(spare)
            builder.add(added)
            self._note(f"the ring gets {added.device}")
        elif choice < 0.6 and len(devices) > 4:
            gone = self._chance.choice(devices)
            builder.remove(gone.id)
            cluster.spare.append(gone)
            self._note(f"the ring loses {gone.device}")
        else:
            device = self._chance.choice(devices)
            weight = self._chance.choice([20.0, 50.0, 100.0, 200.0])
            builder.set_weight(device.id, weight)
            self._note(f"the weight of {device.device} is {weight}")
        old = cluster.ring
        try:
            cluster.rebalance()
        except RingError as error:
            self._note(f"no rebalance: {error}")
        if self._chance.random() < 0.7:
            places = self._others("")
            late = self._chance.sample(places, self._chance.randint(1, len(places)))
            await self._keep(old, late)

    async def _old_ring(self) -> None:
        await self._ring()

    async def _keep(self, ring: Any, places: list[str]) -> None:  # noqa: ANN401
        self._note(f"{places} keep the old ring {ring.version}")
        for place in places:
            self._cluster.old_rings[place] = ring
        await self._for_a_while()
        self._note(f"{places} get the ring {self._cluster.ring.version}")
        for place in places:
            self._cluster.old_rings.pop(place, None)

    # ---- what is harmed ----------------------------------------------------------------------

    def _chosen(self) -> str:
        """The node to harm, the same all day."""
        if self._victim is None:
            self._victim = self._node().name
        return self._victim

    async def _lose_disk(self) -> None:
        if (name := await self._spared()) is not None:
            self._note(f"{name} dies, and loses its disk")
            await self._cluster.kill(name)
            self._cluster.wipe(name)
            await self._for_a_while(0.3)
            self._start(name)

    async def _lose_table(self) -> None:
        if (name := await self._spared()) is not None:
            kind = self._chance.choice(["container", "account", "index"])
            self._note(f"{name} dies, and loses {kind}.mdb")
            await self._cluster.kill(name)
            for path in (self._cluster.root / name).glob(f"{kind}.mdb*"):
                path.unlink()
            self._start(name)

    async def _spared(self) -> str | None:
        """The node to harm, at a moment when nobody else needs what its tables say; None when that
        moment does not come."""
        name, cluster = self._chosen(), self._cluster
        for _ in range(SPARED_MAX):
            files = self._files(name)
            if not is_needed(cluster, self._model, name) and is_spared(
                cluster, self._model, name, files
            ):
                return name
            await self._for_a_while(0.1)
            if self._mending.is_set():
                break
        return None

    async def _rot(self) -> None:
        if (path := self._spared_file()) is None:
            return
        name = self._chosen()
        self.rotten.add((name, path.parent.name))
        before = path.stat()
        what = self._flip(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self._note(f"a bit of {what} of {path.relative_to(self._cluster.root)} flips")

    def _flip(self, path: Path) -> str:
        if self._chance.random() < 0.5 and path.stat().st_size:
            data = bytearray(path.read_bytes())
            self._flip_one(data)
            path.write_bytes(data)
            return "the bytes"
        names = [n for n in sorted(os.listxattr(path)) if n.startswith("user.")]
        if not names:
            return "nothing"
        attribute = self._chance.choice(names)
        data = bytearray(os.getxattr(path, attribute))
        self._flip_one(data)
        os.setxattr(path, attribute, bytes(data))
        return attribute

    def _flip_one(self, data: bytearray) -> None:
        at = self._chance.randrange(len(data) * 8)
        data[at // 8] ^= 1 << at % 8

    async def _lose_write(self) -> None:
        """A file is not there, though the disk said that it was: its folders look as they did."""
        if (path := self._spared_file()) is None:
            return
        folders = [path.parent, path.parent.parent, path.parent.parent.parent]
        times = [(folder, folder.stat()) for folder in folders]
        path.unlink()
        for folder, stat in times:
            os.utime(folder, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self._note(f"{path.relative_to(self._cluster.root)} was never written")

    def _spared_file(self) -> Path | None:
        name = self._chosen()
        files = list(self._files(name))
        self._chance.shuffle(files)
        spared = (f for f in files if is_spared(self._cluster, self._model, name, [f]))
        return next(spared, None)

    def _files(self, name: str) -> Iterator[Path]:
        for policy in self._cluster.policies:
            top = self._cluster.root / name / policy.datadir
            yield from sorted(path for path in top.glob("*/*/*/*") if path.is_file())
