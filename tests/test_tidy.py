"""Properties of the source itself: the layers, the doors, purity, the limits, the banned words.

Each rule is a generator of complaints over one parsed module, and the last test here shows each of
them an example that it must catch.  When a rule is wrong, change it in the same commit and say why.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "swiftish"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Lowest first.  A package may import only from lines above its own;
# packages on one line are siblings and may not import each other.
LAYERS = (
    ("domain",),
    ("runtime",),
    ("http", "ring", "erasure"),
    ("cluster",),
    ("db",),
    ("account", "container", "object", "proxy"),
    ("cli",),
)
RANK = {package: rank for rank, line in enumerate(LAYERS) for package in line}

# What the ranks allow and the architecture does not.
NEVER = {
    (
        "object",
        "db",
    ): "an object server keeps files; its index comes through runtime/environment.py",
    ("proxy", "db"): "a proxy asks the account and container servers",
}

# Each of these libraries is imported in one place, so it can be replaced in one place.
DOORS = {
    "numpy": ("ring/*.py",),  # docs/decisions/0004-rings-in-numpy.md
    "lmdb": ("runtime/environment.py",),  # docs/decisions/0001-lmdb-door-in-runtime.md
    "pyeclib": ("erasure/codec.py",),
    "uvloop": ("runtime/process.py",),
    "xattr": ("runtime/files.py",),
    "xxhash": ("domain/checksums.py",),
}
# These turn values into bytes and back, and nothing else: any module may use them.
PLAIN_LIBRARIES = {"msgpack", "orjson"}

# Imports that nobody may have, each with what to use instead.
BANNED_IMPORTS = {
    "pickle": "msgpack: unpickling runs whatever the bytes say",
    "shelve": "msgpack: a shelf is made of pickles",
    "marshal": "msgpack",
}

# Calls: what to use instead, and the one module that is the exception.
BANNED_CALLS = {
    "time.time": ("the Clock", "runtime/clock.py"),
    "time.time_ns": ("the Clock", "runtime/clock.py"),
    "datetime.now": ("the Clock", "runtime/clock.py"),
    "datetime.utcnow": ("the Clock", "runtime/clock.py"),
    "asyncio.create_task": ("a TaskGroup, or runtime.tasks.Background", "runtime/tasks.py"),
    "asyncio.ensure_future": ("a TaskGroup, or runtime.tasks.Background", "runtime/tasks.py"),
    "asyncio.gather": ("a TaskGroup", ""),
    "asyncio.wait_for": ("asyncio.timeout", ""),
    "asyncio.to_thread": ("the device's threads, runtime/threads.py", "runtime/threads.py"),
    "os.getxattr": ("runtime.files", "runtime/files.py"),
    "os.setxattr": ("runtime.files", "runtime/files.py"),
    "os.listxattr": ("runtime.files", "runtime/files.py"),
    "os.removexattr": ("runtime.files", "runtime/files.py"),
}

# Where everything may be caught and need not be raised again, and why.
BROAD_EXCEPT = {
    "http/errors.py": "Bugs: an unexpected exception becomes one logged 500",
    "runtime/environment.py": "group commit: what work raises goes to whoever asked for it",
    "runtime/process.py": "a forked process must not unwind into its parent's code",
    "runtime/worker.py": "an exception costs that unit of work, is counted, and backs off",
}

# A module whose docstring says "Pure." decides; it never waits, looks or touches.
IMPURE = {
    *("asyncio", "concurrent", "fcntl", "io", "logging", "mmap", "multiprocessing", "os"),
    *("pathlib", "random", "secrets", "select", "selectors", "shutil", "signal", "socket"),
    *("ssl", "subprocess", "tempfile", "threading", "time", "uuid"),
    *(DOORS.keys() - {"numpy", "xxhash"}),  # these only compute
}

# A name that says nothing invites everything.
DRAWERS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

LINES_PER_FILE_MAX = 600  # aim for 400
LINES_PER_FUNCTION_MAX = 70


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    where: str  # relative to swiftish/, with forward slashes
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.where.split("/")[0] if "/" in self.where else "cli"

    @cached_property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def is_pure(self) -> bool:
        """Promised, or in the layer where there is nothing else, or nothing but constants."""
        if "Pure." in self.docstring or self.package == "domain":
            return True
        values = [getattr(statement, "value", None) for statement in self.tree.body]
        return all(isinstance(value, ast.Constant) for value in values)

    @cached_property
    def imports(self) -> tuple[tuple[int, str, bool], ...]:
        """(line, absolute module, only for type checking), relative imports resolved."""
        here = ("swiftish", *self.where.removesuffix(".py").split("/"))
        for_types = {
            id(node)
            for branch in ast.walk(self.tree)
            if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
            for statement in branch.body
            for node in ast.walk(statement)
        }
        found: list[tuple[int, str, bool]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = here[: -node.level] if node.level else ()
                module = ".".join((*base, *filter(None, [node.module])))
                names = [f"{module}.{name.name}" for name in node.names]
            else:
                continue
            found += ((node.lineno, name, id(node) in for_types) for name in names)
        return tuple(found)


def source_of(module: str) -> Module | None:
    """The file that `swiftish.a.b` or `swiftish.a.b.Name` is in; None while it is not written."""
    parts = module.split(".")
    for stem in (ROOT.joinpath(*parts), ROOT.joinpath(*parts[:-1])):
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return Module(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8"))
    return None


# ---- the rules -------------------------------------------------------------------------------


def shape(module: Module) -> Iterator[tuple[int, str]]:
    """A docstring, a telling name, one screen per function, one idea per file."""
    if not module.docstring:
        yield 1, "module has no docstring"
    for part in module.where.removesuffix(".py").split("/"):
        if part in DRAWERS:
            yield 1, f"{part} is a drawer, not a thing: name what is in it"
    if (count := module.text.count("\n")) > LINES_PER_FILE_MAX:
        yield count, f"file exceeds {LINES_PER_FILE_MAX} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LINES_PER_FUNCTION_MAX:
                yield node.lineno, f"{node.name} is {length} lines long"


def layers(module: Module) -> Iterator[tuple[int, str]]:
    """Imports point down, also those that are only for type checking."""
    mine = module.package
    for line, name, _ in module.imports:
        parts = name.split(".")
        if parts[0] != "swiftish" or len(parts) == 1 or parts[1] not in RANK or parts[1] == mine:
            continue
        theirs = parts[1]
        if RANK[theirs] >= RANK[mine]:
            yield line, f"{mine} may not import {theirs}"
        elif (mine, theirs) in NEVER:
            yield line, f"{mine} may not import {theirs}: {NEVER[mine, theirs]}"


def doors(module: Module) -> Iterator[tuple[int, str]]:
    """Each third-party library has its places; a new one is declared before it is used."""
    for line, name, _ in module.imports:
        top = name.split(".")[0]
        if top in DOORS and not any(fnmatch(module.where, place) for place in DOORS[top]):
            yield line, f"{top} is imported only in {', '.join(DOORS[top])}"
        if top in BANNED_IMPORTS:
            yield line, f"{top} is banned, use {BANNED_IMPORTS[top]}"
        known = {"swiftish", *DOORS, *PLAIN_LIBRARIES} | sys.stdlib_module_names
        if top not in known:
            yield line, f"{top} is no dependency of ours: see docs/decisions/dependencies.md"


def purity(module: Module) -> Iterator[tuple[int, str]]:
    """A pure module imports only what is pure, opens nothing and waits for nothing."""
    if not module.is_pure:
        return
    for line, name, for_types in module.imports:
        top = name.split(".")[0]
        if for_types:
            continue
        if top in IMPURE:
            yield line, f"a pure module may not import {top}"
        if top == "swiftish" and (source := source_of(name)) and not source.is_pure:
            yield line, f"a pure module may not import {name}, which is not"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "input", "print"}:
            yield node.lineno, f"a pure module may not call {ast.unparse(node.func)}"


def calls(module: Module) -> Iterator[tuple[int, str]]:
    """Banned calls, by whichever name they were imported."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "print" and module.package != "cli":
            yield node.lineno, "print( is banned, use a logger; only the command line prints"
        if name.endswith(("loop().create_task", "loop.create_task")):
            name = "asyncio.create_task"
        instead, exception = BANNED_CALLS.get(".".join(name.split(".")[-2:]), ("", ""))
        if instead and module.where != exception:
            yield node.lineno, f"{name}( is banned, use {instead}"
    for line, name, _ in module.imports:
        instead, exception = BANNED_CALLS.get(name, ("", ""))
        if instead and module.where != exception:
            yield line, f"{name} is banned, use {instead}"


