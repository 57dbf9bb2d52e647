"""Builder files that Swift has saved are taken over whole."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.builder_format import decode_builder, encode_builder
from swiftish.ring.device import from_document
from swiftish.ring.format import decode
from swiftish.ring.swift_builder import import_swift
from swiftish.ring.table import rows_of
from tests.rings.specs import Oracle, Spec, random_spec


def check_import(made: Builder, theirs: dict[str, Any]) -> None:
    expected = {
        "power": theirs["part_power"],
        "replicas": theirs["replicas"],
        "min_part_hours": theirs["min_part_hours"],
        "next_power": theirs["next_part_power"],
        "overload": theirs["overload"],
        "version": theirs["version"],
        "id": theirs["id"],
        "hash_id": "",
        "devices": [each and from_document(each) for each in theirs["devs"]],
        "removed": set(theirs["_remove_devs"]),
        "devices_changed": theirs["devs_changed"],
        "moved_epoch": theirs["_last_part_moves_epoch"],
    }
    assert {key: getattr(made, key) for key in expected} == expected
    if made.assignment is None or made.moved_hours_ago is None:
        assert theirs["_replica2part2dev"] is None
        return
    assert [list(row) for row in rows_of(made.assignment)] == theirs["_replica2part2dev"]
    assert made.moved_hours_ago.tolist() == theirs["_last_part_moves"]
    assert made.dispersion == theirs["dispersion"]
    assert made.parts() == [each["parts"] if each else 0 for each in theirs["devs"]]


@pytest.mark.parametrize("batch", range(10))
def test_builders_of_swift(
    batch: int, oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    """Every field, whatever was done; ours gives the same ring, and stores it all."""
    for number in range(5):
        spec = random_spec(chance, large_ids=number == 0)
        theirs = oracle("build", spec=spec.document(), folder=str(tmp_path))
        made = import_swift((tmp_path / "swift.builder").read_bytes())
        check_import(made, theirs)
        assert made.ring() == decode(Path(theirs["paths"][-1]).read_bytes())
        check_import(decode_builder(encode_builder(made)), theirs)


@pytest.mark.parametrize("unfinished", ["remove", "add", "weight", "replicas"])
def test_builders_in_the_middle_of_a_change(
    unfinished: str, oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    """Changed and not yet rebalanced; our rebalance does the rest."""
    spec = random_spec(chance)
    adds = [step for step in spec.steps if step[0] == "add"]
    step = {
        "remove": ("remove", 0),
        "add": ("add", {**adds[0][1], "id": len(adds), "device": "new"}),
        "weight": ("weight", 1, 250.0),
        "replicas": ("replicas", spec.replicas / 2 + 0.5),
    }[unfinished]
    steps = [*adds, ("rebalance", 1), ("pretend",), step]
    changed = Spec(power=5, replicas=spec.replicas, min_part_hours=1, steps=steps)
    theirs = oracle("build", spec=changed.document(), folder=str(tmp_path))
    made = import_swift((tmp_path / "swift.builder").read_bytes())
    check_import(made, theirs)
    made.rebalance(seed=1, now=made.moved_epoch + 10**6)
    made.validate()


def test_a_builder_without_partitions(
    oracle: Oracle, chance: random.Random, tmp_path: Path
) -> None:
    spec = random_spec(chance)
    steps = [step for step in spec.steps if step[0] == "add"]
    empty = Spec(power=4, replicas=3, min_part_hours=1, steps=steps)
    theirs = oracle("build", spec=empty.document(), folder=str(tmp_path))
    check_import(import_swift((tmp_path / "swift.builder").read_bytes()), theirs)
