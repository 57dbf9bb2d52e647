"""Nearness: which regions and zones to read from and to write to first (reference 2.2, 9).

Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from swiftish.ring.device import Device

_Where = tuple[int, int | None]  # a region, and one of its zones or all of them

_PLACE = re.compile(r"r([0-9]{1,9})(?:z([0-9]{1,9}))?")
_ELSEWHERE = float("inf")


class BadAffinity(ValueError):
    """The text names no places; the message is a sentence that quotes it."""


@dataclass(frozen=True, slots=True)
class ReadAffinity:
    """How far away regions and zones are; what is not named is farthest.  Empty: all alike."""

    distances: Mapping[_Where, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "ReadAffinity":
        """Read `r1z1=100, r1=200`.  Raises BadAffinity."""
        distances: dict[_Where, int] = {}
        for part in _parts(text):
            place, equals, number = part.partition("=")
            digits = number.strip()
            if not equals or not (digits.isascii() and digits.isdigit()):
                raise BadAffinity(f"{part!r} is not a place and a number, such as r1z1=100.")
            distances[_where(place.strip())] = int(digits)
        return cls(distances)

    def distance(self, device: Device) -> float:
        """The zone's number, else the region's; the lower the nearer."""
        found = self.distances.get((device.region, device.zone))
        if found is None:
            found = self.distances.get((device.region, None))
        return _ELSEWHERE if found is None else found

    def __bool__(self) -> bool:
        return bool(self.distances)


@dataclass(frozen=True, slots=True)
class WriteAffinity:
    """Which devices are local.  Empty: none is, and nothing is preferred."""

    places: frozenset[_Where] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "WriteAffinity":
        """Read `r1, r2z1`.  Raises BadAffinity."""
        return cls(frozenset(_where(part) for part in _parts(text)))

    def is_local(self, device: Device) -> bool:
        places = self.places
        return (device.region, None) in places or (device.region, device.zone) in places

    def __bool__(self) -> bool:
        return bool(self.places)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _where(text: str) -> _Where:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise BadAffinity(f"{text!r} is no place: name a region, r1, or one of its zones, r1z2.")
    region, zone = found.groups()
    return int(region), None if zone is None else int(zone)
