"""`swiftish ring` and tools/ring-builder: one table of commands, one way to run them.

The command comes after the file, as swift-ring-builder has it, or before it; the exit codes are
swift-ring-builder's: 0 done, 1 done but not all is well (or nothing was worth doing), 2 refused or
failed, and then no file has changed but those that the error names as saved.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from swiftish.cli.ring_command import (
    ERROR,
    WARNING,
    BadUsage,
    Command,
    Console,
    Files,
    HelpAsked,
    Job,
    Outcome,
    naming,
)
from swiftish.cli.ring_tables import printable, printable_lines
from swiftish.ring.errors import RingError
from swiftish.runtime.clock import Clock, SystemClock

HELP = "make, change and look at rings: the work of swift-ring-builder"
INTERRUPTED = 130  # what shells say of Ctrl-C

# Which commands are in which module of this package.  A module is imported when one of its
# commands runs: together they would take longer to import than most commands take.
MODULES = {
    "ring_show": (
        *("default", "show", "search", "list_parts", "dispersion", "validate", "version"),
    ),
    "ring_builders": (
        *("create", "rebalance", "write_ring", "set_replicas", "set_overload"),
        *("set_min_part_hours", "pretend_min_part_hours_passed"),
        *("prepare_increase_partition_power", "increase_partition_power"),
        *("cancel_increase_partition_power", "finish_increase_partition_power"),
    ),
    "ring_takeover": ("import", "write_builder"),
    "ring_devices": ("add", "set_weight", "set_region", "set_zone", "set_info", "remove"),
    "ring_nodes": ("nodes",),
    "ring_compose": ("compose",),
    "ring_analyze": ("analyze",),
}


class _Commands(Mapping[str, Command]):
    """The commands by name."""

    _module_of: ClassVar = {name: module for module, names in MODULES.items() for name in names}

    def __getitem__(self, name: str) -> Command:
        module = importlib.import_module(f"swiftish.cli.{self._module_of[name]}")
        commands: Sequence[Command] = module.COMMANDS
        return next(command for command in commands if command.name == name)

    def __contains__(self, name: object) -> bool:
        return name in self._module_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_of)

    def __len__(self) -> int:
        return len(self._module_of)


COMMANDS = _Commands()
_DEFAULT = "default"
_HELP_FLAGS = {"-h", "--help"}


def main(arguments: Sequence[str], *, prog: str, clock: Clock | None = None) -> int:
    """Run one command.  Returns its exit code, whatever goes wrong."""
    _stand_in()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    saved: list[Path] = []
    try:
        return _answer(arguments, prog, clock or SystemClock(), saved)
    except KeyboardInterrupt:
        _say("\n" * sys.stderr.isatty() + f"{prog}: interrupted" + printable(_but(saved)))
        return INTERRUPTED


def _answer(arguments: Sequence[str], prog: str, clock: Clock, saved: list[Path]) -> int:
    wants_json = "--json" in arguments
    name = ""
    try:
        name, rest = split(arguments)
        if name:
            job = _job(COMMANDS[name], rest, prog, clock, saved)
            outcome = _run(COMMANDS[name], job)
        else:
            outcome, wants_json = Outcome(text=_help(prog)), False
    except HelpAsked as asked:
        outcome, wants_json = Outcome(text=str(asked)), False
    except BadUsage as error:
        outcome = _failed(f"{error}; see {f'{prog} {name}'.strip()} --help", saved)
    except RingError as error:
        outcome = _failed(str(error), saved)
    except OSError as error:
        outcome = _failed(f"{error.filename or 'the files'}: {error.strerror or error}", saved)
    return _deliver(name, outcome, prog=prog, as_json=wants_json, saved=saved)


def split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name ("" for help) and everything else, the file first.

    Raises BadUsage when there is a file, and no command that is known.
    """
    words = [n for n, word in enumerate(arguments) if not word.startswith("-")]
    if not words:
        if set(arguments) - _HELP_FLAGS - {"--json"}:
            raise BadUsage("name a builder file first, or a command")
        return "", []
    at = _place_of_command(arguments, words)
    if at is None:
        if words[1:] and words[1] == words[0] + 1:
            raise BadUsage(f"there is no command {arguments[words[1]]!r}")
        return _DEFAULT, list(arguments)
    return arguments[at], [*arguments[:at], *arguments[at + 1 :]]


