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
    assert "out.svg" in with_ring.refused("object.builder show --svg no/out.svg")
    (with_ring.folder / "object.builder").unlink()
    assert "10.0.0.1/sda" in with_ring.done("show object.ring.gz").out


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
    assert "no ring for accounts by its name" in answer.err
