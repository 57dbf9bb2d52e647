"""Commands that make a builder, set what holds for all of it, and write rings."""

from pathlib import Path

from swiftish.cli.ring_command import (
    FORMAT_VERSION,
    OK,
    SETTINGS,
    WARNING,
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
_IN_RING = "write_ring makes it known"


# ---- making builders -------------------------------------------------------------------------


def create(job: Job) -> Outcome:
    options, path = job.options, job.files.builder
    there = path.exists()
    if there:
        job.load()  # what is no builder is not written over
    builder = Builder.create(
        power=whole(options.power, "the partition power"),
        replicas=number(options.replicas, "the number of replicas"),
        min_part_hours=whole(options.hours, "min_part_hours"),
    )
    bind(job, builder)
    job.save(builder)
    warnings = [f"{path}: replaced; what it was is in {path.parent / 'backups'}"] if there else []
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
    warnings = _shortcomings(builder, done)
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
        slip = f"{text} is an overload of {percent(100 * value)}: is it {text}% that is meant?"
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
    builder = job.load()
    with naming(job.files.builder):
        if "object" not in job.files.builder.name:
            raise RingError("the partition power can be increased of object rings only")
        if not builder.prepare_power_increase():
            raise RingError("a partition power increase is under way already")
    return _saved(
        job,
        builder,
        f"the partition power is to become {builder.next_power}; {_IN_RING}.  Hand the ring out "
        "and relink the objects on every node before increase_partition_power",
    )


def increase(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        if not builder.increase_power():
            raise RingError("the increase was not prepared, or is done already")
    return _saved(
        job,
        builder,
        f"the partition power is {builder.power}; {_IN_RING}.  Hand the ring out and clean up on "
        "every node before finish_increase_partition_power",
    )


def cancel_increase(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        if not builder.cancel_power_increase():
            raise RingError("there is no partition power increase that could be cancelled")
    return _saved(
        job,
        builder,
        f"the partition power stays {builder.power}; {_IN_RING}.  Hand the ring out and clean up "
        "on every node before finish_increase_partition_power",
    )


def finish_increase(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        if not builder.finish_power_increase():
            raise RingError("there is no partition power increase that could be finished")
    return _saved(job, builder, f"the partition power increase is over; {_IN_RING}")


_CREATION = (
    argument("power", metavar="PART_POWER", help="2 to this power is the number of partitions"),
    argument("replicas", metavar="REPLICAS", help="copies of everything; 2.5 is possible"),
    argument("hours", metavar="MIN_PART_HOURS", help="a partition moves once in so many hours"),
)
_CAREFUL = "Each step must have reached every node before the next: see rings.md."

COMMANDS = (
    Command(
        name="create",
        help="Make an empty builder.",
        detail="With --settings it, and its rings, are that cluster's only.",
        run=create,
        arguments=(*_CREATION, SETTINGS),
        writes=True,
    ),
    Command(
        name="rebalance",
        help="Give partitions to devices by weight, far apart; write builder and ring.",
        detail="Exit code 1: nothing was worth changing, or the ring has shortcomings.",
        run=rebalance,
        arguments=(
            argument("seed_word", nargs="?", metavar="SEED", help="the same as --seed"),
            argument("-f", "--force", action="store_true", help="save also small changes"),
            argument("-s", "--seed", help="of the choice among equals (the build version)"),
            argument("-d", "--debug", action="store_true", help="tell the steps"),
            FORMAT_VERSION,
        ),
        writes=True,
    ),
    Command(
        name="write_ring",
        help="Write the ring file as the builder has it.",
        run=write_ring,
        arguments=(FORMAT_VERSION,),
        writes=True,
    ),
    Command(
        name="set_replicas",
        help="Set how many copies there are of everything.",
        run=set_replicas,
        arguments=(argument("replicas", metavar="REPLICAS"),),
        writes=True,
    ),
    Command(
        name="set_overload",
        help="Let devices take more than their weight asks for, where replicas get farther apart.",
        run=set_overload,
        arguments=(argument("overload", metavar="OVERLOAD", help="0.1 or 10%%"),),
        writes=True,
    ),
    Command(
        name="set_min_part_hours",
        help="Set for how long a partition stays after it moved.",
        run=set_min_part_hours,
        arguments=(argument("hours", metavar="HOURS"),),
        writes=True,
    ),
    Command(
        name="pretend_min_part_hours_passed",
        help="Let the next rebalance move partitions that have just moved.",
        detail="Data may be out of reach when replication has not caught up with the last ring.",
        run=pretend_min_part_hours_passed,
        writes=True,
    ),
    Command(
        name="prepare_increase_partition_power",
        help="Announce twice as many partitions (object rings).",
        detail=_CAREFUL,
        run=prepare_increase,
        writes=True,
    ),
    Command(
        name="increase_partition_power",
        help="Double the partitions, once every node has relinked.",
        detail=_CAREFUL,
        run=increase,
        writes=True,
    ),
    Command(
        name="cancel_increase_partition_power",
        help="Back out before the increase.",
        detail=_CAREFUL,
        run=cancel_increase,
        writes=True,
    ),
    Command(
        name="finish_increase_partition_power",
        help="End an increase, or its cancellation, once every node has cleaned up.",
        detail=_CAREFUL,
        run=finish_increase,
        writes=True,
    ),
)
