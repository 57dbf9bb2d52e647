"""`swiftish config check`: would a node serve with this settings file?"""

import argparse
import sys

from swiftish.cli.node import KINDS, Node, Unusable, findings
from swiftish.cli.ring_tables import columns
from swiftish.cli.running import add_node_arguments, node_of
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import MARK, Identity
from swiftish.runtime.settings import BadSettings

MARK_HELP = "say that a folder without a file system of its own is meant to be a device"
HELP = "check a node's settings, its rings and its devices, without serving"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help=HELP, description=HELP)
    add_node_arguments(check)
    check.set_defaults(action=_check)
    mark = actions.add_parser("mark", help=MARK_HELP, description=MARK_HELP)
    add_node_arguments(mark)
    mark.add_argument("device", nargs="+", help="the name of a device of this node")
    mark.set_defaults(action=_mark)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when all is well, 1 with a sentence for each thing that is not."""
    try:
        code: int = arguments.action(node_of(arguments), arguments)
    except (Unusable, BadSettings, OSError) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return 1
    return code


def _mark(node: Node, arguments: argparse.Namespace) -> int:
    names = node.device_names()
    for name in arguments.device:
        if name not in names:
            raise Unusable(f"{name} is no device of this node; there are {', '.join(names)}")
        path = node.devices_root / name
        if (path / MARK).exists():
            print(f"{path} has its mark already")
            continue
        mark_device(path, Identity(cluster=node.hash_id, device=name))
        print(f"{path} is the device {name} from now on")
    return 0


def _check(node: Node, arguments: argparse.Namespace) -> int:
    del arguments
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
