"""Object replication: whole object services on real files, and a network that fails."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from swiftish.http.message import Body, Request
from swiftish.object.replicator import ObjectReplicator, Safety, Scope
from swiftish.object.settings import ObjectSettings
from swiftish.runtime.files import Files
from swiftish.runtime.worker import run_once
from tests.fakes.object_cluster import (
    BreakingBody,
    ObjectCluster,
    in_cluster,
    with_replicas,
    without,
)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
MiB = 1024 * 1024
LARGE = os.urandom(MiB) * 3 + b"tail"


def same_everywhere(cluster: ObjectCluster, name: str = "o") -> bool:
    """All primaries have the same files, and nobody else has any."""
    homes = cluster.homes(name)
    first = cluster.files(homes[0], name)
    return (
        bool(first)
        and sorted(cluster.where(name)) == sorted(homes)
        and all(cluster.files(number, name) == first for number in homes)
    )


def test_t21_a_primary_that_was_down_gets_its_copy(device: Path) -> None:
    """What the handoff took in for it goes home: exactly three copies, all the same to the byte."""

    async def scenario(cluster: ObjectCluster) -> None:
        *up, down = cluster.homes()
        handoff = cluster.others()[0]
        headers = {"content_type": "image/jpeg", "x_object_meta_colour": "blue"}
        await cluster.put([*up, handoff], body=b"abc", at=1, **headers, content_encoding="gzip")
        for number in (*up, handoff):
            await cluster.ask(number, "POST", at=2, x_object_meta_colour="green")
        assert cluster.where() == sorted([*up, handoff])
        await cluster.replicate()
        assert same_everywhere(cluster)
        assert cluster.short(down) == ["+1.data", "+2.meta"]
        status, body = await cluster.ask(down, "GET")
        assert (status, body) == (200, b"abc")

    in_cluster(device, scenario)


def test_tombstones_and_large_objects_too(device: Path) -> None:
    """A deletion, several blocks, an empty object."""

    async def scenario(cluster: ObjectCluster) -> None:
        first = cluster.homes("large")[0]
        await cluster.put([first], "large", LARGE, at=1)
        await cluster.put([cluster.homes("empty")[1]], "empty", b"", at=1)
        await cluster.put(cluster.homes("gone"), "gone", b"x", at=1)
        await cluster.ask(cluster.homes("gone")[2], "DELETE", "gone", at=2)
        await cluster.replicate()
        for name in ("large", "empty", "gone"):
            assert same_everywhere(cluster, name), name
        assert (await cluster.ask(cluster.homes("large")[2], "GET", "large"))[1] == LARGE
        assert cluster.short(cluster.homes("gone")[0], "gone") == ["+2.ts"]

    in_cluster(device, scenario)


def test_t26_both_sides_of_a_split_write(device: Path) -> None:
    """The newest wins everywhere, and nothing is left of the loser."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        cluster.network.cut = {(one, two), (one, three), (two, one), (three, one)}
        await cluster.put([one], body=b"older", at=1)
        await cluster.put([two, three], body=b"newer", at=2)
        await cluster.replicate()
        assert (await cluster.ask(one, "GET"))[1] == b"older"
        cluster.network.cut.clear()
        await cluster.replicate()
        assert same_everywhere(cluster)
        assert cluster.short(one) == ["+2.data"]
        assert (await cluster.ask(one, "GET"))[1] == b"newer"

    in_cluster(device, scenario)


def test_t26_two_writes_of_one_moment(device: Path) -> None:
    """Files of one name that differ: all replicas end with the same one, whoever begins."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([one, two], body=b"aaa", at=1)
        await cluster.put([three], body=b"bbbb", at=1)
        await cluster.replicate(one, two, three)
        await cluster.replicate(three, two, one)
        assert same_everywhere(cluster)
        assert (await cluster.ask(one, "GET"))[1] == b"bbbb", "the larger counts"

    in_cluster(device, scenario)


def test_t35_a_transfer_that_is_cut(device: Path) -> None:
    """Nothing of it is visible, and the next pass begins again."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([one, two], body=LARGE, at=1)

        def kill(_source: int, target: int, request: Request) -> Request:
            if target == three and request.path.endswith("/file"):
                return request.replace(body=BreakingBody(request.body, after=2 * MiB))
            return request

        cluster.network.meddle = kill
        await cluster.replicate(one)
        assert cluster.where() == sorted([one, two])
        assert not list((cluster.nodes[three].path).rglob("*.data"))
        assert not list((cluster.nodes[three].path / "tmp").rglob("*"))
        cluster.network.meddle = None
        await cluster.replicate(one)
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_nothing_is_sent_twice(device: Path) -> None:
    """Replicas that are the same are asked for their digests, and that is all."""

    async def scenario(cluster: ObjectCluster) -> None:
        await cluster.put(cluster.homes(), body=b"x", at=1)
        await cluster.replicate()
        cluster.network.asked.clear()
        await cluster.replicate()
        assert {what for _, _, what in cluster.network.asked} == {"digests"}
        first = cluster.nodes[cluster.homes()[0]].replicator
        assert first.report.counters["digests_matched"] == 2
        assert first.report.counters["sent"] == 0

    in_cluster(device, scenario)


