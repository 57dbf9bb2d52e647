"""Devices are added, changed and removed: whose, how many at once, and what is refused."""

from __future__ import annotations

import pytest

from tests.unit.cli.rings import THREE, Operator


@pytest.fixture
def crew(operator: Operator) -> Operator:
    """Somebody with three devices in a builder that was never rebalanced."""
    operator.done("b create 4 3 1", f"b {THREE}")
    return operator


def ids(operator: Operator, search: str) -> list[int]:
    answer = operator.run(f"b search {search} --json")
    return [each["id"] for each in answer.document.get("devices", [])]


def test_devices_are_added_by_words_and_by_options(operator: Operator) -> None:
    """What was not said is filled in: the region, the replication address, the id."""
    operator.done("b create 4 3 1")
    operator.done("b add z2-[0::1]:6200/sda_m 1.5 r3z4-10.0.0.2:6201R10.1.0.2:6301/sdb 2")
    operator.done("b add -r 0 -z 5 -i HOST.example -p 6202 -d sdc -w 0 -m 'x y'")
    found = operator.json("b")["devices"]
    assert [
        (d["id"], d["region"], d["zone"], d["ip"], d["port"], d["device"], d["weight"], d["meta"])
        for d in sorted(found, key=lambda d: d["id"])
    ] == [
        (0, 1, 2, "::1", 6200, "sda", 1.5, "m"),
        (1, 3, 4, "10.0.0.2", 6201, "sdb", 2.0, ""),
        (2, 0, 5, "host.example", 6202, "sdc", 0.0, "x y"),
    ]
    assert {(d["id"], d["replication_ip"], d["replication_port"]) for d in found} == {
        *((0, "::1", 6200), (1, "10.1.0.2", 6301), (2, "host.example", 6202)),
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("add", "after each new device comes its weight"),
        ("add z1-10.0.0.9:1/a", "comes its weight"),
        ("add z1-10.0.0.9:1/a 1 z1-10.0.0.9:1/b", "comes its weight"),
        ("add z1-10.0.0.9:1/a 1 z1-10.0.0.9:1/a 1", "device 3 is 10.0.0.9:1/a already"),
        ("add z1-10.0.0.1:6200/sda 1", "device 0 is 10.0.0.1:6200/sda already"),
        ("add z1-10.0.0.9:1/a heavy", "the weight must be a number"),
        ("add z1-10.0.0.9:1/a nan", "a weight must be"),
        ("add -r 1 -z 1 -i 10.0.0.9", "also needs --port, --device, --weight"),
        ("add z1-10.0.0.9:1/a 1 -r 1", "not both"),
        ("add -r -1 -z 1 -i 10.0.0.9 -p 1 -d a -w 1", "a region is"),
    ],
)
def test_devices_that_can_not_be_are_refused(crew: Operator, line: str, why: str) -> None:
    """All of the line or nothing."""
    assert why in crew.refused(f"b {line}")


def test_a_letter_r_in_the_name_of_a_host(crew: Operator) -> None:
    """In a new device it is known by what is before it; elsewhere it is asked for otherwise."""
    crew.done("b add z1-Rack1.example:6200/sdR 1 z1-myRack:6200RRack9:6300/sda_R 1")
    found = crew.json("b")["devices"]
    assert {(d["ip"], d["replication_ip"], d["device"], d["meta"]) for d in found} > {
        ("rack1.example", "rack1.example", "sdR", ""),
        ("myrack", "rack9", "sda", "R"),
    }
    for search in ("z1-Rack1.example", "-myRack", "z1-myRack:6200", "-R2D2"):
        for line in (f"search -- {search}", f"set_weight -y -- {search} 5"):
            assert "write a host's name in lower case" in crew.refused(f"b {line}")
    for change in ("Rack1:6200", "myRack:6200", "RRack"):
        assert "write a host's name in lower case" in crew.refused(f"b set_info d0 {change}")
    assert ids(crew, "z1-rack1.example") == [3]
    assert ids(crew, "--ip Rack1.example") == [3]
    assert ids(crew, "z1-myrack:6200Rrack9") == ids(crew, "/sda_R") == [4]
    assert ids(crew, "z3-10.0.0.3R10.1.0.3") == ids(crew, "z3-R10.1.0.3") == [2]
    assert ids(crew, "R:6300") == [2, 4]


