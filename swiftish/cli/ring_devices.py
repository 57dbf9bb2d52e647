"""Commands that change devices: add, remove, and set what is known about them."""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from swiftish.cli.ring_command import (
    BadUsage,
    Command,
    Job,
    Outcome,
    argument,
    naming,
    number,
    whole,
)
from swiftish.ring.builder import Builder
from swiftish.ring.device import Device, to_document
from swiftish.ring.errors import DuplicateDevice, RingError, UnknownDevice
from swiftish.ring.search import (
    Change,
    Search,
    change_of,
    new_device,
    normal_ip,
    parse_change,
    parse_device,
    parse_search,
    search_of,
    spell,
)

_WHERE = (
    argument("-r", "--region", type=int, metavar="N"),
    argument("-z", "--zone", type=int, metavar="N"),
    argument("-i", "--ip", metavar="ADDRESS", help="an IP address or a host's name"),
    argument("-p", "--port", type=int, metavar="N"),
    argument("-j", "--replication-ip", metavar="ADDRESS"),
    argument("-q", "--replication-port", type=int, metavar="N"),
    argument("-d", "--device", metavar="NAME"),
    argument("-w", "--weight", type=float, metavar="N"),
    argument("-m", "--meta", metavar="TEXT"),
)
SEARCH_OPTIONS = (argument("-u", "--id", type=int, metavar="N"), *_WHERE)
_CHANGE_OPTIONS = (
    argument("-I", "--change-ip", metavar="ADDRESS"),
    argument("-P", "--change-port", type=int, metavar="N"),
    argument("-J", "--change-replication-ip", metavar="ADDRESS"),
    argument("-Q", "--change-replication-port", type=int, metavar="N"),
    argument("-D", "--change-device", metavar="NAME"),
    argument("-M", "--change-meta", metavar="TEXT"),
)
_YES = argument("-y", "--yes", action="store_true", help="do it to all that match, don't ask")
_UNDER_WAY = "a partition power increase is under way: finish it before devices come or go"

_CAPITAL = (
    "an R begins the replication address; write a host's name in lower case, which is the same, or "
    "use the options"
)

Apply = Callable[[Builder, Device], str]
T = TypeVar("T", Search, Change)


# ---- which devices ---------------------------------------------------------------------------


def named(job: Job, builder: Builder, searches: Sequence[str]) -> list[Device]:
    """The devices that the searches match, or else the options, in the order of their ids.

    Raises RingError when it is both, neither, or no device.
    """
    options = _search_options(job)
    if options and searches:
        raise BadUsage("say which devices either in a search or by options, not both")
    wanted = (
        [search_of(options)]
        if options
        else [_read(text, parse_search, marked=True) for text in searches]
    )
    return _matching(job, builder, wanted)


def _read(text: str, parse: Callable[[str], T], *, marked: bool) -> T:
    """A search, where hosts' names are `marked` by a - before them, or a change, where not.

    Raises RingError also when an R may be a letter of a host's name.  Behind a port it is none.
    """
    host = re.split(r"[:/_\[]", text)[0]
    host = host.partition("-")[2] if marked else host
    before, capital, after = host.partition("R")
    try:
        found = parse(text)
    except RingError as error:
        raise RingError(f"{error}; {_CAPITAL}" if capital else str(error)) from None
    if capital and not (_is_ip(before) or (not before and (not after or _is_ip(after)))):
        raise RingError(f"{text!r} could mean two things: {_CAPITAL}")
    return found


def _is_ip(text: str) -> bool:
    with contextlib.suppress(RingError):
        return bool(normal_ip(text))
    return False


def _lowered(text: str) -> str:
    """A new device with its hosts' names in lower case: only the R behind a port is a mark."""
    addresses, slash, rest = text.partition("/")
    return re.sub(r"(:[0-9]+R)|R", lambda found: found[1] or "r", addresses) + slash + rest


