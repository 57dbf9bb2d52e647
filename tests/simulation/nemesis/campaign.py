"""One run: days on which clients work and things break, mornings on which all must be well."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from swiftish.account.settings import AccountSettings, ReaperSettings
from swiftish.container.settings import ContainerSettings
from swiftish.db.settings import AuditorSettings, ReplicatorSettings
from swiftish.object.settings import ObjectSettings
from swiftish.proxy.settings import ProxySettings
from tests.fakes.cluster_state import backlog, contents
from tests.fakes.loop import simulate
from tests.fakes.whole_cluster import ClusterSettings
from tests.simulation.nemesis.checker import Checker, Complaint
from tests.simulation.nemesis.clients import Client, Habits
from tests.simulation.nemesis.cluster import NemesisCluster, is_expected
from tests.simulation.nemesis.disks import commits_on, virtual_monotonic
from tests.simulation.nemesis.model import Model
from tests.simulation.nemesis.mutants import MUTANTS
from tests.simulation.nemesis.nemesis import HOUR_S, WEIGHTS, Nemesis, Temper

DAY_S = 24 * HOUR_S
THOROUGH_EVERY = 3  # passes of the object replicator
ROUNDS_MAX = 70
STEP_S = 65.0  # longer than proxies remember anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of a run that is drawn beforehand; `busy_s` of each day clients and nemesis are at it."""

    seed: int
    days: int = 3
    busy_s: float = 2 * HOUR_S
    clients: int = 4
    devices: int = 5
    spare: int = 1
    gates: int = 2
    policies: int = 1
    temper: Temper
    habits: Habits
    pace_s: float  # between two passes of the workers that work most
    replicator_factor: float = 1.0  # so much longer is it for the object replicator

    @classmethod
    def of(cls, seed: int, *, days: int = 3, faults: tuple[str, ...] | None = None) -> Plan:
        """A swarm: each seed has some kinds of faults and not others, and its own proportions."""
        chance = random.Random(f"plan {seed}")
        kinds = [kind for kind in WEIGHTS if chance.random() < 0.55] or ["kill"]
        weights = {
            "put": chance.uniform(2, 6),
            "post": chance.choice([0, 1, 2]),
            "delete": chance.uniform(0.5, 3),
            "get": chance.uniform(1, 3),
            "head": 0.5,
            "list": 0.7,
            "container": chance.uniform(0.2, 0.8),
            "account": 0.1,
        }
        return cls(
            seed=seed,
            days=days,
            busy_s=chance.choice([1, 2, 3]) * HOUR_S,
            clients=chance.randint(2, 5),
            devices=chance.choice([4, 5, 6]),
            policies=chance.choice([1, 1, 2]),
            temper=Temper(
                faults=faults or tuple(kinds),
                pause_s=chance.choice([120.0, 300.0, 600.0]),
                lasting_s=chance.choice([60.0, 300.0, 900.0, 2400.0]),
            ),
            habits=Habits(
                containers=chance.randint(1, 3),
                fleeting=chance.choice([0, 1]),
                objects=chance.choice([3, 6]),
                pause_s=chance.choice([15.0, 40.0]),
                expiring=chance.choice([0.0, 0.1, 0.3]),
                weights=weights,
            ),
            pace_s=chance.choice([120.0, 300.0, 900.0]),
        )


def harsh(seed: int) -> Plan:
    """Much in little time: for known bugs, which are to be found in few runs."""
    weights = {"put": 6.0, "get": 0.5}
    faults = (*["corner"] * 3, "split", "cut_off", *["lose_disk"] * 3)
    return Plan(
        seed=seed,
        days=2,
        busy_s=HOUR_S,
        devices=5,
        spare=0,
        temper=Temper(faults=faults, pause_s=100.0, lasting_s=240.0),
        habits=Habits(
            containers=5, fleeting=0, objects=10, pause_s=20.0, expiring=0.0, weights=weights
        ),
        pace_s=150.0,
        replicator_factor=8.0,
    )


