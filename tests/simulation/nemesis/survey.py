"""A look at the tables of all nodes in one moment, past all services."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from swiftish.db.pool import Pool
from swiftish.object.filenames import parse
from swiftish.object.index import PENDING, unpack_update
from swiftish.runtime.environment import Reader
from tests.fakes.cluster_state import Database, look_at_databases
from tests.simulation.nemesis.cluster import NemesisCluster, NemesisNode
from tests.simulation.nemesis.model import Model

DbKind = Literal["account", "container"]
KINDS: tuple[DbKind, ...] = ("account", "container")


def is_needed(cluster: NemesisCluster, model: Model, name: str) -> bool:
    """Whether a node's tables hold anything that nobody else knows now, or can tell: a row or a
    database of which others have an older state or none; a pending update of a change that was not
    acknowledged (of one that was, others have told, or can)."""
    node = cluster.nodes[name]
    if node.dead or node.disk.hanging or not _pending(node) <= model.acknowledged():
        return True
    others = [n for n in cluster.nodes.values() if n is not node and not n.dead]
    for kind in KINDS:
        known: dict[str, list[Database]] = {}
        for other in others:
            for database in _databases(other, kind):
                known.setdefault(database.path, []).append(database)
        if any(not _is_known(mine, known.get(mine.path, [])) for mine in _databases(node, kind)):
            return True
    return False


def is_spared(cluster: NemesisCluster, model: Model, name: str, files: Iterable[Path]) -> bool:
    """Whether these files of a node may be harmed: each is of a change that was acknowledged, so
    that others must have it, or others do have it.

    What nobody was told of may be lost; but its container may have heard of it.
    """
    acknowledged = model.acknowledged()
    others = [other for other in cluster.nodes if other != name]
    top = cluster.root / name
    for path in files:
        moment = parse(path.name)
        if moment is not None and moment.timestamp.raw in acknowledged:
            continue
        inside = Path(*path.relative_to(top).parts[2:])
        policy = path.relative_to(top).parts[0]
        if not any(list((cluster.root / n / policy).glob(f"*/{inside}")) for n in others):
            return False
    return True


def _is_known(mine: Database, others: list[Database]) -> bool:
    head = mine.head
    for moment in ("created", "put", "delete"):
        if all(getattr(other.head, moment) < getattr(head, moment) for other in others):
            return False
    for key, value in head.metadata.items():
        if not any(_is_newer(other.head.metadata.get(key), value) for other in others):
            return False
    return all(
        any(_is_newer(other.rows.get(key), row) for other in others)
        for key, row in mine.rows.items()
    )


def _is_newer(theirs: Any, mine: Any) -> bool:  # noqa: ANN401  (rows of any kind, metadata)
    """Or the same."""
    if theirs is None:
        return False
    if theirs == mine:
        return True
    moments = [getattr(each, "timestamp", None) for each in (theirs, mine)]
    return None not in moments and moments[0] > moments[1]  # type: ignore[operator]


def _databases(node: NemesisNode, kind: DbKind) -> list[Database]:
    pool: Pool = node.account._pool if kind == "account" else node.container._pool
    if not pool.exists(node.device):
        return []
    look = look_at_databases(node.name, kind)
    return pool._environments.read_blocking(node.device, look)


def _pending(node: NemesisNode) -> set[int]:
    """The timestamps of the updates that are pending."""
    environments = node.object._indexes.environments

    def work(reader: Reader) -> set[int]:
        return {unpack_update(value).timestamp.raw for _, value in reader.scan(PENDING)}

    if not environments.exists(node.device):
        return set()
    return environments.read_blocking(node.device, work)
