"""`swiftish recon`: how are all nodes of the cluster, and is my data safe?

Each port of each ring is asked for `/recon/node`, which needs no key, all at once; what nodes say
together is made into tables by cli/recon_report.py.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Collection

from swiftish.cli.facts import from_document
from swiftish.cli.node import Node, Unusable, parse_address
from swiftish.cli.picture import ring_facts, settings_digest
from swiftish.cli.recon_report import TABLES, Answer, Ours, Picture
from swiftish.cli.running import add_node_arguments, node_of
from swiftish.domain.limits import MiB
from swiftish.http.bodies import TooLong, read_all
from swiftish.http.client import HttpClient
from swiftish.http.message import Request
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.settings import BadSettings
from swiftish.runtime.status import SERVING_FILE, read_status

HELP = "ask all nodes of the rings how they are"
DOCUMENT_BYTES_MAX = 16 * MiB
CANT_ASK = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_node_arguments(parser)
    parser.add_argument("--json", action="store_true", help="all that is known, as JSON")
    parser.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="S",
        help="wait so long for each (%(default)s)",
    )
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"only these tables: {', '.join(TABLES)}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when all is well, 1 when something needs attention, 2 when nobody answers."""
    for name in arguments.what:
        if name not in TABLES:
            print(f"swiftish: {name!r} is none of {', '.join(TABLES)}", file=sys.stderr)
            return CANT_ASK
    try:
        node = node_of(arguments)
        picture = asyncio.run(look(node, timeout_s=arguments.timeout))
    except (Unusable, BadSettings) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return CANT_ASK
    findings = picture.findings()
    if arguments.json:
        print(json.dumps(picture.document(), indent=2))
    else:
        print(picture.tables(arguments.what or list(TABLES)))
        print()
        print(picture.summary())
        for sentence in findings:
            print(f"swiftish: {sentence}", file=sys.stderr)
    if len(picture.down) == len(picture.nodes):
        return CANT_ASK
    return 1 if findings else 0


async def look(node: Node, *, timeout_s: float) -> Picture:
    """Ask everybody.  Raises Unusable when there is nobody to ask."""
    addresses = addresses_of(node)
    if not addresses:
        raise Unusable(f"no server runs here: there is no {node.run / SERVING_FILE}")
    client = HttpClient(connect_timeout_s=timeout_s)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(client, each, timeout_s)) for each in addresses]
    finally:
        await client.aclose()
    rings = {ring.path.rpartition("/")[2]: ring.md5 for ring in ring_facts(node)}
    ours = Ours(rings=rings, settings=settings_digest(node))
    return Picture([task.result() for task in tasks], ours)


def addresses_of(node: Node) -> Collection[str]:
    """The ports of all rings; on a cluster of one machine, where rings have none, the server's."""
    found = {device.address for _, device in node.devices() if device.port}
    if found:
        return sorted(found)
    serving = read_status(node.run / SERVING_FILE) or {"listens": {}}
    return sorted(serving["listens"].values())


async def ask(client: HttpClient, address: str, timeout_s: float) -> Answer:
    """One node's own description; never raises what a node can be the cause of."""
    host, port = parse_address(address, setting="ring")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (only compared)
    clock = SystemClock()
    began = clock.now()
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(host, port, Request(method="GET", path="/recon/node"))
            ended = clock.now()
            data = await read_all(response.body, size_max=DOCUMENT_BYTES_MAX)
    except TimeoutError:
        return Answer(address=address, error=f"none in {timeout_s:g} s")
    except (OSError, TooLong) as error:
        return Answer(address=address, error=str(error))
    if response.status != 200:
        return Answer(address=address, error=f"it answers {response.status}")
    try:
        facts = from_document(json.loads(data))
    except ValueError as error:  # no JSON, or other JSON
        return Answer(address=address, error=str(error))
    round_trip_s = max(0.0, ended - began)
    return Answer(
        address=address,
        facts=facts,
        drift_s=facts.at - (began + ended) / 2,
        round_trip_s=round_trip_s,
    )
