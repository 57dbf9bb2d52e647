"""`swiftish explain /account[/container[/object]]`: where is it, and what is there?"""

import argparse
import asyncio
import json
import sys
from functools import partial
from itertools import islice

from swiftish.cli.explanation import Copy, Explanation, values_of
from swiftish.cli.node import Node, Unusable
from swiftish.cli.running import add_node_arguments, node_of
from swiftish.cli.wiring import asking, hash_path_of
from swiftish.cluster.transport import Kind, Transport
from swiftish.domain.names import Target
from swiftish.http.bodies import TooLong, read_all
from swiftish.http.message import Request
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.runtime.logs import configure
from swiftish.runtime.settings import BadSettings

HELP = "show where an account, container or object is, and what each device has of it"
CANT_ASK = 2
ERROR_BYTES_MAX = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_node_arguments(parser)
    parser.add_argument("path", metavar="/ACCOUNT[/CONTAINER[/OBJECT]]")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.add_argument("--all", action="store_true", help="ask all handoffs there are")
    parser.add_argument(
        "-P", "--policy", metavar="INDEX", type=int, help="look there, whatever the container says"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="S",
        help="wait so long for each (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when everything is where it should be, 1 when not, 2 when nobody can be asked."""
    configure("error")
    try:
        target = target_of(arguments.path)
        found = asyncio.run(_run(node_of(arguments), target, arguments))
    except (Unusable, BadSettings) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return CANT_ASK
    print(json.dumps(found.document(), indent=2) if arguments.json else found.text())
    findings = found.findings()
    for sentence in [] if arguments.json else findings:
        print(f"swiftish: {sentence}", file=sys.stderr)
    if not any(copy.answers for copy in found.copies):
        return CANT_ASK
    return 1 if findings else 0


def target_of(path: str) -> Target:
    """The name in /account[/container[/object]].  Raises Unusable."""
    parts = path.removeprefix("/v1").split("/", 3)
    if parts[0] or len(parts) < 2 or not all(parts[1:]):
        raise Unusable(f"{path!r} is not /ACCOUNT[/CONTAINER[/OBJECT]]")
    account, container, obj = [*parts[1:], None, None][:3]
    assert account is not None
    return Target(account, container, obj)


async def _run(node: Node, target: Target, arguments: argparse.Namespace) -> Explanation:
    async with asking(node) as transport:
        explainer = Explainer(node, transport, timeout_s=arguments.timeout)
        return await explainer.explain(target, policy=arguments.policy, everybody=arguments.all)


class Explainer:
    """Asks the devices of a cluster.  `node` has its rings."""

    def __init__(self, node: Node, transport: Transport, *, timeout_s: float) -> None:
        self._node = node
        self._transport = transport
        self._timeout_s = timeout_s
        self._hash_path = hash_path_of(node)

    async def explain(
        self, target: Target, *, policy: int | None = None, everybody: bool = False
    ) -> Explanation:
        """What the primaries have, and as many handoffs, or all.  Raises Unusable when there is no
        such policy, or nobody knows which one the object's container has."""
        if target.object is None:
            policy = None
        elif policy is None:
            policy = await self._policy(target)
        kind, ring, folder = self._ring(target, policy)
        digest = self._hash_path(target.account, target.container, target.object)
        partition = ring.partition(digest)
        primaries = ring.primaries(partition)
        handoffs = islice(ring.handoffs(partition), None if everybody else len(primaries))
        headers = {
            "x-backend-open-expired": "true",
            "x-backend-storage-policy-index": str(policy or 0),
        }
        async with asyncio.TaskGroup() as group:
            tasks = []
            for device in (*primaries, *handoffs):
                path = f"/{device.device}/{partition}{target.path}"
                request = Request(method="HEAD", path=path, headers=headers)
                copy = self._copy(kind, device, request, primary=device in primaries)
                tasks.append(group.create_task(copy))
        hexed = digest.hex()
        return Explanation(
            kind=kind,
            path=target.path,
            partition=partition,
            digest=hexed,
            folder=f"{folder}/{partition}/{hexed[-3:]}/{hexed}" if kind == "object" else folder,
            policy=policy,
            copies=[task.result() for task in tasks],
        )

    def _ring(self, target: Target, policy: int | None) -> tuple[Kind, Ring, str]:
        """The kind, its ring, and what it is in on a device."""
        rings = self._node.rings
        if target.container is None:
            return "account", rings.account.current(), "accounts.mdb"
        if policy is None:
            return "container", rings.container.current(), "containers.mdb"
        known = self._node.policies.by_index(policy)
        if known is None or policy not in rings.objects:
            raise Unusable(f"there is no policy {policy}")
        return "object", rings.objects[policy].current(), known.datadir

    async def _policy(self, target: Target) -> int:
        container = await self.explain(Target(target.account, target.container))
        newest = container.newest
        if newest is None or "policy" not in newest.values:
            raise Unusable(
                f"nobody knows of the container {container.path}: give the policy with -P, to look "
                "for objects all the same"
            )
        return int(newest.values["policy"])

    async def _copy(self, kind: Kind, device: Device, request: Request, *, primary: bool) -> Copy:
        about = partial(Copy, device=device, primary=primary)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                await self._transport.send(kind, device, request) as response,
            ):
                said = await read_all(response.body, size_max=ERROR_BYTES_MAX)
        except TimeoutError:
            return about(status=0, error=f"in {self._timeout_s:g} s")
        except (OSError, TooLong) as error:
            return about(status=0, error=str(error))
        headers = dict(response.headers)
        if response.ok and response.length is not None:
            headers["content-length"] = str(response.length)
        if response.ok or response.status == 404:
            return about(status=response.status, values=values_of(kind, headers))
        return about(status=response.status, error=said.decode("utf-8", "replace").strip())
