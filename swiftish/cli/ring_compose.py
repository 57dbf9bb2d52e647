"""`compose`: one ring of several builders, each for its own regions, as swift-ring-composer."""

from pathlib import Path

from swiftish.cli.ring_command import (
    FORMAT_VERSION,
    BadUsage,
    Command,
    Job,
    Outcome,
    argument,
    naming,
)
from swiftish.cli.ring_tables import columns, count, short
from swiftish.ring.builder_file import MODE, load_builder, save_ring
from swiftish.ring.composite import (
    Composite,
    decode_composite,
    encode_composite,
    to_document,
)
from swiftish.ring.composite import compose as compose_ring
from swiftish.ring.errors import RingError
from swiftish.runtime.files import write_durably


def compose(job: Job) -> Outcome:
    """The ring and the composite; with nothing to compose and no ring to write, show."""
    path, options = job.files.given, job.options
    existing = _existing(path)
    if options.output is None:
        if options.builders:
            raise BadUsage("say with --output which ring file to write")
        if existing is None:
            raise RingError(f"{path} does not exist")
        return Outcome(text=_shown(path, existing), document=to_document(existing))
    files = [str(Path(each).absolute()) for each in options.builders]
    if not files and existing is not None:
        files = [each.file for each in existing.components]
    builders = []
    for each in map(Path, files):
        with naming(each):
            builders.append(load_builder(each))
    ring, composite = compose_ring(builders, existing, force=options.force, files=files)
    output = Path(options.output).absolute()
    with job.saving(output):
        save_ring(output, ring, version=options.format_version, now=job.clock.now())
    with job.saving(path):
        write_durably(path, encode_composite(composite, saved_path=str(path)), mode=MODE)
    devices = sum(each is not None for each in ring.devices)
    return Outcome(
        text=f"{output}: written, {count(devices, 'device')} of {count(len(builders), 'builder')}, "
        f"version {composite.version}",
        document={"ring": str(output), "file": str(path), **to_document(composite)},
    )


def _existing(path: Path) -> Composite | None:
    with naming(path):
        try:
            return decode_composite(path.read_bytes())
        except FileNotFoundError:
            return None


def _shown(path: Path, composite: Composite) -> str:
    rows = [
        [each.id, str(each.version), short(each.replicas), each.file]
        for each in composite.components
    ]
    table = columns(["id", "version", "replicas", "file"], rows, left="<>><")
    return f"{path}\n  composite version {composite.version}\n\n{table}"


COMMANDS = (
    Command(
        name="compose",
        help="Make one ring of several builders, each for its own regions.",
        detail=(
            "Without builders, the same ones as the last time.  The file given keeps which they\n"
            "were, and in which order; without builders and --output it is shown."
        ),
        run=compose,
        arguments=(
            argument("builders", nargs="*", metavar="BUILDER", help="in the order of replicas"),
            argument("--output", metavar="RING", help="the ring file to write"),
            argument("-f", "--force", action="store_true", help="whatever there was before"),
            FORMAT_VERSION,
        ),
        file="COMPOSITE",
        writes=True,
    ),
)
