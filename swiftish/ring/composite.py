"""Composite rings: several rings, each of its own regions, put one upon the other.

A builder spreads replicas as well as weights allow; it does not promise that each region has one.
A composite ring does: the replicas of its first component come first, then those of the second,
and so on.  The order must never change by accident, because an erasure-coded fragment's number is
its place in that order.  So a document beside the ring says which builders, by their ids, were
composed in which order at which version, and the next composition is held to it.

The document is Swift's (reference 3, swift-ring-composer), so that either tool can go on where
the other stopped: JSON with `serialization_version` 1.

Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from swiftish.ring.builder import HOUR_S, HOURS_MAX, Builder
from swiftish.ring.device import ID_MAX, Device
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.ring import Ring
from swiftish.ring.table import Mask, rows_of

_SERIALIZATION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A builder as it was when it was composed; `file` is where it was read from, if known."""

    id: str
    version: int
    replicas: float
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """`version` counts the compositions; `components` are in the order of their replicas."""

    version: int
    components: tuple[Component, ...]


def compose(
    components: Sequence[Builder],
    existing: Composite | None,
    *,
    force: bool,
    files: Sequence[str] = (),
) -> tuple[Ring, Composite]:
    """The ring of all components, and what to remember of them.

    `existing` is what was remembered the last time; `force` leaves it out of account, apart from
    its version.  `files` are the paths of the components, in their order; without, those that
    `existing` knows stay.  Raises RingError that says everything that is wrong.
    """
    assert not files or len(files) == len(components)
    _refuse(_problems_with_ids(components))
    composed = tuple(
        Component(id=each.id, version=each.version, replicas=each.replicas, file=file)
        for each, file in zip(components, files or _known_files(components, existing), strict=True)
    )
    if existing is not None and existing.components and not force:
        _refuse(_changes(existing.components, composed))
        if all(a.version == b.version for a, b in zip(existing.components, composed, strict=True)):
            raise RingError(
                f"no component was modified since the composite's version {existing.version}"
            )
    _refuse(_misfits(components))
    version = (existing.version if existing is not None else 0) + 1
    return _ring(components, version=version), Composite(version=version, components=composed)


