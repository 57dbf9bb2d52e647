"""What the picture of a ring is drawn with: strokes, marks and colours, for Unicode and for ASCII.

Pure.
"""

from dataclasses import dataclass

from swiftish.ring.overview import State


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """Everything that is not a letter or a digit."""

    unicode: bool
    corners: str  # top left, top right, bottom left, bottom right
    across: str
    down: str
    held: str
    over: str
    missing: str
    leaving: str
    eighths: str  # ends of a bar, from an eighth of a column to a whole one
    good: str
    bad: str
    times: str
    dot: str
    to: str
    marks: dict[State, str]

    def bar(self, length: float) -> str:
        """A bar of some columns and eighths of one, never nothing."""
        parts = len(self.eighths)
        whole, rest = divmod(max(round(length * parts), 1), parts)
        return self.held * whole + (self.eighths[rest - 1] if rest else "")


UNICODE = Strokes(
    unicode=True,
    corners="╭╮╰╯",
    across="─",
    down="│",
    held="█",
    over="▓",
    missing="·",
    leaving="▒",
    eighths="▏▎▍▌▋▊▉█",
    good="✓",
    bad="!",
    times="×",  # noqa: RUF001 -- a multiplication sign is meant
    dot=" · ",
    to="…",
    marks={
        State.EVEN: " ",
        State.OVERFULL: "▲",
        State.UNDERFULL: "▼",
        State.EMPTY: "○",
        State.DRAINING: "»",
        State.WEIGHTLESS: "-",
        State.REMOVED: "x",
    },
)
ASCII = Strokes(
    unicode=False,
    corners="++++",
    across="-",
    down="|",
    held="#",
    over="+",
    missing=".",
    leaving="=",
    eighths="#",
    good="ok",
    bad="!!",
    times="x",
    dot=", ",
    to="to",
    marks={
        State.EVEN: " ",
        State.OVERFULL: "^",
        State.UNDERFULL: "v",
        State.EMPTY: "o",
        State.DRAINING: ">",
        State.WEIGHTLESS: "-",
        State.REMOVED: "x",
    },
)

STYLE_OF = {
    State.EVEN: "fill",
    State.OVERFULL: "bad",
    State.UNDERFULL: "warn",
    State.EMPTY: "warn",
    State.DRAINING: "leaving",
    State.WEIGHTLESS: "dim",
    State.REMOVED: "leaving",
}