def test_a_handoff_keeps_what_a_primary_has_not_confirmed(device: Path) -> None:
    """While one primary is down the copy stays, and goes once all have it."""

    async def scenario(cluster: ObjectCluster) -> None:
        *up, down = cluster.homes()
        handoff = cluster.others()[0]
        await cluster.put([*up, handoff], body=b"x", at=1)
        cluster.network.down = {down}
        await cluster.replicate()
        assert cluster.files(handoff)
        cluster.network.down.clear()
        await cluster.replicate(handoff)
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_t30_peers_with_different_rings(device: Path) -> None:
    """No copy goes before each primary says, by its own ring, that it is one."""

    async def scenario(cluster: ObjectCluster) -> None:
        old = cluster.ring
        leaving = cluster.homes()[0]
        await cluster.put(cluster.homes(), body=b"x", at=1)
        new = without(old, leaving)
        coming = next(
            device.id
            for device in new.primaries(cluster.partition())
            if device.id not in cluster.homes()
        )
        cluster.use(new, on=[leaving])
        await cluster.replicate(leaving)
        assert cluster.files(coming), "it got a copy"
        assert cluster.files(leaving), "but does not know that it is a primary"
        cluster.use(new)
        await cluster.replicate(leaving)
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_t38_three_replicas_then_two_then_three(device: Path) -> None:
    """Nothing is lost, and there are as many copies as there should be each time."""

    async def scenario(cluster: ObjectCluster) -> None:
        three = cluster.ring
        names = [f"o{n}" for n in range(20)]
        for name in names:
            await cluster.put(cluster.homes(name), name, name.encode(), at=1)
        cluster.use(with_replicas(three, 2))
        await cluster.replicate()
        assert all(same_everywhere(cluster, name) for name in names)
        assert all(len(cluster.where(name)) == 2 for name in names)
        cluster.use(three)
        await cluster.replicate()
        assert all(same_everywhere(cluster, name) for name in names)
        assert all(len(cluster.where(name)) == 3 for name in names)

    in_cluster(device, scenario)


def test_a_node_with_an_empty_disk_is_filled_again(device: Path) -> None:
    """Everything that belongs there comes from the others."""

    async def scenario(cluster: ObjectCluster) -> None:
        names = [f"o{n}" for n in range(40)]
        for name in names:
            await cluster.put(cluster.homes(name), name, name.encode(), at=1)
        lost = cluster.homes("o0")[0]
        await cluster.nodes[lost].aclose()
        shutil.rmtree(cluster.nodes[lost].path)
        await cluster.restart(lost)
        await cluster.replicate()
        assert all(same_everywhere(cluster, name) for name in names)

    in_cluster(device, scenario)


def test_a_disk_that_is_gone_has_a_stand_in(device: Path) -> None:
    """The next handoff keeps a copy while a primary's node says 507, and gives it back later."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, gone = cluster.homes()
        handoff = cluster.others()[0]
        await cluster.put([one, two, gone], body=b"x", at=1)
        cluster.nodes[gone].device.suspend("pulled out")
        await cluster.replicate()
        assert cluster.where() == sorted([one, two, gone, handoff])
        safety = cluster.nodes[one].replicator.safety
        assert safety == Safety(objects_below=0, partitions_unheard=0)
        cluster.nodes[gone].device.resume()
        shutil.rmtree(cluster.folder(gone))
        await cluster.replicate()
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_is_my_data_safe(device: Path) -> None:
    """Objects that lack a replica are counted as long as they do; who does not answer, apart."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([one, two], body=b"x", at=1)
        worker = cluster.nodes[one].replicator
        assert worker.safety is None
        cluster.nodes[three].device.suspend("pulled out")
        await cluster.replicate(one)
        assert worker.safety == Safety(objects_below=1, partitions_unheard=0), "no handoff left"
        cluster.nodes[three].device.resume()
        cluster.network.down = {three}
        await cluster.replicate(one)
        assert worker.safety == Safety(objects_below=0, partitions_unheard=1)
        cluster.network.down.clear()
        await cluster.replicate(one)
        assert worker.safety == Safety(objects_below=0, partitions_unheard=0)

    in_cluster(device, scenario, nodes=3)


