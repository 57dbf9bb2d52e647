"""What there is to say about a ring in words and figures: who is at risk, how balance is spread.

The pictures of a ring show these beside their bars.

Pure.
"""

import math
from dataclasses import dataclass

from swiftish.ring.overview import Crowd, Level, Overview, name_of

CROWDS_MAX = 3  # how many zones are named; an operator needs one to start with
BINS_MAX = 9

_WHERE = {"region": "in", "zone": "in", "host": "on", "device": "on"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How well replicas are spread over the regions, zones, hosts or devices."""

    level: str
    good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """`count` devices have a balance of `low` to `high` percent."""

    low: float
    high: float
    count: int


def verdicts(overview: Overview) -> list[Verdict]:
    """One for each level, the widest first; none before the first rebalance."""
    if overview.dispersion is None:
        return []
    if overview.replicas == 1:
        return [Verdict(level="device", good=True, text="every partition has one replica only")]
    return [
        Verdict(level=level.name, good=not level.at_risk, text=_sentence(level, overview))
        for level in overview.levels
    ]


def histogram(overview: Overview) -> list[Bin]:
    """The balance of the devices that have weight, in bins of a round width around 0."""
    values = [disk.balance for disk in overview.disks if disk.device.weight > 0]
    worst = max(map(abs, values), default=0.0)
    if not values or not overview.held:
        return []
    step = _round_up(2 * worst / (BINS_MAX - 1))
    numbers = [math.floor(value / step + 0.5) for value in values]
    return [
        Bin(
            low=max((each - 0.5) * step, -100.0),
            high=(each + 0.5) * step,
            count=numbers.count(each),
        )
        for each in range(min(numbers), max(numbers) + 1)
    ]


def range_of(each: Bin, *, to: str = "…") -> str:
    """-1.5 … -0.5 %, with as many digits as it takes."""
    ends = (each.low, each.high)
    exact = (all(round(end, n) == round(end, 4) for end in ends) for n in range(3))
    places = next((n for n, fits in enumerate(exact) if fits), 2)
    return f"{each.low:+.{places}f} {to} {each.high:+.{places}f} %"


def counted(number: int, noun: str) -> str:
    """1 zone, 1,024 partitions."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """Never 0 for what is there, never 100 for what is not all."""
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.0f} %" if share in {0, 100} else f"{share:.1f} %"


def number(value: float) -> str:
    """3 for 3.0, 2.5 for 2.5, 1,024 for 1024."""
    text = f"{value:,.2f}"
    return text.rstrip("0").removesuffix(".")


def _sentence(level: Level, overview: Overview) -> str:
    partitions = overview.partitions
    if level.at_risk:
        return _risk(level, partitions)
    where, noun = _WHERE[level.name], level.name
    most = len(level.apart) - 1
    if level.count == 1:
        return f"there is one {noun}, with all {number(overview.replicas)} replicas"
    if level.alone == partitions:
        if overview.replicas != round(overview.replicas):
            return f"every partition has its {most - 1} or {most} replicas {where} as many {noun}s"
        return f"every partition has its {most} replicas {where} {most} {noun}s"
    limit = f"at most {level.allowed_max} of its {number(overview.replicas)} replicas {where} one"
    if level.apart[-1] == partitions:
        return f"every partition is {where} {counted(most, noun)}, {limit}"
    return f"every partition has {limit} {noun}"


def _risk(level: Level, partitions: int) -> str:
    """Who has too much, the worst first."""
    named = [_crowd(crowd, level.name, partitions) for crowd in level.crowds[:CROWDS_MAX]]
    if (more := len(level.crowds) - len(named)) > 0:
        named.append(f"and {more:,} more such {'places' if more > 1 else 'place'}")
    if len(level.crowds) == 1:
        return named[0]
    total = f"{counted(level.at_risk, 'partition')} of {partitions:,}"
    share = percent(level.at_risk, partitions)
    are = "is" if level.at_risk == 1 else "are"
    return f"{total} ({share}) {are} at risk: {', '.join(named)}"


def _crowd(crowd: Crowd, noun: str, partitions: int) -> str:
    have = "has" if crowd.partitions == 1 else "have"
    who = f"{counted(crowd.partitions, 'partition')} ({percent(crowd.partitions, partitions)})"
    place = f"{_WHERE[noun]} {noun} {name_of(crowd.tier)}"
    why = "" if crowd.allowed else ", which is without weight"
    return f"{who} {have} {counted(crowd.replicas, 'replica')} {place}{why}"


def _round_up(value: float) -> float:
    """The next of 0.1, 0.2, 0.5, 1, 2, 5, 10, …"""
    value = max(value, 0.1)
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= value - 1e-9)
