"""`swiftish ring` and tools/ring-builder: one table of commands, one way to run them.

The command comes after the file, as swift-ring-builder has it, or before it; the exit codes are
swift-ring-builder's: 0 done, 1 done but not all is well (or nothing was worth doing), 2 refused or
failed, and then no file has changed.
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
from typing import ClassVar

from swiftish.cli.ring_command import (
    ERROR,
    OK,
    BadUsage,
    Command,
    Console,
    Files,
    Job,
    Outcome,
    naming,
)
from swiftish.cli.ring_tables import printable
from swiftish.ring.builder_file import locked
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
    wants_json = "--json" in arguments
    name = ""
    try:
        name, rest = split(arguments)
        if name:
            outcome = _run(COMMANDS[name], rest, prog=prog, clock=clock or SystemClock())
        else:
            outcome, wants_json = Outcome(text=_help(prog)), False
    except SystemExit as stop:  # argparse, after --help
        return OK if stop.code is None else int(stop.code)
    except RingError as error:
        outcome = _failed(str(error))
    except OSError as error:
        outcome = _failed(f"{error.filename or 'the files'}: {error.strerror or error}")
    except MemoryError:
        outcome = _failed("there is not enough memory for a ring of this size")
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        return _deliver(name, outcome, prog=prog, as_json=wants_json)
    except OSError as error:
        _close_stdout()
        print(f"{prog}: standard output can't be written: {error.strerror}", file=sys.stderr)
        return ERROR


def split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name ("" for help) and everything else, the file first.

    Raises BadUsage when there is a file, and no command that is known.
    """
    words = [n for n, word in enumerate(arguments) if not word.startswith("-")]
    if not words:
        if set(arguments) - _HELP_FLAGS - {"--json"}:
            raise BadUsage("name a builder file first, or a command; --help tells what there is")
        return "", []
    at = _place_of_command(arguments, words)
    if at is None:
        if words[1:] and words[1] == words[0] + 1:
            raise BadUsage(
                f"there is no command {arguments[words[1]]!r}; --help tells what there is"
            )
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


def _run(command: Command, arguments: Sequence[str], *, prog: str, clock: Clock) -> Outcome:
    options = command.parser(prog).parse_intermixed_args(arguments)
    files = Files.of(options.file)
    job = Job(files=files, options=options, clock=clock, console=_console(options))
    with contextlib.ExitStack() as held:
        if command.writes:
            folder = files.builder.parent
            with naming(folder):
                held.enter_context(locked(folder))
        held.enter_context(naming(files.given))
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


def _console(options: object) -> Console:
    told = getattr(options, "debug", False) or sys.stderr.isatty()

    def ask(question: str) -> str:
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not sys.stdin.isatty():
            print(file=sys.stderr)
        return answer

    def tell(step: str) -> None:
        if told:
            print(f"… {step}", file=sys.stderr, flush=True)

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    return Console(
        ask=ask,
        tell=tell,
        width=shutil.get_terminal_size((100, 24)).columns,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        unicode=encoding.startswith("utf"),
    )


def _failed(text: str) -> Outcome:
    return Outcome(status=ERROR, document={"error": text})


def _deliver(name: str, outcome: Outcome, *, prog: str, as_json: bool) -> int:
    if as_json:
        head = {"command": name, "status": outcome.status, "warnings": list(outcome.warnings)}
        _print(json.dumps({**head, **outcome.document}))
        return outcome.status
    if outcome.text:
        _print(outcome.text)
    if "error" in outcome.document:
        print(f"{prog}: {printable(str(outcome.document['error']))}", file=sys.stderr)
    for warning in outcome.warnings:
        print(f"{prog}: warning: {printable(warning)}", file=sys.stderr)
    return outcome.status


def _print(text: str) -> None:
    """To standard output, until whoever reads it has had enough (`| head`)."""
    try:
        print(text.rstrip("\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()


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
            "2 refused or failed, and no file has changed.",
            "",
            f"More about a command: {prog} COMMAND --help",
        ]
    )
