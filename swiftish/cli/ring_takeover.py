"""Commands that make a builder of what is there: a builder file of Swift's, or a ring file."""

import os
from pathlib import Path

from swiftish.cli.ring_builders import bind
from swiftish.cli.ring_command import SETTINGS, Command, Job, Outcome, argument, naming, whole
from swiftish.cli.ring_tables import count
from swiftish.ring.builder_format import MARKER
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.restored import builder_of
from swiftish.ring.swift_builder import import_swift

_GZIP = b"\x1f\x8b"
HOURS_UNKNOWN = 24  # what write_builder takes when it is not told


def import_(job: Job) -> Outcome:
    """A builder from Swift's builder file."""
    source, path = Path(job.options.source).absolute(), job.files.builder
    _refuse_to_replace(path)
    with naming(source):
        data = source.read_bytes()
        try:
            builder = import_swift(data)
        except BadBuilder as error:
            raise RingError(_why(data, error)) from None
    bind(job, builder)
    job.save(builder)
    devices = sum(1 for _ in builder.each())
    return Outcome(
        text=f"{path}: {count(builder.partitions, 'partition')} and "
        f"{count(devices, 'device')} from {source}",
        document={"file": str(path), "source": str(source), "devices": devices},
    )


def _why(data: bytes, error: BadBuilder) -> str:
    """What is wrong with a file, for who need not know what a pickle is."""
    text = str(error)
    if not data:
        return "it is empty"
    if data.startswith(MARKER):
        return "it is a builder of swiftish's own: use it as it is"
    if data.startswith(_GZIP):
        return "it is compressed, as rings are and builders are not; write_builder takes rings"
    if "pickle" not in text:
        return text
    if " imports " in text or " calls " in text:
        return f"{text.replace('the pickle', 'it')}; nothing of it was run"
    return "it is no builder of Swift's, or it is damaged or truncated"


def write_builder(job: Job) -> Outcome:
    """A builder from a ring file: less than it was, but the partitions stay where they are."""
    path, ring = job.files.builder, job.load_ring()
    _refuse_to_replace(path)
    warnings = []
    hours = HOURS_UNKNOWN
    if job.options.hours is None:
        warnings.append(f"{path}: min_part_hours is {hours} now: what it was is not in a ring")
    else:
        hours = whole(job.options.hours, "min_part_hours")
    builder = builder_of(ring, min_part_hours=hours)
    job.save(builder)
    return Outcome(
        text=f"{path}: made from {job.files.ring}", warnings=warnings, document={"file": str(path)}
    )


def _refuse_to_replace(path: Path) -> None:
    if os.path.lexists(path):
        raise RingError(f"{path}: it is there already, and is not written over")


COMMANDS = (
    Command(
        name="import",
        help="Make a builder from a builder file of OpenStack Swift.",
        run=import_,
        arguments=(argument("source", metavar="FILE", help="Swift's builder file"), SETTINGS),
        writes=True,
    ),
    Command(
        name="write_builder",
        help="Make a builder from a ring file, when there is no backup of the builder either.",
        run=write_builder,
        arguments=(argument("hours", nargs="?", metavar="MIN_PART_HOURS"),),
        file="RING",
        writes=True,
    ),
)
