"""`swiftish dispersion`: put markers all over the rings, and look how many of their copies are
where they should be (reference 3, swift-dispersion-populate and -report)."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeVar

from swiftish.cli.dispersion_markers import (
    ACCOUNT,
    Findings,
    Record,
    container_marker,
    markers,
    object_marker,
)
from swiftish.cli.node import Node, Unusable
from swiftish.cli.running import add_node_arguments, node_of
from swiftish.cli.wiring import asking, hash_path_of
from swiftish.cluster.transport import Kind, Transport
from swiftish.cluster.wire import update_headers
from swiftish.domain.names import Target
from swiftish.domain.policy import quorum_size
from swiftish.http.message import Bytes, Request
from swiftish.ring.device import Device
from swiftish.ring.ring import Ring
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.logs import configure
from swiftish.runtime.settings import BadSettings

T = TypeVar("T")

HELP = "put markers all over the rings, and look whether their copies are where they should be"
CANT_ASK = 2
AT_ONCE = 25
TIMEOUT_S = 10.0
_META = "x-account-meta-dispersion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, about in (
        ("populate", "store the markers that are missing everywhere"),
        ("report", "look for all copies of the markers"),
    ):
        action = actions.add_parser(name, help=about, description=about)
        add_node_arguments(action)
        action.set_defaults(action=name)
        action.add_argument(
            "--percent",
            type=_percentage,
            metavar="P",
            help="of the partitions (populate: 1; report: all that there are markers in)",
        )
        only = action.add_mutually_exclusive_group()
        only.add_argument("--container-only", action="store_true", help="leave out objects")
        only.add_argument("--object-only", action="store_true", help="leave out containers")
        action.add_argument(
            "-P", "--policy", action="append", metavar="POLICY", help="only objects of this policy"
        )
        action.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when all copies are found (or stored), 1 when not, 2 when nobody can be asked."""
    configure("error")
    try:
        return asyncio.run(_run(node_of(arguments), arguments))
    except (Unusable, BadSettings) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return CANT_ASK


async def _run(node: Node, arguments: argparse.Namespace) -> int:
    async with asking(node) as transport:
        dispersion = Dispersion(node, transport)
        rings = dispersion.rings(
            containers=not arguments.object_only,
            objects=not arguments.container_only,
            policies=arguments.policy,
        )
        share = None if arguments.percent is None else arguments.percent / 100
        if arguments.action == "populate":
            stored, failed = await dispersion.populate(rings, 0.01 if share is None else share)
            if arguments.json:
                print(json.dumps({"stored": stored, "failed": failed}))
            else:
                print(f"{stored:,} markers stored, {failed:,} could not be stored")
            return 1 if failed else 0
        found = await dispersion.report(rings, share)
    if arguments.json:
        print(json.dumps([each.document() for each in found], indent=2))
    else:
        print("\n\n".join(each.text() for each in found))
    return 0 if all(each.is_well for each in found) else 1


class MarkedRing:
    """A ring and the names of its markers; `key` is what its record is called."""

    def __init__(
        self,
        kind: Kind,
        ring: Ring,
        name_of: Callable[[int], Target],
        *,
        policy: int | None = None,
        label: str,
    ) -> None:
        self.kind: Kind = kind
        self.ring = ring
        self.name_of = name_of
        self.policy = policy
        self.label = label
        self.key = f"{_META}-{kind}s" if policy is None else f"{_META}-{kind}s-{policy}"


