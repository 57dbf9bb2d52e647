"""Commands that look at a builder or a ring and change nothing."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from swiftish.cli.ring_command import (
    OK,
    SETTINGS,
    WARNING,
    BadUsage,
    Command,
    Job,
    Outcome,
    argument,
    check_hash_id,
    hash_settings,
    naming,
)
from swiftish.cli.ring_devices import SEARCH_OPTIONS, named
from swiftish.cli.ring_tables import columns, count, duration, figure, percent, printable, short
from swiftish.ring.builder import Builder
from swiftish.ring.device import Device, to_document
from swiftish.ring.dispersion import TierSpread
from swiftish.ring.dispersion import dispersion as dispersion_of
from swiftish.ring.errors import RingError
from swiftish.ring.overview import Overview, overview, overview_of_ring, to_json
from swiftish.ring.picture import picture
from swiftish.ring.ring import Ring
from swiftish.ring.sections import head
from swiftish.ring.svg import svg
from swiftish.ring.table import NOWHERE, row_lengths
from swiftish.runtime.files import write_durably

WIDTH_MAX = 1000  # no terminal is wider, and a picture of any width would be drawn

_RING_STATES = {
    "up to date": "",
    "obsolete": "write_ring makes it anew",
    "missing": "write_ring makes it",
    "unreadable": "write_ring makes it anew",
}


# ---- the table of a builder ------------------------------------------------------------------


def table(job: Job) -> Outcome:
    """The settings, the state and the devices."""
    builder = job.load()
    state = _ring_state(job, builder)
    lines = [*_summary(job, builder, state), "", device_table(builder, _in_place_order(builder))]
    notes = _notes(builder, ring_is_current=state == "up to date")
    warnings = [f"{job.files.builder}: {each}" for each in notes]
    document = {**describe(job, builder), "ring": {"file": str(job.files.ring), "state": state}}
    devices = device_documents(builder, _in_place_order(builder))
    return Outcome(
        text="\n".join(lines), warnings=warnings, document={**document, "devices": devices}
    )


def show(job: Job) -> Outcome:
    """A picture, on the terminal or as SVG: of the builder, or of a ring without one."""
    seen, path, warnings = _seen(job)
    document = {"file": str(path), **to_json(seen)}
    if job.options.svg is not None:
        target = Path(job.options.svg).absolute()
        with job.saving(target):
            write_durably(target, svg(seen).encode(), mode=0o644)
        return Outcome(
            text=f"{target}: written", warnings=warnings, document={**document, "svg": str(target)}
        )
    width = job.console.width if job.options.width is None else job.options.width
    if not 1 <= width <= WIDTH_MAX:
        raise BadUsage(f"--width must be between 1 and {WIDTH_MAX}")
    drawn = picture(seen, width=width, colour=job.console.colour, unicode=job.console.unicode)
    text = f"{printable(str(path))}\n\n{drawn}"
    return Outcome(text=text, drawn=True, warnings=warnings, document=document)


def _seen(job: Job) -> tuple[Overview, Path, list[str]]:
    """What is to be drawn, of which file: of a ring the builder, which knows more, if there is one.

    One that can't be read, such as Swift's, is no reason not to draw the ring that was named.
    """
    if job.files.given == job.files.ring:
        warnings = []
        if job.files.builder.exists():
            try:
                return overview(job.load()), job.files.builder, []
            except RingError as error:
                warnings = [f"{error}.  This is the ring without its builder"]
        return overview_of_ring(job.load_ring()), job.files.ring, warnings
    return overview(job.load()), job.files.builder, []


def describe(job: Job, builder: Builder) -> dict[str, object]:
    """All about a builder but its devices, for programs."""
    devices = list(builder.each())
    return {
        "file": str(job.files.builder),
        "id": builder.id,
        "hash_id": builder.hash_id,
        "version": builder.version,
        "partitions": builder.partitions,
        "partition_power": builder.power,
        "next_partition_power": builder.next_power,
        "replicas": builder.replicas,
        "regions": len({d.region for d in devices}),
        "zones": len({(d.region, d.zone) for d in devices}),
        "balance": builder.balance(),
        "dispersion": builder.dispersion,
        "dispersion_now": _dispersion_now(builder),
        "overload": builder.overload,
        "min_part_hours": builder.min_part_hours,
        "min_part_seconds_left": builder.min_part_seconds_left(now=job.clock.now()),
        "rebalanced": builder.rebalanced,
    }


def _summary(job: Job, builder: Builder, state: str) -> list[str]:
    devices = list(builder.each())
    left = builder.min_part_seconds_left(now=job.clock.now())
    hint = _RING_STATES[state]
    bound = f"hash prefix {builder.hash_id}" if builder.hash_id else "bound to no hash prefix"
    return [
        str(job.files.builder),
        f"  build version {builder.version}, id {builder.id or '(none yet)'}, {bound}",
        f"  {count(builder.partitions, 'partition')}, {short(builder.replicas)} replicas, "
        f"{count(len({d.region for d in devices}), 'region')}, "
        f"{count(len({(d.region, d.zone) for d in devices}), 'zone')}, "
        f"{count(len(devices), 'device')}",
        f"  balance {percent(builder.balance())}, dispersion {_spread(builder)}, "
        f"overload {percent(100 * builder.overload)}",
        f"  min_part_hours {builder.min_part_hours} ({duration(left)} left)",
        f"  ring file {job.files.ring.name}: {state}{f' ({hint})' if hint else ''}",
    ]


def _dispersion_now(builder: Builder) -> float | None:
    """The builder remembers that of the last rebalance, and devices may have changed since."""
    if builder.assignment is None or not builder.devices_changed:
        return builder.dispersion
    return dispersion_of(builder.assignment, builder.devices, replicas=builder.replicas)


def _spread(builder: Builder) -> str:
    now, then = _dispersion_now(builder), builder.dispersion
    if now is None or then is None:
        return "not known"
    before = f" ({percent(then)} at the last rebalance)" if percent(now) != percent(then) else ""
    return percent(now) + before


def _notes(builder: Builder, *, ring_is_current: bool) -> list[str]:
    notes = []
    if not any(device.weight for device in builder.each()):
        notes.append("no device has any weight")
    if builder.next_power == builder.power + 1:
        notes.append(
            f"the partition power is about to become {builder.next_power}: when every node has "
            "the new ring and has relinked its objects, increase_partition_power comes next"
        )
    elif builder.next_power is not None:
        first = "" if ring_is_current else "write_ring and hand out the ring, then "
        notes.append(
            f"the partition power is {builder.power} now: {first}clean up on every node; "
            "finish_increase_partition_power comes last"
        )
    return notes


def _ring_state(job: Job, builder: Builder) -> str:
    """Whether the ring file says what the builder says."""
    if not job.files.ring.exists():
        return "missing"
    try:
        found = job.load_ring()
    except RingError:
        return "unreadable"
    return "up to date" if builder.rebalanced and _same(found, builder.ring()) else "obsolete"


def _same(one: Ring, other: Ring) -> bool:
    def facts(ring: Ring) -> tuple[object, ...]:
        devices = [None if d is None else to_document(d) for d in ring.devices]
        while devices and devices[-1] is None:
            devices.pop()
        return devices, ring.power, ring.next_power, ring.version, ring.hash_id

    return facts(one) == facts(other) and list(one.rows) == list(other.rows)


# ---- devices ---------------------------------------------------------------------------------


def device_table(builder: Builder, devices: Iterable[Device]) -> str:
    titles = ["id", "region", "zone", "address", "replication", "name", "weight", "parts"]
    titles += ["balance", "flags", "meta"]
    parts, balances = builder.parts(), builder.balances()
    rows = [
        [
            *map(str, (each.id, each.region, each.zone)),
            _address(each.ip, each.port),
            _replication(each),
            each.device,
            figure(each.weight),
            str(parts[each.id]),
            figure(balances[each.id]),
            "DEL" if each.id in builder.removed else "",
            each.meta,
        ]
        for each in devices
    ]
    return columns(titles, rows, left=">>><<<>>><<")


def device_documents(builder: Builder, devices: Iterable[Device]) -> list[dict[str, object]]:
    parts, wanted, balances = builder.parts(), builder.wanted(), builder.balances()
    return [
        {
            **to_document(each),
            "parts": parts[each.id],
            "parts_wanted": wanted[each.id],
            "balance": balances[each.id],
            "removed": each.id in builder.removed,
        }
        for each in devices
    ]


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _replication(device: Device) -> str:
    """Empty where it is the same address."""
    ip, port = device.replication_ip or device.ip, device.replication_port or device.port
    return "" if (ip, port) == (device.ip, device.port) else _address(ip, port)


def _in_place_order(builder: Builder) -> list[Device]:
    return sorted(builder.each(), key=lambda d: (d.region, d.zone, d.ip, d.device))


def search(job: Job) -> Outcome:
    builder = job.load()
    if len(job.options.search) > 1:
        raise BadUsage("one search at a time; list_parts takes several")
    devices = named(job, builder, job.options.search)
    document = {"devices": device_documents(builder, devices)}
    return Outcome(text=device_table(builder, devices), document=document)


def list_parts(job: Job) -> Outcome:
    """Which partitions have replicas on some devices, and how many: most first."""
    builder = job.load()
    assignment = builder.assignment
    if assignment is None:
        raise RingError(f"{job.files.builder}: it has no partitions yet: it needs a rebalance")
    devices = named(job, builder, job.options.search)
    matches = sum((assignment == each.id).sum(axis=0) for each in devices)
    found = [(partition, int(n)) for partition, n in enumerate(matches) if n]
    if not found:
        raise RingError(f"{job.files.builder}: these devices have no partitions yet")
    found.sort(key=lambda each: -each[1])
    rows = [[str(partition), str(n)] for partition, n in found]
    document = {"partitions": [{"partition": p, "matches": n} for p, n in found]}
    return Outcome(text=columns(["partition", "matches"], rows), document=document)


# ---- how good it is --------------------------------------------------------------------------


def dispersion(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        survey = builder.survey()
    names = {spread.tier: _tier_name(spread, builder) for spread in survey.tiers}
    try:
        wanted = re.compile(job.options.filter or "")
    except re.error as error:
        raise BadUsage(f"the filter {job.options.filter!r} is no pattern: {error}") from None
    tiers = [s for s in sorted(survey.tiers, key=lambda s: s.tier) if wanted.match(names[s.tier])]
    worst = max(tiers, key=_risk, default=None)
    lines = [
        f"dispersion {percent(survey.dispersion)}, balance {percent(builder.balance())}, "
        f"overload {percent(100 * builder.overload)} "
        f"(full dispersion needs {percent(100 * builder.required_overload())})"
    ]
    at_risk = worst is not None and _risk(worst) > 0
    if worst is not None and at_risk:
        lines.append(f"worst is {names[worst.tier]}: {percent(_risk(worst))}")
    if job.options.verbose:
        lines += ["", _tier_table(tiers, names)]
    document = {
        "dispersion": survey.dispersion,
        "balance": builder.balance(),
        "overload": builder.overload,
        "required_overload": builder.required_overload(),
        "worst": names[worst.tier] if worst is not None and at_risk else None,
        "tiers": [
            {
                "tier": names[each.tier],
                "parts": _placed(each),
                "dispersion": _risk(each),
                "allowed": each.allowed,
                "partitions_by_replicas": list(each.counts),
            }
            for each in tiers
        ],
    }
    status = WARNING if at_risk else OK
    return Outcome(status=status, text="\n".join(lines), document=document)


def _tier_table(tiers: Sequence[TierSpread], names: dict[tuple[int | str, ...], str]) -> str:
    replicas = max((len(each.counts) for each in tiers), default=1)
    titles = ["tier", "parts", "%", "max", *map(str, range(replicas))]
    rows = [
        [names[t.tier], str(_placed(t)), figure(_risk(t)), str(t.allowed), *map(str, t.counts)]
        for t in tiers
    ]
    return columns(titles, rows, left="<")


def _tier_name(spread: TierSpread, builder: Builder) -> str:
    region, *below = spread.tier
    name = f"r{region}" + (f"z{below[0]}" if below else "") + (f"-{below[1]}" if below[1:] else "")
    return f"{name}/{builder.device(int(below[2])).device}" if below[2:] else name


def _placed(spread: TierSpread) -> int:
    """Replicas in this tier."""
    return sum(n * partitions for n, partitions in enumerate(spread.counts))


def _risk(spread: TierSpread) -> float:
    """The share of this tier's replicas that are more than need be, in percent."""
    extra = enumerate(spread.counts[spread.allowed + 1 :], start=1)
    placed = _placed(spread)
    return 100.0 * sum(n * partitions for n, partitions in extra) / placed if placed else 0.0


