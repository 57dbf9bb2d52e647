"""The skyline of a ring, for its SVG image: a column for each device, in the order of the racks.

A column is as high as the device's partitions; a line across it is where its weight says it should
end.  Small differences don't show there, so each has its balance below, on a scale of its own.
Many devices are drawn in strips below each other, which break between zones where they can.

Pure.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from swiftish.ring.markup import Markup, tag
from swiftish.ring.overview import Disk, Overview, State, name_of
from swiftish.ring.paper import (
    ALARM,
    FAINT,
    HELD,
    INK,
    LINE,
    MUTED,
    PALE,
    WARN,
    Card,
    fitted,
    rect,
    text,
    text_width,
)
from swiftish.ring.words import counted, number

DEVICES_PER_STRIP_MAX = 100
_BREAK_FROM = 0.6  # a strip ends at the end of a zone (or host) when it is that full
_HOST_GAP, _ZONE_GAP, _REGION_GAP = 0.5, 1.2, 2.2  # in widths of a column
_COLUMN_WIDTH_MAX = 84.0
_AXIS_WIDTH, _INSIDE = 84.0, 24.0
_BALANCE_HEIGHT, _LABELS_HEIGHT = 46.0, 80.0
_BALANCE_GAP = 20.0

_COLOURS = {
    State.EVEN: HELD,
    State.OVERFULL: HELD,
    State.UNDERFULL: HELD,
    State.EMPTY: HELD,
    State.DRAINING: WARN,
    State.WEIGHTLESS: WARN,
    State.REMOVED: WARN,
}


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A device at its place: `left` in the widths of a column."""

    disk: Disk
    left: float


@dataclass(frozen=True, kw_only=True)
class _Scales:
    """From numbers to lengths, the same in all strips."""

    column: float  # width
    height: float
    highest: float  # partitions
    worst: float  # percent

    def tall(self, partitions: float) -> float:
        return self.height * partitions / self.highest

    def deep(self, percent: float) -> float:
        return max(-1.0, min(1.0, percent / self.worst)) * _BALANCE_HEIGHT / 2


def skyline_card(overview: Overview, width: float) -> Card:
    """The card with all strips and their legend."""
    strips = [_placed(strip) for strip in _strips(overview.disks)]
    room = width - 2 * _INSIDE - _AXIS_WIDTH
    widest = max((_extent(strip) for strip in strips), default=1.0)
    balances = [abs(d.balance) for d in overview.disks if d.device.weight > 0]
    scales = _Scales(
        column=min(room / widest, _COLUMN_WIDTH_MAX),
        height=170.0 if len(strips) < 3 else 104.0,
        highest=1.06 * max((max(d.held, d.wanted) for d in overview.disks), default=1.0) or 1.0,
        worst=min(max(0.1, *balances), 100.0) if balances else 1.0,
    )
    legend, top = _legend(overview, width)
    parts: list[Markup] = [_hatching(), *legend]
    for strip in strips:
        parts.append(_strip(strip, scales, top, width))
        top += scales.height + _BALANCE_HEIGHT + _LABELS_HEIGHT + 22
    title = "Partitions on each device, and how far off each is"
    return Card(width=width, height=top - 4, parts=parts, title=title)


# ---- where things are --------------------------------------------------------------------------


def _strips(disks: Sequence[Disk]) -> list[Sequence[Disk]]:
    strips = []
    while disks:
        count = math.ceil(len(disks) / DEVICES_PER_STRIP_MAX)
        end = len(disks)
        if count > 1:
            even = math.ceil(end / count * 1.15)  # or a little more, to find the end of a zone
            end = _break(disks, min(DEVICES_PER_STRIP_MAX, even))
        strips.append(disks[:end])
        disks = disks[end:]
    return strips


def _break(disks: Sequence[Disk], most: int) -> int:
    """Where to end a strip of at most so many: after a zone, or after a host, or just there."""
    for depth in (1, 2):
        for end in range(most, int(most * _BREAK_FROM), -1):
            if _tier(disks[end - 1], depth) != _tier(disks[end], depth):
                return end
    return most


def _tier(disk: Disk, depth: int) -> tuple[int | str, ...]:
    return disk.device.tiers[depth]


