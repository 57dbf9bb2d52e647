"""`swiftish config check`: would a node serve with this settings file?"""

import argparse
import sys

from swiftish.cli.node import KINDS, Node, Unusable, findings
from swiftish.cli.ring_tables import columns
from swiftish.cli.running import add_node_arguments, node_of
from swiftish.runtime.settings import BadSettings

HELP = "check a node's settings, its rings and its devices, without serving"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help=HELP, description=HELP)
    add_node_arguments(check)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when all is well, 1 with a sentence for each thing that is not."""
    try:
        node = node_of(arguments)
    except (Unusable, BadSettings) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return 1
    print(overview(node))
    said = findings(node)
    for sentence in said:
        print(f"swiftish: {sentence}", file=sys.stderr)
    return 1 if said else 0


def overview(node: Node) -> str:
    """What the node would do: its services, its rings, its devices."""
    services = [(service, bind or "in the same process") for service, bind in node.listens.items()]
    rings = []
    for file in node.rings.files:
        ring = file.current()
        devices = sum(device is not None for device in ring.devices)
        numbers = (ring.version, ring.partitions, ring.replicas, devices)
        rings.append((str(file.path), *map(str, numbers)))
    here = {
        name: {k for k, each in node.devices() if each.device == name and node.here.has(k, each)}
        for name in node.device_names()
    }
    devices_here = [
        (str(node.devices_root / name), ", ".join(k for k in KINDS if k in kinds))
        for name, kinds in here.items()
    ]
    return "\n\n".join(
        (
            columns(("service", "listens at"), services, left="<<"),
            columns(("ring", "version", "partitions", "replicas", "devices"), rings, left="<"),
            columns(("device here", "rings"), devices_here, left="<<"),
        )
    )
