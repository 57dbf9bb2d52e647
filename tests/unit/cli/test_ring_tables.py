"""Tables align whatever is in them, and figures look the same every time."""

from __future__ import annotations

import pytest

from swiftish.cli.ring_tables import columns, count, duration, figure, percent, printable, short


def test_columns_align() -> None:
    """Figures to the right, words to the left, wide characters counted as two."""
    text = columns(["id", "name", "n"], [["1", "磁盘", "5"], ["10", "sda", "100"]], left="><>")
    assert text == "id  name    n\n 1  磁盘    5\n10  sda   100"


def test_an_empty_column_is_left_out() -> None:
    """Unless there are no rows at all."""
    assert columns(["a", "b", "c"], [["1", "", "3"]], left="<<<") == "a  c\n1  3"
    assert columns(["a", "b"], [], left="<<") == "a  b"


def test_what_moves_the_cursor_is_shown_instead() -> None:
    assert printable("a\tb\x1b[1mé") == "a\\tb\\x1b[1mé"
    assert printable("\u202e") == "\\u202e"
    assert columns(["a"], [["\n"]]) == " a\n\\n"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00"), (-0.001, "0.00"), (-1, "-1.00"), (33.335, "33.34")]
)
def test_figures(value: float, text: str) -> None:
    assert figure(value) == text
    assert percent(value) == f"{text} %"


def test_other_figures() -> None:
    assert [short(each) for each in (3.0, 2.25, 10.0, 100.0)] == ["3", "2.25", "10", "100"]
    assert [count(1, "device"), count(1024, "device")] == ["1 device", "1,024 devices"]
    assert [duration(each) for each in (0, 59, 3600, 360061)] == [
        *("0:00:00", "0:00:59", "1:00:00", "100:01:01"),
    ]
