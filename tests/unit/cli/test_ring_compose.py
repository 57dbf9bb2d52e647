"""Several builders become one ring; scenarios are played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swiftish.ring.format import decode
from tests.unit.cli.rings import Operator

SCENARIO: dict[str, Any] = {
    "part_power": 6,
    "replicas": 3,
    "overload": 0.1,
    "random_seed": 1,
    "rounds": [
        [
            ["add", "r1z1-10.0.0.1:6200/sda", 100],
            ["add", "z2-10.0.0.2:6200/sda", "100"],
            ["add", "r1z3-10.0.0.3:6200/sda", 100],
        ],
        [["add", "r1z4-10.0.0.4:6200/sda", 100], ["save", "saved.builder"]],
        [["remove", 0], ["set_weight", 1, 90]],
    ],
}


@pytest.fixture
def parts(operator: Operator) -> Operator:
    """Somebody with two builders, each for a region."""
    for number in (1, 2):
        operator.done(f"r{number}.builder create 4 1 0")
        operator.done(f"r{number}.builder add r{number}z1-10.0.{number}.1:1/a 1")
        operator.done(f"r{number}.builder rebalance")
    return operator


def test_builders_are_composed(parts: Operator) -> None:
    """The replicas in the order of the builders; the next time they need not be named."""
    parts.done("compose all.composite r1.builder r2.builder --output all.ring.gz")
    ring = decode((parts.folder / "all.ring.gz").read_bytes())
    assert [d.region for d in ring.primaries(3)] == [1, 2]
    shown = parts.done("compose all.composite").out
    assert str(parts.folder / "r1.builder") in shown
    assert "no component was modified" in parts.refused(
        "all.composite compose --output all.ring.gz"
    )
    parts.done("r2.builder set_info d0 _x", "r2.builder rebalance -f")
    found = parts.json("all.composite compose --output all.ring.gz --format-version 2")
    assert found["version"] == 2
    assert parts.json("all.ring.gz version")["format_version"] == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("r1.builder r2.builder", "--output"),
        ("", "all.composite does not exist"),
        ("r1.builder --output x.ring.gz", "two components"),
        ("--output x.ring.gz", "two components"),
        ("r1.builder r1.builder --output x.ring.gz", "the same builder"),
        ("r1.builder r3.builder --output x.ring.gz", "r3.builder"),
        ("r1.builder r2.builder --output no/x.ring.gz", "/no does not exist"),
    ],
)
def test_what_can_not_be_composed(parts: Operator, line: str, why: str) -> None:
    assert why in parts.refused(f"compose all.composite {line}")


def test_what_is_no_composite(parts: Operator) -> None:
    (parts.folder / "all.composite").write_bytes(b"junk")
    for line in ("", "r1.builder r2.builder --output x.ring.gz"):
        assert "all.composite" in parts.refused(f"compose all.composite {line}")


def test_a_scenario_is_played(operator: Operator) -> None:
    """Round by round, until each settles."""
    (operator.folder / "s.json").write_text(json.dumps(SCENARIO), "utf-8")
    rounds = operator.json("analyze s.json")["rounds"]
    assert [each[0]["removed"] for each in rounds] == [0, 0, 1]
    assert rounds[0][0]["moved"] == 192
    assert all(len(each) >= 2 for each in rounds)
    assert operator.done("s.json analyze").out.startswith("rebalance  moved  removed  balance")
    assert operator.json("saved.builder")["partitions"] == 64


def test_a_scenario_replaces_only_builders(operator: Operator) -> None:
    """With a copy of what was there, and a warning that says where it is."""
    (operator.folder / "s.json").write_text(json.dumps(SCENARIO), "utf-8")
    operator.done("saved.builder create 4 1 1")
    before = (operator.folder / "saved.builder").read_bytes()
    for kept in (operator.folder / "backups").iterdir():
        kept.unlink()
    answer = operator.run("analyze s.json")
    assert answer.status == 0
    copy = operator.folder / "backups" / f"{int(operator.clock.now())}.saved.builder"
    path = operator.folder / "saved.builder"
    assert answer.err == f"ring: warning: {path}: replaced; what it was is in {copy}\n"
    assert copy.read_bytes() == before
    path.write_bytes(b"a letter")
    assert f"{path}: it is not a builder" in operator.refused("analyze s.json")


def test_what_a_scenario_saved_before_it_failed_is_said(operator: Operator) -> None:
    rounds = [[*SCENARIO["rounds"][0], ["save", "saved.builder"]], [["remove", 9]]]
    (operator.folder / "s.json").write_text(json.dumps({**SCENARIO, "rounds": rounds}), "utf-8")
    answer = operator.run("analyze s.json")
    assert answer.status == 2
    saved = operator.folder / "saved.builder"
    assert answer.err.endswith(f"there is no device 9; saved all the same: {saved}\n")


def test_the_scenario_of_the_reference_is_one(operator: Operator) -> None:
    text = (Path(__file__).parents[3] / "docs/reference/rings.md").read_text("utf-8")
    scenario = text.partition("```json\n")[2].partition("```")[0]
    (operator.folder / "s.json").write_text(scenario, "utf-8")
    assert len(operator.json("analyze s.json")["rounds"]) == 3
    assert (operator.folder / "half.builder").exists()


def test_a_scenario_is_checked_without_being_played(operator: Operator) -> None:
    (operator.folder / "s.json").write_text(json.dumps(SCENARIO), "utf-8")
    assert "3 rounds" in operator.done("analyze s.json --check").out
    assert not (operator.folder / "saved.builder").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"part_power": "x"}, "part_power must be a whole number"),
        ({"random_seed": 1e400}, "random_seed must be a whole number"),
        ({"replicas": float("nan")}, "replicas"),
        ({"part_power": 33}, "partition power"),
        ({"replicas": 0.5}, "replicas"),
        ({"overload": -1}, "overload"),
        ({"rounds": 5}, "rounds must be"),
        ({"rounds": [[["add", "z1"]]]}, "round 1, command 1"),
        ({"rounds": [[], [["add", "z1", 1]]]}, "round 2, command 1"),
        ({"rounds": [[["remove", "x"]]]}, "whole number"),
        ({"rounds": [[["set_weight", 1, -1]]]}, "a weight must be"),
        ({"rounds": [[["add", "z1-10.0.0.1:1/a", "nan"]]]}, "a weight must be"),
        ({"rounds": [[["explode"]]]}, "no add, set_weight"),
        ({"rounds": [["add"]]}, "no add, set_weight"),
    ],
)
def test_a_scenario_that_makes_no_sense(
    operator: Operator, change: dict[str, object], why: str
) -> None:
    (operator.folder / "s.json").write_text(json.dumps({**SCENARIO, **change}), "utf-8")
    assert why in operator.refused("analyze s.json")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"part_power": 4}', "[[[[", "5", "[" * 100_000])
def test_what_is_no_scenario(operator: Operator, text: str) -> None:
    (operator.folder / "s.json").write_text(text, "utf-8")
    assert str(operator.folder / "s.json") in operator.refused("analyze s.json")


def test_a_scenario_that_fails_half_way(operator: Operator) -> None:
    """A device that is not there, too few of them: a sentence."""
    for rounds in ([[["remove", 5]]], [[["add", "z1-10.0.0.1:1/a", 1]]]):
        (operator.folder / "s.json").write_text(json.dumps({**SCENARIO, "rounds": rounds}))
        operator.refused("analyze s.json")
