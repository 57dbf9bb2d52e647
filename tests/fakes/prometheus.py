"""A strict reader of the text that Prometheus scrapes (version 0.0.4 of the format).

Whatever Prometheus itself would refuse, or take for something else than was meant, is a BadText:
a sample without its type, a type twice, a value that is none, buckets that fall.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

Labels = frozenset[tuple[str, str]]

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_COMMENT = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.*)")
_SAMPLE = re.compile(rf"({_NAME})(?:{{(.*)}})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class BadText(AssertionError):
    """Prometheus would not have it."""


@dataclass
class Family:
    kind: str
    about: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)


def parse(text: str) -> dict[str, Family]:
    """All families by name."""
    if text and not text.endswith("\n"):
        raise BadText("the last line has no end")
    families: dict[str, Family] = {}
    about: dict[str, str] = {}
    current = ""
    for line in text.split("\n")[:-1]:
        if comment := _COMMENT.fullmatch(line):
            what, name, rest = comment.groups()
            if what == "HELP":
                about[name] = rest
                continue
            if name in families or name not in about:
                raise BadText(f"{name} has a type already, or no help")
            if rest not in ("counter", "gauge", "histogram"):
                raise BadText(f"{rest} is no type")
            families[name] = Family(rest, about[name])
            current = name
        elif sample := _SAMPLE.fullmatch(line):
            name, labels, value = sample.groups()
            _add(families.get(current), current, name, _labels(labels or ""), float(value))
        else:
            raise BadText(f"not a line: {line!r}")
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def value(text: str, name: str, **labels: str) -> float:
    """One sample's value; 0 when there is none."""
    family = parse(text).get(name)
    return family.samples.get((name, frozenset(labels.items())), 0.0) if family else 0.0


def total(text: str, name: str, **labels: str) -> float:
    """The sum of all samples that have at least these labels."""
    family = parse(text).get(name)
    wanted = set(labels.items())
    samples = family.samples.items() if family else ()
    return sum(number for (_, found), number in samples if wanted <= found)


def _add(family: Family | None, current: str, name: str, labels: Labels, value: float) -> None:
    if family is None:
        raise BadText(f"{name} comes before its type")
    parts = {current}
    if family.kind == "histogram":
        parts = {f"{current}_bucket", f"{current}_sum", f"{current}_count"}
    if name not in parts:
        raise BadText(f"{name} stands below {current}")
    if (name, labels) in family.samples:
        raise BadText(f"{name}{set(labels)} is there twice")
    family.samples[name, labels] = value


def _labels(text: str) -> Labels:
    found = list(_pairs(text))
    if len({name for name, _ in found}) != len(found):
        raise BadText(f"a label twice: {text!r}")
    return frozenset(found)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise BadText(f"not a label: {text[position:]!r}")
        yield match[1], re.sub(r"\\.", lambda escape: _ESCAPES[escape[0]], match[2])
        position = match.end()
        if position < len(text):
            if text[position] != ",":
                raise BadText(f"no comma: {text[position:]!r}")
            position += 1


def _check_histogram(name: str, family: Family) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (part, labels), number in family.samples.items():
        if part == f"{name}_bucket":
            bound = dict(labels)["le"]
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((float(bound), number))
    for labels, buckets in series.items():
        counts = [number for _, number in sorted(buckets)]
        if counts != sorted(counts):
            raise BadText(f"the buckets of {name}{set(labels)} fall")
        if max(buckets)[0] != float("inf"):
            raise BadText(f"{name}{set(labels)} has no last bucket")
        if counts[-1] != family.samples[f"{name}_count", labels]:
            raise BadText(f"{name}{set(labels)} counts twice")
