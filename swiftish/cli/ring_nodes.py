"""`nodes`: where an account, container, object or partition is, as swift-get-nodes tells."""

import itertools
import re
from collections.abc import Sequence
from urllib.parse import quote

from swiftish.cli.ring_command import (
    SETTINGS,
    BadUsage,
    Command,
    Job,
    Outcome,
    argument,
    check_hash_id,
    hash_settings,
    naming,
    whole,
)
from swiftish.cli.ring_tables import columns
from swiftish.domain.hashing import HashPath
from swiftish.ring.device import Device, to_document
from swiftish.ring.errors import RingError

_KINDS = ("account", "container", "object")
_OBJECT_RING = re.compile(r"object(?:-(\d+))?\.(?:ring\.gz|builder)\Z")


def nodes(job: Job) -> Outcome:
    """A ring file is read as it is, a builder is asked for its ring."""
    options, path = job.options, job.files.given
    if path == job.files.ring:
        ring = job.load_ring()
    else:
        with naming(path):
            ring = job.load().ring()
    names = _names(options.names)
    if bool(names) == (options.partition is not None):
        raise BadUsage("give either names (an account at least) or --partition")
    warnings = []
    digest = ""
    if names:
        if options.settings is None:
            raise BadUsage("where a name is depends on the cluster's secrets: give --settings FILE")
        settings = hash_settings(options.settings)
        warnings = [note for note in [check_hash_id(ring.hash_id, settings, path)] if note]
        digest = HashPath(prefix=settings.prefix, suffix=settings.suffix)(*names).hex()
        partition = ring.partition(bytes.fromhex(digest))
    else:
        partition = whole(options.partition, "the partition")
        if not 0 <= partition < ring.partitions:
            raise RingError(f"{path}: there are partitions 0 to {ring.partitions - 1} in this ring")
    if names and _KINDS[len(names) - 1] not in path.name:
        warnings.append(f"{path}: by its name it is no ring for {_KINDS[len(names) - 1]}s")
    primaries = ring.primaries(partition)
    more = None if options.all else len(primaries)
    handoffs = list(itertools.islice(ring.handoffs(partition), more))
    found = dict(zip(_KINDS, names, strict=False))
    lines = [f"{kind:<10} {quote(name, errors='surrogateescape')}" for kind, name in found.items()]
    lines += [f"{'partition':<10} {partition}"] + [f"{'hash':<10} {digest}"] * bool(digest)
    lines += ["", _table(primaries, handoffs)]
    lines += ["", *_urls([*primaries, *handoffs], partition, names, job)]
    document = {
        **found,
        "partition": partition,
        "hash": digest or None,
        "primaries": [{**to_document(d), "index": n} for n, d in enumerate(primaries)],
        "handoffs": [{**to_document(d), "handoff_index": n} for n, d in enumerate(handoffs)],
    }
    return Outcome(text="\n".join(lines), warnings=warnings, document=document)


def _names(words: Sequence[str]) -> list[str]:
    """Up to three; or one word with slashes, with or without one in front."""
    if len(words) == 1 and "/" in words[0]:
        words = words[0].removeprefix("/").split("/", 2)
    if not all(words) or any("/" in word for word in words[:2]):
        raise BadUsage("an account and a container have names, and no / in them")
    return list(words)


def _table(primaries: Sequence[Device], handoffs: Sequence[Device]) -> str:
    rows = []
    for role, devices in (("primary", primaries), ("handoff", handoffs)):
        for number, each in enumerate(devices):
            host = f"[{each.ip}]" if ":" in each.ip else each.ip
            place = map(str, (each.id, each.region, each.zone))
            rows.append([role, str(number), *place, f"{host}:{each.port}", each.device, each.meta])
    titles = ["role", "index", "id", "region", "zone", "address", "name", "meta"]
    return columns(titles, rows, left="<>>>><<<")


def _urls(devices: Sequence[Device], partition: int, names: Sequence[str], job: Job) -> list[str]:
    """What to ask each node for."""
    path = "/".join(quote(name, safe="", errors="surrogateescape") for name in names[:2])
    path += f"/{quote(names[2], errors='surrogateescape')}" if len(names) == 3 else ""
    ring = _OBJECT_RING.search(job.files.given.name)
    policy = f" -H 'X-Backend-Storage-Policy-Index: {ring[1] or 0}'" if ring else ""
    lines = []
    for each in devices:
        host = f"[{each.ip}]" if ":" in each.ip else each.ip
        url = f"http://{host}:{each.port}/{quote(each.device)}/{partition}"
        lines.append(f"curl -g -I{policy} '{url}{f'/{path}' if path else ''}'")
    return lines


COMMANDS = (
    Command(
        name="nodes",
        help="Show on which devices a name or a partition is, and where its handoffs are.",
        run=nodes,
        arguments=(
            argument("names", nargs="*", metavar="NAME", help="account [container [object]]"),
            argument("-p", "--partition", metavar="N", help="instead of names"),
            argument("-a", "--all", action="store_true", help="all handoffs, not only a few"),
            SETTINGS,
        ),
        file="RING",
    ),
)
