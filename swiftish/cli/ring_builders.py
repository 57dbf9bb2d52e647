"""Commands that make a builder, set what holds for all of it, and write rings."""

from collections.abc import Callable
from pathlib import Path

from swiftish.cli.ring_command import (
    FORMAT_VERSION,
    OK,
    SETTINGS,
    WARNING,
    Argument,
    Command,
    Job,
    Outcome,
    argument,
    hash_settings,
    naming,
    number,
    whole,
)
from swiftish.cli.ring_tables import count, duration, percent, short
from swiftish.ring.builder import Builder, Rebalanced
from swiftish.ring.dispersion import BALANCE_WORST
from swiftish.ring.errors import RingError
from swiftish.ring.ring import Ring
from swiftish.ring.table import NOWHERE

CHANGE_MIN = 1.0  # percent of balance or dispersion: less is not worth new rings everywhere
BALANCE_GOOD = 5.0  # percent: what is worse is mentioned

_LATER = "the next rebalance acts on it"


# ---- making builders -------------------------------------------------------------------------


def create(job: Job) -> Outcome:
    options, path = job.options, job.files.builder
    builder = Builder.create(
        power=whole(options.power, "the partition power"),
        replicas=number(options.replicas, "the number of replicas"),
        min_part_hours=whole(options.hours, "min_part_hours"),
    )
    bind(job, builder)
    warnings = job.save_over(path, builder)
    return Outcome(
        text=f"{path}: {count(builder.partitions, 'partition')}, "
        f"{short(builder.replicas)} replicas",
        warnings=warnings,
        document={"file": str(path), "hash_id": builder.hash_id},
    )


def bind(job: Job, builder: Builder) -> None:
    if job.options.settings is not None:
        builder.hash_id = hash_settings(job.options.settings).id


# ---- rebalance -------------------------------------------------------------------------------


def rebalance(job: Job) -> Outcome:
    options, path = job.options, job.files.builder
    builder = job.load()
    before = builder.balance(), builder.dispersion, builder.devices_changed
    slots = _slots(builder)
    left = builder.min_part_seconds_left(now=job.clock.now())
    seed = options.seed if options.seed is not None else options.seed_word
    with naming(path):
        done = builder.rebalance(
            seed=builder.version if seed is None else seed,
            now=job.clock.now(),
            progress=job.console.tell,
        )
    resized = _slots(builder) != slots  # fewer replicas move nothing, and are a change
    if not (done.moved or done.removed or resized or options.force):
        reason = "there is no need to"
        if left:
            reason = (
                f"min_part_hours are {builder.min_part_hours}, and what moved last may move "
                f"again in {duration(left)}"
            )
        return _unchanged(path, f"no partition moves: {reason}", done)
    if not (options.force or resized or _worth_it(before, done)):
        return _unchanged(
            path, "neither balance nor dispersion would change by 1 %; --force does it still", done
        )
    with naming(path):
        builder.validate()
    ring = builder.ring()
    _check_ids(ring, options.format_version)
    job.save(builder)
    job.save_ring(ring, version=options.format_version)
    warnings = [f"{path}: {each}" for each in _shortcomings(builder, done)]
    share = 100 * done.moved / builder.partitions
    text = (
        f"{path}: {count(done.moved, 'replica')} moved ({percent(share)} of the partitions), "
        f"balance {percent(done.balance)}, dispersion {percent(done.dispersion)}\n"
        f"{job.files.ring}: written"
    )
    document = {**_numbers(done), "saved": True, "ring": str(job.files.ring)}
    return Outcome(
        status=WARNING if warnings else OK, text=text, warnings=warnings, document=document
    )


def _slots(builder: Builder) -> int:
    """How many replicas of partitions have a place."""
    return 0 if builder.assignment is None else int((builder.assignment != NOWHERE).sum())


def _check_ids(ring: Ring, format_version: int) -> None:
    """Before anything is saved.  Raises RingError."""
    if format_version == 1 and any(row.itemsize > 2 for row in ring.rows):
        raise RingError("device ids this high need --format-version 2")


