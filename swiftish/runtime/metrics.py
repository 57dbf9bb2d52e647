"""Numbers of what a process does and how it is, as Prometheus knows them.

A family is one metric; each set of values of its labels has a number (or a histogram) of its own,
which whoever counts often keeps: to count is `number.value += 1`, and nothing is locked, for each
process has one event loop.  A snapshot is plain JSON; snapshots of several processes add up.

Rules of the sum: counters and histograms add.  A gauge says itself whether the node's number is
the sum of its processes' (connections that are open) or the largest of them (a device that one of
them has taken out of service).

Pure.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Rule: TypeAlias = Literal["sum", "max"]
# name -> {"kind", "help", "labels", "rule", "bounds", "samples": [[label values], number]}; the
# number of a histogram is {"counts", "sum"}: how many fell into each bucket, the last for the rest.
Snapshot: TypeAlias = dict[str, dict[str, Any]]

# From what memory answers to what a slow client takes.
SECONDS: Sequence[float] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


class Number:
    """A counter or a gauge: one number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def document(self) -> object:
        return self.value


class Histogram:
    """How many values were not greater than each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def document(self) -> object:
        return {"counts": list(self._counts), "sum": self._sum}


N = TypeVar("N", Number, Histogram)


class Family(Generic[N]):
    """One metric.  `of` is the number for these values of its labels; keep it where it matters."""

    def __init__(self, labels: Sequence[str], make: Callable[[], N]) -> None:
        self._labels = len(labels)
        self._make: Callable[[], N] = make
        self._numbers: dict[tuple[str, ...], N] = {}

    def of(self, *values: str) -> N:
        found = self._numbers.get(values)
        if found is None:
            assert len(values) == self._labels, values
            found = self._numbers[values] = self._make()
        return found

    def clear(self) -> None:
        """Forget all of them: for gauges of things that come and go."""
        self._numbers.clear()

    def documents(self) -> list[list[Any]]:
        return [[list(values), number.document()] for values, number in self._numbers.items()]


class Registry:
    """All metrics of a process.  A name means one thing: asked for again, it is the same family."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[dict[str, Any], Family[Any]]] = {}
        self._before: list[Callable[[], None]] = []

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Family[Number]:
        """A number that only grows; by custom its name ends in `_total`."""
        return self._family(name, "counter", about, labels, Number)

    def gauge(
        self, name: str, about: str, labels: Sequence[str] = (), *, rule: Rule = "sum"
    ) -> Family[Number]:
        """A number that goes up and down."""
        return self._family(name, "gauge", about, labels, Number, rule=rule)

    def histogram(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = SECONDS,
    ) -> Family[Histogram]:
        """How a quantity is distributed, by fixed bounds."""
        return self._family(name, "histogram", about, labels, lambda: Histogram(bounds), bounds)

    def before_snapshot(self, ask: Callable[[], None]) -> None:
        """`ask` is called before each snapshot: to take over what is counted elsewhere."""
        self._before.append(ask)

    def snapshot(self) -> Snapshot:
        for ask in self._before:
            ask()
        return {
            name: {**shape, "samples": family.documents()}
            for name, (shape, family) in self._families.items()
        }

    def _family(
        self,
        name: str,
        kind: Kind,
        about: str,
        labels: Sequence[str],
        make: Callable[[], N],
        bounds: Sequence[float] = (),
        rule: Rule = "sum",
    ) -> Family[N]:
        shape = {
            "kind": kind,
            "help": about,
            "labels": list(labels),
            "rule": rule,
            "bounds": list(bounds),
        }
        known, family = self._families.setdefault(name, (shape, Family(labels, make)))
        assert known == shape, f"{name} is something else already"
        return family


def summed(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The snapshot of several processes together.

    All of them are of one version of the program: a name has the same shape in each.
    """
    total: Snapshot = {}
    numbers: dict[str, dict[tuple[str, ...], Any]] = {}
    for snapshot in snapshots:
        for name, family in snapshot.items():
            shape = total.setdefault(name, {**family, "samples": []})
            found = numbers.setdefault(name, {})
            for values, number in family["samples"]:
                key = tuple(values)
                found[key] = _together(shape, found[key], number) if key in found else number
    for name, found in numbers.items():
        total[name]["samples"] = [[list(key), number] for key, number in found.items()]
    return total


def what_lasts(snapshot: Snapshot) -> Snapshot:
    """What still counts of a process that has ended: all but its gauges."""
    return {name: family for name, family in snapshot.items() if family["kind"] != "gauge"}


def samples(snapshot: Snapshot, name: str) -> list[tuple[dict[str, str], float]]:
    """The numbers of a counter or a gauge, each with its labels; none when there is no such."""
    family = snapshot.get(name)
    if family is None:
        return []
    return [(dict(zip(family["labels"], v, strict=True)), n) for v, n in family["samples"]]


def rendered(snapshot: Snapshot) -> str:
    """The text that Prometheus reads (version 0.0.4 of its format), in order of the names."""
    lines: list[str] = []
    for name, family in sorted(snapshot.items()):
        if not family["samples"]:
            continue
        lines.append(f"# HELP {name} {_escaped(family['help'])}")
        lines.append(f"# TYPE {name} {family['kind']}")
        for values, number in sorted(family["samples"], key=lambda sample: sample[0]):
            labels = [
                f'{label}="{_escaped(value, quotes=True)}"'
                for label, value in zip(family["labels"], values, strict=True)
            ]
            if family["kind"] == "histogram":
                lines += _histogram_lines(name, labels, family["bounds"], number)
            else:
                lines.append(f"{name}{_braced(labels)} {_figure(number)}")
    return "".join(f"{line}\n" for line in lines)


def _together(shape: dict[str, Any], one: Any, other: Any) -> Any:  # noqa: ANN401  (either kind)
    if shape["kind"] == "histogram":
        counts = [a + b for a, b in zip(one["counts"], other["counts"], strict=True)]
        return {"counts": counts, "sum": one["sum"] + other["sum"]}
    return max(one, other) if shape["rule"] == "max" else one + other


def _histogram_lines(
    name: str, labels: list[str], bounds: Sequence[float], number: dict[str, Any]
) -> Iterator[str]:
    so_far = 0
    for bound, count in zip((*bounds, math.inf), number["counts"], strict=True):
        so_far += count
        bucket = f'le="{_figure(bound)}"'
        yield f"{name}_bucket{_braced([*labels, bucket])} {so_far}"
    yield f"{name}_sum{_braced(labels)} {_figure(number['sum'])}"
    yield f"{name}_count{_braced(labels)} {so_far}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _figure(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
