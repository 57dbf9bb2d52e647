"""What a builder or ring says about itself: tables, lists, places, pictures."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.cli.rings import Operator


def test_the_table(with_ring: Operator) -> None:
    """Heads and figures stand above each other; empty columns are not there."""
    text = with_ring.done("object.builder").out
    lines = text.splitlines()
    assert lines[0] == str(with_ring.folder / "object.builder")
    assert "  64 partitions, 3 replicas, 1 region, 3 zones, 3 devices" in lines
    assert "  balance 0.00 %, dispersion 0.00 %, overload 0.00 %" in lines
    assert "  min_part_hours 1 (1:00:00 left)" in lines
    assert "  ring file object.ring.gz: up to date" in lines
    assert lines[-4:] == [
        "id  region  zone  address        replication    name  weight  parts  balance  meta",
        " 0       1     1  10.0.0.1:6200                 sda   100.00     64     0.00",
        " 1       1     2  10.0.0.2:6200                 sdb   100.00     64     0.00",
        " 2       1     3  10.0.0.3:6200  10.1.0.3:6300  sdc   100.00     64     0.00  new",
    ]


def test_partitions_are_listed_most_matches_first(with_ring: Operator) -> None:
    with_ring.done("object.builder add z4-10.0.0.4:6200/sdd 100")
    with_ring.done("object.builder pretend_min_part_hours_passed", "object.builder rebalance")
    found = with_ring.json("object.builder list_parts d0 d3")["partitions"]
    matches = [each["matches"] for each in found]
    assert matches == sorted(matches, reverse=True)
    assert sum(matches) == 96
    assert with_ring.done("object.builder list_parts d0").out.startswith("partition  matches\n")
    one = with_ring.json("object.builder list_parts --id 3 ")["partitions"]
    assert one == with_ring.json("object.builder list_parts d3 d3")["partitions"]


def test_a_device_without_partitions_has_no_list(with_ring: Operator) -> None:
    with_ring.done("object.builder add z4-10.0.0.4:6200/sdd 100")
    assert "no partitions yet" in with_ring.refused("object.builder list_parts d3")
    with_ring.refused("object.builder list_parts d9")


def test_dispersion(operator: Operator) -> None:
    """The exit code is 1 when some replicas are too close, and only where one looks."""
    operator.done("b create 6 2 0", "b add z1-10.0.0.1:1/a 100 z1-10.0.0.1:1/b 100")
    operator.done("b add z2-10.0.0.2:1/a 10")
    operator.run("b rebalance")
    answer = operator.run("b dispersion -v")
    assert answer.status == 1
    assert "worst is r1z1" in answer.out
    found = operator.json("b dispersion")
    zone = next(each for each in found["tiers"] if each["tier"] == "r1z1")
    counts = zone["partitions_by_replicas"]
    assert sum(counts) == 64
    assert zone["dispersion"] == pytest.approx(100 * counts[2] / zone["parts"])
    assert operator.done("b dispersion z2").out.startswith("dispersion ")
    names = [each["tier"] for each in operator.json("b dispersion 'r1z2'")["tiers"]]
    assert names == ["r1z2", "r1z2-10.0.0.2", "r1z2-10.0.0.2/a"]
    assert operator.json("b dispersion nothing")["worst"] is None


def test_pictures(with_ring: Operator) -> None:
    """In characters, as a file, and of a ring that has no builder any more."""
    text = with_ring.done("show object.builder --width 60").out
    assert "10.0.0.1/sda" in text
    assert "\x1b" not in text
    with_ring.done("show object.builder --svg out.svg")
    assert "<svg" in (with_ring.folder / "out.svg").read_text("utf-8")
    assert len(with_ring.json("object.builder show")["regions"]) == 1
    missing = f"{with_ring.folder}/no does not exist"
    assert with_ring.refused("object.builder show --svg no/out.svg") == missing
    (with_ring.folder / "object.builder").unlink()
    assert "10.0.0.1/sda" in with_ring.done("show object.ring.gz").out


def test_a_builder_of_swifts_does_not_hide_its_ring(with_ring: Operator) -> None:
    """Nor does one that is damaged; but who asks for the builder is told what it is."""
    path = with_ring.folder / "object.builder"
    for data in (b"\x80\x02}q\x00.", b"SRB\x01damaged"):
        path.write_bytes(data)
        answer = with_ring.run("show object.ring.gz")
        assert answer.status == 0
        assert answer.out.startswith(f"{with_ring.folder}/object.ring.gz\n")
        assert "10.0.0.1/sda" in answer.out
        assert f"warning: {path}: " in answer.err
        assert len(with_ring.run("show object.ring.gz --json").document["warnings"]) == 1
        assert str(path) in with_ring.refused("show object.builder")


def test_hosts_in_a_picture_can_be_told_from_each_other(operator: Operator) -> None:
    """However long their names, and however narrow the picture."""
    operator.done("b create 4 2 0")
    for number in (1, 2):
        name = f"storage-node-000{number}.region-a.cluster.example.internal"
        operator.done(f"b add z1-{name}:6200/sda 10 z1-{name}:6200/sdb 10")
    operator.run("b rebalance")
    text = operator.done("b show --width 40").out
    assert "storage-node-0001~" in text
    assert "storage-node-0002~" in text
    operator.done("b remove d1 d3 --yes")
    operator.run("b rebalance")
    text = operator.done("b show --width 40").out
    assert "~-0001~/sda" in text
    assert "~-0002~/sda" in text


def test_the_dispersion_is_that_of_the_devices_as_they_are(operator: Operator) -> None:
    """And that of the last rebalance is said where it is another."""
    operator.done("b create 6 2 0", "b add z1-10.0.0.1:1/a 100 z1-10.0.0.1:1/b 100", "b rebalance")
    assert "dispersion 0.00 %, " in operator.done("b").out
    operator.done("b set_info d0 _x")
    assert "dispersion 0.00 %, " in operator.done("b").out
    operator.done("b add z2-10.0.0.2:1/a 100")
    assert "dispersion 50.00 % (0.00 % at the last rebalance), " in operator.done("b").out
    found = operator.json("b")
    assert (found["dispersion"], found["dispersion_now"]) == (0, 50)
    assert operator.json("b dispersion")["dispersion"] == found["dispersion_now"]


@pytest.mark.parametrize("replicas", ["2.5", "2", "2.99", "3.5", "4"])
def test_a_builder_is_not_valid_before_set_replicas_is_acted_on(
    with_ring: Operator, replicas: str
) -> None:
    with_ring.done("object.builder validate", f"object.builder set_replicas {replicas}")
    assert "needs a rebalance" in with_ring.refused("object.builder validate")
    with_ring.done("object.builder set_replicas 3", "object.builder validate")
    if float(replicas) < 3:
        with_ring.done(f"object.builder set_replicas {replicas}")
        with_ring.run("object.builder rebalance")
        with_ring.done("object.builder validate")


def test_versions(with_ring: Operator) -> None:
    found = with_ring.json("object.ring.gz version")
    assert (found["format_version"], found["device_id_bytes"], found["version"]) == (1, 2, 4)
    assert (
        "format version 1, 2 bytes a device id, build version 4"
        in with_ring.done("version object").out
    )


# ---- nodes -----------------------------------------------------------------------------------


@pytest.fixture
def cluster(with_ring: Operator) -> Operator:
    text = '[cluster]\nhash_prefix = "p"\nhash_suffix = "s"\n'
    (with_ring.folder / "node.toml").write_text(text, "utf-8")
    with_ring.done("object.builder add z4-10.0.0.4:6200/sdd 100 z4-[::1]:6200/sde 100")
    with_ring.done("object.builder pretend_min_part_hours_passed")
    with_ring.run("object.builder rebalance")
    return with_ring


def test_nodes_of_a_name(cluster: Operator) -> None:
    """In one word or several; the partition is where the cluster's secrets put it."""
    digest = hashlib.md5(b"p/AUTH_a/c/o/x ys", usedforsecurity=False).hexdigest()
    line = "object.ring.gz nodes --settings node.toml"
    found = cluster.json(f"{line} AUTH_a c 'o/x y'")
    assert (found["hash"], found["partition"]) == (digest, int(digest[:8], 16) >> 26)
    assert found == cluster.json(f"{line} '/AUTH_a/c/o/x y'")
    assert found == cluster.json(f"{line} 'AUTH_a/c/o/x y'")
    holding = {
        device["id"]
        for device in found["primaries"]
        for part in cluster.json(f"object.builder list_parts d{device['id']}")["partitions"]
        if part["partition"] == found["partition"]
    }
    assert holding == {device["id"] for device in found["primaries"]}
    text = cluster.run(f"{line} AUTH_a c 'o/x y'").out
    assert "Policy-Index: 0" in text
    assert f"/{found['partition']}/AUTH_a/c/o/x%20y'" in text


