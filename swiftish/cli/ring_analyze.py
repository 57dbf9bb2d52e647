"""`analyze`: play a scenario of devices that come and go, and tell how each rebalance went.

The scenario is a JSON object as swift-ring-builder-analyzer takes it (docs/reference/rings.md).
After each round the builder is rebalanced until it settles, as if min_part_hours had passed each
time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from swiftish.cli.ring_command import Command, Job, Outcome, argument, naming
from swiftish.cli.ring_tables import columns, figure
from swiftish.ring.builder import Builder, Rebalanced
from swiftish.ring.dispersion import BALANCE_WORST
from swiftish.ring.errors import RingError
from swiftish.ring.search import parse_device

SETTLED = 1.0  # percent of balance: when a rebalance changes less, the round is over
REBALANCES_MAX = 100  # of a round that never settles

Step = Callable[[Builder], Sequence[str]]  # what it warns of


@dataclass(frozen=True, kw_only=True)
class Scenario:
    builder: Builder
    seed: int
    rounds: Sequence[Sequence[Step]]


def analyze(job: Job) -> Outcome:
    path = job.files.given
    with naming(path):
        scenario = parse(path.read_bytes(), save=lambda name, builder: _save(job, name, builder))
        if job.options.check:
            text = f"{path}: {len(scenario.rounds)} rounds, all of them understood"
            return Outcome(text=text, document={"rounds": len(scenario.rounds)})
        rounds, warnings = [], list[str]()
        for number, steps in enumerate(scenario.rounds, 1):
            for step in steps:
                warnings += step(scenario.builder)
            job.console.tell(f"round {number}")
            rounds.append(_settle(scenario, now=job.clock.now()))
    rows = [
        [f"{number}.{turn}", str(r.moved), str(r.removed), figure(r.balance), figure(r.dispersion)]
        for number, done in enumerate(rounds, 1)
        for turn, r in enumerate(done, 1)
    ]
    titles = ["rebalance", "moved", "removed", "balance", "dispersion"]
    numbers = [
        [
            {
                "moved": r.moved,
                "removed": r.removed,
                "balance": r.balance,
                "dispersion": r.dispersion,
            }
            for r in done
        ]
        for done in rounds
    ]
    return Outcome(text=columns(titles, rows), warnings=warnings, document={"rounds": numbers})


def _settle(scenario: Scenario, *, now: float) -> list[Rebalanced]:
    builder, done = scenario.builder, list[Rebalanced]()
    while len(done) < REBALANCES_MAX:
        done.append(builder.rebalance(seed=scenario.seed, now=now))
        builder.pretend_min_part_hours_passed()
        if len(done) < 2:
            continue
        before, after = done[-2].balance, done[-1].balance
        if not (done[-1].moved or done[-1].removed):
            break
        if abs(before - after) < SETTLED and not before == after == BALANCE_WORST:
            break
    return done


def _save(job: Job, name: str, builder: Builder) -> Sequence[str]:
    """As `create` does, but beside the scenario."""
    path = job.files.given.parent / name
    with job.locked(path.parent):
        return job.save_over(path, builder)


def parse(text: bytes, *, save: Callable[[str, Builder], Sequence[str]]) -> Scenario:
    """Raises RingError that says which command of which round is wrong."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RingError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise RingError("a scenario is a JSON object")
    builder = Builder.create(
        power=_whole(found.get("part_power"), "part_power"),
        replicas=_number(found, "replicas"),
        min_part_hours=1,
    )
    builder.set_overload(_number(found, "overload"))
    rounds = found.get("rounds")
    if not isinstance(rounds, list) or not all(isinstance(each, list) for each in rounds):
        raise RingError("rounds must be a list of lists of commands")
    steps: list[list[Step]] = []
    for number, commands in enumerate(rounds, 1):
        steps.append([])
        for place, command in enumerate(commands, 1):
            try:
                steps[-1].append(_step(command, save))
            except RingError as error:
                raise RingError(f"round {number}, command {place}: {error}") from None
    return Scenario(
        builder=builder, seed=_whole(found.get("random_seed"), "random_seed"), rounds=steps
    )


def _number(found: Mapping[str, object], name: str) -> float:
    if name not in found:
        raise RingError(f"{name} is missing")
    return _float(found[name], name)


def _float(value: object, what: str) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise RingError(f"{what} must be a number, not {value!r}") from None


def _step(command: object, save: Callable[[str, Builder], Sequence[str]]) -> Step:
    match command:
        case ["add", str(text), weight]:
            device = replace(parse_device(text), weight=_weight(weight))
            return _quietly(lambda builder: builder.add(device))
        case ["set_weight", number, weight]:
            which, to = _whole(number, "a device's id"), _weight(weight)
            return _quietly(lambda builder: builder.set_weight(which, to))
        case ["remove", number]:
            which = _whole(number, "a device's id")
            return _quietly(lambda builder: builder.remove(which))
        case ["save", str(name)]:
            return lambda builder: save(name, builder)
        case _:
            raise RingError(f"{command!r} is no add, set_weight, remove or save as they must be")


def _quietly(change: Callable[[Builder], object]) -> Step:
    def step(builder: Builder) -> Sequence[str]:
        change(builder)
        return ()

    return step


def _whole(value: object, what: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise RingError(f"{what} must be a whole number, not {value!r}") from None


def _weight(value: object) -> float:
    weight = _float(value, "a weight")
    if not weight >= 0:
        raise RingError(f"a weight must be 0 or more, not {value!r}")
    return weight


COMMANDS = (
    Command(
        name="analyze",
        help="Play a scenario of changes and tell how each rebalance went.",
        detail="The scenario is a file that swift-ring-builder-analyzer reads too: see rings.md.",
        run=analyze,
        arguments=(argument("-c", "--check", action="store_true", help="only read the scenario"),),
        file="SCENARIO",
    ),
)