def test_a_corrupt_source_is_not_sent(device: Path) -> None:
    """It goes to the quarantine, and comes back from a replica that is sound."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        for name, body in (("o", b"small"), ("large", LARGE)):
            await cluster.put([one, two], body=body, at=1)
            (path,) = cluster.folder(one).iterdir()
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            await cluster.replicate(one)
            assert not cluster.files(three), name
            assert not cluster.files(one), "in quarantine"
            await cluster.replicate(two)
            assert same_everywhere(cluster)
            await cluster.ask(one, "DELETE", at=2)
            await cluster.replicate()
            for number in (one, two, three):
                shutil.rmtree(cluster.folder(number))
                shutil.rmtree(cluster.nodes[number].path / "quarantined", ignore_errors=True)

    in_cluster(device, scenario)


def test_damaged_metadata_are_not_sent(device: Path) -> None:
    """Of an object, of its later metadata, of a tombstone; nor is what lies in another's folder."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([one, two], body=b"x", at=1)
        for kind in ("data", "meta", "ts"):
            if kind == "meta":
                await cluster.ask(one, "POST", at=2, x_object_meta_a="b")
            if kind == "ts":
                await cluster.ask(one, "DELETE", at=3)
            (path,) = cluster.folder(one).glob(f"*.{kind}")
            value = bytearray(os.getxattr(path, "user.swiftish"))
            value[-1] ^= 1
            os.setxattr(path, "user.swiftish", value)
            await cluster.replicate(one)
            assert not list(cluster.folder(three).glob(f"*.{kind}")), kind
            await cluster.replicate(two)

    in_cluster(device, scenario)


def test_a_handoff_is_kept_when_a_primary_has_a_bad_copy(device: Path) -> None:
    """Who is to keep it makes sure that it holds it: a file that was cut off is no copy."""

    async def scenario(cluster: ObjectCluster) -> None:
        *_, bad = cluster.homes()
        handoff = cluster.others()[0]
        await cluster.put([*cluster.homes(), handoff], body=b"whole", at=1)
        (path,) = cluster.folder(bad).iterdir()
        os.truncate(path, 2)
        await cluster.replicate(handoff)
        assert same_everywhere(cluster), "it was sent again before the handoff gave it up"
        assert (await cluster.ask(bad, "GET"))[1] == b"whole"
        assert cluster.quarantined(bad)

    in_cluster(device, scenario)


def test_what_comes_while_a_handoff_is_given_up_stays(device: Path) -> None:
    """Only the files that were confirmed go: not what is written meanwhile."""

    async def scenario(cluster: ObjectCluster) -> None:
        *up, down = cluster.homes()
        handoff = cluster.others()[0]
        folder, aside = cluster.folder(handoff), device / "aside"
        await cluster.put([handoff], body=b"second", at=9)
        folder.rename(aside)
        await cluster.put([*up, handoff], body=b"first", at=1)

        def write(_source: int, _target: int, request: Request) -> Request:
            if request.path.endswith("/files"):
                (path,) = aside.iterdir()
                path.rename(folder / path.name)
            return request

        cluster.network.meddle = write
        await cluster.replicate(handoff)
        assert cluster.short(down) == ["+1.data"]
        assert cluster.short(handoff) == ["+9.data"], "the other one is gone"
        cluster.network.meddle = None
        await cluster.replicate(handoff)
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_a_ring_that_changes_during_a_visit(device: Path) -> None:
    """The primaries that have confirmed may be none any more: nothing goes in this pass."""

    async def scenario(cluster: ObjectCluster) -> None:
        handoff = cluster.others()[0]
        await cluster.put([*cluster.homes(), handoff], body=b"x", at=1)
        new = without(cluster.ring, cluster.homes()[0])

        def change(source: int, _target: int, request: Request) -> Request:
            if source == handoff and request.path.endswith("/offer"):
                cluster.use(new, on=[handoff])
            return request

        cluster.network.meddle = change
        await cluster.replicate(handoff)
        assert cluster.files(handoff)

    in_cluster(device, scenario, nodes=5)


