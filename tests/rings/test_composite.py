"""Composite rings are Swift's: the same table, devices, refusals and document."""

from __future__ import annotations

import json
import subprocess
from array import array
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from swiftish.ring.builder import Builder
from swiftish.ring.composite import (
    Component,
    Composite,
    compose,
    decode_composite,
    encode_composite,
)
from swiftish.ring.device import from_document, to_document
from swiftish.ring.errors import RingError
from swiftish.ring.table import table_of

SCRIPT = Path(__file__).parent / "swift_compose.py"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A component: as many devices as it says, all in its region."""

    id: str
    region: int
    devices: int = 4
    replicas: float = 2
    power: int = 4
    version: int = 5
    removed: tuple[int, ...] = ()
    dirty: bool = False
    network: int = 0  # 0 is the region's own

    def document(self) -> dict[str, Any]:
        devices = [
            {
                "id": number,
                "region": self.region,
                "zone": 1 + number % 2,
                "ip": f"10.{self.network or self.region}.0.{number}",
                "port": 6200,
                "device": "sda",
                "weight": 100.0,
            }
            for number in range(self.devices)
        ]
        return {**vars(self), "devices": devices}

    def component(self) -> Component:
        return Component(id=self.id, version=self.version, replicas=self.replicas)


@dataclass(frozen=True, kw_only=True)
class Case:
    components: tuple[Spec, ...]
    before: tuple[Spec, ...] = ()
    force: bool = False
    good: bool = True
    existing: Composite | None = field(init=False)

    def __post_init__(self) -> None:
        known = tuple(spec.component() for spec in self.before)
        existing = Composite(version=8, components=known) if known else None
        object.__setattr__(self, "existing", existing)


A = Spec(id="aaa", region=1)
B = Spec(id="bbb", region=2)
C = Spec(id="ccc", region=3, replicas=1, devices=2)
NEWER = replace(A, version=6)

CASES = {
    "two": Case(components=(A, B)),
    "three, with other replicas": Case(components=(B, C, A)),
    "a hole": Case(components=(replace(A, devices=6, removed=(2, 5)), B)),
    "newer": Case(components=(NEWER, B), before=(A, B)),
    "all newer": Case(components=(NEWER, replace(B, version=9)), before=(A, B)),
    "unchanged": Case(components=(A, B), before=(A, B), good=False),
    "unchanged, by force": Case(components=(A, B), before=(A, B), force=True),
    "another order": Case(components=(B, NEWER), before=(A, B), good=False),
    "another order, by force": Case(components=(B, A), before=(A, B), force=True),
    "older": Case(components=(A, replace(B, version=9)), before=(NEWER, B), good=False),
    "older, by force": Case(components=(A, B), before=(NEWER, B), force=True),
    "other replicas": Case(components=(replace(NEWER, replicas=3), B), before=(A, B), good=False),
    "another builder": Case(components=(replace(NEWER, id="ddd"), B), before=(A, B), good=False),
    "one less": Case(components=(NEWER, B), before=(A, B, C), good=False),
    "one more": Case(components=(NEWER, B, C), before=(A, B), good=False),
    "one more, by force": Case(components=(A, B, C), before=(A, B), force=True),
    "alone": Case(components=(A,), force=True, good=False),
    "twice": Case(components=(A, replace(A, region=2)), force=True, good=False),
    "another power": Case(components=(A, replace(B, power=5)), force=True, good=False),
    "a fraction": Case(components=(A, replace(B, replicas=2.5)), force=True, good=False),
    "not rebalanced": Case(components=(A, replace(B, dirty=True)), force=True, good=False),
    "one region": Case(components=(A, replace(B, region=1, network=9)), force=True, good=False),
    "one device": Case(components=(A, replace(B, network=1)), force=True, good=False),
}


@pytest.fixture(scope="module")
def answers(swift_python: Path) -> dict[str, dict[str, Any]]:
    """What Swift makes of all cases."""
    asked = [
        {
            "components": [spec.document() for spec in case.components],
            "existing": case.existing and encode_composite(case.existing, saved_path="/x").decode(),
            "force": case.force,
        }
        for case in CASES.values()
    ]
    done = subprocess.run(
        [swift_python, SCRIPT],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def builder(spec: Spec, found: dict[str, Any]) -> Builder:
    """Ours, with the table that Swift made."""
    rows = [array("H", row) for row in found["rows"]]
    return Builder(
        power=spec.power,
        replicas=spec.replicas,
        min_part_hours=1,
        id=spec.id,
        version=spec.version,
        devices=[each and from_document(each) for each in found["devices"]],
        devices_changed=spec.dirty,
        assignment=table_of(rows, partitions=2**spec.power),
    )


@pytest.mark.parametrize("name", CASES)
def test_composite(name: str, answers: dict[str, dict[str, Any]]) -> None:
    """Both refuse, or both make the same ring and remember the same of it."""
    case, answer = CASES[name], answers[name]
    assert ("problem" not in answer) == case.good, answer.get("problem")
    builders = [builder(*each) for each in zip(case.components, answer["builders"], strict=True)]
    if not case.good:
        with pytest.raises(RingError):
            compose(builders, case.existing, force=case.force)
        return
    theirs = decode_composite(answer["saved"].encode())
    files = [each.file for each in theirs.components]
    ring, ours = compose(builders, case.existing, force=case.force, files=files)
    assert ours == theirs
    assert [list(row) for row in ring.rows] == answer["rows"]
    assert [each and to_document(each) for each in ring.devices] == [
        each and to_document(from_document(each)) for each in answer["devices"]
    ]
