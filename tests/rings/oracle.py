"""Builds, saves, loads and asks rings with Swift's code; started by Swift's own Python.

Reads one JSON object a line: {"what": a function's name below, its arguments…}; answers with what
it returns, or {"error"}.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may answer

rings: Any = import_module("swift.common.ring")
utils: Any = import_module("swift.common.utils")
exceptions: Any = import_module("swift.common.exceptions")

FOREVER_S = 10**6


def build(spec: dict[str, Any], folder: str) -> dict[str, Any]:
    """Make a builder and its rings; returns what is in the builder, and the ring files' paths."""
    builder = rings.RingBuilder(spec["power"], spec["replicas"], spec["min_part_hours"])
    steps = {
        "add": builder.add_dev,
        "remove": builder.remove_dev,
        "weight": builder.set_dev_weight,
        "replicas": builder.set_replicas,
        "overload": builder.set_overload,
        "rebalance": lambda seed: builder.rebalance(seed=seed),
        "pretend": builder.pretend_min_part_hours_passed,
        "prepare": builder.prepare_increase_partition_power,
        "increase": builder.increase_partition_power,
        "cancel": builder.cancel_increase_partition_power,
        "finish": builder.finish_increase_partition_power,
    }
    for name, *arguments in spec["steps"]:
        steps[name](*arguments)
    path = os.path.join(folder, "swift.builder")
    builder.save(path)
    return {**describe(path), "paths": _save(builder.get_ring(), folder)}


def live(spec: dict[str, Any], rounds: int, seed: int) -> dict[str, Any]:
    """Go through a scenario (scenarios.py); as many steps as the builder accepts."""
    builder = rings.RingBuilder(spec["power"], spec["replicas"], 1)
    changes = {
        "add": builder.add_dev,
        "remove": builder.remove_dev,
        "weight": builder.set_dev_weight,
        "replicas": builder.set_replicas,
        "overload": builder.set_overload,
    }
    steps = []
    for step in spec["steps"]:
        for name, *arguments in step:
            changes[name](*arguments)
        moved = 0
        try:
            for _ in range(rounds):
                builder.pretend_min_part_hours_passed()
                before = [list(row) for row in builder._replica2part2dev or []]
                builder.rebalance(seed=str(seed))
                now = _moved(before, builder._replica2part2dev)
                moved += now
                if not now:
                    break
            builder.validate()
        except exceptions.RingBuilderError:
            break
        steps.append(
            {"moved": moved, "balance": builder.get_balance(), "dispersion": builder.dispersion}
        )
    return {"steps": steps}


def _moved(before: list[list[int]], after: Any) -> int:  # noqa: ANN401 -- Swift's arrays
    """Replicas that are on another device than before, or new."""
    same = sum(
        old == new
        for one, two in zip(before, after, strict=False)
        for old, new in zip(one, two, strict=False)
    )
    slots: int = sum(len(row) for row in after)
    return slots - int(same)


def describe(path: str) -> dict[str, Any]:
    """All that a saved builder holds."""
    builder = rings.RingBuilder.load(path)
    fields = builder.to_dict()
    rows = fields["_replica2part2dev"]
    return {
        **{key: fields[key] for key in fields if key != "_dispersion_graph"},
        "_replica2part2dev": rows and [list(row) for row in rows],
        "_last_part_moves": list(fields["_last_part_moves"]),
        "_remove_devs": [device["id"] for device in fields["_remove_devs"]],
    }


def save(path: str, folder: str) -> dict[str, Any]:
    """Load a ring and save it again, in both versions if its ids allow."""
    return {"paths": _save(rings.RingData.load(path), folder)}


def _save(ring: Any, folder: str) -> list[str]:  # noqa: ANN401 -- Swift's own
    versions = [1, 2] if ring.dev_id_bytes == 2 else [2]
    paths = [os.path.join(folder, f"swift{version}.ring.gz") for version in versions]
    for version, path in zip(versions, paths, strict=True):
        ring.save(path, format_version=version)
    return paths


def look_up(paths: list[str], names: list[list[str]], prefix: str, suffix: str) -> dict[str, Any]:
    """The partition of each name; of each partition its primaries and handoffs in order.

    In the first ring; `different` are the others that are not the same ring.
    """
    utils.HASH_PATH_PREFIX = prefix.encode("latin-1")
    utils.HASH_PATH_SUFFIX = suffix.encode("latin-1")
    first, *others = (rings.RingData.load(path).to_dict() for path in paths)
    for each in (first, *others):
        del each["dev_id_bytes"]  # four are enough for small ids, too
    ring = rings.Ring(paths[0], reload_time=FOREVER_S)
    partitions = [ring.get_part(*name) for name in names]
    nodes = {
        partition: [
            [node["id"] for node in ring.get_part_nodes(partition)],
            [node["id"] for node in ring.get_more_nodes(partition)],
        ]
        for partition in set(partitions)
    }
    return {
        "partitions": partitions,
        "nodes": nodes,
        "devices": [device["id"] for device in first["devs"] if device],
        "next_power": first["next_part_power"],
        "version": first["version"],
        "different": [
            path for path, other in zip(paths[1:], others, strict=True) if other != first
        ],
    }


WHAT: dict[str, Callable[..., dict[str, Any]]] = {
    "build": build,
    "live": live,
    "describe": describe,
    "save": save,
    "look_up": look_up,
}

for line in sys.stdin:
    job = json.loads(line)
    try:
        answer = WHAT[job.pop("what")](**job)
    except Exception:  # noqa: BLE001 -- the test that asked tells
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), file=answers, flush=True)