def test_nodes_of_a_partition(cluster: Operator) -> None:
    """As many handoffs as primaries, or all."""
    found = cluster.json("object.ring.gz nodes -p 63")
    assert [d["index"] for d in found["primaries"]] == [0, 1, 2]
    every = cluster.json("object.builder nodes -p 63 --all")
    assert [d["id"] for d in every["handoffs"]] == [d["id"] for d in found["handoffs"]]
    ids = sorted(d["id"] for d in every["primaries"] + every["handoffs"])
    assert ids == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "give either names"),
        ("a -p 1", "give either names"),
        ("a", "give --settings"),
        ("-p 64", "partitions 0 to 63"),
        ("-p -1", "partitions 0 to 63"),
        ("-p x", "whole number"),
        ("a b/c o --settings node.toml", "no / in them"),
        ("a '' --settings node.toml", "have names"),
    ],
)
def test_nodes_of_nothing(cluster: Operator, line: str, why: str) -> None:
    assert why in cluster.refused(f"object.ring.gz nodes {line}")


def test_a_ring_of_another_kind_is_noticed(cluster: Operator) -> None:
    answer = cluster.run("object.ring.gz nodes AUTH_a --settings node.toml")
    assert answer.status == 0
    path = cluster.folder / "object.ring.gz"
    assert f"{path}: by its name it is no ring for accounts" in answer.err
