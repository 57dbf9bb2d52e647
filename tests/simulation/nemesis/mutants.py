"""Bugs that are put in on purpose, to see that the checker catches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import Any

from swiftish.cluster.nodes import Place
from swiftish.cluster.uploader import Stored, Uploader
from swiftish.object import visit
from swiftish.object.container_update import ContainerUpdates
from swiftish.object.replication_plan import Peer


class _QuorumOfOne(Place):
    @property
    def quorum(self) -> int:
        return 1


@contextmanager
def none() -> Iterator[None]:
    """As it is."""
    yield


@contextmanager
def quorum_of_one() -> Iterator[None]:
    """A PUT of an object is acknowledged as soon as one node has stored it."""
    right = Uploader.upload

    async def upload(self: Uploader, place: Place, *args: Any, **kwargs: Any) -> Stored:  # noqa: ANN401
        given = {field.name: getattr(place, field.name) for field in fields(place)}
        return await right(self, _QuorumOfOne(**given), *args, **kwargs)

    with _instead(Uploader, "upload", upload):
        yield


@contextmanager
def handoff_removed_early() -> Iterator[None]:
    """A handoff is removed though not all primaries have said that they hold it."""

    def given_up(digests: Iterable[str], _: Sequence[Peer]) -> list[str]:
        return list(digests)

    with _instead(visit, "given_up", given_up):
        yield


@contextmanager
def update_dropped() -> Iterator[None]:
    """What a container could not be told is forgotten."""

    async def leave(*_: object) -> None:
        return

    with _instead(ContainerUpdates, "_leave", leave):
        yield


@contextmanager
def _instead(owner: Any, name: str, wrong: object) -> Iterator[None]:  # noqa: ANN401
    right = getattr(owner, name)
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        setattr(owner, name, right)


MUTANTS: dict[str | None, Callable[[], AbstractContextManager[None]]] = {
    None: none,
    "quorum-of-one": quorum_of_one,
    "handoff-removed-early": handoff_removed_early,
    "update-dropped": update_dropped,
}
