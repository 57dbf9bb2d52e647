"""What the image of a ring is put together from: cards, colours, texts that fit.

Fonts differ, and nobody can be asked how wide a text will be: widths are estimates on the safe
side.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swiftish.ring.markup import Attribute, Markup, tag
from swiftish.ring.spans import columns, cut

WIDTH = 1200
MARGIN = 32
CARD_GAP = 18

INK = "#1d2733"
MUTED = "#5d6b7c"
FAINT = "#9aa6b4"
LINE = "#dde3ea"
PALE = "#e9edf2"
HELD = "#3a7fc0"
GOOD = "#2e9e6b"
WARN = "#e0992b"
ALARM = "#d9482b"

_SLIM = frozenset(" !'(),.:;I[]fijlrt|")  # widths in em of a wide font: DejaVu's
_WIDE = frozenset("%mwMW@")


@dataclass(frozen=True, kw_only=True)
class Card:
    """A white sheet with a title; `parts` are drawn from its upper left corner."""

    width: float
    height: float
    parts: Sequence[Markup]
    title: str = ""
    bare: bool = False

    def drawn(self, *, left: float, top: float, height: float) -> Markup:
        """The card at its place, as high as its neighbours."""
        sheet = []
        if not self.bare:
            sheet = [rect(0, 0, self.width, height, fill="#ffffff", rx=12, stroke=LINE)]
        if self.title:
            sheet.append(text(24, 34, self.title, size=15.5, weight="bold"))
        return tag("g", *sheet, *self.parts, transform=f"translate({left:g} {top:g})")


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float,
    fill: str | None = None,
    weight: str | None = None,
    anchor: str | None = None,
) -> Markup:
    return tag(
        "text", words, x=x, y=y, font_size=size, fill=fill, font_weight=weight, text_anchor=anchor
    )


def rect(x: float, y: float, width: float, height: float, **attributes: Attribute) -> Markup:
    return tag("rect", x=x, y=y, width=width, height=height, **attributes)


def text_width(words: str, *, size: float) -> float:
    return size * sum(map(_width, words))


def fitted(words: str, width: float, *, size: float) -> str:
    """Cut in the middle where it is too wide."""
    kept, room = words, columns(words)
    while room > 0 and text_width(kept, size=size) > width:
        room -= 1
        kept = cut(words, room, unicode=True)
    return kept


def lines_of(words: str, width: float, *, size: float) -> list[str]:
    """The text in lines that fit."""
    lines = [""]
    for word in words.replace(" %", "\N{NO-BREAK SPACE}%").split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size=size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def between(low: tuple[int, int, int], high: tuple[int, int, int], share: float) -> str:
    """The colour between two others."""
    mixed = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{each:02x}" for each in mixed)


def ink_on(ground: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(ground[n : n + 2], 16) for n in (1, 3, 5))
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 145 else "#ffffff"


def _width(character: str) -> float:
    if character in _SLIM:
        return 0.36
    if character in _WIDE or columns(character) == 2:
        return 0.95
    return 0.65 if character.isdigit() or character.isupper() else 0.59 * columns(character)