def excepts(module: Module) -> Iterator[tuple[int, str]]:
    """Who catches everything either raises it again or is in the table above."""
    if module.where in BROAD_EXCEPT:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else "everything"
        broad = {"everything", "Exception", "BaseException"} & set(caught.strip("()").split(", "))
        last = node.body[-1]
        if broad and not (isinstance(last, ast.Raise) and last.exc is None):
            yield node.lineno, f"except {caught} without raise: name what you expect"


def words(module: Module) -> Iterator[tuple[int, str]]:
    """What may be on a branch and not in the history."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if "FIXME" in line or "XXX" in line:
            yield number, "fix it before it is committed"


RULES = (shape, layers, doors, purity, calls, excepts, words)


def complaints(module: Module) -> list[str]:
    try:
        return [
            f"swiftish/{module.where}:{line}: {text}"
            for rule in RULES
            for line, text in rule(module)
        ]
    except SyntaxError as error:
        return [f"swiftish/{module.where}:{error.lineno}: {error.msg}"]


# ---- the tests -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_tidy(path: Path) -> None:
    """No rule has anything to say about this module."""
    module = Module(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8"))
    assert complaints(module) == []


def test_every_package_has_a_layer() -> None:
    """A new package is put into LAYERS before anything imports it."""
    packages = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/*.py")}
    assert packages <= RANK.keys()


def test_every_exception_is_still_needed() -> None:
    """The tables name only modules of known packages: a door that moved takes its line along."""
    named = {place for places in DOORS.values() for place in places} | BROAD_EXCEPT.keys()
    assert {place.split("/")[0] for place in named} <= RANK.keys()


@pytest.mark.parametrize(
    ("where", "text", "complaint"),
    [
        ("object/x.py", "from swiftish.proxy import app", "object may not import proxy"),
        ("ring/x.py", "from ..cluster import nodes", "ring may not import cluster"),
        ("ring/x.py", "from .. import cluster", "ring may not import cluster"),
        ("http/x.py", "from swiftish.ring import ring", "http may not import ring"),
        ("object/x.py", "from swiftish.db import broker", "object may not import db"),
        ("proxy/a/x.py", "from swiftish.db import broker", "proxy may not import db"),
        ("container/x.py", "import lmdb", "lmdb is imported only in runtime/environment.py"),
        ("http/x.py", "from aiohttp import web", "aiohttp is no dependency of ours"),
        ("db/x.py", "import pickle", "pickle is banned, use msgpack"),
        ("db/x.py", "import numpy", "numpy is imported only in ring/*.py"),
        ("db/x.py", "import pandas", "pandas is no dependency of ours"),
        ("object/x.py", "now = time.time()", "use the Clock"),
        ("object/x.py", "now = datetime.datetime.now(UTC)", "use the Clock"),
        ("object/x.py", "from time import time", "use the Clock"),
        ("object/x.py", "asyncio.create_task(f())", "use a TaskGroup"),
        ("object/x.py", "asyncio.get_running_loop().create_task(f())", "use a TaskGroup"),
        ("object/x.py", "os.setxattr(f, b'user.x', b'')", "use runtime.files"),
        ("object/x.py", "print('here')", "only the command line prints"),
        ("object/x.py", "try:\n    f()\nexcept Exception:\n    pass", "without raise"),
        ("object/x.py", "try:\n    f()\nexcept:\n    g()", "except everything without raise"),
        ("object/utils.py", "x = 1", "utils is a drawer"),
        ("cluster/x.py", '"""X.  Pure."""\nimport asyncio', "may not import asyncio"),
        ("cluster/x.py", '"""X.  Pure."""\nopen("/etc/passwd")', "may not call open"),
        ("domain/x.py", "import os", "may not import os"),
        (
            "domain/x.py",
            "from swiftish.runtime.clock import Clock",
            "domain may not import runtime",
        ),
        ("cluster/x.py", '"""P.  Pure."""\nfrom swiftish.runtime import clock', "which is not"),
        ("object/x.py", "def f():\n" + "    g()\n" * 70, "f is 71 lines long"),
        ("object/x.py", "x = 1\n" * 700, "file exceeds 600 lines"),
        ("object/x.py", "x = 1  # FIXME", "before it is committed"),
        ("object/x.py", "def", "invalid syntax"),
    ],
)
def test_the_rules_bite(where: str, text: str, complaint: str) -> None:
    """Each rule catches what it is for."""
    documented = text if text.startswith('"""') else f'"""X."""\n{text}'
    found = complaints(Module(where, documented))
    assert any(complaint in each for each in found), found


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("object/x.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
        ("cli/x.py", "print('ready')\nfrom swiftish.proxy import app"),
        ("runtime/clock.py", "import time\nnow = time.time()"),
        ("account/x.py", "from swiftish.db import broker"),
        ("object/x.py", "async with asyncio.TaskGroup() as group:\n    group.create_task(f())"),
        ("proxy/x.py", '"""X.  Pure."""\nfrom swiftish import __version__'),
        ("domain/x.py", "import msgpack\nfrom datetime import datetime"),
    ],
)
def test_the_rules_let_pass(where: str, text: str) -> None:
    """And nothing else."""
    documented = text if text.startswith('"""') else f'"""X."""\n{text}'
    assert complaints(Module(where, f"{documented}\n")) == []


def test_no_docstring_is_a_complaint() -> None:
    """Every module says what it is for."""
    assert complaints(Module("object/x.py", "x = 1\n")) == [
        "swiftish/object/x.py:1: module has no docstring"
    ]
