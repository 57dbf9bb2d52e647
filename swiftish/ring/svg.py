"""A ring as an SVG image: one file to look at in a browser, or to put on a page.

Cards below each other on a ground of its own, so that it does not matter how dark the page is:
what every device holds and wants, how even that is, how the replicas are spread in words, and what
share of the partitions has how many replicas in each zone.  A tooltip on everything says more.

Pure.
"""

import math
from collections.abc import Sequence

from swiftish.ring.markup import Markup, tag
from swiftish.ring.overview import OFF_PERCENT, Overview, Place
from swiftish.ring.paper import (
    ALARM,
    CARD_GAP,
    GOOD,
    INK,
    LINE,
    MARGIN,
    MUTED,
    PALE,
    WARN,
    WIDTH,
    Card,
    between,
    fitted,
    ink_on,
    lines_of,
    rect,
    text,
    text_width,
)
from swiftish.ring.skyline import skyline_card
from swiftish.ring.words import (
    Bin,
    Verdict,
    counted,
    histogram,
    number,
    percent,
    range_of,
    verdicts,
)

PLACES_MAX = {"region": 24, "zone": 48, "host": 24}  # rows for each
PLACES_SHOWN = 12  # of more than that; the rest is counted
_GROUND = "#eef1f5"
_FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"
_INSIDE = 24  # from the edge of a card to what is in it
_SHALLOW, _DEEP = (0xB5, 0xD6, 0xF0), (0x1C, 0x52, 0x86)
_RISK_SHALLOW, _RISK_DEEP = (0xF2, 0xA3, 0x8C), (0xB2, 0x30, 0x16)


def svg(overview: Overview) -> str:
    """The image as text, 1200 units wide and as high as it takes."""
    width = WIDTH - 2 * MARGIN
    cards = [[_header(overview, width)], [skyline_card(overview, width)]]
    words, bins = verdicts(overview), histogram(overview)
    if words and bins:
        narrow = 420
        wide = width - narrow - CARD_GAP
        cards.append([_words_card(words, wide), _histogram_card(bins, narrow)])
    elif words:
        cards.append([_words_card(words, width)])
    if words:
        cards.append([_spread_card(overview, width)])
    drawn: list[Markup] = []
    top: float = MARGIN
    for row in cards:
        height = max(card.height for card in row)
        left: float = MARGIN
        for card in row:
            drawn.append(card.drawn(left=left, top=top, height=height))
            left += card.width + CARD_GAP
        top += height + CARD_GAP
    height = top - CARD_GAP + MARGIN
    title = _title(overview)
    return (
        tag(
            "svg",
            tag("title", title),
            tag("desc", " ".join(verdict.text + "." for verdict in words) or "No partitions yet."),
            rect(0, 0, WIDTH, height, fill=_GROUND, rx=14),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {math.ceil(height)}",
            width=WIDTH,
            height=math.ceil(height),
            role="img",
            font_family=_FONTS,
            font_size=13,
            fill=INK,
        )
        + "\n"
    )


# ---- header ------------------------------------------------------------------------------------


def _title(overview: Overview) -> str:
    replicas = f"{number(overview.replicas)} replica{'s' * (overview.replicas != 1)}"
    on = counted(len(overview.disks), "device")
    return f"{counted(overview.partitions, 'partition')} × {replicas} on {on}"  # noqa: RUF001


def _header(overview: Overview, width: float) -> Card:
    places = [counted(len(overview.places(name)), name) for name in ("region", "zone", "host")]
    facts = [*places, f"weight {number(overview.weight)}", f"version {overview.version}"]
    if overview.min_part_hours is not None:
        facts.append(f"min_part_hours {overview.min_part_hours}")
    if overview.overload:
        facts.append(f"overload {100 * overview.overload:.4g} %")
    tiles = _tiles(overview)
    tile_width, gap = 150, 12
    room = width - len(tiles) * (tile_width + gap) - _INSIDE
    parts = [
        text(0, 30, fitted(_title(overview), room, size=25), size=25, weight="bold"),
        text(0, 55, fitted(" · ".join(facts), room, size=14), size=14, fill=MUTED),
    ]
    left = width - len(tiles) * (tile_width + gap) + gap
    for name, value, colour in tiles:
        parts += [
            rect(left, 0, tile_width, 66, fill="#ffffff", rx=10, stroke=LINE),
            rect(left, 0, 5, 66, fill=colour, rx=2.5),
            text(left + 20, 24, name, size=12, fill=MUTED),
            text(left + 20, 51, value, size=21, weight="bold"),
        ]
        left += tile_width + gap
    return Card(width=width, height=70, parts=parts, bare=True)