@pytest.mark.parametrize(
    ("line", "search", "found"),
    [
        ("set_weight d0 7", "--weight 7", [0]),
        ("set_weight d0 7 d1 7", "--weight 7", [0, 1]),
        ("set_weight --zone 2 7", "--weight 7", [1]),
        ("set_weight d0 0", "--weight 0", [0]),
        ("set_region z3 2", "r2", [2]),
        ("set_region -u 0 0", "r0", [0]),
        ("set_zone 10.0.0.2 9", "z9", [1]),
        ("set_info d0 [::9]:1R:2/x_y", "[::9]:1R10.0.0.1:2/x_y", [0]),
        ("set_info d0 :1 :1 /z", "/z", [0]),
        ("set_info d2 _", "_new", []),
        ("set_info _new _old", "_ol", [2]),
        (
            "set_info --id 1 -I host -J ::1 -P 5 -Q 6 -D d -M m",
            "-i host -j ::1 -p 5 -q 6 -d d",
            [1],
        ),
    ],
)
def test_what_was_set_is_found(crew: Operator, line: str, search: str, found: list[int]) -> None:
    """Search after search, each seeing what the one before it did."""
    crew.done(f"b {line}")
    assert ids(crew, search) == found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("set_weight d9 1", "no device matches"),
        ("set_weight d0 1 d9 1", "no device matches"),
        ("set_weight d0", "after each search comes the value"),
        ("set_weight --id 0", "one value"),
        ("set_weight --id 0 1 2", "one value"),
        ("set_weight d0 -1", "a weight must be"),
        ("set_weight d0 inf", "a weight must be"),
        ("set_region d0 -1", "a region is"),
        ("set_zone d0 x", "the zone must be a whole number"),
        ("set_info d0 sdb", "can't be read"),
        ("set_info d0 10.0.0.2:6200/sdb", "device 1"),
        ("set_info d0 :1 --change-port 2", "not both"),
        ("set_info --change-port 2", "say which devices"),
        ("set_info --id 0 --change-device a/b", "names a folder"),
        ("remove d9", "no device matches"),
        ("remove --yes", "say which devices"),
        ("remove '' --yes", "an empty search"),
    ],
)
def test_what_can_not_be_set_is_refused(crew: Operator, line: str, why: str) -> None:
    """And what came before it on the line is not saved either."""
    assert why in crew.refused(f"b {line}")


def test_several_devices_are_asked_for(crew: Operator) -> None:
    """At a terminal or from a pipe; silence and anything but yes are no."""
    for typed in ("", "n\n", "maybe\n"):
        assert "3 devices match; answer y, or say --yes" in crew.refused("b remove r1", typed=typed)
    asked = crew.run("b set_weight r1 5", typed="y\n", terminal=True)
    assert asked.status == 0
    assert "3 devices match" in asked.err
    assert "d2r1z3-10.0.0.3:6200R10.1.0.3:6300/sdc_new" in asked.err
    assert "devices match" not in asked.out
    assert ids(crew, "--weight 5") == [0, 1, 2]
    crew.done("b set_weight r1 6 --yes", "b -y set_zone r1 4")
    assert ids(crew, "--weight 6 --zone 4") == [0, 1, 2]


def test_devices_leave_at_the_next_rebalance(with_ring: Operator) -> None:
    """Until then they are there, keep their place and can't be set."""
    with_ring.done("object.builder add z4-10.0.0.4:6200/sdd 100", "object.builder remove d0")
    assert "DEL" in with_ring.done("object.builder").out
    for line in ("set_weight d0 1", "set_region d0 1", "set_zone d0 1"):
        assert "removed" in with_ring.refused(f"object.builder {line}")
    with_ring.done("object.builder remove d0")
    again = "object.builder add r1z1-10.0.0.1:6200/sda 1"
    assert "already until the next rebalance" in with_ring.refused(again)
    assert with_ring.json("object.builder rebalance")["removed"] == 1
    with_ring.refused("object.builder search d0")
    with_ring.done(again)


def test_no_device_comes_or_goes_while_partitions_double(with_ring: Operator) -> None:
    with_ring.done("object.builder prepare_increase_partition_power")
    for line in ("add z4-10.0.0.4:6200/sdd 100", "remove d0", "rebalance", "rebalance --force"):
        assert "under way" in with_ring.refused(f"object.builder {line}")
    with_ring.done("object.builder set_weight d0 50", "object.builder set_info d0 _x")
