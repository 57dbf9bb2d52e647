"""A ring as a picture for the terminal: a box for each zone, a bar for each device.

A bar is as long as the device's partitions, and all bars have one scale: longer ones have more
weight.  What is missing or too much is drawn in another stroke, also where a difference of some
percent would round away.  Beyond 60 devices there is a bar for each host, and beyond 256 hosts one
for each zone; the devices that are worth a look are then listed by name.

Pure.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swiftish.ring.overview import OFF_PERCENT, Disk, Overview, Place, State
from swiftish.ring.spans import (
    Line,
    Names,
    Span,
    cleaned,
    columns,
    cut,
    left,
    padded,
    rendered,
    right,
    width_of,
    wrapped,
)
from swiftish.ring.strokes import ASCII, STYLE_OF, UNICODE, Strokes
from swiftish.ring.words import counted, histogram, number, range_of, verdicts

WIDTH_MIN = 40
BARS_OF_DEVICES_MAX = 60
BARS_OF_HOSTS_MAX = 256
NOTABLE_MAX = 8  # devices that are named when they have no bar of their own
_BOX_WIDTH_MIN, _BOX_WIDTH_MAX = 37, 78
_GAP = 2  # between boxes
_FIGURES_FROM = 54  # columns in a box, for figures beside the bars
_LONG_BAR = 40


# Whatever is not as it should be, the most urgent first.
_NOTABLE = (
    *(State.OVERFULL, State.REMOVED, State.DRAINING, State.EMPTY, State.UNDERFULL),
    State.WEIGHTLESS,
)


@dataclass(frozen=True, kw_only=True)
class _Bar:
    """A device, or a host or a zone with how many of its devices have which state."""

    label: str
    held: int
    wanted: float
    balance: float
    state: State
    states: tuple[tuple[State, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A title with a note at its right, and rows below: headings and bars."""

    title: str
    note: str
    rows: "tuple[_Bar | str, ...]"


def picture(overview: Overview, *, width: int, colour: bool, unicode: bool = True) -> str:
    """The picture, no line of it wider than `width` (or 40), with a newline at its end."""
    drawing = _Drawing(overview, max(width, WIDTH_MIN), UNICODE if unicode else ASCII)
    blocks = [
        drawing.header(),
        *drawing.boxes(),
        drawing.legend(),
        drawing.notable(),
        drawing.histogram(),
        drawing.verdicts(),
    ]
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [[]] * bool(lines) + block
    return rendered(lines, colour=colour)


