"""What the commands of `swiftish ring` are made of: a line in the table, a job, an outcome.

A command reads files, decides, and says what came of it; it prints nothing.  So the same outcome
becomes text for a person or one JSON document for a program, and no file has been touched when a
command fails before its `save`.

Every message is a sentence.  One about a file begins with its full path: "PATH does not exist",
"PATH can't be read: …", or "PATH: …" for what is in it and what was asked of it.  One about the
command line ends in where its help is.
"""

import argparse
import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from swiftish.ring.builder import Builder
from swiftish.ring.builder_file import (
    BACKUPS,
    backup,
    load_builder,
    locked,
    save_builder,
    save_ring,
)
from swiftish.ring.errors import RingError
from swiftish.ring.format import decode
from swiftish.ring.hash_id import hash_id
from swiftish.ring.ring import Ring
from swiftish.runtime.clock import Clock

OK, WARNING, ERROR = 0, 1, 2  # exit codes, the same as swift-ring-builder's

_BUILDER, _RING = ".builder", ".ring.gz"

# One - and more than an option's letter with a number behind it: `-node5`, not `-z1`.
_LIKE_AN_OPTION = re.compile(r"-[^-](?![0-9]*\Z)")


class BadUsage(RingError):
    """The command line can't be understood; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a command: for people `text` and `warnings`, for programs `document`.

    `drawn` text is for the terminal as it is, with its colours; other text is made printable.
    """

    status: int = OK
    text: str = ""
    drawn: bool = False
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
    """How a command asks and tells while it works, and what the terminal can show.

    What it warns of is said at once, and steps are told only to those who want to know.
    """

    ask: Callable[[str], str]
    tell: Callable[[str], None]
    warn: Callable[[str], None]
    width: int
    colour: bool
    unicode: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command line: the files it names, its options, the time and the person.

    `saved` are the files that it has written so far.
    """

    files: Files
    options: argparse.Namespace
    clock: Clock
    console: Console
    saved: list[Path] = field(default_factory=list)

    def load(self) -> Builder:
        """Raises RingError that names the file."""
        with naming(self.files.builder):
            return load_builder(self.files.builder)

    def save(self, builder: Builder) -> None:
        with self.saving(self.files.builder):
            save_builder(self.files.builder, builder, now=self.clock.now())

    def save_over(self, path: Path, builder: Builder) -> list[str]:
        """Save, also where another builder is: a copy of that one is kept, as the warning says.

        Raises RingError, and the file is as it was: what is no builder is not written over.
        """
        copies = []
        if path.exists():
            with naming(path):
                load_builder(path)
                data, folder = path.read_bytes(), path.parent / BACKUPS
                copies.append(backup(folder, path.name, data, now=self.clock.now()))
        try:
            with self.saving(path):
                save_builder(path, builder, now=self.clock.now())
        except RingError:
            for copy in copies:
                copy.unlink(missing_ok=True)
            raise
        return [f"{path}: replaced; what it was is in {copy}" for copy in copies]

    def load_ring(self) -> Ring:
        with naming(self.files.ring):
            return decode(self.files.ring.read_bytes())

    def save_ring(self, ring: Ring, *, version: int) -> None:
        with self.saving(self.files.ring):
            save_ring(self.files.ring, ring, version=version, now=self.clock.now())

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """No other command changes files of the folder meanwhile.  Raises RingError."""

        def waiting(lock: Path) -> None:
            self.console.warn(f"waiting for {holder_of(lock)}, which holds {lock}")

        with locked(folder, waiting=waiting):
            yield

    @contextlib.contextmanager
    def saving(self, path: Path) -> Iterator[None]:
        """This file is written inside.  Ctrl-C waits until it is, and is known to be."""
        with _uninterrupted():
            with naming(path, "written"):
                yield
            self.saved.append(path)


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


class HelpAsked(Exception):
    """The line asks for help, which is this."""


class Parser(argparse.ArgumentParser):
    """A parser that raises BadUsage or HelpAsked where others print and exit."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Raises BadUsage, which knows that a search may begin like an option."""
        try:
            return self.parse_intermixed_args(words)
        except BadUsage as error:
            before = words[: words.index("--")] if "--" in words else words
            if likely := next(filter(_LIKE_AN_OPTION.match, before), None):
                raise BadUsage(
                    f"{error}; if {likely} is a search and no option, write -- before it"
                ) from None
            raise

    def print_help(self, file: object = None) -> NoReturn:
        raise HelpAsked(self.format_help())

    def error(self, message: str) -> NoReturn:
        raise BadUsage(message)


# ---- what several commands need --------------------------------------------------------------


@contextlib.contextmanager
def naming(path: Path, verb: str = "read") -> Iterator[None]:
    """Whatever is wrong inside is wrong with this file, unless it names another or the usage."""
    try:
        yield
    except FileNotFoundError:
        missing = path if verb == "read" else path.parent
        raise RingError(f"{missing} does not exist") from None
    except OSError as error:
        raise RingError(f"{path} can't be {verb}: {error.strerror or error}") from None
    except MemoryError:
        raise RingError(f"{path}: there is not enough memory for a ring of this size") from None
    except BadUsage:
        raise
    except RingError as error:
        text = str(error)
        raise RingError(text if text.startswith("/") else f"{path}: {text}") from None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C counts only afterwards; where it does nothing it does nothing here."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler:
        yield
        return
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if caught:
        raise KeyboardInterrupt


def holder_of(lock: Path) -> str:
    """Who holds a locked file, as far as the system tells."""
    with contextlib.suppress(OSError, ValueError):
        inode = str(lock.stat().st_ino)
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            _, kind, _, _, process, place, *_ = line.split()
            if kind == "FLOCK" and place.split(":")[-1] == inode:
                return f"process {process}"
    return "another process"


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

    file = Path(path).absolute()
    try:
        with naming(file):
            file.open("rb").close()  # what is wrong with a file is said of each in the same words
        cluster = read_toml(file).get("cluster", {})
    except BadSettings as error:
        raise RingError(str(error)) from None
    values = {}
    for name in ("hash_prefix", "hash_suffix"):
        value = cluster.get(name, "") if isinstance(cluster, dict) else None
        if not isinstance(value, str):
            raise RingError(f"{file}: cluster.{name} must be text in quotes")
        values[name] = value.encode()
    if not any(values.values()):
        raise RingError(f"{file}: it has neither cluster.hash_prefix nor cluster.hash_suffix")
    return HashSettings(prefix=values["hash_prefix"], suffix=values["hash_suffix"])


def check_hash_id(found: str, settings: HashSettings, path: Path) -> str | None:
    """Raises RingError when a ring or builder is of another cluster; a warning if it is of none."""
    if not found:
        return f"{path}: it is not bound to a hash prefix, so it may be another cluster's"
    if found != settings.id:
        raise RingError(f"{path}: it was made for another hash prefix than that of the settings")
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