def _worth_it(before: tuple[float, float | None, bool], done: Rebalanced) -> bool:
    """Whether nodes should get a new ring for it."""
    balance, dispersion, devices_changed = before
    still_draining = balance == done.balance == BALANCE_WORST
    return (
        devices_changed
        or still_draining
        or abs(balance - done.balance) >= CHANGE_MIN
        or dispersion is None
        or abs(dispersion - done.dispersion) >= CHANGE_MIN
    )


def _shortcomings(builder: Builder, done: Rebalanced) -> list[str]:
    if done.dispersion > 0:
        return [
            f"a dispersion of {percent(done.dispersion)}: some replicas are closer together than "
            "they need be; weights, the overload or time may help (see the dispersion command)"
        ]
    if done.balance > BALANCE_GOOD and done.balance / 100 > builder.overload:
        return [
            f"a balance of {percent(done.balance)}: hand out this ring, wait "
            f"{count(builder.min_part_hours, 'hour')}, and rebalance again"
        ]
    return []


def _unchanged(path: Path, why: str, done: Rebalanced) -> Outcome:
    document = {**_numbers(done), "saved": False}
    return Outcome(status=WARNING, warnings=[f"{path}: unchanged: {why}"], document=document)


def _numbers(done: Rebalanced) -> dict[str, object]:
    return {
        "moved": done.moved,
        "removed": done.removed,
        "balance": done.balance,
        "dispersion": done.dispersion,
    }


