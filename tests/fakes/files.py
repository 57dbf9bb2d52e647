"""System calls that are written down, and fail when a test says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any

from swiftish.runtime.files import Files

# What a test may make fail; `close` never does, or descriptors would leak by definition.
CALLS = frozenset(
    {
        *("open", "write", "writev", "pread", "fstat", "fsync", "fdatasync", "listdir", "mkdir"),
        *("rmdir", "unlink", "rename", "hardlink", "link", "statvfs", "getxattr", "setxattr"),
    }
)

Fault = Callable[[str, tuple[Any, ...]], int | None]


def no_fault(_name: str, _arguments: tuple[Any, ...]) -> int | None:
    return None


class FaultyFiles(Files):
    """The real calls, but that `fault` is asked first: the number it returns is raised as errno.

    `calls` are the names of all calls so far, `opened` the descriptors not closed yet
    (without the mark of the process, which stays open).
    """

    def __init__(self, fault: Fault = no_fault) -> None:
        self.fault = fault
        self.calls: list[str] = []
        self.details: list[tuple[str, tuple[Any, ...]]] = []
        self.opened: set[int] = set()
        self._lock = Lock()

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        real = super().__getattribute__(name)
        if name not in CALLS and name != "close":
            return real

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            with self._lock:
                if name == "close":
                    self.opened.discard(arguments[0])
                else:
                    self.calls.append(name)
                    self.details.append((name, arguments))
                    code = self.fault(name, arguments)
                    if code is not None:
                        raise OSError(code, os.strerror(code))
            result = real(*arguments, **options)
            if name == "open" and "/serving/" not in str(arguments[0]):
                with self._lock:
                    self.opened.add(result)
            return result

        return call


def fail_at(index: int, code: int, *, names: frozenset[str] = CALLS) -> Fault:
    """The call number `index` (from 0) of those called `names` fails with errno `code`, once."""
    seen = -1

    def fault(name: str, _arguments: tuple[Any, ...]) -> int | None:
        nonlocal seen
        if name in names:
            seen += 1
            if seen == index:
                return code
        return None

    return fault


def always(code: int, *, names: frozenset[str]) -> Fault:
    """Each call of those called `names` fails with errno `code`."""
    return lambda name, _: code if name in names else None
