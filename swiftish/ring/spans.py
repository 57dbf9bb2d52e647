"""Coloured text of a known width, for terminals: cut, padded, wrapped and at last made a string.

A line is a list of spans, (text, style).  Widths are counted in columns: a Chinese character takes
two, an accent none.  What comes from outside is `cleaned`: a device called "\\x1b[2J" must not
clear the screen of whoever looks at the ring.

Pure.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

Span = tuple[str, str]
Line = list[Span]

# A word of a name with the mark before it: node-12.rack is node, -12 and .rack.
_WORD = re.compile(r"[-._:]?[^-._:]+|[-._:]")

# Plain colours of 1979, which every terminal has and every theme makes readable.
STYLES = {
    "": "",
    "bold": "1",
    "dim": "2",
    "fill": "36",
    "good": "32",
    "bad": "31",
    "warn": "33",
    "leaving": "35",
}


def columns(text: str) -> int:
    """How many columns a terminal gives to the text."""
    return sum(map(_columns, text))


def width_of(line: Line) -> int:
    return sum(columns(text) for text, _ in line)


def cleaned(text: str, *, unicode: bool) -> str:
    """Without what controls a terminal, and without what an ASCII terminal can't show."""
    return "".join(
        each if each.isprintable() and (unicode or each.isascii()) else "?" for each in text
    )


def cut(text: str, width: int, *, unicode: bool) -> str:
    """At most so wide, with a sign where the middle is gone: names differ at their ends."""
    if columns(text) <= width:
        return text
    if width < 1:
        return ""
    head = _start(text, (width - 1) // 3)
    tail = _start(reversed(text), width - 1 - columns(head))
    return head + ("…" if unicode else "~") + tail[::-1]


class Names:
    """Names of hosts, which are cut first where they are alike, to be told from each other."""

    def __init__(self, names: Iterable[str], *, unicode: bool) -> None:
        self._unicode, mark = unicode, "…" if unicode else "~"
        found = sorted(set(names), key=len, reverse=True)
        words = [_WORD.findall(name) for name in found]
        start, end = _alike(words), _alike([each[::-1] for each in words])
        self._shorter: list[dict[str, str]] = []
        for first in (0, start):
            short = {
                name: mark * bool(first) + name[first : len(name) - end] + mark * bool(end)
                for name in found
            }
            if len(set(short.values())) == len(found) > 1:
                self._shorter.append(short)

    def cut(self, text: str, width: int) -> str:
        """At most so wide; the name in it, if it must be, without how all of them end and begin."""
        kept = text
        for short in self._shorter:
            if columns(kept) > width:
                name = next((name for name in short if name in text), "")
                kept = text.replace(name, short[name]) if name else text
        return cut(kept, width, unicode=self._unicode)


def left(text: str, width: int) -> str:
    """Padded on the right."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """Padded on the left."""
    return " " * (width - columns(text)) + text


def padded(line: Line, width: int) -> Line:
    return [*line, (" " * (width - width_of(line)), "")]


def wrapped(pieces: Iterable[Span], *, width: int, gap: str, indent: str = "") -> list[Line]:
    """The pieces with a gap between, on as many lines as it takes; later lines are indented."""
    lines: list[Line] = [[]]
    for text, style in pieces:
        line = lines[-1]
        # the indent alone is no reason for a further line
        started = width_of(line) > (columns(indent) if len(lines) > 1 else 0)
        if started and width_of(line) + columns(gap + text) > width:
            lines.append([(indent, "")] if indent else [])
            started = False
        lines[-1] += [(gap, "")] * started + [(text, style)]
    return lines


def rendered(lines: Sequence[Line], *, colour: bool) -> str:
    """The lines as one string that ends with a newline, nothing after the last visible one."""
    return "".join(f"{_rendered(line, colour=colour)}\n" for line in lines)


def _rendered(line: Line, *, colour: bool) -> str:
    if not colour:
        return "".join(text for text, _ in line).rstrip()
    while line and not line[-1][0].strip():
        line = line[:-1]
    return "".join(
        f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style and text else text for text, style in line
    )


def _alike(names: Sequence[Sequence[str]]) -> int:
    """With how many characters all begin, in whole words."""
    count = 0
    for words in zip(*names, strict=False):
        if len(set(words)) > 1:
            break
        count += len(words[0])
    return count


def _start(text: Iterable[str], width: int) -> str:
    """As many characters as have room."""
    kept = ""
    for each in text:
        width -= _columns(each)
        if width < 0:
            break
        kept += each
    return kept


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