def _place_of_command(arguments: Sequence[str], words: Sequence[int]) -> int | None:
    """After the file as swift-ring-builder has it, else before it, else after early options."""
    for at in (*words[1:2], *words[:1]):
        if arguments[at] in COMMANDS:
            return at
    if arguments[words[0] + 1 : words[0] + 2] and arguments[words[0] + 1].startswith("-"):
        return next((at for at in words[1:] if arguments[at] in COMMANDS), None)
    return None


def _job(
    command: Command, arguments: Sequence[str], prog: str, clock: Clock, saved: list[Path]
) -> Job:
    options = command.parser(prog).parse(arguments)
    console = _console(options, prog)
    files = Files.of(options.file)
    return Job(files=files, options=options, clock=clock, console=console, saved=saved)


def _run(command: Command, job: Job) -> Outcome:
    with contextlib.ExitStack() as held:
        if command.writes:
            held.enter_context(job.locked(job.files.builder.parent))
        held.enter_context(naming(job.files.given))
        return command.run(job)


def _stand_in() -> None:
    """Give who started us without standard streams (`>&-`, some daemons) ones that lead nowhere."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 -- for as long as we live
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


# ---- talking ---------------------------------------------------------------------------------


def _console(options: object, prog: str) -> Console:
    told = getattr(options, "debug", False) or sys.stderr.isatty()

    def ask(question: str) -> str:
        _say(printable_lines(question), end="")
        answer = sys.stdin.readline()
        if not sys.stdin.isatty():
            _say("")
        return answer

    def tell(step: str) -> None:
        if told:
            _say(f"… {step}")

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    return Console(
        ask=ask,
        tell=tell,
        warn=lambda text: _say(f"{prog}: {printable(text)}"),
        width=shutil.get_terminal_size((100, 24)).columns,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        unicode=encoding.startswith("utf"),
    )


def _failed(text: str, saved: Sequence[Path]) -> Outcome:
    return Outcome(status=ERROR, document={"error": text + _but(saved)})


def _but(saved: Sequence[Path]) -> str:
    """What stays of a command that did not end well."""
    return f"; saved all the same: {', '.join(map(str, saved))}" if saved else ""


def _deliver(
    name: str, outcome: Outcome, *, prog: str, as_json: bool, saved: Sequence[Path]
) -> int:
    if as_json:
        head = {"command": name, "status": outcome.status, "warnings": list(outcome.warnings)}
        text = json.dumps({**head, **outcome.document})
    else:
        text = outcome.text if outcome.drawn else printable_lines(outcome.text)
    lost = _print(text) if text else ""
    if not as_json or lost:
        if "error" in outcome.document:
            _say(f"{prog}: {printable(str(outcome.document['error']))}")
        for warning in outcome.warnings:
            _say(f"{prog}: warning: {printable(warning)}")
    if not lost:
        return outcome.status
    _say(f"{prog}: standard output can't be written: {lost}{printable(_but(saved))}")
    return max(outcome.status, WARNING if saved else ERROR)


def _print(text: str) -> str:
    """To standard output, until whoever reads it has had enough (`| head`).

    Returns why it can't be written, or nothing.
    """
    try:
        print(text.rstrip("\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
    except OSError as error:
        _close_stdout()
        return error.strerror or str(error)
    return ""


def _say(text: str, end: str = "\n") -> None:
    """To standard error; when nobody can be told any more, the exit code still tells."""
    with contextlib.suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)


def _close_stdout() -> None:
    """Python would complain at its end of what it could not write."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help(prog: str) -> str:
    wide = max(map(len, COMMANDS)) + 4
    columns = max(shutil.get_terminal_size().columns, 80)
    lines = [
        textwrap.fill(
            command.help,
            columns,
            initial_indent=f"  {command.name}".ljust(wide),
            subsequent_indent=" " * wide,
        )
        for command in COMMANDS.values()
    ]
    return "\n".join(
        [
            f"usage: {prog} FILE [COMMAND] [ARGUMENTS]",
            f"       {prog} COMMAND FILE [ARGUMENTS]",
            "",
            HELP[0].upper() + HELP[1:] + ".",
            "",
            *lines,
            "",
            "FILE is a builder (NAME.builder) or its ring (NAME.ring.gz), which may stand for",
            "each other.  A device is meant by any part of",
            "",
            "  d<id>r<region>z<zone>-<ip>:<port>R<ip>:<port>/<name>_<meta>",
            "",
            "or by options (--zone 1 --device sda).  --json answers with one JSON document.",
            "Exit codes: 0 done; 1 done, but not all is well, or nothing was worth doing;",
            "2 refused or failed, and no file has changed; 130 stopped by Ctrl-C.",
            "",
            f"More about a command: {prog} COMMAND --help",
        ]
    )
