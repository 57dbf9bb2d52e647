"""An operator at `swiftish ring`, in this process and in a folder of their own."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swiftish.cli.ring import main
from tests.fakes.clock import FakeClock

THREE = (
    "add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sdb 100 "
    "r1z3-10.0.0.3:6200R10.1.0.3:6300/sdc_new 100"
)


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        assert self.err == ""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert found["status"] == self.status
        return found


class Typed(io.StringIO):
    """What somebody types, at a terminal or not."""

    def __init__(self, text: str, *, terminal: bool = False) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@dataclass(kw_only=True)
class Operator:
    folder: Path
    patch: pytest.MonkeyPatch
    clock: FakeClock = field(default_factory=FakeClock)

    def run(self, line: str, *, typed: str = "", terminal: bool = False) -> Answer:
        self.patch.chdir(self.folder)
        self.patch.setattr(sys, "stdin", Typed(typed, terminal=terminal))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(shlex.split(line), prog="ring", clock=self.clock)
        return Answer(status, out.getvalue(), err.getvalue())

    def done(self, *lines: str) -> Answer:
        """All of them end well; the last one's answer."""
        answer = None
        for line in lines:
            answer = self.run(line)
            assert answer.status == 0, (line, answer)
        assert answer is not None
        return answer

    def json(self, line: str) -> dict[str, Any]:
        return self.run(f"{line} --json").document

    def refused(self, line: str, *, typed: str = "") -> str:
        """The one sentence of a command that fails, and has changed no file."""
        before = self.contents()
        answer = self.run(line, typed=typed)
        assert answer.status == 2, (line, answer)
        assert answer.out == ""
        assert self.contents() == before
        sentence = answer.err.strip().splitlines()[-1]
        assert sentence.startswith("ring: ")
        assert "Traceback" not in answer.err
        return sentence.removeprefix("ring: ")

    def contents(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "lock" not in path.name
        }