class _Drawing:
    def __init__(self, overview: Overview, width: int, strokes: Strokes) -> None:
        self._overview = overview
        self._width = width
        self._strokes = strokes
        self._by_device = len(overview.disks) <= BARS_OF_DEVICES_MAX
        self._names = Names((disk.device.ip for disk in overview.disks), unicode=strokes.unicode)
        self._level = "zone" if len(overview.hosts) > BARS_OF_HOSTS_MAX else "host"

    # ---- the blocks -------------------------------------------------------------------------

    def header(self) -> list[Line]:
        whole, dot = self._overview, self._strokes.dot
        size = f"{counted(whole.partitions, 'partition')} {self._strokes.times} "
        size += f"{number(whole.replicas)} replica{'s' * (whole.replicas != 1)}"
        places = [counted(len(whole.places(name)), name) for name in ("region", "zone", "host")]
        lines = wrapped(
            [(size, "bold"), (counted(len(whole.disks), "device"), "bold")],
            width=self._width,
            gap=" on ",
        )
        facts: list[Span] = [(each, "") for each in places]
        facts += [(f"weight {number(whole.weight)}", ""), (f"version {whole.version}", "")]
        if whole.min_part_hours is not None:
            facts.append((f"min_part_hours {whole.min_part_hours}", ""))
        if whole.overload:
            facts.append((f"overload {100 * whole.overload:.4g} %", ""))
        lines += wrapped(facts, width=self._width, gap=dot)
        state: list[Span] = []
        if whole.dispersion is not None:
            balanced, spread = whole.balance <= OFF_PERCENT, whole.dispersion == 0
            state = [
                (f"balance {whole.balance:.2f} %", "good" if balanced else "warn"),
                (f"dispersion {whole.dispersion:.2f} %", "good" if spread else "bad"),
            ]
        if whole.needs_rebalance:
            state.append(("needs a rebalance", "warn"))
        if whole.next_power is not None:
            state.append((_power(whole), "warn"))
        return lines + wrapped(state, width=self._width, gap=dot)

    def boxes(self) -> list[list[Line]]:
        """A block for each region, with its zones in boxes beside and below each other."""
        whole = self._overview
        groups: list[tuple[Place | None, list[_Box]]]
        if self._by_device or self._level == "host":
            groups = [(region, list(map(self._box, region.inner))) for region in whole.regions]
        else:
            groups = [(None, list(map(self._box, whole.regions)))]
        bars = [row for _, group in groups for box in group for row in box.rows]
        rows = _Rows([bar for bar in bars if isinstance(bar, _Bar)], self._strokes, self._names)
        most = max((len(group) for _, group in groups), default=1)
        across = max(1, min(most, (self._width + _GAP) // (_BOX_WIDTH_MIN + _GAP)))
        across = math.ceil(most / math.ceil(most / across))  # four as 2 and 2, not as 3 and 1
        box_width = min((self._width + _GAP) // across - _GAP, _BOX_WIDTH_MAX)
        blocks = []
        for region, group in groups:
            block: list[Line] = []
            if region is not None and len(groups) > 1:
                block = [self._region(region)]
            for start in range(0, len(group), across):
                block += self._beside(group[start : start + across], rows, box_width)
            blocks.append(block)
        return blocks

    def legend(self) -> list[Line]:
        """The strokes and marks that are in the picture, and how many devices have which."""
        strokes, whole = self._strokes, self._overview
        if not whole.disks:
            return []
        states = Counter(disk.state for disk in whole.disks)
        if states[State.EVEN] == len(whole.disks):
            every = f"{strokes.held} every device holds what its weight asks for"
            return wrapped([(word, "fill") for word in every.split()], width=self._width, gap=" ")
        pieces: list[Span] = [(f"{strokes.held} held", "fill")]
        if states[State.UNDERFULL] or states[State.EMPTY]:
            pieces.append((f"{strokes.missing} missing", "dim"))
        if states[State.OVERFULL]:
            pieces.append((f"{strokes.over} too much", "bad"))
        if any(disk.draining for disk in whole.disks):
            pieces.append((f"{strokes.leaving} leaving", "leaving"))
        pieces += [
            (f"{strokes.marks[state]} {states[state]:,} {state.value}", STYLE_OF[state])
            for state in _NOTABLE
            if states[state]
        ]
        return wrapped(pieces, width=self._width, gap="   ")

    def notable(self) -> list[Line]:
        """Which devices are off, where they have no bar of their own."""
        if self._by_device:
            return []
        off = [disk for disk in self._overview.disks if disk.state is not State.EVEN]
        off.sort(key=lambda disk: (_NOTABLE.index(disk.state), -abs(disk.balance)))
        lines: list[Line] = [[("Worth a look", "bold")]] if off else []
        for disk in off[:NOTABLE_MAX]:
            mark, style = self._strokes.marks[disk.state], STYLE_OF[disk.state]
            value = right(_value(_bar_of(disk, "")), 9)
            start: Line = [(f"{mark} ", style), (left(disk.name, 6), ""), (f" {value}  ", style)]
            room = self._width - width_of(start)
            where = self._clean(str(disk.device))
            lines.append([*start, (self._names.cut(where, room), "")])
        if len(off) > NOTABLE_MAX:
            lines.append([(f"  and {counted(len(off) - NOTABLE_MAX, 'more device')}", "dim")])
        return lines

    def histogram(self) -> list[Line]:
        """How many devices have which balance."""
        bins, strokes = histogram(self._overview), self._strokes
        if not bins:
            return []
        title: Line = [("Balance of the devices", "bold")]
        highest = max(each.count for each in bins)
        labels = [range_of(each, to=strokes.to) for each in bins]
        label_width = max(map(columns, labels))
        figure_width = len(f"{highest:,}")
        room = min(self._width - label_width - figure_width - 2, _LONG_BAR)
        lines = [title]
        for label, each in zip(labels, bins, strict=True):
            off = abs(each.low + each.high) / 2 > OFF_PERCENT
            length = room * each.count / highest
            lines.append(
                [
                    (right(label, label_width) + " ", ""),
                    (strokes.bar(length) if each.count else "", "warn" if off else "fill"),
                    (f" {each.count:,}" if each.count else "", ""),
                ]
            )
        return lines

    def verdicts(self) -> list[Line]:
        """How well the replicas are spread, in words."""
        found = verdicts(self._overview)
        strokes = self._strokes
        lines: list[Line] = [[("Spread of the replicas", "bold")]] if found else []
        mark_width = max(len(strokes.good), len(strokes.bad))
        for verdict in found:
            mark, style = (strokes.good, "good") if verdict.good else (strokes.bad, "bad")
            head = f"{left(mark, mark_width)} {verdict.level + 's':<8} "
            room = self._width - len(head)
            words = self._clean(verdict.text).replace(" %", "\N{NO-BREAK SPACE}%").split(" ")
            pieces = [(self._names.cut(word, room), "") for word in words]
            for index, line in enumerate(wrapped(pieces, width=room, gap=" ")):
                start = (head, style) if index == 0 else (" " * len(head), "")
                whole = "".join(text for text, _ in line).replace("\N{NO-BREAK SPACE}", " ")
                lines.append([start, (whole, "")])
        return lines

    # ---- boxes ------------------------------------------------------------------------------

    def _region(self, region: Place) -> Line:
        strokes = self._strokes
        facts = [f"Region {region.tier[0]}", counted(len(region.disks), "device")]
        text = strokes.dot.join([*facts, _replicas(region)])
        return [(cut(text, self._width, unicode=strokes.unicode), "bold")]

    def _box(self, place: Place) -> _Box:
        rows: tuple[_Bar | str, ...]
        if self._by_device:
            rows = tuple(self._devices(place))
        else:
            rows = tuple(map(self._place, place.inner))
        return _Box(title=place.name, note=_replicas(place), rows=rows)

    def _devices(self, zone: Place) -> "Iterator[_Bar | str]":
        """Bars below the name of their host; hosts of one disk are named on its bar."""
        single = all(len(host.disks) == 1 for host in self._overview.hosts)
        for host in zone.inner:
            if not single:
                yield self._clean(str(host.tier[2]))
            ports = {disk.device.port for disk in host.disks}
            for disk in host.disks:
                place = disk.device.address if len(ports) > 1 else disk.device.ip
                port = f":{disk.device.port}/" if len(ports) > 1 else ""
                label = f"{place}/" if single else f" {disk.name} {port}"
                yield _bar_of(disk, self._clean(label + disk.device.device))

    def _place(self, place: Place) -> _Bar:
        states = Counter(disk.state for disk in place.disks)
        name = place.name if self._level == "zone" else str(place.tier[2])
        return _Bar(
            label=f"{self._clean(name)} {self._strokes.times}{len(place.disks)}",
            held=place.held,
            wanted=place.wanted,
            balance=place.balance,
            state=place.state,
            states=tuple((state, states[state]) for state in _NOTABLE if states[state]),
        )

    def _beside(self, group: Sequence[_Box], rows: "_Rows", width: int) -> list[Line]:
        """Boxes of one height, side by side."""
        height = max(len(box.rows) for box in group)
        drawn = [self._drawn(box, rows, width, height) for box in group]
        lines: list[Line] = []
        for pieces in zip(*drawn, strict=True):
            line: Line = []
            for index, piece in enumerate(pieces):
                line += [(" " * _GAP, "")] * (index > 0) + piece
            lines.append(line)
        return lines

    def _drawn(self, box: _Box, rows: "_Rows", width: int, height: int) -> list[Line]:
        strokes, inside = self._strokes, width - 4
        across, down = strokes.across, (strokes.down, "dim")
        title = cut(box.title, inside // 2, unicode=strokes.unicode)
        note = cut(box.note, inside - columns(title) - 4, unicode=strokes.unicode)
        rule = across * (width - columns(title) - columns(note) - 8)
        lines: list[Line] = [
            [
                (f"{strokes.corners[0]}{across} ", "dim"),
                (title, "bold"),
                (f" {rule} ", "dim"),
                (note, ""),
                (f" {across}{strokes.corners[1]}", "dim"),
            ]
        ]
        content = [*box.rows, *[""] * (height - len(box.rows))]
        for row in content:
            line = (
                [(self._names.cut(row, inside), "")]
                if isinstance(row, str)
                else rows.drawn(row, inside)
            )
            lines.append([down, (" ", ""), *padded(line, inside), (" ", ""), down])
        bottom = strokes.corners[2] + across * (width - 2) + strokes.corners[3]
        return [*lines, [(bottom, "dim")]]

    def _clean(self, text: str) -> str:
        return cleaned(text, unicode=self._strokes.unicode)


class _Rows:
    """Bars in the columns of a box, the same columns in all boxes: label, bar, figures, mark."""

    def __init__(self, bars: Sequence[_Bar], strokes: Strokes, names: Names) -> None:
        self._strokes = strokes
        self._names = names
        self._scale = max((max(bar.held, bar.wanted) for bar in bars), default=0.0) or 1.0
        self._label_width = max((columns(bar.label) for bar in bars), default=0)
        self._value_width = max((columns(_value(bar)) for bar in bars), default=0)
        self._figures_width = max((len(_figures(bar)) for bar in bars), default=0)
        self._marks_width = max((width_of(self._marks(bar)) for bar in bars), default=0)

    def drawn(self, bar: _Bar, width: int) -> Line:
        label_width = min(self._label_width, width * 2 // 5)
        figures = width >= _FIGURES_FROM
        figures_width = self._figures_width + 2 if figures else 0
        marks_width = min(self._marks_width, width // 4)
        room = width - label_width - figures_width - self._value_width - marks_width - 2
        style = STYLE_OF[bar.state]
        label = self._names.cut(bar.label, label_width)
        return [
            (left(label, label_width) + " ", ""),
            *padded(self._bar(bar, room), room),
            (right(_figures(bar), figures_width) if figures else "", "dim"),
            (" " + right(_value(bar), self._value_width), "" if style == "fill" else style),
            *padded(self._marks(bar, marks_width), marks_width),
        ]

    def _marks(self, bar: _Bar, width: int = 99) -> Line:
        """The mark of a device; of many devices as many marks with numbers as there is room."""
        marks = self._strokes.marks
        if not bar.states:
            return [(f" {marks[bar.state]}", STYLE_OF[bar.state])]
        line: Line = []
        for state, count in bar.states:
            mark = (f" {marks[state]}{count:,}", STYLE_OF[state])
            if width_of([*line, mark]) <= width:
                line.append(mark)
        return line

    def _bar(self, bar: _Bar, room: int) -> Line:
        strokes, unit = self._strokes, room / self._scale
        held, wanted = round(bar.held * unit), round(bar.wanted * unit)
        match bar.state:
            case State.OVERFULL:
                over = max(held - wanted, 1)
                kept = max(held, over) - over
                return [(strokes.held * kept, "fill"), (strokes.over * over, "bad")]
            case State.UNDERFULL | State.EMPTY:
                missing = max(wanted - held, int(bar.wanted >= 1))
                kept = max(wanted, missing) - missing
                return [(strokes.held * kept, "fill"), (strokes.missing * missing, "dim")]
            case State.DRAINING | State.REMOVED if bar.held:
                return [(strokes.leaving * max(held, 1), "leaving")]
            case State.EVEN:
                return [(strokes.bar(bar.held * unit), "fill")]
            case _:
                return []


def _bar_of(disk: Disk, label: str) -> _Bar:
    return _Bar(
        label=label,
        held=disk.held,
        wanted=disk.wanted,
        balance=disk.balance,
        state=disk.state,
    )


def _value(bar: _Bar) -> str:
    """The balance, or what else there is to say about a device that should be empty or is."""
    match bar.state:
        case State.WEIGHTLESS | State.EMPTY:
            return "empty"
        case State.DRAINING | State.REMOVED:
            return f"{bar.held:,} left" if bar.held else "empty"
        case _:
            return f"{bar.balance:+.1f} %".replace("-0.0", "+0.0")


def _figures(bar: _Bar) -> str:
    return f"{bar.held:,}/{bar.wanted:,.0f}"


def _replicas(place: Place) -> str:
    """How many replicas of each partition are there; by weight, where that is not the same."""
    held, wanted = f"{place.replicas:.2f}", f"{place.replicas_wanted:.2f}"
    return f"{held} replicas" if held == wanted else f"{held} of {wanted} replicas"


def _power(overview: Overview) -> str:
    if overview.next_power == overview.power:
        return "a partition power increase is to be finished"
    return f"prepared for partition power {overview.next_power}"
