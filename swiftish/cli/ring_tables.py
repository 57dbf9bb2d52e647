"""Tables and figures as people read them: aligned whatever the characters, and always the same.

Pure.
"""

from collections.abc import Iterable, Sequence

from swiftish.ring import spans

GAP = "  "


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: str = "") -> str:
    """Lines of columns under their heads; to the left are those in `left` (a letter of each
    column: `>` or `<`), to the right the others.  A column that is empty everywhere is left out.
    """
    body = [[printable(cell) for cell in row] for row in rows]
    sides = left.ljust(len(head), ">")
    shown = [n for n in range(len(head)) if any(row[n] for row in body)] or list(range(len(head)))
    widths = {n: max(map(spans.columns, [head[n], *(row[n] for row in body)])) for n in shown}
    lines = []
    for row in (list(head), *body):
        cells = []
        for n in shown:
            pad = spans.left if sides[n] == "<" else spans.right
            cells.append(pad(row[n], widths[n]))
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines)


def printable(text: str) -> str:
    """What would move the cursor, or worse, is written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of text in lines."""
    return "\n".join(map(printable, text.split("\n")))


def figure(value: float, digits: int = 2) -> str:
    """Never -0.00."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def short(value: float) -> str:
    """A number with no more digits than it has: 3, 2.25."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def percent(value: float) -> str:
    return f"{figure(value)} %"


def count(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def duration(seconds: int) -> str:
    """As a clock shows it: 1:05:00."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
