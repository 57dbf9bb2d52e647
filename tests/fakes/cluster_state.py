"""What the devices of a whole cluster hold, and what must be true of it when all has settled.

It is read past all services, from the files and the tables, so that what a service hides is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swiftish.account.schema import SCHEMA as ACCOUNTS
from swiftish.container.schema import SCHEMA as CONTAINERS
from swiftish.db import heads, row_table
from swiftish.db.heads import Head, Totals
from swiftish.db.pool import Pool
from swiftish.domain.expiry import QUEUE_ACCOUNT as EXPIRING
from swiftish.domain.rows import ContainerRow, ObjectRow
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.object.current import merge
from swiftish.object.disk import Disk
from swiftish.object.hashdir import judge
from swiftish.object.paths import Location
from swiftish.object.reader import read_metadata
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.environment import Reader

if TYPE_CHECKING:
    from tests.fakes.whole_cluster import StorageNode, WholeCluster


@dataclass(frozen=True, slots=True)
class Copy:
    """What one node holds of one object: `timestamp` of its data, or of its tombstone."""

    node: str
    policy: int
    partition: int
    path: str
    timestamp: Timestamp
    alive: bool
    files: tuple[str, ...]
    etag: str = ""
    size: int = 0
    delete_at: int | None = None

    @property
    def is_queue(self) -> bool:
        return self.path.startswith("/.")


@dataclass(frozen=True, slots=True)
class Database:
    """One replica of an account or a container; its rows by policy and name, dead or alive."""

    node: str
    head: Head
    totals: Totals
    rows: dict[tuple[int, str], Any]

    @property
    def path(self) -> str:
        head = self.head
        return f"/{head.account}/{head.container}" if head.container else f"/{head.account}"

    @property
    def live(self) -> dict[tuple[int, str], Any]:
        return {key: row for key, row in self.rows.items() if not row.deleted}

    @property
    def facts(self) -> tuple[object, ...]:
        """All that replicas have in common when they have settled."""
        head = self.head
        moments = head.created, head.put, head.delete, head.marked_deleted, head.policy_index
        return moments, sorted(head.metadata.items()), sorted(self.live.items())


# ---- objects -----------------------------------------------------------------------------------


def copies(cluster: WholeCluster) -> list[Copy]:
    """Everything that any node holds of any object."""
    return [copy for node in cluster.nodes.values() for copy in copies_on(cluster, node)]


def copies_on(cluster: WholeCluster, node: StorageNode) -> Iterator[Copy]:
    """What one node holds."""
    disk = Disk(node.device, settings=ObjectSettings())
    for policy in cluster.policies:
        top = node.device.path / policy.datadir
        for folder in sorted(top.glob("*/*/*")):
            partition, _, digest = folder.parts[-3:]
            where = Location(
                datadir=policy.datadir, partition=int(partition), digest=digest, name=""
            )
            state = judge(path.name for path in folder.iterdir())
            winner = state.data or state.tombstone
            if winner is None:
                continue
            names = tuple(sorted(path.name for path in folder.iterdir()))
            data = read_metadata(disk, where, winner)
            copy = Copy(
                node.name,
                policy.index,
                int(partition),
                data.name,
                winner.timestamp,
                state.data is not None,
                names,
            )
            if state.data is None:
                yield copy
                continue
            meta = read_metadata(disk, where, state.meta) if state.meta else None
            yield Copy(
                *(copy.node, copy.policy, copy.partition, copy.path, copy.timestamp, True, names),
                etag=data.etag or "",
                size=data.content_length or 0,
                delete_at=merge(data, meta).delete_at,
            )


def holders(cluster: WholeCluster, path: str, *, policy: int = 0) -> list[str]:
    """The nodes that hold an object, alive."""
    found = copies(cluster)
    return [c.node for c in found if c.path == path and c.policy == policy and c.alive]


# ---- accounts and containers -------------------------------------------------------------------


async def databases(
    cluster: WholeCluster, kind: Literal["account", "container"]
) -> dict[str, list[Database]]:
    """All replicas of all accounts or containers, by path."""
    found: defaultdict[str, list[Database]] = defaultdict(list)
    for node in cluster.nodes.values():
        for database in await databases_on(node, kind):
            found[database.path].append(database)
    return dict(found)


async def databases_on(node: StorageNode, kind: Literal["account", "container"]) -> list[Database]:
    """What one node holds."""
    pool: Pool = node.account._pool if kind == "account" else node.container._pool
    look = look_at_databases(node.name, kind)
    return await pool.read(node.device, look) if pool.exists(node.device) else []


def look_at_databases(
    node: str, kind: Literal["account", "container"]
) -> Callable[[Reader], list[Database]]:
    """Work for whoever reads the environment of a node's accounts or containers."""
    schema: Any = ACCOUNTS if kind == "account" else CONTAINERS

    def work(reader: Reader) -> list[Database]:
        found = []
        for digest, database_id in heads.after(reader, b"", limit=10**6):
            head = heads.find(reader, digest)
            assert head is not None
            rows = {
                (policy, name.decode("utf-8", "surrogateescape")): _undated(
                    schema.decode(stored)[0]
                )
                for _, policy, name, stored in row_table.changes_since(reader, database_id, 0)
            }
            totals = heads.find_totals(reader, database_id)
            found.append(Database(node, head, totals, rows))
        return found

    return work


