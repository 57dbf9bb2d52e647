"""Markers: names spread over a ring's partitions, by whose copies one sees how a cluster is.

Which names they are follows from the cluster's hash prefix and suffix, and from how many there are
of which partitions: nothing is listed, and all that is kept is that record.  The record stays true
when a ring gets more partitions later.

Pure.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swiftish.cli.ring_tables import columns, count, percent
from swiftish.domain.hashing import partition_of
from swiftish.domain.names import Target

ACCOUNT = ".dispersion"
NAMES_PER_MARKER_MAX = 1000  # for the last partitions of a whole ring are found by chance


@dataclass(frozen=True, kw_only=True)
class Record:
    """`count` markers, each in a partition of its own of 2**`power`."""

    power: int
    count: int

    def __str__(self) -> str:
        return f"{self.power} {self.count}"

    @classmethod
    def parse(cls, text: str) -> "Record":
        """Raises ValueError."""
        power, number = map(int, text.split())
        if not (0 <= power <= 32 and 0 < number <= 1 << power):
            raise ValueError(text)
        return cls(power=power, count=number)

    @classmethod
    def of(cls, power: int, share: float) -> "Record":
        """So many as are `share` of the partitions, and one at least."""
        return cls(power=power, count=max(1, min(1 << power, round((1 << power) * share))))


def markers(
    record: Record, digest_of: Callable[[Target], bytes], name_of: Callable[[int], Target]
) -> list[Target]:
    """The names: of `name_of(0)`, `name_of(1)` … those that are the first in their partition."""
    found: list[Target] = []
    seen: set[int] = set()
    for number in range(record.count * NAMES_PER_MARKER_MAX):
        if len(found) == record.count:
            break
        target = name_of(number)
        partition = partition_of(digest_of(target), power=record.power)
        if partition not in seen:
            seen.add(partition)
            found.append(target)
    return found


def container_marker(number: int) -> Target:
    return Target(ACCOUNT, f"dispersion_{number}")


def object_marker(policy: int) -> Callable[[int], Target]:
    """Those of a policy are in one container."""
    return lambda number: Target(ACCOUNT, f"objects_{policy}", f"dispersion_{number}")


@dataclass(kw_only=True)
class Findings:
    """What was found of one ring's markers.

    `missing` counts markers by how many of their copies were not found; `lacking` copies by the
    device that should have them, and why it has not.
    """

    ring: str
    markers: int = 0
    expected: int = 0
    found: int = 0
    missing: Counter[int] = field(default_factory=Counter)
    lacking: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, copies: Mapping[str, str]) -> None:
        """One marker: for each device that should have it, "" or why it has not."""
        troubles = [(device, why) for device, why in copies.items() if why]
        self.markers += 1
        self.expected += len(copies)
        self.found += len(copies) - len(troubles)
        self.missing[len(troubles)] += 1
        self.lacking.update(troubles)

    @property
    def is_well(self) -> bool:
        return self.found == self.expected

    def document(self) -> dict[str, Any]:
        return {
            "ring": self.ring,
            "markers": self.markers,
            "copies_expected": self.expected,
            "copies_found": self.found,
            "missing": {str(number): self.missing[number] for number in sorted(self.missing)},
            "lacking": [
                {"device": device, "why": why, "copies": number}
                for (device, why), number in sorted(self.lacking.items())
            ],
        }

    def text(self) -> str:
        share = 100 * self.found / self.expected if self.expected else 100.0
        lines = [
            f"{self.ring}: {self.found:,} of {self.expected:,} copies found ({percent(share)}), "
            f"of {count(self.markers, 'marker')}"
        ]
        lines += [
            f"  {count(self.missing[number], 'marker')} without {count(number, 'copy', 'copies')}"
            for number in sorted(self.missing)
            if number
        ]
        if self.lacking:
            rows: Sequence[tuple[str, ...]] = [
                (device, f"{number:,}", why)
                for (device, why), number in sorted(self.lacking.items())
            ]
            lines += ["", columns(("device", "copies", "why"), rows, left="<><")]
        return "\n".join(lines)