def test_t39_a_full_device(device: Path) -> None:
    """It takes no bytes, and what it lacks goes to a handoff; deletions it does take."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, full = cluster.homes()
        handoff = cluster.others()[0]
        partition = cluster.partition()
        same = next(n for n in map("n{}".format, range(99)) if cluster.partition(n) == partition)
        await cluster.put([one, two], body=b"x", at=1)
        await cluster.put([one, two], "large", LARGE, at=1)
        await cluster.put([full], "deleted", b"x", at=1)
        await cluster.put(cluster.homes(same), same, b"x", at=1)
        await cluster.ask(cluster.homes("deleted")[0], "DELETE", "deleted", at=2)
        files[full].full = True
        await cluster.restart(full)  # it asks how much room there is once in a second only
        await cluster.replicate()
        assert not cluster.files(full)
        assert cluster.where() == sorted([one, two, handoff])
        assert handoff not in cluster.where(same), "the full one has that"
        safety = cluster.nodes[one].replicator.safety
        assert safety == Safety(objects_below=0, partitions_unheard=0)
        homes = cluster.homes("deleted")
        assert all(cluster.short(number, "deleted") == ["+2.ts"] for number in homes)
        files[full].full = False
        await cluster.replicate()
        await cluster.replicate()
        assert same_everywhere(cluster)
        assert same_everywhere(cluster, "large")

    files = {number: FullFiles() for number in range(4)}
    in_cluster(device, scenario, files=files)


class FullFiles(Files):
    """A file system that can be full."""

    full = False

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        real = super().__getattribute__(name)
        if name == "statvfs" and self.full:
            return lambda path: _without_room(real(path))
        return real


def _without_room(found: os.statvfs_result) -> os.statvfs_result:
    fields = list(found)
    fields[3] = fields[4] = 0  # f_bfree, f_bavail
    return os.statvfs_result(fields)


def test_t25_a_device_that_was_away_too_long(device: Path) -> None:
    """What was deleted, and reclaimed, while it was out of the ring does not come back; it is in
    quarantine.  What is still there elsewhere, or newer, is as everywhere."""

    async def scenario(cluster: ObjectCluster) -> None:
        whole = cluster.ring
        away = cluster.homes()[0]
        alive = next(n for n in map("o{}".format, range(100)) if away in cluster.homes(n))
        names = ("o", alive)
        for name in names:
            await cluster.put(cluster.homes(name), name, b"old", at=1)
        await cluster.replicate()
        cluster.network.down = {away}
        cluster.use(without(whole, away))
        await cluster.replicate()
        await cluster.replicate()
        for number in cluster.homes():
            assert (await cluster.ask(number, "DELETE", at=5))[0] == 204
        for _ in range(20):
            cluster.move(12 * HOUR_S)
            await cluster.replicate()
        assert cluster.where() == [away], "reclaimed"
        cluster.network.down.clear()
        cluster.use(whole)
        await cluster.replicate()
        await cluster.replicate()
        assert cluster.where() == []
        assert any("deleted while this device was away" in text for text in reasons(cluster, away))
        assert same_everywhere(cluster, alive)
        later = next(n for n in map("later{}".format, range(100)) if away in cluster.homes(n))
        await cluster.put([away], later, b"new", at=10 * DAY_S)
        await cluster.replicate()
        assert same_everywhere(cluster, later)
        assert cluster.nodes[away].replicator.report.counters["quarantined"] == 1

    in_cluster(device, scenario)


def test_t25_a_whole_cluster_that_was_off(device: Path) -> None:
    """Nobody can have deleted anything meanwhile: what only one of them has is no zombie."""

    async def scenario(cluster: ObjectCluster) -> None:
        await cluster.replicate()
        only = cluster.homes()[0]
        await cluster.put([only], body=b"x", at=1)
        cluster.move(30 * DAY_S)
        await cluster.replicate()
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_t25_nobody_can_say(device: Path) -> None:
    """While a primary does not answer, what may have been deleted is kept, and not sent."""

    async def scenario(cluster: ObjectCluster) -> None:
        away, there, down = cluster.homes()
        await cluster.replicate()
        await cluster.put([away], body=b"x", at=1)
        cluster.network.down = {away}
        for _ in range(10):
            cluster.move(DAY_S)
            await cluster.replicate()
        cluster.network.down = {down}
        await cluster.replicate(away)
        await cluster.replicate(away)
        assert cluster.where() == [away]
        assert not cluster.quarantined(away)
        cluster.network.down.clear()
        await cluster.replicate(away)
        assert cluster.where() == []
        assert cluster.quarantined(away)
        assert there not in cluster.where()

    in_cluster(device, scenario)


def reasons(cluster: ObjectCluster, number: int) -> list[str]:
    folder = cluster.nodes[number].path / "quarantined"
    return [path.read_text() for path in folder.rglob("reason*")]


def test_tombstones_are_reclaimed_when_all_have_heard(device: Path) -> None:
    """Not before their age, not while a primary is away, and not before who holds an older object
    has heard of the deletion."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([three], body=b"x", at=1)
        for number in (one, two):
            await cluster.ask(number, "DELETE", at=2)
        cluster.network.down = {three}
        await cluster.replicate()
        for _ in range(8):
            cluster.move(DAY_S)
            await cluster.replicate()
        assert cluster.short(one) == cluster.short(two) == ["+2.ts"]
        cluster.network.down.clear()
        await cluster.replicate(one, two)
        assert cluster.short(three) in (["+2.ts"], [])
        await cluster.replicate()
        await cluster.replicate()
        assert cluster.where() == []
        assert not cluster.folder(one).exists()

    in_cluster(device, scenario)