def _placed(disks: Sequence[Disk]) -> list[_Column]:
    left = 0.0
    columns = [_Column(disk=disks[0], left=left)]
    for before, disk in pairwise(disks):
        gaps = (_REGION_GAP, _ZONE_GAP, _HOST_GAP)
        gap = next(
            (gap for depth, gap in enumerate(gaps) if _tier(before, depth) != _tier(disk, depth)),
            0.0,
        )
        left += 1 + gap
        columns.append(_Column(disk=disk, left=left))
    return columns


def _extent(columns: Sequence[_Column]) -> float:
    return columns[-1].left + 1


# ---- a strip -----------------------------------------------------------------------------------


def _strip(columns: Sequence[_Column], scales: _Scales, top: float, width: float) -> Markup:
    """Axes, columns, balances, and the names of hosts and zones below."""
    right = width - _INSIDE
    start = _INSIDE + _AXIS_WIDTH
    start += (right - start - _extent(columns) * scales.column) / 2 if scales.column > 40 else 0
    ground = top + scales.height
    middle = ground + _BALANCE_GAP + _BALANCE_HEIGHT / 2
    parts = [*_axes(scales, top, right)]
    for column in columns:
        x = start + column.left * scales.column
        parts.append(_column(column.disk, scales, x=x, ground=ground, middle=middle))
    return tag("g", *parts, *_names(columns, scales, start, middle + _BALANCE_HEIGHT / 2))


def _axes(scales: _Scales, top: float, right: float) -> Iterator[Markup]:
    ground, edge = top + scales.height, _INSIDE + _AXIS_WIDTH - 14
    for tick in _ticks(scales.highest, 4 if scales.height > 120 else 3):
        y = ground - scales.tall(tick)
        yield tag("path", d=f"M{edge:g} {y:.2f}H{right:g}", stroke=LINE, stroke_width=1)
        yield text(edge - 8, y + 4, number(tick), size=11, fill=MUTED, anchor="end")
    middle = ground + _BALANCE_GAP + _BALANCE_HEIGHT / 2
    yield tag("path", d=f"M{edge:g} {middle:g}H{right:g}", stroke=FAINT, stroke_width=1)
    for sign, word in ((1, "+"), (-1, "-")):
        y = middle - sign * _BALANCE_HEIGHT / 2 + 4
        label = f"{word}{scales.worst:.{0 if scales.worst >= 10 else 1}f} %"
        yield text(edge - 8, y, label, size=10.5, fill=MUTED, anchor="end")


def _column(disk: Disk, scales: _Scales, *, x: float, ground: float, middle: float) -> Markup:
    wide = scales.column * (0.84 if scales.column > 9 else 0.9)
    x += (scales.column - wide) / 2
    held, wanted, state = scales.tall(disk.held), scales.tall(disk.wanted), disk.state
    round_ = 2 if wide > 6 else None
    parts = [tag("title", _tooltip(disk))]
    if wanted > held:
        parts.append(rect(x, ground - wanted, wide, wanted, fill=PALE, rx=round_))
    if disk.held:
        colour = "url(#leaving)" if disk.draining else _COLOURS[state]
        parts.append(rect(x, ground - held, wide, held, fill=colour, rx=round_))
    if state is State.OVERFULL:
        over = held - wanted
        parts.append(rect(x, ground - held, wide, max(over, 2), fill=ALARM, rx=round_))
    if disk.device.weight > 0:
        y = ground - wanted
        line = INK if state is State.EVEN else ALARM if state is State.OVERFULL else WARN
        parts.append(
            tag("path", d=f"M{x - 1:.2f} {y:.2f}h{wide + 2:.2f}", stroke=line, stroke_width=1.6)
        )
        deep = scales.deep(disk.balance)
        off = ALARM if state is State.OVERFULL else WARN
        colour = HELD if state is State.EVEN else off
        parts.append(rect(x, min(middle, middle - deep), wide, max(abs(deep), 0.6), fill=colour))
    elif not disk.held:
        ends = f"M{x:.2f} {ground:g}h{wide:.2f}"
        parts.append(tag("path", d=ends, stroke=FAINT, stroke_width=1.6))
    if scales.column >= 46:
        y = ground - max(held, wanted) - 7
        parts.append(text(x + wide / 2, y, _value(disk), size=11, fill=MUTED, anchor="middle"))
    return tag("g", *parts)


