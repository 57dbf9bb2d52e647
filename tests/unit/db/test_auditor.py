"""The auditors of accounts and containers: what they find, repair and let go, and what never."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest

from swiftish.account.auditor import AccountAuditor
from swiftish.container.auditor import ContainerAuditor
from swiftish.db import auditor as module
from swiftish.db import heads, row_table
from swiftish.db.auditor import DatabaseAuditor
from swiftish.db.heads import HEADS
from swiftish.db.name_index import space_of
from swiftish.db.settings import AuditorSettings
from swiftish.domain.hashing import HashPath
from swiftish.runtime.environment import Reader, Writer
from swiftish.runtime.quarantine import counts, entries
from swiftish.runtime.worker import run_once
from tests.fakes.db_cluster import HASH_PATH, Cluster, Node, play

FAST = AuditorSettings(databases_per_second=0, rows_per_second=0)
NAMES = [b"%05d" % number for number in range(1500)]


def auditor_of(node: Node, **options: Any) -> ContainerAuditor:  # noqa: ANN401
    """The node's own, but in a hurry."""
    theirs = node.worker(ContainerAuditor)
    wanted = {
        "devices": node.devices,
        "pool": node.container._pool,
        "hash_path": HASH_PATH,
        "clock": theirs._clock,
        "settings": FAST,
        "peers_have": theirs._peers_have,
    }
    return ContainerAuditor(**{**wanted, **options})


async def audit(node: Node) -> dict[str, int]:
    """The counters after a pass, without those that are zero."""
    found = auditor_of(node)
    await run_once(found)
    return {name: count for name, count in found.report.counters.items() if count}


async def write(node: Node, work: Callable[[Writer, int], object], container: str = "c") -> None:
    """Change a container's tables behind everybody's back."""
    digest = HASH_PATH("a", container)

    def transaction(writer: Writer) -> None:
        database_id = heads.find_id(writer, digest)
        assert database_id is not None
        work(writer, database_id)

    await node.container._pool.commit(node.local, transaction)


async def read(node: Node, work: Callable[[Reader], Any]) -> Any:  # noqa: ANN401
    return await node.container._pool.read(node.local, work)


def keys_of(reader: Reader, table: str) -> list[bytes]:
    return [key for key, _ in reader.scan(table)]


async def filled(cluster: Cluster) -> list[Node]:
    """A container with many rows, on its three primaries, and a few others."""
    await cluster.make("a")
    for name in ("c", "other", "empty"):
        await cluster.make(f"a/{name}")
    nodes = cluster.primaries("a", "c")
    for node in nodes:
        await node.fill("a", "c", NAMES)
        assert await node.put_row("a/c/gone", "30") == 201
        assert (await node.ask("container", "DELETE", "a/c/gone", x_timestamp="31")).status == 204
    await cluster.heal()
    return nodes


Damage = Callable[[Writer, int], object]


def key_of(writer: Writer, database_id: int, name: bytes) -> bytes:
    return space_of(database_id, 0) + name


def rotten_row(writer: Writer, database_id: int) -> None:
    writer.put("rows", key_of(writer, database_id, b"00007"), b"\x07rotten")


def rotten_tombstone(writer: Writer, database_id: int) -> None:
    writer.put("tombstones", key_of(writer, database_id, b"gone"), b"")


def rotten_head(writer: Writer, database_id: int) -> None:
    writer.put(HEADS, HASH_PATH("a", "c"), database_id.to_bytes(8, "big") + b"\x93rotten")


def anothers_head(writer: Writer, database_id: int) -> None:
    head = heads.find(writer, HASH_PATH("a", "c"))
    assert head is not None
    head.container = "d"
    heads.replace(writer, HASH_PATH("a", "c"), head)
    assert head.id == database_id


REPLACED = [rotten_row, rotten_tombstone, rotten_head, anothers_head]


def test_sound_databases_are_left_alone(tmp_path: Path) -> None:
    """Nothing is found, nothing written."""

    async def script(cluster: Cluster) -> None:
        node, *_ = await filled(cluster)
        before = await node.kept("container")
        number = await read(node, lambda reader: reader.number)
        databases = len(before)
        rows = sum(len(each.rows) for each in before.values())
        assert await audit(node) == {"databases": databases, "rows": rows}
        assert await read(node, lambda reader: reader.number) == number
        assert await node.kept("container") == before

    play(tmp_path, script)