def test_a_handoff_hears_of_a_deletion(device: Path) -> None:
    """Nobody sends tombstones to a handoff: it hears of them when it offers what it has, and has
    one when the primaries have reclaimed theirs."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, down = cluster.homes()
        handoff = cluster.others()[0]
        await cluster.put([one, two, handoff], body=b"x", at=1)
        for number in (one, two):
            await cluster.ask(number, "DELETE", at=2)
        cluster.network.down = {down}
        await cluster.replicate(handoff)
        assert cluster.short(handoff) == ["+2.ts"]
        assert cluster.files(handoff) == cluster.files(one)
        cluster.move(8 * DAY_S)
        cluster.network.down.clear()
        await cluster.replicate(one, two, handoff, down)
        assert cluster.where() == []

    in_cluster(device, scenario)


def test_what_is_no_partition_is_left_alone(device: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With one warning."""

    async def scenario(cluster: ObjectCluster) -> None:
        objects = cluster.nodes[0].path / "objects"
        for name in ("8", "007", "lost+found", "-1"):
            (objects / name / "abc").mkdir(parents=True)
        await cluster.replicate(0)
        await cluster.replicate(0)
        assert sorted(path.name for path in objects.iterdir()) == ["-1", "007", "8", "lost+found"]
        told = [r for r in caplog.records if r.message.startswith("no partition")]
        assert len(told) == 4

    in_cluster(device, scenario)