def _tiles(overview: Overview) -> list[tuple[str, str, str]]:
    tiles = []
    if overview.next_power == overview.power:
        tiles.append(("Partition power", "to finish", WARN))
    elif overview.next_power is not None:
        tiles.append(("Partition power", f"{overview.power} → {overview.next_power}", WARN))
    if overview.needs_rebalance:
        tiles.append(("Rebalance", "needed", WARN))
    if overview.dispersion is not None:
        even = overview.balance <= OFF_PERCENT
        tiles += [
            ("Balance", f"{overview.balance:.2f} %", GOOD if even else WARN),
            ("Dispersion", f"{overview.dispersion:.2f} %", ALARM if overview.dispersion else GOOD),
        ]
    return tiles


# ---- in words, and how even --------------------------------------------------------------------


def _words_card(found: Sequence[Verdict], width: float) -> Card:
    room = width - 2 * _INSIDE - 124
    parts, top = [], 66.0
    for verdict in found:
        lines = lines_of(verdict.text, room, size=13.5)
        parts += [
            _badge(_INSIDE + 9, top - 5, good=verdict.good),
            text(_INSIDE + 30, top, f"{verdict.level}s".capitalize(), size=13.5, weight="bold"),
        ]
        for line in lines:
            parts.append(text(_INSIDE + 124, top, line, size=13.5))
            top += 19
        top += 15
    return Card(width=width, height=top - 6, parts=parts, title="Spread of the replicas")


def _badge(x: float, y: float, *, good: bool) -> Markup:
    """A tick, or an exclamation mark."""
    mark = f"M{x - 4} {y}l3 3.2l5.2 -6" if good else f"M{x} {y - 4.5}v5.2m0 3v.6"
    return tag(
        "g",
        tag("circle", cx=x, cy=y, r=9, fill=GOOD if good else ALARM),
        tag("path", d=mark, fill="none", stroke="#ffffff", stroke_width=2, stroke_linecap="round"),
    )


def _histogram_card(bins: Sequence[Bin], width: float) -> Card:
    left, right, top, bottom = float(_INSIDE), width - _INSIDE, 70.0, 196.0
    highest = max(each.count for each in bins)
    step = min((right - left) / len(bins), 70)
    left += (right - left - step * len(bins)) / 2
    width_of_bin = bins[-1].high - bins[-1].low  # the first may be cut off at -100 %
    middles = [each.high - width_of_bin / 2 for each in bins]
    parts = [tag("path", d=f"M{_INSIDE} {bottom}H{right}", stroke=LINE, stroke_width=1)]
    for index, each in enumerate(bins):
        x, tall = left + index * step, (bottom - top) * each.count / highest
        off = abs(middles[index]) > OFF_PERCENT + 1e-9
        parts.append(
            tag(
                "g",
                tag("title", f"{counted(each.count, 'device')}: {range_of(each)}"),
                rect(x, top, step, bottom - top, fill="#ffffff", opacity=0),
                rect(
                    *(x + step * 0.08, bottom - tall, step * 0.84, tall),
                    fill=WARN if off else between(_SHALLOW, _DEEP, 0.55),
                    rx=2,
                ),
            )
        )
        if each.count:
            label = f"{each.count:,}"
            parts.append(text(x + step / 2, bottom - tall - 6, label, size=11.5, anchor="middle"))
    for index, middle in enumerate(middles):
        if step >= 44 or index % 2 == (len(bins) - 1) % 2:
            label = "0" if abs(middle) < 1e-9 else f"{middle:+.4g}"
            x = left + (index + 0.5) * step
            parts.append(text(x, bottom + 17, label, size=11.5, fill=MUTED, anchor="middle"))
    caption = "percent more or less than the weight asks for"
    parts.append(text(width / 2, bottom + 38, caption, size=11.5, fill=MUTED, anchor="middle"))
    return Card(width=width, height=bottom + 56, parts=parts, title="Balance of the devices")