class Dispersion:
    """Stores markers and looks for them, straight on the devices."""

    def __init__(self, node: Node, transport: Transport) -> None:
        self._node = node
        self._transport = transport
        self._clock = SystemClock()
        self._hash_path = hash_path_of(node)
        self._slots = asyncio.Semaphore(AT_ONCE)

    def rings(
        self, *, containers: bool, objects: bool, policies: Sequence[str] | None
    ) -> list[MarkedRing]:
        """Those that are asked for.  Raises Unusable for a policy that there is not."""
        rings, known = self._node.rings, self._node.policies
        found = []
        if containers:
            ring = rings.container.current()
            found.append(MarkedRing("container", ring, container_marker, label="containers"))
        wanted = set()
        for text in policies or ():
            policy = known.by_index(int(text)) if text.isdecimal() else known.by_name(text)
            if policy is None:
                raise Unusable(f"there is no policy {text!r}")
            wanted.add(policy.index)
        for index in sorted(wanted or rings.objects) if objects else ():
            policy = known.by_index(index)
            assert policy is not None
            found.append(
                MarkedRing(
                    "object",
                    rings.objects[index].current(),
                    object_marker(index),
                    policy=index,
                    label=f"objects of policy {policy.name}",
                )
            )
        return found

    async def populate(self, rings: Sequence[MarkedRing], share: float) -> tuple[int, int]:
        """Store markers in that share of the partitions; how many were stored now, and how many a
        majority of their devices did not take.  What any device has already is left alone."""
        records = {marked.key: Record.of(marked.ring.power, share) for marked in rings}
        account = Target(ACCOUNT)
        headers = {key: str(record) for key, record in records.items()}
        if not await self._put("account", self._node.rings.account.current(), account, headers):
            raise Unusable(f"the account {ACCOUNT} could not be made")
        stored = failed = 0
        for marked in rings:
            if marked.kind == "object":
                container = marked.name_of(0)
                above = Target(ACCOUNT, container.container)
                policy = {"x-backend-storage-policy-index": str(marked.policy)}
                await self._put("container", self._node.rings.container.current(), above, policy)
            names = markers(records[marked.key], self._digest, marked.name_of)
            results = await self._all(names, partial(self._store, marked))
            stored += sum(result is True for result in results)
            failed += sum(result is False for result in results)
        return stored, failed

    async def report(self, rings: Sequence[MarkedRing], share: float | None) -> list[Findings]:
        """What is found of the markers, or of as many of them as `share` of the partitions.

        Raises Unusable when there are none.
        """
        known = await self._records(rings)
        found = []
        for marked in rings:
            record = known.get(marked.key)
            if record is None:
                raise Unusable(
                    f"there are no markers for {marked.label}: run `swiftish dispersion populate`"
                )
            if share is not None:
                wanted = Record.of(record.power, share).count
                record = Record(power=record.power, count=min(record.count, wanted))
            findings = Findings(ring=marked.label)
            names = markers(record, self._digest, marked.name_of)
            for copies in await self._all(names, partial(self._copies, marked)):
                findings.add(copies)
            found.append(findings)
        return found

    async def _records(self, rings: Sequence[MarkedRing]) -> dict[str, Record]:
        """What populate has left in the account's metadata, on any of its devices."""
        ring = self._node.rings.account.current()
        found: dict[str, Record] = {}
        heard = False
        for device in ring.primaries(ring.partition(self._digest(Target(ACCOUNT)))):
            status, headers = await self._send("account", device, ring, Target(ACCOUNT), "HEAD", {})
            heard = heard or status in (204, 404)
            for marked in rings:
                try:
                    record = Record.parse(headers.get(marked.key, ""))
                except ValueError:
                    continue
                found[marked.key] = max(
                    record, found.get(marked.key, record), key=lambda each: each.count
                )
        if not heard:
            raise Unusable(f"no device of the account {ACCOUNT} answers")
        return found

    async def _store(self, marked: MarkedRing, target: Target) -> bool | None:
        """None when it is there already."""
        if any(why == "" for why in (await self._copies(marked, target)).values()):
            return None
        return await self._put(marked.kind, marked.ring, target, _policy_headers(marked))

    async def _copies(self, marked: MarkedRing, target: Target) -> dict[str, str]:
        """For each primary, "" when it has the marker, or why not."""
        found = {}
        for device in marked.ring.primaries(marked.ring.partition(self._digest(target))):
            status, _ = await self._send(
                marked.kind, device, marked.ring, target, "HEAD", _policy_headers(marked)
            )
            found[str(device)] = "" if 200 <= status < 300 else _why(status)
        return found

    async def _put(self, kind: Kind, ring: Ring, target: Target, extra: dict[str, str]) -> bool:
        """Store something on its primaries; whether most of them took it."""
        primaries = ring.primaries(ring.partition(self._digest(target)))
        headers = {"x-timestamp": self._clock.timestamp().internal, **extra}
        if kind == "object":
            headers["content-type"] = "text/plain"
        told = self._told(kind, target, len(primaries))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._send(kind, device, ring, target, "PUT", {**headers, **whom})
                )
                for device, whom in zip(primaries, told, strict=True)
            ]
        good = sum(task.result()[0] < 300 for task in tasks)
        return good >= quorum_size(len(primaries))

    def _told(self, kind: Kind, target: Target, requests: int) -> list[dict[str, str]]:
        """The headers by which each device learns which containers or accounts to tell."""
        rings = self._node.rings
        if kind == "account":
            return [{} for _ in range(requests)]
        above: Literal["account", "container"] = "account" if kind == "container" else "container"
        ring = (rings.account if above == "account" else rings.container).current()
        name = Target(ACCOUNT, None if above == "account" else target.container)
        partition = ring.partition(self._digest(name))
        nodes = ring.primaries(partition)
        return update_headers(above, partition, nodes, requests=requests, updates=len(nodes))

    async def _send(
        self,
        kind: Kind,
        device: Device,
        ring: Ring,
        target: Target,
        method: str,
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str]]:
        """The status and headers of an answer; 503 when there is none."""
        partition = ring.partition(self._digest(target))
        body = Bytes(b"A marker of swiftish dispersion.\n") if kind == "object" else Bytes()
        request = Request(
            method=method,
            path=f"/{device.device}/{partition}{target.path}",
            headers=headers,
            body=body if method == "PUT" else Bytes(),
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with await self._transport.send(kind, device, request) as response:
                    return response.status, dict(response.headers)
        except OSError:  # TimeoutError is one
            return 503, {}

    async def _all(
        self, names: Iterable[Target], work: Callable[[Target], Awaitable[T]]
    ) -> list[T]:
        """`work` for each name, some at a time; what came of them."""

        async def one(target: Target) -> T:
            async with self._slots:
                return await work(target)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(target)) for target in names]
        return [task.result() for task in tasks]

    def _digest(self, target: Target) -> bytes:
        return self._hash_path(target.account, target.container, target.object)


def _percentage(text: str) -> float:
    if not 0 < float(text) <= 100:
        raise ValueError(text)
    return float(text)


def _policy_headers(marked: MarkedRing) -> dict[str, str]:
    if marked.policy is None:
        return {}
    return {"x-backend-storage-policy-index": str(marked.policy)}


def _why(status: int) -> str:
    return {404: "not there", 503: "no answer", 507: "out of service"}.get(status, str(status))