def validate(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        _check_replicas(builder)
        builder.validate()
    warnings = []
    if job.options.settings is not None:
        settings = hash_settings(job.options.settings)
        found = [(builder.hash_id, job.files.builder)]
        if job.files.ring.exists():
            found.append((job.load_ring().hash_id, job.files.ring))
        notes = [check_hash_id(hash_id, settings, path) for hash_id, path in found]
        warnings = [note for note in notes if note is not None]
    return Outcome(
        text=f"{job.files.builder}: every replica of every partition is on a device of its own",
        warnings=warnings,
        document={"valid": True},
    )


def _check_replicas(builder: Builder) -> None:
    """Whether a rebalance has acted on `set_replicas`.  Raises RingError."""
    if builder.assignment is None:
        return
    placed = int((builder.assignment != NOWHERE).sum())
    wanted = sum(row_lengths(replicas=builder.replicas, partitions=builder.partitions))
    if placed != wanted:
        raise RingError(
            f"its partitions have {placed:,} replicas, and {wanted:,} are wanted "
            f"({short(builder.replicas)} of each): it needs a rebalance"
        )


def version(job: Job) -> Outcome:
    """Of the ring file: of its format, and of the builder that wrote it."""
    ring = job.load_ring()
    with naming(job.files.ring):
        serialization = head(job.files.ring.read_bytes())
    id_bytes = ring.rows[0].itemsize
    return Outcome(
        text=f"{job.files.ring}: format version {serialization}, {id_bytes} bytes a device id, "
        f"build version {ring.version}",
        document={
            "file": str(job.files.ring),
            "format_version": serialization,
            "device_id_bytes": id_bytes,
            "version": ring.version,
            "hash_id": ring.hash_id,
        },
    )


_SEARCHES = argument("search", nargs="*", metavar="SEARCH", help="the devices (see rings.md)")

COMMANDS = (
    Command(
        name="default",
        help="Show the settings, the state and the devices.  The file alone does the same.",
        detail="The flag DEL marks a device that leaves at the next rebalance.",
        run=table,
    ),
    Command(
        name="show",
        help="Draw how partitions are spread over regions, zones, hosts and devices.",
        run=show,
        arguments=(
            argument("--svg", metavar="FILE", help="write an SVG picture instead"),
            argument("--width", type=int, metavar="N", help="in characters (the terminal's)"),
        ),
    ),
    Command(
        name="search",
        help="Show the devices that a search or options match.",
        run=search,
        arguments=(_SEARCHES, *SEARCH_OPTIONS),
    ),
    Command(
        name="list_parts",
        help="List the partitions on the matching devices, and how many replicas are there.",
        run=list_parts,
        arguments=(_SEARCHES, *SEARCH_OPTIONS),
    ),
    Command(
        name="dispersion",
        help="Tell how well replicas are spread.  Exit code 1 when some are not.",
        detail=(
            "In the table of -v: parts are the replicas in a tier, % is the share of them that\n"
            "are more than need be, max is how many of one partition need be there, and below\n"
            "0, 1, 2 … is how many partitions have that many replicas there."
        ),
        run=dispersion,
        arguments=(
            argument("filter", nargs="?", metavar="FILTER", help="only tiers like this pattern"),
            argument("-v", "--verbose", action="store_true", help="tier by tier"),
            argument("--recalculate", action="store_true", help="accepted: it always is"),
        ),
    ),
    Command(
        name="validate",
        help="Check that every replica has a device, and no two of a partition the same.",
        run=validate,
        arguments=(SETTINGS,),
    ),
    Command(name="version", help="Show the versions of the ring file.", run=version, file="RING"),
)
