"""Composes rings with Swift, many in one process; started by Swift's own Python.

Reads a JSON list of cases, {"components", "existing", "force"}, and answers with a list of
{"builders", "problem"} or, where there is none, {"builders", "devices", "rows", "saved"}.
"""

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

ring: Any = import_module("swift.common.ring")
composite: Any = import_module("swift.common.ring.composite_builder")


def build(spec: dict[str, Any], path: Path) -> dict[str, Any]:
    """Save a builder, and tell what is in it."""
    builder = ring.RingBuilder(spec["power"], spec["replicas"], 1)
    for device in spec["devices"]:
        builder.add_dev(device)
    builder.rebalance(seed=1)
    for gone in spec["removed"]:
        builder.remove_dev(gone)
        builder.rebalance(seed=1)
    if spec["dirty"]:
        builder.set_dev_weight(0, 1)
    builder.version, builder._id = spec["version"], spec["id"]
    builder.save(str(path))
    return {
        "devices": builder.devs,
        "rows": [list(row) for row in builder._replica2part2dev],
    }


def answer(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    files = [folder / f"{number}.builder" for number in range(len(case["components"]))]
    builders = [build(*each) for each in zip(case["components"], files, strict=True)]
    saved = folder / "saved"
    composed = composite.CompositeRingBuilder()
    if case["existing"] is not None:
        saved.write_text(case["existing"])
        composed = composite.CompositeRingBuilder.load(str(saved))
    try:
        data = composed.compose([*map(str, files)], force=case["force"], require_modified=True)
    except ValueError as error:
        return {"builders": builders, "problem": str(error)}
    composed.save(str(saved))
    return {
        "builders": builders,
        "devices": data.devs,
        "rows": [list(row) for row in data._replica2part2dev_id],
        "saved": saved.read_text(),
    }


answers = []
for each in json.load(sys.stdin):
    with tempfile.TemporaryDirectory() as name:
        answers.append(answer(each, Path(name)))
json.dump(answers, sys.stdout)