def test_only_what_an_operator_asks_for(device: Path) -> None:
    """Some partitions; handoffs only; other devices."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        handoff = cluster.others()[0]
        await cluster.put([one], body=b"x", at=1)
        other = (cluster.partition() + 1) % cluster.ring.partitions
        for scope in (
            Scope(partitions=[other]),
            Scope(handoffs_only=True),
            Scope(devices=["elsewhere"]),
        ):
            await cluster.replicate(one, scope=scope)
            assert cluster.where() == [one]
        await cluster.put([handoff], "o", b"y", at=2)
        await cluster.replicate(handoff, scope=Scope(handoffs_only=True))
        assert same_everywhere(cluster)
        assert cluster.short(two) == cluster.short(three) == ["+2.data"]

    in_cluster(device, scenario)


def test_empty_folders_go_once_they_have_been_empty_for_long(device: Path) -> None:
    """Of a handoff: until then another process may remember that they are durable."""

    async def scenario(cluster: ObjectCluster) -> None:
        handoff = cluster.others()[0]
        await cluster.put([handoff], body=b"x", at=1)
        await cluster.replicate(handoff)
        suffix = cluster.folder(handoff).parent
        assert suffix.exists()
        await cluster.replicate(handoff)
        assert suffix.exists()
        for folder in (suffix, suffix.parent):
            os.utime(folder, (0, 0))
        await cluster.replicate(handoff)
        os.utime(suffix.parent, (0, 0))
        await cluster.replicate(handoff)
        assert not suffix.parent.exists()
        await cluster.put([handoff], body=b"y", at=2)
        await cluster.replicate(handoff)
        assert same_everywhere(cluster)

    in_cluster(device, scenario)


def test_a_node_that_hangs_is_asked_once_in_a_pass(device: Path) -> None:
    """And the pass goes on without it, in the time of one answer."""

    async def scenario(cluster: ObjectCluster) -> None:
        names = [f"o{n}" for n in range(30)]
        for name in names:
            await cluster.put(cluster.homes(name), name, b"x", at=1)
        asked = 0

        def count(_source: int, target: int, request: Request) -> Request:
            nonlocal asked
            asked += target == hanging
            return request.replace(body=Hanging()) if target == hanging else request

        hanging = 3
        cluster.network.meddle = count
        cluster.network.hanging = {hanging}
        began = asyncio.get_running_loop().time()
        await cluster.replicate(0)
        took = asyncio.get_running_loop().time() - began
        assert 1 <= asked <= cluster.settings.replicator_concurrency
        assert took <= 1.1 * cluster.settings.replicator_timeout_s

    in_cluster(device, scenario)


def test_the_pace_that_is_allowed(device: Path) -> None:
    """Bytes in a second, also within a large object."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, *_ = cluster.homes()
        await cluster.put([one], body=LARGE, at=1)
        began = asyncio.get_running_loop().time()
        await cluster.replicate(one)
        took = asyncio.get_running_loop().time() - began
        assert same_everywhere(cluster)
        assert 4 <= took <= 7, "6 MiB at 1 MiB a second; a second's worth may be saved up"

    in_cluster(device, scenario, settings=ObjectSettings(replicator_bytes_per_second=MiB))


def test_too_many_at_once_are_turned_away(device: Path) -> None:
    """With 503, and counted; whoever was turned away comes again in the next pass."""

    async def scenario(cluster: ObjectCluster) -> None:
        one, two, three = cluster.homes()
        await cluster.put([one], body=LARGE, at=1)
        gate = asyncio.Event()
        cluster.network.meddle = lambda _s, _t, request: (
            request.replace(body=Held(request.body, gate))
            if request.path.endswith("/file")
            else request
        )
        async with asyncio.TaskGroup() as group:
            first = group.create_task(cluster.replicate(one))
            await asyncio.sleep(1)
            await cluster.replicate(two)
            refused = cluster.nodes[three].service.replication.refused
            status, _ = await cluster.tell(three, "digests")
            assert status == 503
            assert refused == {f"d{three}": 1}
            gate.set()
        first.result()
        assert same_everywhere(cluster)

    in_cluster(device, scenario, settings=ObjectSettings(replication_incoming_max=1))


class Hanging(Body):
    """Bytes that never come."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


class Held(Body):
    """Bytes that come once a gate is open."""

    def __init__(self, source: Body, gate: asyncio.Event) -> None:
        self.length = source.length
        self._source = source
        self._gate = gate

    async def read(self) -> bytes:
        await self._gate.wait()
        return await self._source.read()


def test_under_load(device: Path, chance: random.Random) -> None:
    """With real threads, all replicators at once and clients that change everything meanwhile:
    in the end all primaries have the newest of each, and nobody else anything."""

    async def scenario(cluster: ObjectCluster) -> None:
        names = [f"o{n}" for n in range(60)]
        moment = 0

        async def change() -> None:
            nonlocal moment
            for _ in range(100):
                moment += 1
                name = chance.choice(names)
                places = chance.sample([*cluster.homes(name), *cluster.others(name)], 2)
                method = chance.choice(["PUT", "PUT", "POST", "DELETE"])
                for number in places:
                    body = b"%d" % moment * chance.choice([1, 100])
                    await cluster.ask(
                        number, method, name, body if method == "PUT" else b"", at=moment / 1000
                    )

        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(change())
            for node in cluster.nodes:
                group.create_task(run_passes(node.replicator, 3))
        for _ in range(3):
            await cluster.replicate()
        for name in names:
            assert not cluster.where(name) or same_everywhere(cluster, name), name
        for node in cluster.nodes:
            assert not cluster.quarantined(node.number)
            assert node.replicator.report.counters["failures"] == 0

    in_cluster(device, scenario, real_threads=True)


async def run_passes(worker: ObjectReplicator, count: int) -> None:
    for _ in range(count):
        await run_once(worker)