def test_t62_totals_that_have_drifted(tmp_path: Path) -> None:
    """Are recounted, and the accounts hear of it."""

    async def script(cluster: Cluster) -> None:
        node, *_ = await filled(cluster)
        before = await node.kept("container")

        def drift(writer: Writer, database_id: int) -> None:
            totals = heads.find_totals(writer, database_id)
            totals.add(0, (5, -100))
            heads.save_totals(writer, database_id, totals)

        await write(node, drift)
        dirty = await read(node, lambda reader: reader.count("dirty"))
        assert (await audit(node))["recounted"] == 1
        assert await node.kept("container") == before
        assert await read(node, lambda reader: reader.count("dirty")) == dirty + 1
        assert "recounted" not in await audit(node)

    play(tmp_path, script)


def test_t62_totals_of_an_account(tmp_path: Path) -> None:
    """As those of a container."""

    async def script(cluster: Cluster) -> None:
        await filled(cluster)
        node = cluster.primaries("a")[0]
        before = await node.kept("account")

        def drift(writer: Writer) -> None:
            ((_, database_id),) = heads.after(writer, b"", limit=9)
            totals = heads.find_totals(writer, database_id)
            totals.add(0, (1, 1, 1))
            heads.save_totals(writer, database_id, totals)

        await node.account._pool.commit(node.local, drift)
        found = node.worker(AccountAuditor)
        await run_once(found)
        assert found.report.counters["recounted"] == 1
        assert await node.kept("account") == before

    play(tmp_path, script)


def lost_entry(writer: Writer, database_id: int) -> None:
    """The log no longer knows a row."""
    stored = row_table.find(writer, space_of(database_id, 0), b"00007")
    assert stored is not None
    _, number = ContainerAuditor.schema.decode(stored)
    assert writer.delete("log", database_id.to_bytes(8, "big") + number.to_bytes(8, "big"))


def stray_entry(writer: Writer, database_id: int) -> None:
    """The log knows a row that there is not."""
    key = database_id.to_bytes(8, "big") + (2**40).to_bytes(8, "big")
    writer.put("log", key, b"\0\0no such row")


def other_number(writer: Writer, database_id: int) -> None:
    """A row says another number than the log."""
    stored = row_table.find(writer, space_of(database_id, 0), b"00007")
    assert stored is not None
    row, number = ContainerAuditor.schema.decode(stored)
    new = ContainerAuditor.schema.encode(row, number + 2**40)
    row_table.ROWS.put(writer, space_of(database_id, 0), b"00007", new.value)


@pytest.mark.parametrize(
    ("damage", "logged", "unlogged"),
    [(lost_entry, 1, 0), (stray_entry, 0, 1), (other_number, 1, 1)],
)
def test_a_log_that_does_not_agree_with_the_rows(
    tmp_path: Path, damage: Damage, logged: int, unlogged: int
) -> None:
    """Is repaired, and replicas go on agreeing."""

    async def script(cluster: Cluster) -> None:
        node, other, _ = await filled(cluster)
        await write(node, damage)
        found = await audit(node)
        assert (found.get("logged", 0), found.get("unlogged", 0)) == (logged, unlogged)
        assert "damaged" not in found
        found = await audit(node)
        assert "logged" not in found
        assert "unlogged" not in found
        await cluster.heal()
        assert (await node.kept("container"))["a/c"] == (await other.kept("container"))["a/c"]

    play(tmp_path, script)


@pytest.mark.parametrize("damage", REPLACED)
def test_t49_a_damaged_database_comes_back_from_its_replicas(
    tmp_path: Path, damage: Damage
) -> None:
    """It is copied to the quarantine and let go; the next replication brings it."""

    async def script(cluster: Cluster) -> None:
        node, other, _ = await filled(cluster)
        await write(node, damage)
        found = await audit(node)
        assert (found["damaged"], found["dropped"]) == (1, 1)
        (place,) = entries(node.folder)
        assert (place.kind, place.name) == ("containers", HASH_PATH("a", "c").hex())
        assert place.reason
        with (place.path / "database").open("rb") as file:
            first, *rows = msgpack.Unpacker(file, raw=False, strict_map_key=False)
        assert first[:4] == ["swiftish database", 1, "container", HASH_PATH("a", "c")]
        assert len(rows) == len(NAMES) + 1
        assert (await node.ask("container", "HEAD", "a/c")).status == 404
        await cluster.heal()
        assert (await node.kept("container"))["a/c"] == (await other.kept("container"))["a/c"]
        assert "damaged" not in await audit(node)
        for table in ("rows", "tombstones", "log"):
            keys = await read(node, partial(keys_of, table=table))
            ids = {key[:8] for key in keys}
            assert len(ids) <= len(await node.kept("container"))

    play(tmp_path, script)