def _names(
    columns: Sequence[_Column], scales: _Scales, start: float, top: float
) -> Iterator[Markup]:
    """Devices where they have room, then hosts, zones, and regions in brackets."""
    if scales.column >= 24:
        for column in columns:
            x = start + (column.left + 0.5) * scales.column
            name = fitted(column.disk.device.device, scales.column - 2, size=11)
            yield text(x, top + 16, name, size=11, fill=MUTED, anchor="middle")
        top += 18
    for depth, size, weight in ((2, 11.5, None), (1, 12.5, "bold")):
        for tier, group in groupby(columns, key=lambda column: _tier(column.disk, depth)):
            inside = list(group)
            left = start + inside[0].left * scales.column
            right = start + (inside[-1].left + 1) * scales.column
            label = str(tier[-1]) if depth == 2 else name_of(tier)
            parts = [tag("title", f"{name_of(tier)}: {counted(len(inside), 'device')}")]
            bracket = f"M{left + 1:.2f} {top + 4:g}v3H{right - 1:.2f}v-3"
            parts.append(tag("path", d=bracket, fill="none", stroke=FAINT, stroke_width=1))
            room = right - left + (_HOST_GAP if depth == 2 else _ZONE_GAP) * scales.column * 0.8
            if room >= min(text_width(label, size=size), 40):
                name = fitted(label, room, size=size)
                fill = MUTED if depth == 2 else INK
                x = (left + right) / 2
                parts.append(
                    text(x, top + 21, name, size=size, fill=fill, weight=weight, anchor="middle")
                )
            yield tag("g", *parts)
        top += 26


def _ticks(highest: float, most: int) -> list[float]:
    """Round numbers from 0 up."""
    raw = max(highest / most, 1e-9)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw - 1e-12)
    return [step * n for n in range(int(highest / step) + 1)]


# ---- in words ----------------------------------------------------------------------------------


def _tooltip(disk: Disk) -> str:
    device = disk.device
    lines = [
        f"{disk.name}  {device}",
        f"region {device.region}, zone {device.zone}, weight {number(device.weight)}",
        f"{counted(disk.held, 'partition')}, wants {disk.wanted:,.1f}",
        disk.state.value
        if disk.device.weight == 0
        else f"{disk.balance:+.2f} %, {disk.state.value}",
    ]
    return "\n".join([*lines, *filter(None, [device.meta])])


def _value(disk: Disk) -> str:
    if disk.draining:
        return f"{disk.held:,} left"
    return f"{disk.balance:+.1f} %".replace("-0.0", "+0.0") if disk.held else "empty"


def _legend(overview: Overview, width: float) -> tuple[list[Markup], float]:
    """What the colours mean, and where it ends."""
    states = Counter(disk.state for disk in overview.disks)
    entries = [("held", HELD, ""), ("wanted by weight", INK, "line")]
    if states[State.OVERFULL]:
        entries.append((f"too much ({states[State.OVERFULL]:,} overfull)", ALARM, ""))
    missing = [
        f"{states[state]:,} {state.value}"
        for state in (State.UNDERFULL, State.EMPTY)
        if states[state]
    ]
    if missing:
        entries.append((f"missing ({', '.join(missing)})", PALE, ""))
    leaving = [
        f"{states[state]:,} {state.value}"
        for state in (State.DRAINING, State.REMOVED)
        if states[state]
    ]
    if leaving:
        entries.append((f"leaving ({', '.join(leaving)})", "url(#leaving)", ""))
    if states[State.WEIGHTLESS]:
        label = f"{states[State.WEIGHTLESS]:,} {State.WEIGHTLESS.value}"
        entries.append((label, FAINT, "line"))
    parts, left, top = [], _INSIDE, 59.0
    for label, colour, kind in entries:
        if left + 19 + text_width(label, size=12) > width - _INSIDE:
            left, top = _INSIDE, top + 19
        shape = rect(left, top - 6, 12, 12, fill=colour, rx=3)
        if kind:
            shape = tag("path", d=f"M{left:.2f} {top:g}h13", stroke=colour, stroke_width=1.8)
        parts += [shape, text(left + 19, top + 4.5, label, size=12, fill=MUTED)]
        left += 19 + text_width(label, size=12) + 20
    return parts, top + 27


def _hatching() -> Markup:
    stripes = tag("path", d="M-1 1l2 -2M0 6l6 -6M5 7l2 -2", stroke="#ffffff", stroke_width=1.4)
    pattern = tag(
        "pattern",
        rect(0, 0, 6, 6, fill=WARN),
        stripes,
        id="leaving",
        width=6,
        height=6,
        patternUnits="userSpaceOnUse",
    )
    return tag("defs", pattern)