def write_ring(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        ring = builder.ring()
    job.save_ring(ring, version=job.options.format_version)
    return Outcome(text=f"{job.files.ring}: written", document={"ring": str(job.files.ring)})


# ---- settings of the builder -----------------------------------------------------------------


def set_replicas(job: Job) -> Outcome:
    builder = job.load()
    builder.set_replicas(number(job.options.replicas, "the number of replicas"))
    return _saved(job, builder, f"{short(builder.replicas)} replicas; {_LATER}")


def set_overload(job: Job) -> Outcome:
    builder, text = job.load(), job.options.overload
    value = number(text.removesuffix("%"), "the overload")
    builder.set_overload(value / 100 if text.endswith("%") else value)
    done = _saved(job, builder, f"an overload of {percent(100 * builder.overload)}; {_LATER}")
    if value > 1 and not text.endswith("%"):
        meant = f"{text} is an overload of {percent(100 * value)}: is it {text}% that is meant?"
        slip = f"{job.files.builder}: {meant}"
        return Outcome(status=WARNING, text=done.text, warnings=[slip], document=done.document)
    return done


def set_min_part_hours(job: Job) -> Outcome:
    builder = job.load()
    builder.set_min_part_hours(whole(job.options.hours, "min_part_hours"))
    return _saved(job, builder, f"min_part_hours are {builder.min_part_hours} now")


def pretend_min_part_hours_passed(job: Job) -> Outcome:
    builder = job.load()
    builder.pretend_min_part_hours_passed()
    return _saved(job, builder, "the next rebalance may move any partition")


def _saved(job: Job, builder: Builder, text: str) -> Outcome:
    job.save(builder)
    document = {
        "file": str(job.files.builder),
        "version": builder.version,
        "replicas": builder.replicas,
        "overload": builder.overload,
        "min_part_hours": builder.min_part_hours,
        "partition_power": builder.power,
        "next_partition_power": builder.next_power,
    }
    return Outcome(text=f"{job.files.builder}: {text}", document=document)


# ---- the partition power ---------------------------------------------------------------------


def prepare_increase(job: Job) -> Outcome:
    if "object" not in job.files.builder.name:
        raise RingError("the partition power can be increased of object rings only")
    return _step(
        job,
        Builder.prepare_power_increase,
        refusal="a partition power increase is under way already",
        done="the partition power is to become {0.next_power}",
        then="relink the objects on every node before increase_partition_power",
    )


def increase(job: Job) -> Outcome:
    return _step(
        job,
        Builder.increase_power,
        refusal="the increase was not prepared, or is done already",
        done="the partition power is {0.power}",
        then="clean up on every node before finish_increase_partition_power",
    )


def cancel_increase(job: Job) -> Outcome:
    return _step(
        job,
        Builder.cancel_power_increase,
        refusal="there is no partition power increase that could be cancelled",
        done="the partition power stays {0.power}",
        then="clean up on every node before finish_increase_partition_power",
    )


def finish_increase(job: Job) -> Outcome:
    return _step(
        job,
        Builder.finish_power_increase,
        refusal="there is no partition power increase that could be finished",
        done="the partition power increase is over",
    )


def _step(
    job: Job, change: Callable[[Builder], bool], *, refusal: str, done: str, then: str = ""
) -> Outcome:
    """One step, when its turn has come."""
    builder = job.load()
    if not change(builder):
        raise RingError(refusal)
    further = f".  Hand the ring out and {then}" if then else ""
    return _saved(job, builder, f"{done.format(builder)}; write_ring makes it known{further}")


_CREATION = (
    argument("power", metavar="PART_POWER", help="2 to this power is the number of partitions"),
    argument("replicas", metavar="REPLICAS", help="copies of everything; 2.5 is possible"),
    argument("hours", metavar="MIN_PART_HOURS", help="a partition moves once in so many hours"),
)
_CAREFUL = "Each step must have reached every node before the next: see rings.md."


def _command(
    name: str, run: Callable[[Job], Outcome], summary: str, *arguments: Argument, detail: str = ""
) -> Command:
    return Command(
        name=name, help=summary, detail=detail, run=run, arguments=arguments, writes=True
    )


COMMANDS = (
    _command(
        "create",
        create,
        "Make an empty builder.",
        *(*_CREATION, SETTINGS),
        detail="With --settings it, and its rings, are that cluster's only.",
    ),
    _command(
        "rebalance",
        rebalance,
        "Give partitions to devices by weight, far apart; write builder and ring.",
        argument("seed_word", nargs="?", metavar="SEED", help="the same as --seed"),
        argument("-f", "--force", action="store_true", help="save also small changes"),
        argument("-s", "--seed", help="of the choice among equals (the build version)"),
        argument("-d", "--debug", action="store_true", help="tell the steps"),
        FORMAT_VERSION,
        detail="Exit code 1: nothing was worth changing, or the ring has shortcomings.",
    ),
    _command(
        "write_ring", write_ring, "Write the ring file as the builder has it.", FORMAT_VERSION
    ),
    _command(
        "set_replicas",
        set_replicas,
        "Set how many copies there are of everything.",
        argument("replicas", metavar="REPLICAS"),
    ),
    _command(
        "set_overload",
        set_overload,
        "Let devices take more than their weight asks for, where replicas get farther apart.",
        argument("overload", metavar="OVERLOAD", help="0.1 or 10%%"),
    ),
    _command(
        "set_min_part_hours",
        set_min_part_hours,
        "Set for how long a partition stays after it moved.",
        argument("hours", metavar="HOURS"),
    ),
    _command(
        "pretend_min_part_hours_passed",
        pretend_min_part_hours_passed,
        "Let the next rebalance move partitions that have just moved.",
        detail="Data may be out of reach when replication has not caught up with the last ring.",
    ),
    *(
        _command(f"{step}_partition_power", run, summary, detail=_CAREFUL)
        for step, run, summary in (
            (
                "prepare_increase",
                prepare_increase,
                "Announce twice as many partitions (object rings).",
            ),
            ("increase", increase, "Double the partitions, once every node has relinked."),
            ("cancel_increase", cancel_increase, "Back out before the increase."),
            (
                "finish_increase",
                finish_increase,
                "End an increase, or its cancellation, once every node has cleaned up.",
            ),
        )
    ),
)