def may_move(others: Sequence[Builder], *, now: float) -> Mask:
    """Which partitions no other component has moved within its own min_part_hours.

    For components that are rebalanced one after the other and then composed: a partition that
    moved in one region stays where it is in all others until it has arrived.
    """
    assert others
    allowed = np.ones(others[0].partitions, np.bool_)
    for other in others:
        if other.moved_hours_ago is not None:
            passed = max(0, int(now - other.moved_epoch) // HOUR_S)
            hours = np.minimum(other.moved_hours_ago.astype(np.int64) + passed, HOURS_MAX)
            allowed &= hours >= other.min_part_hours
    return allowed


# ---- the document ------------------------------------------------------------------------------


def to_document(composite: Composite) -> dict[str, object]:
    """As `swift-ring-composer show` prints it."""
    return {
        "components": [
            {"id": each.id, "replicas": each.replicas, "version": each.version}
            for each in composite.components
        ],
        "component_builder_files": {each.id: each.file for each in composite.components},
        "version": composite.version,
    }


def encode_composite(composite: Composite, *, saved_path: str) -> bytes:
    """The file's bytes; `saved_path` is where they will be."""
    document = {
        **to_document(composite),
        "saved_path": saved_path,
        "serialization_version": _SERIALIZATION,
    }
    return json.dumps(document, indent=4, sort_keys=True).encode() + b"\n"


def decode_composite(data: bytes) -> Composite:
    """Read Swift's file or ours.  Raises BadBuilder for anything that is not one."""
    try:
        document = json.loads(data)
        _check_serialization(document)
        files = document["component_builder_files"]
        components = tuple(_component(each, files) for each in document["components"])
        return Composite(version=int(document["version"]), components=components)
    except KeyError as error:
        raise BadBuilder(f"not a composite builder: it lacks {error.args[0]}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RingError):
            raise
        raise BadBuilder(f"not a composite builder: {error}") from None


def _check_serialization(document: Mapping[str, object]) -> None:
    if (found := document.get("serialization_version", _SERIALIZATION)) != _SERIALIZATION:
        raise BadBuilder(f"composite builders of version {found} can't be read, only 1")


def _component(found: Mapping[str, object], files: Mapping[str, object]) -> Component:
    number = str(found["id"])
    return Component(
        id=number,
        version=int(str(found["version"])),
        replicas=float(str(found["replicas"])),
        file=str(files[number]),
    )


# ---- what can be wrong -------------------------------------------------------------------------


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise RingError("; ".join(problems))


def _known_files(components: Sequence[Builder], existing: Composite | None) -> list[str]:
    known = {each.id: each.file for each in existing.components} if existing else {}
    return [known.get(each.id, "") for each in components]


def _problems_with_ids(components: Sequence[Builder]) -> list[str]:
    if len(components) < 2:
        return ["a composite ring needs two components or more"]
    problems = [
        f"component {index} has no id: it has to be saved once"
        for index, each in enumerate(components)
        if not each.id
    ]
    for (first, one), (second, other) in combinations(enumerate(components), 2):
        if one.id and one.id == other.id:
            problems.append(f"components {first} and {second} are the same builder, {one.id}")
    return problems


def _changes(before: Sequence[Component], now: Sequence[Component]) -> list[str]:
    """Where these are not the components that there were."""
    problems = []
    for index, (old, new) in enumerate(zip(before, now, strict=False)):
        if old.id != new.id:
            problems.append(f"component {index} was builder {old.id} and is builder {new.id}")
        if old.replicas != new.replicas:
            problems.append(
                f"component {index} had {old.replicas:g} replicas and has {new.replicas:g}"
            )
        if old.id == new.id and new.version < old.version:
            problems.append(
                f"component {index} is older than the composite: "
                f"its version is {new.version}, and was {old.version}"
            )
    if len(before) != len(now):
        problems.append(f"there were {len(before)} components and are {len(now)}")
    return problems


def _misfits(components: Sequence[Builder]) -> list[str]:
    """What keeps these builders from being one ring, whatever there was before."""
    problems = _disagreements(components)
    for index, each in enumerate(components):
        if each.replicas != int(each.replicas):
            problems.append(f"component {index} has {each.replicas:g} replicas: not a whole number")
        if each.devices_changed or not each.rebalanced:
            problems.append(f"component {index} needs a rebalance: it was changed since the last")
    for (first, one), (second, other) in combinations(enumerate(components), 2):
        if regions := {d.region for d in one.each()} & {d.region for d in other.each()}:
            names = ", ".join(map(str, sorted(regions)))
            problems.append(f"components {first} and {second} share region {names}")
        places = {(d.ip, d.port, d.device) for d in one.each()}
        if same := [d for d in other.each() if (d.ip, d.port, d.device) in places]:
            more = f" and {len(same) - 1} more" if len(same) > 1 else ""
            problems.append(f"components {first} and {second} share device {same[0]}{more}")
    if sum(len(each.devices) for each in components) > ID_MAX:
        problems.append(f"there are more than {ID_MAX} devices")
    return problems


def _disagreements(components: Sequence[Builder]) -> list[str]:
    """One power, one state of its increase, and one cluster."""
    problems = []
    powers = {each.power: index for index, each in enumerate(components)}
    if len(powers) > 1:
        found = ", ".join(f"component {index} has {power}" for power, index in powers.items())
        problems.append(f"all components must have one partition power: {found}")
    elif len({each.next_power for each in components}) > 1:
        problems.append("a partition power increase is under way in some components, not in all")
    if len({each.hash_id for each in components if each.hash_id}) > 1:
        problems.append("the components are of clusters with different hash prefixes and suffixes")
    return problems


# ---- the ring ----------------------------------------------------------------------------------


def _ring(components: Sequence[Builder], *, version: int) -> Ring:
    """Ids go on counting where the component before ends, holes and all."""
    devices: list[Device | None] = []
    tables = []
    for each in components:
        assert each.assignment is not None, "checked with the misfits"
        offset = len(devices)
        devices += [None if d is None else replace(d, id=d.id + offset) for d in each.devices]
        tables.append(each.assignment + offset)
    return Ring(
        devices=tuple(devices),
        rows=rows_of(np.concatenate(tables)),
        power=components[0].power,
        next_power=components[0].next_power,
        version=version,
        hash_id=next((each.hash_id for each in components if each.hash_id), ""),
    )