@dataclass(slots=True)
class Verdict:
    """What came of a run."""

    seed: int
    complaints: list[Complaint] = field(default_factory=list)
    hours: float = 0.0  # virtual
    operations: int = 0
    acknowledged: int = 0  # changes of objects
    faults: int = 0
    cpu_s: float = 0.0
    log: list[str] = field(default_factory=list)
    plan: Plan | None = None

    def __str__(self) -> str:
        text = "FAILED" if self.complaints else "passed"
        return (
            f"seed {self.seed}: {text}, {self.hours:.0f} virtual hours, "
            f"{self.operations} operations, {self.acknowledged} changes acknowledged, "
            f"{self.faults} faults, {self.cpu_s:.1f} s"
        )

    def report(self) -> str:
        """With everything that helps to find out why."""
        lines = [str(self), *map(str, self.complaints)]
        if self.complaints:
            lines += ["  what the nemesis did:", *(f"      {line}" for line in self.log)]
            lines.append(f"  {self.plan}")
        return "\n".join(lines)


class Campaign:
    """One run under way."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan = plan
        self.chance = random.Random(f"run {plan.seed}")
        self.verdict = Verdict(plan.seed, plan=plan)
        self.model = Model()
        self.cluster = NemesisCluster(
            root,
            devices=plan.devices,
            spare=plan.spare,
            gates=plan.gates,
            policies=plan.policies,
            chance=random.Random(self.chance.random()),
            settings=_settings(),
            intervals=_intervals(plan.pace_s, plan.replicator_factor),
        )
        self.nemesis = Nemesis(
            self.cluster, self.model, temper=plan.temper, chance=random.Random(self.chance.random())
        )
        self.checker = Checker(self.cluster, self.model, self.nemesis)
        self.clients = [self._client(f"k{number}") for number in range(plan.clients)]

    def _client(self, name: str) -> Client:
        return Client(
            name,
            self.cluster,
            self.model,
            habits=self.plan.habits,
            chance=random.Random(self.chance.random()),
            complain=self._complain,
            calm=lambda: self.nemesis.calm_since,
        )

    def _complain(self, path: str, text: str) -> None:
        history = self.model.objects[path].report() if path in self.model.objects else ""
        self.verdict.complaints.append(Complaint(path, text, history))

    async def run(self) -> Verdict:
        verdict = self.verdict
        try:
            await self.clients[0].make_containers()
            for day in range(self.plan.days):
                await self._busy_hours()
                if not verdict.complaints:
                    await self._morning()
                if verdict.complaints:
                    break
                await self._night(day)
        finally:
            verdict.hours = (self.cluster.clock.now() - self.cluster.clock.seconds) / HOUR_S
            verdict.operations = sum(client.count for client in self.clients)
            verdict.acknowledged = len(self.model.acknowledged())
            verdict.faults = self.nemesis.count
            verdict.log = self.nemesis.log
            await self.cluster.aclose()
        return verdict

    async def _busy_hours(self) -> None:
        until = self.cluster.clock.now() + self.plan.busy_s
        self.cluster.begin_work()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.nemesis.run(until))
            for client in self.clients:
                group.create_task(client.run(until))
        await self.nemesis.mend()
        await self.cluster.end_work()
        for gate in self.cluster.gates.values():
            await gate.background.aclose(timeout_s=HOUR_S)

    async def _morning(self) -> None:
        """All is mended, and settles; then it must be as it should."""
        if not await self._settle():
            return
        found = await self.checker.check()
        found = found or await self.checker.try_out()
        await self._pass_of_all()
        self._note_unexpected()
        self.verdict.complaints += found
        if not self.verdict.complaints:
            await asyncio.sleep(STEP_S)
            self.nemesis.all_is_well()

    def _note_unexpected(self) -> None:
        for text in self.cluster.unexpected:
            self.verdict.complaints.append(Complaint("unexpected", text))
        self.cluster.unexpected.clear()

    async def _night(self, day: int) -> None:
        """Long hours in which the workers have little to do."""
        hours = self.chance.choice([4, 12, 24, 100])
        for _ in range(3):
            await asyncio.sleep(hours * HOUR_S / 3)
            await self._pass_of_all()
        if day == self.plan.days - 1 and await self._settle():
            self.verdict.complaints += await self.checker.check()

    async def _pass_of_all(self) -> None:
        for node in self.cluster.nodes.values():
            for worker in node.workers:
                await self.cluster.pass_of(worker)
        await self.cluster.quiet()

    async def _settle(self) -> bool:
        """Passes of all workers until nothing changes any more, and nothing is left to be told;
        complains when that never comes.  What a clock that was ahead has said may count for longer
        than all others, but no longer than it was ahead.
        """
        before: object = None
        unchanged = 0
        for _ in range(ROUNDS_MAX):
            await asyncio.sleep(STEP_S)
            await self._pass_of_all()
            after = await contents(self.cluster)
            told = not any((await backlog(self.cluster)).values())
            unchanged = unchanged + 1 if told and after == before else 0
            if unchanged > THOROUGH_EVERY:
                return True
            before = after
        text = f"it does not settle in {ROUNDS_MAX} rounds: {await backlog(self.cluster)}"
        self.verdict.complaints.append(Complaint("cluster", text))
        return False


def run(plan: Plan, *, mutant: str | None = None) -> Verdict:
    """Run it, in a folder of its own."""
    began = time.process_time()
    with TemporaryDirectory(prefix="nemesis-", dir=scratch()) as folder:

        async def main() -> Verdict:
            asyncio.get_running_loop().set_exception_handler(heard.handle_loop)
            campaign = Campaign(plan, Path(folder))
            with commits_on(campaign.cluster.disks), virtual_monotonic():
                verdict = await campaign.run()
            verdict.complaints += [Complaint("log", text) for text in heard.texts]
            return verdict

        with listening() as heard, MUTANTS[mutant]():
            verdict = simulate(main())
    verdict.cpu_s = time.process_time() - began
    return verdict


def scratch() -> str | None:
    """In memory, where that can hold extended attributes."""
    shared = Path("/dev/shm")  # noqa: S108
    return str(shared) if shared.is_dir() else None


class Heard(logging.Handler):
    """Exceptions in the log that no fault explains."""

    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not is_expected(error):
            self.texts.append(f"{record.getMessage()}: {error!r}")

    def handle_loop(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and is_expected(error):
            return
        self.texts.append(f"{context.get('message')}: {error!r}")


@contextmanager
def listening() -> Iterator[Heard]:
    """While this lasts, hear what is logged, and show none of it."""
    root = logging.getLogger("swiftish")
    heard = Heard()
    propagate, level = root.propagate, root.level
    root.addHandler(heard)
    root.propagate = False
    root.setLevel(logging.ERROR)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        root.propagate = propagate
        root.setLevel(level)


def _settings() -> ClusterSettings:
    db = ReplicatorSettings(reclaim_age_s=7 * DAY_S)
    auditor = AuditorSettings(leftover_age_s=DAY_S)
    return ClusterSettings(
        account=AccountSettings(replicator=db, auditor=auditor, reaper=ReaperSettings()),
        container=ContainerSettings(replicator=db, auditor=auditor),
        object=ObjectSettings(replicator_thorough_every=THOROUGH_EVERY),
        proxy=ProxySettings(),
    )


def _intervals(pace_s: float, replicator_factor: float) -> dict[str, float]:
    """How often the workers make their passes: in real life more often, which would cost more
    than it would show."""
    return {
        "": pace_s,
        "container-updater": pace_s / 2,
        "object-updater": pace_s / 2,
        "object-replicator": replicator_factor * pace_s,
        "account-reaper": 8 * pace_s,
        "account-auditor": 4 * pace_s,
        "container-auditor": 4 * pace_s,
        "object-sweeper": 4 * pace_s,
        "object-auditor": 4 * pace_s,
        "object-auditor-quick": 2 * pace_s,
    }
