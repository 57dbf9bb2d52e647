"""LMDB commits without their thread, for simulations: each is done at once, where it is asked for.

In virtual time nobody may wait for a thread: the clock would jump, or the loop say that nothing can
happen any more.  What `Environment.commit` promises is kept, but for the sync: one transaction,
visible when it returns, and what the work raises is raised.  Nobody here cuts the power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from swiftish.runtime.environment import Environment, Writer

T = TypeVar("T")


async def _commit(self: Environment, work: Callable[[Writer], T]) -> T:
    return self.write(work)


@contextmanager
def inline_commits() -> Iterator[None]:
    """While this lasts, environments commit where they are asked to, and sync nothing."""
    commit, synced = Environment.commit, Environment.__init__

    def unsynced(self: Environment, path: Path, **options: Any) -> None:  # noqa: ANN401
        synced(self, path, **{**options, "sync": False})

    Environment.commit = _commit  # type: ignore[method-assign]
    Environment.__init__ = unsynced  # type: ignore[method-assign]
    try:
        yield
    finally:
        Environment.commit = commit  # type: ignore[method-assign]
        Environment.__init__ = synced  # type: ignore[method-assign]