def _search_options(job: Job) -> dict[str, Any]:
    """Those that were given."""
    names = [each.names[1].strip("-").replace("-", "_") for each in SEARCH_OPTIONS]
    values = {name: getattr(job.options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _matching(job: Job, builder: Builder, wanted: Sequence[Search]) -> list[Device]:
    if not wanted or any(each.is_empty for each in wanted):
        raise BadUsage("say which devices: an empty search would be all of them")
    found = [d for d in builder.each() if any(each.matches(d) for each in wanted)]
    if not found:
        raise UnknownDevice(f"{job.files.builder}: no device matches")
    return found


def _confirm(job: Job, devices: Sequence[Device], what: str) -> None:
    """Several devices at once are asked for.  Raises RingError unless the answer is yes."""
    if len(devices) == 1 or job.options.yes:
        return
    listed = "\n".join(f"  {spell(each)}" for each in devices)
    answer = job.console.ask(
        f"{len(devices)} devices match:\n{listed}\n{what.capitalize()} all of them? [y/N] "
    )
    if answer.strip().lower() not in {"y", "yes"}:
        raise RingError(
            f"{job.files.builder}: unchanged, since {len(devices)} devices match; "
            "answer y, or say --yes, to change all of them"
        )


# ---- add -------------------------------------------------------------------------------------


def add(job: Job) -> Outcome:
    builder = job.load()
    with naming(job.files.builder):
        if builder.next_power is not None:
            raise RingError(_UNDER_WAY)
        devices = _new_devices(job)
        lines, added = [], []
        for device in devices:
            place = (device.ip, device.port, device.device)
            for there in builder.each():
                if (there.ip, there.port, there.device) == place:
                    leaving = " until the next rebalance" if there.id in builder.removed else ""
                    raise DuplicateDevice(f"device {there.id} is {there} already{leaving}")
            now = builder.device(builder.add(device))
            added.append(now)
            lines.append(f"{spell(now)}: added with a weight of {now.weight:g}, its id is {now.id}")
    job.save(builder)
    return _outcome(added, lines)


def _new_devices(job: Job) -> list[Device]:
    options, words = _search_options(job), job.options.devices
    if options and words:
        raise BadUsage("describe a new device either in one word or by options, not both")
    if options:
        needed = ("region", "zone", "ip", "port", "device", "weight")
        if missing := [f"--{name}" for name in needed if name not in options]:
            raise BadUsage(f"a new device also needs {', '.join(missing)}")
        return [new_device(options)]
    if not words or len(words) % 2:
        raise BadUsage("after each new device comes its weight")
    devices = []
    for text, weight in zip(words[::2], words[1::2], strict=True):
        where = to_document(parse_device(_lowered(text)))
        del where["id"]
        devices.append(new_device({**where, "weight": number(weight, "the weight")}))
    return devices


# ---- set and remove --------------------------------------------------------------------------


def set_weight(job: Job) -> Outcome:
    def applying(text: str) -> Apply:
        weight = number(text, "the weight")

        def apply(builder: Builder, device: Device) -> str:
            builder.set_weight(device.id, weight)
            return f"{spell(device)}: its weight is {weight:g} now"

        return apply

    return _set(job, applying, "set the weight of")


def set_region(job: Job) -> Outcome:
    return _set_number(job, "region")


def set_zone(job: Job) -> Outcome:
    return _set_number(job, "zone")


def _set_number(job: Job, name: str) -> Outcome:
    def applying(text: str) -> Apply:
        value = whole(text, f"the {name}")
        if value < 0:
            raise RingError(f"a {name} is a number of 0 or more, not {value}")

        def apply(builder: Builder, device: Device) -> str:
            builder.change(device.id, **{name: value})
            return f"{spell(device)}: its {name} is {value} now"

        return apply

    return _set(job, applying, f"set the {name} of")


def set_info(job: Job) -> Outcome:
    names = [each.names[1].removeprefix("--change-").replace("-", "_") for each in _CHANGE_OPTIONS]
    values = {name: getattr(job.options, f"change_{name}") for name in names}

    def changing(change: Change) -> Apply:
        def apply(builder: Builder, device: Device) -> str:
            fields = change.fields()
            now = builder.change(device.id, **fields) if fields else device
            return f"{spell(device)}: is {spell(now)} now"

        return apply

    if any(value is not None for value in values.values()) or _search_options(job):
        if job.options.changes:
            raise BadUsage("say what is to change either in words or by options, not both")
        builder = job.load()
        apply = changing(change_of(values))
        return _apply(job, builder, [([], apply)], "change")
    return _set(job, lambda text: changing(_read(text, parse_change, marked=False)), "change")


def remove(job: Job) -> Outcome:
    def apply(builder: Builder, device: Device) -> str:
        builder.remove(device.id)
        return f"{spell(device)}: leaves at the next rebalance"

    builder = job.load()
    with naming(job.files.builder):
        if builder.next_power is not None:
            raise RingError(_UNDER_WAY)
    return _apply(job, builder, [(job.options.search, apply)], "remove")


def _set(job: Job, applying: Callable[[str], Apply], what: str) -> Outcome:
    """Pairs of a search and a value; or options, and one value."""
    builder, words = job.load(), job.options.changes
    if _search_options(job):
        if len(words) != 1:
            raise BadUsage("with options, what to set is one value")
        return _apply(job, builder, [([], applying(words[0]))], what)
    if not words or len(words) % 2:
        raise BadUsage("after each search comes the value to set")
    pairs = [([text], applying(value)) for text, value in zip(words[::2], words[1::2], strict=True)]
    return _apply(job, builder, pairs, what)


def _apply(
    job: Job, builder: Builder, pairs: Sequence[tuple[Sequence[str], Apply]], what: str
) -> Outcome:
    """Pair by pair, so that a search sees what came before it; nothing when one is wrong."""
    lines, touched = [], {}
    for searches, apply in pairs:
        devices = named(job, builder, searches)
        _confirm(job, devices, what)
        for each in devices:
            with naming(job.files.builder):
                lines.append(apply(builder, builder.device(each.id)))
            touched[each.id] = builder.device(each.id)
    job.save(builder)
    return _outcome(list(touched.values()), lines)


def _outcome(devices: Sequence[Device], lines: Sequence[str]) -> Outcome:
    documents = [to_document(each) for each in devices]
    return Outcome(text="\n".join(lines), document={"devices": documents})


def _setting(name: str, what: str, run: Callable[[Job], Outcome], detail: str = "") -> Command:
    pairs = argument("changes", nargs="*", metavar=f"SEARCH {what}", help="one pair or several")
    return Command(
        name=f"set_{name}",
        help=f"Set the {name} of the devices that a search or options match.",
        detail=detail or "The next rebalance acts on it.",
        run=run,
        arguments=(pairs, *SEARCH_OPTIONS, _YES),
        writes=True,
    )


COMMANDS = (
    Command(
        name="add",
        help="Add devices; the next rebalance gives them partitions.",
        detail="A device is [r<region>]z<zone>-<ip>:<port>[R<ip>:<port>]/<name>[_<meta>].",
        run=add,
        arguments=(
            argument("devices", nargs="*", metavar="DEVICE WEIGHT", help="one pair or several"),
            *_WHERE,
        ),
        writes=True,
    ),
    _setting("weight", "WEIGHT", set_weight),
    _setting("region", "REGION", set_region),
    _setting("zone", "ZONE", set_zone),
    Command(
        name="set_info",
        help="Change the address, the name or the meta of devices; write_ring makes it known.",
        detail="A change is <ip>:<port>R<ip>:<port>/<name>_<meta>, and only what is to change.",
        run=set_info,
        arguments=(
            argument("changes", nargs="*", metavar="SEARCH CHANGE", help="one pair or several"),
            *SEARCH_OPTIONS,
            *_CHANGE_OPTIONS,
            _YES,
        ),
        writes=True,
    ),
    Command(
        name="remove",
        help="Let devices go: the next rebalance takes all partitions off them.",
        detail="For disks that are broken.  A good one is drained first: set its weight to 0.",
        run=remove,
        arguments=(
            argument("search", nargs="*", metavar="SEARCH", help="the devices (see rings.md)"),
            *SEARCH_OPTIONS,
            _YES,
        ),
        writes=True,
    ),
)