# ---- replicas in each place --------------------------------------------------------------------


def _spread_card(overview: Overview, width: float) -> Card:
    """A bar for each region, zone and host: the partitions, by their replicas there."""
    title = "Share of the partitions with 0, 1, 2… replicas in each place"
    levels = [
        places
        for name in ("region", "zone", "host")
        if len(places := overview.places(name)) > 1 or name == "zone"
    ]
    every = [place for places in levels for place in places]
    used = sorted({n for place in every for n, count in enumerate(place.counts) if count})
    most = max(used, default=1)
    risky = any(place.at_risk for place in every)
    parts, top = _scale(used, risky=risky, top=62), 88.0
    for places in levels:
        name, shown = places[0].level, places
        if len(places) > PLACES_MAX[name]:
            worst = sorted(places, key=lambda place: (-place.at_risk, -abs(place.balance)))
            shown = tuple(worst[:PLACES_SHOWN])
        parts.append(text(_INSIDE, top + 14, f"{name}s".capitalize(), size=13.5, weight="bold"))
        top += 24
        for place in shown:
            parts.append(_place_row(place, overview.partitions, most, top, width))
            top += 24
        if more := len(places) - len(shown):
            rest = f"and {counted(more, f'more {name}')}, which are no worse"
            parts.append(text(_INSIDE, top + 14, rest, size=12, fill=MUTED))
            top += 24
        top += 12
    return Card(width=width, height=top + 8, parts=parts, title=title)


def _scale(used: Sequence[int], *, risky: bool, top: float) -> list[Markup]:
    """What the colours mean."""
    parts, left = [], float(_INSIDE)
    shown = used if len(used) <= 10 else [used[0], used[len(used) // 2], used[-1]]
    entries = [(counted(n, "replica"), _shade(n, used[-1])) for n in shown]
    if risky:
        entries.append(("more than need be", between(_RISK_SHALLOW, _RISK_DEEP, 0.5)))
    for label, colour in entries:
        parts += [
            rect(left, top - 9, 12, 12, fill=colour, rx=3),
            text(left + 18, top + 1.5, label, size=12, fill=MUTED),
        ]
        left += 18 + text_width(label, size=12) + 22
    return parts


def _place_row(place: Place, partitions: int, most: int, top: float, width: float) -> Markup:
    left, right = _INSIDE + 190.0, width - _INSIDE - 190.0
    name = fitted(place.name, 176, size=12.5)
    held, wanted = f"{place.replicas:.2f}", f"{place.replicas_wanted:.2f}"
    note = f"{held} replicas" if held == wanted else f"{held} of {wanted} replicas"
    bars, x = [], left
    for replicas, count in enumerate(place.counts):
        wide = (right - left) * count / partitions
        if not count:
            continue
        if replicas > place.allowed:
            colour = _risk(replicas - place.allowed, most - place.allowed)
        else:
            colour = _shade(replicas, most)
        share = percent(count, partitions)
        says = f"{place.name}: {counted(count, 'partition')} with {counted(replicas, 'replica')}"
        bar = [tag("title", says), rect(x, top, max(wide, 0.8), 18, fill=colour)]
        full = f"{counted(replicas, 'replica')}: {share}"
        label = next((t for t in (full, share) if text_width(t, size=11) + 14 < wide), "")
        if label:
            bar.append(text(x + 7, top + 13, label, size=11, fill=ink_on(colour)))
        bars.append(tag("g", *bar))
        x += wide
    return tag(
        "g",
        text(_INSIDE, top + 13.5, name, size=12.5),
        *bars,
        text(right + 14, top + 13.5, note, size=12, fill=MUTED),
    )


def _shade(replicas: int, most: int) -> str:
    """From pale for one replica to deep for all of them."""
    if not replicas:
        return PALE
    return between(_SHALLOW, _DEEP, (replicas - 1) / max(most - 1, 1))


def _risk(beyond: int, most: int) -> str:
    return between(_RISK_SHALLOW, _RISK_DEEP, beyond / max(most, 1))
