"""Log lines as key=value, on standard error."""

import json
import logging
import sys
import time
from typing import Literal, TextIO, TypeAlias

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

# What every record has; what is beyond it came from extra=.
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "is_line",
}


class KeyValueFormatter(logging.Formatter):
    """`time=… level=… logger=… message=…`, then the fields of `extra=`, then an exception.

    A value with a space, a quote, an equals sign or a control character is written as a JSON
    string, so a record is one line, whatever is in it.  A record with `is_line` brings its own
    key=value pairs as its message (http/access_log.py).
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = (-1, "")  # the second that was written last, and how

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second[0]:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        text = f"time={self._second[1]}.{int(record.msecs):03d}Z level={record.levelname.lower()} "
        if record.__dict__.get("is_line"):
            return text + record.getMessage()
        text += f"logger={record.name} message={word(record.getMessage())}"
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                text += f" {key}={word(str(value))}"
        if record.exc_info:
            text += f" exception={word(self.formatException(record.exc_info))}"
        elif record.exc_text:
            text += f" exception={word(record.exc_text)}"
        if record.stack_info:
            text += f" stack={word(record.stack_info)}"
        return text


def word(text: str) -> str:
    """`text` as one word: as it is, or as a JSON string (ASCII only)."""
    plain = text.isascii() and text.isprintable() and not any(c in text for c in ' "=\\')
    return text if plain and text else json.dumps(text)


def configure(level: Level = "info", *, stream: TextIO | None = None) -> None:
    """Send all records of `level` and above to `stream` (standard error).

    Called once per process; called again, it replaces what it did before.
    """
    # Nobody looks at these, and finding them out takes half the time of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, KeyValueFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
