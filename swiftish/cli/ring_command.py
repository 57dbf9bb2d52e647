"""What the commands of `swiftish ring` are made of: a line in the table, a job, an outcome.

A command reads files, decides, and says what came of it; it prints nothing.  So the same outcome
becomes text for a person or one JSON document for a program, and no file has been touched when a
command fails before its `save`.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from swiftish.ring.builder import Builder
from swiftish.ring.builder_file import load_builder, save_builder, save_ring
from swiftish.ring.errors import RingError
from swiftish.ring.format import decode
from swiftish.ring.hash_id import hash_id
from swiftish.ring.ring import Ring
from swiftish.runtime.clock import Clock

OK, WARNING, ERROR = 0, 1, 2  # exit codes, the same as swift-ring-builder's

_BUILDER, _RING = ".builder", ".ring.gz"


class BadUsage(RingError):
    """The command line can't be understood; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a command: for people `text` and `warnings`, for programs `document`."""

    status: int = OK
    text: str = ""
    warnings: Sequence[str] = ()
    document: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Argument:
    """One argument as argparse wants it: its names, and the rest by keyword."""

    names: tuple[str, ...]
    rest: Mapping[str, Any]


def argument(*names: str, **rest: Any) -> Argument:  # noqa: ANN401 -- whatever argparse takes
    return Argument(names, rest)


@dataclass(frozen=True, kw_only=True)
class Files:
    """The builder, its ring, and the one of both that was named (or another file)."""

    given: Path
    builder: Path
    ring: Path

    @classmethod
    def of(cls, text: str) -> "Files":
        """Each is found by the name of the other; a name with neither ending is a builder's."""
        given = Path(text).absolute()
        if text.endswith(_RING):
            return cls(given=given, ring=given, builder=Path(f"{given}"[: -len(_RING)] + _BUILDER))
        return cls(given=given, builder=given, ring=Path(f"{given}".removesuffix(_BUILDER) + _RING))


@dataclass(frozen=True, kw_only=True)
class Console:
    """How a command asks and tells while it works, and what the terminal can show."""

    ask: Callable[[str], str]
    tell: Callable[[str], None]
    width: int
    colour: bool
    unicode: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command line: the files it names, its options, the time and the person."""

    files: Files
    options: argparse.Namespace
    clock: Clock
    console: Console

    def load(self) -> Builder:
        """Raises RingError that names the file."""
        with naming(self.files.builder):
            return load_builder(self.files.builder)

    def save(self, builder: Builder) -> None:
        with naming(self.files.builder):
            save_builder(self.files.builder, builder, now=self.clock.now())

    def load_ring(self) -> Ring:
        with naming(self.files.ring):
            return decode(self.files.ring.read_bytes())

    def save_ring(self, ring: Ring, *, version: int) -> None:
        with naming(self.files.ring):
            save_ring(self.files.ring, ring, version=version, now=self.clock.now())


@dataclass(frozen=True, kw_only=True)
class Command:
    """A line of the table.  `writes`: only one such command at a time works in a folder."""

    name: str
    help: str
    run: Callable[[Job], Outcome]
    arguments: Sequence[Argument] = ()
    detail: str = ""
    file: str = "BUILDER"
    writes: bool = False

    def parser(self, prog: str) -> "Parser":
        parser = Parser(
            prog=f"{prog} {self.name}",
            description=f"{self.help}\n\n{self.detail}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="Options may stand anywhere, and the command also after the file.",
        )
        parser.add_argument("file", metavar=self.file)
        for each in self.arguments:
            parser.add_argument(*each.names, **each.rest)
        parser.add_argument("--json", action="store_true", help="answer with one JSON document")
        return parser


class Parser(argparse.ArgumentParser):
    """A parser that raises BadUsage where others print and exit."""

    def error(self, message: str) -> NoReturn:
        raise BadUsage(f"{message}; see {self.prog} --help")


# ---- what several commands need --------------------------------------------------------------


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever is wrong inside is wrong with this file, unless it names another or the usage."""
    try:
        yield
    except OSError as error:
        raise RingError(f"{path}: {_reason(error)}") from None
    except BadUsage:
        raise
    except RingError as error:
        text = str(error)
        raise RingError(text if text.startswith("/") else f"{path}: {text}") from None


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return (error.strerror or str(error)).lower()


def whole(text: str, what: str) -> int:
    """Raises RingError when the text is no whole number."""
    try:
        return int(text)
    except ValueError:
        raise BadUsage(f"{what} must be a whole number, not {text!r}") from None


def number(text: str, what: str) -> float:
    """Raises RingError when the text is no number."""
    try:
        return float(text)
    except ValueError:
        raise BadUsage(f"{what} must be a number, not {text!r}") from None


@dataclass(frozen=True, kw_only=True)
class HashSettings:
    """The secrets that go into every name's hash."""

    prefix: bytes
    suffix: bytes

    @property
    def id(self) -> str:
        return hash_id(self.prefix, self.suffix)


def hash_settings(path: str) -> HashSettings:
    """Those of a node, from `[cluster]` of its settings.  Raises RingError."""
    # Few commands are told of settings: the others start 5 ms sooner.
    from swiftish.runtime.settings import BadSettings, read_toml  # noqa: PLC0415

    try:
        cluster = read_toml(Path(path).absolute()).get("cluster", {})
    except BadSettings as error:
        raise RingError(str(error)) from None
    values = {}
    for name in ("hash_prefix", "hash_suffix"):
        value = cluster.get(name, "") if isinstance(cluster, dict) else None
        if not isinstance(value, str):
            raise RingError(f"{Path(path).absolute()}: cluster.{name} must be text in quotes")
        values[name] = value.encode()
    if not any(values.values()):
        raise RingError(
            f"{Path(path).absolute()}: has neither cluster.hash_prefix nor cluster.hash_suffix"
        )
    return HashSettings(prefix=values["hash_prefix"], suffix=values["hash_suffix"])


def check_hash_id(found: str, settings: HashSettings, path: Path) -> str | None:
    """Raises RingError when a ring or builder is of another cluster; a warning if it is of none."""
    if not found:
        return f"{path} is not bound to a hash prefix: whether it is this cluster's is not known"
    if found != settings.id:
        raise RingError(f"{path}: made for another hash prefix than that of the settings")
    return None


SETTINGS = argument(
    "--settings", metavar="FILE", help="a node's settings (TOML): the hash prefix and suffix"
)
FORMAT_VERSION = argument(
    "--format-version",
    type=int,
    choices=(1, 2),
    default=1,
    help="of the ring file (%(default)s); 2 is needed for device ids from 65535 on",
)