def _undated(row: Any) -> Any:  # noqa: ANN401  (a row of either kind)
    """Without the moment of a report: it is made again and again while an account is away."""
    return row._replace(reported=ZERO) if isinstance(row, ContainerRow) else row


async def queue(cluster: WholeCluster, account: str = EXPIRING) -> dict[str, dict[str, ObjectRow]]:
    """The live rows of a queue by their names, and for each of them what each replica has."""
    found: defaultdict[str, dict[str, ObjectRow]] = defaultdict(dict)
    for path, replicas in (await databases(cluster, "container")).items():
        if path.startswith(f"/{account}/"):
            for replica in replicas:
                for (_, name), row in replica.live.items():
                    found[name][replica.node] = row
    return dict(found)


async def contents(cluster: WholeCluster) -> object:
    """All that matters of what is stored and still to be told: the same when nothing changes."""
    rows = []
    for kind in ("account", "container"):
        for path, replicas in sorted((await databases(cluster, kind)).items()):
            rows += [(path, d.node, d.facts, sorted(d.rows.items())) for d in replicas]
    return copies(cluster), rows, await backlog(cluster)


async def backlog(cluster: WholeCluster) -> dict[str, int]:
    """What somebody has not been told yet: updates that are pending, containers unreported."""
    found = {"pending_updates": 0, "unreported": 0}
    for node in cluster.nodes.values():
        for gauges in (
            await node.object.gauges(node.device),
            await node.container.gauges(node.device),
        ):
            for name in found.keys() & gauges.keys():
                found[name] += int(gauges[name])
    return found


# ---- what must be true -------------------------------------------------------------------------


async def check(cluster: WholeCluster) -> None:
    """Everything below, of a cluster that has settled."""
    check_copies(cluster)
    await check_replicas(cluster)
    await check_listings(cluster)
    await check_totals(cluster)


def check_copies(cluster: WholeCluster) -> None:
    """Every object is on its primaries and nowhere else, the same everywhere."""
    by_name: defaultdict[tuple[int, str], list[Copy]] = defaultdict(list)
    for copy in copies(cluster):
        by_name[copy.policy, copy.path].append(copy)
    for (policy, path), found in by_name.items():
        primaries = cluster.primaries(path, policy=policy)
        what = f"{path} in policy {policy}: {found}"
        assert sorted(copy.node for copy in found) == sorted(primaries), what
        assert len({(copy.timestamp, copy.files) for copy in found}) == 1, what


async def check_replicas(cluster: WholeCluster) -> None:
    """Every account and container is on its primaries and nowhere else, the same everywhere."""
    for kind in ("account", "container"):
        for path, found in (await databases(cluster, kind)).items():
            what = f"{path}: {found}"
            assert sorted(d.node for d in found) == sorted(cluster.primaries(path)), what
            assert all(database.facts == found[0].facts for database in found), what


async def check_listings(cluster: WholeCluster) -> None:
    """I4: the listings are the objects, in the policy that their container has."""
    alive: defaultdict[str, dict[tuple[int, str], Copy]] = defaultdict(dict)
    for copy in copies(cluster):
        if copy.alive:
            _, account, container, name = copy.path.split("/", 3)
            alive[f"/{account}/{container}"][copy.policy, name] = copy
    for path, found in (await databases(cluster, "container")).items():
        if path.startswith("/."):
            continue
        there = alive.pop(path, {})
        for database in found:
            policies = {policy for policy, _ in database.live}
            assert policies <= {database.head.policy_index}, f"{path}: rows of {policies}"
            assert database.live.keys() == there.keys(), f"{path}: {database.live} but {there}"
            for key, row in database.live.items():
                what = f"{path}: {row} but {there[key]}"
                assert (row.size, row.etag) == (there[key].size, there[key].etag), what
    assert not alive, f"objects without a container: {alive}"


async def check_totals(cluster: WholeCluster) -> None:
    """T62: counters are the sums of the rows; accounts know what containers hold."""
    containers = await databases(cluster, "container")
    for path, found in (await databases(cluster, "account")).items():
        for database in found:
            rows: list[ContainerRow] = list(database.live.values())
            sums = [len(rows), sum(r.objects for r in rows), sum(r.bytes for r in rows)]
            kept = [database.totals.sum(place) for place in range(3)]
            assert kept == sums, f"{database.node} {path}: {kept}, and the rows have {sums}"
            for (_, name), row in database.live.items():
                for replica in containers[f"{path}/{name}"]:
                    own = [r for (p, _), r in replica.live.items() if p == row.policy_index]
                    told = (row.objects, row.bytes)
                    what = f"{path}/{name}: {database.node} knows {row} of {replica.node}: {own}"
                    assert told == (len(own), sum(r.size for r in own)), what
