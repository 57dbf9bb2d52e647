"""Log lines: key=value, and one line each."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from swiftish.runtime.logs import configure, word


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the root logger writes to; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    switches = (logging.logThreads, logging.logProcesses, logging.logMultiprocessing)
    stream = io.StringIO()
    configure("info", stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = switches
    logging.getLogger().setLevel(level)


def test_fields(stream: io.StringIO) -> None:
    """Message and extra fields are words; debug is not written at level info."""
    log = logging.getLogger("swiftish.test")
    log.warning("it is %s", "so", extra={"device": "sdb1", "path": "/a b\n", "empty": ""})
    log.debug("not this")
    [line] = stream.getvalue().splitlines()
    time, rest = line.split(" ", 1)
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == (
        'level=warning logger=swiftish.test message="it is so" device=sdb1 path="/a b\\n" empty=""'
    )


def test_an_exception_is_one_line(stream: io.StringIO) -> None:
    """With its traceback."""
    try:
        int("x\ny")
    except ValueError:
        logging.getLogger("swiftish.test").exception("bad")
    [line] = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in line
    assert "Traceback" in line


def test_a_line_of_its_own(stream: io.StringIO) -> None:
    """The access log brings its own pairs."""
    logging.getLogger("swiftish.access").info("a=1 b=2", extra={"is_line": True})
    assert stream.getvalue().endswith("Z level=info a=1 b=2\n")


def test_configuring_again_replaces(stream: io.StringIO) -> None:
    """Nothing is written twice."""
    second = io.StringIO()
    configure("warning", stream=second)
    logging.getLogger("swiftish.test").warning("once")
    logging.getLogger("swiftish.test").info("never")
    assert stream.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_words() -> None:
    """What needs quotes gets them."""
    assert word("plain/%20") == "plain/%20"
    for text in ("a b", 'a"b', "a=b", "a\\b", "a\nb", "\u0e12", "\udcff", ""):
        assert word(text).startswith('"')
        assert word(text).isascii()