@pytest.mark.parametrize("why", ["others are down", "others are behind", "there are no others"])
@pytest.mark.parametrize("damage", REPLACED)
def test_i5_the_only_copy_is_never_let_go(tmp_path: Path, damage: Damage, why: str) -> None:
    """Whatever is wrong with it: it stays, and is an error in each pass."""

    async def script(cluster: Cluster) -> None:
        node, *others = await filled(cluster)
        match why:
            case "others are down":
                for other in others:
                    other.is_down = True
            case "others are behind":
                assert await node.put_row("a/c/new", "40") == 201
            case _:
                cluster.use(cluster.ring_with(1))
        await write(node, damage)
        own = auditor_of(node)
        for count in (1, 2):
            await run_once(own)
            assert own.report.counters["unhealed"] == count
            assert own.report.counters["dropped"] == 0
            assert own.report.errors == count
        assert counts(node.folder) == {}
        assert len(await read(node, lambda reader: list(reader.scan("rows")))) >= len(NAMES)

    play(tmp_path, script)


def test_the_wrong_hash_prefix(tmp_path: Path) -> None:
    """Makes all names wrong, and is no reason to let anything go."""

    async def script(cluster: Cluster) -> None:
        node, *_ = await filled(cluster)
        for number in range(30):
            await cluster.make(f"a/{number}")
        await cluster.heal()
        before = await node.kept("container")
        wrong = auditor_of(node, hash_path=HashPath(prefix=b"not", suffix=b"ours"))
        await run_once(wrong)
        assert wrong.report.counters["dropped"] <= module.MISNAMED_MAX
        assert "hardly any name" in wrong.report.last_error
        await cluster.heal()
        assert await node.kept("container") == before

    play(tmp_path, script)


def test_rows_without_a_head(tmp_path: Path) -> None:
    """Are removed when they have been so for a day, and never when a head cannot be read."""

    async def script(cluster: Cluster) -> None:
        node, *_ = await filled(cluster)
        await cluster.heal()
        own = auditor_of(node)
        before = await node.kept("container")

        def behead(writer: Writer, database_id: int) -> None:
            writer.delete(HEADS, HASH_PATH("a", "c"))
            lost = database_id.to_bytes(8, "big")
            for key in [key for key, _ in writer.scan("log") if key.startswith(lost)][:200]:
                writer.delete("log", key)

        await write(node, behead)
        await run_once(own)
        cluster.clock.move(3600)
        await run_once(own)
        assert own.report.counters["leftovers"] == 0
        cluster.clock.move(25 * 3600)
        commit = node.container._pool.commit
        await commit(node.local, lambda writer: writer.put(HEADS, bytes(16), bytes(8)))
        await run_once(own)
        assert own.report.counters["leftovers"] == 0
        await commit(node.local, lambda writer: writer.delete(HEADS, bytes(16)))
        await run_once(own)
        assert own.report.counters["leftovers"] == 1
        for table in ("rows", "tombstones", "log"):
            assert await read(node, partial(Reader.count, name=table)) == 0
        del before["a/c"]
        assert await node.kept("container") == before

    play(tmp_path, script)


def test_t8_t49_a_rotten_environment(tmp_path: Path) -> None:
    """Its pages are looked at first: it is set aside as a whole, and replicas fill a new one."""

    async def script(cluster: Cluster) -> None:
        node, other, _ = await filled(cluster)
        path = node.folder / "containers.mdb"
        with path.open("r+b") as file:
            for page in range(8, os.fstat(file.fileno()).st_size // 4096):
                file.seek(page * 4096)
                file.write(bytes(4096))
        await audit(node)
        (place,) = entries(node.folder)
        assert (place.kind, place.name) == ("containers", "containers.mdb")
        await cluster.heal()
        assert (await node.kept("container"))["a/c"] == (await other.kept("container"))["a/c"]

    play(tmp_path, script)


def test_many_databases_and_a_device_that_fails(tmp_path: Path) -> None:
    """A pass comes to its end; a device that is out of service is left out."""

    async def script(cluster: Cluster) -> None:
        await cluster.make("a")
        for number in range(module.BATCH + 20):
            await cluster.make(f"a/{number}", on=[cluster.nodes["d0"]])
        node = cluster.nodes["d0"]
        assert (await audit(node))["databases"] == module.BATCH + 20
        node.local.suspend("it is not mounted")
        assert await audit(node) == {}

    play(tmp_path, script)


def test_an_auditor_is_among_the_workers(tmp_path: Path) -> None:
    """With Swift's names."""

    async def script(cluster: Cluster) -> None:
        node = cluster.nodes["d0"]
        for kind in (AccountAuditor, ContainerAuditor):
            worker = node.worker(kind)
            assert isinstance(worker, DatabaseAuditor)
            assert worker.interval_s == 1800
        assert node.worker(AccountAuditor).name == "account-auditor"
        assert node.worker(ContainerAuditor).name == "container-auditor"

    play(tmp_path, script)
