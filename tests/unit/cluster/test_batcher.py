"""Many small things to one place, in few requests; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from swiftish.cluster.batcher import Batcher
from swiftish.runtime.tasks import Background
from tests.fakes.loop import simulate

T = TypeVar("T")


class Rig:
    """A place takes a second for a batch, and doubles what it is given."""

    def __init__(self, *, batch_max: int = 100) -> None:
        self.sent: list[tuple[str, list[int]]] = []
        self.breaks: BaseException | None = None
        self.background = Background()
        self.batcher: Batcher[str, int, int] = Batcher(
            self.send, self.background, batch_max=batch_max
        )

    async def send(self, key: str, items: Sequence[int]) -> Sequence[int]:
        self.sent.append((key, list(items)))
        await asyncio.sleep(1)
        if self.breaks is not None:
            raise self.breaks
        return [2 * item for item in items]

    async def put_all(self, *items: int, key: str = "a") -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.batcher.put(key, item)) for item in items]
        return [task.result() for task in tasks]


def run(work: Coroutine[Any, Any, T]) -> T:
    return simulate(work)


def test_the_first_goes_alone_and_the_rest_together() -> None:
    """Nobody waits for company: two seconds for any number."""

    async def main() -> None:
        rig = Rig()
        assert await rig.put_all(1, 2, 3, 4) == [2, 4, 6, 8]
        assert rig.sent == [("a", [1]), ("a", [2, 3, 4])]
        assert asyncio.get_running_loop().time() == 2
        assert await rig.put_all(5) == [10]
        assert rig.sent[2:] == [("a", [5])]
        assert len(rig.background) == 0

    run(main())


def test_places_do_not_wait_for_each_other() -> None:
    """Each has its own queue."""

    async def main() -> None:
        rig = Rig()
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.put_all(1, 2))
            group.create_task(rig.put_all(3, 4, key="b"))
        assert asyncio.get_running_loop().time() == 2

    run(main())


def test_batches_are_bounded() -> None:
    """What is left over comes next, in order."""

    async def main() -> None:
        rig = Rig(batch_max=2)
        await rig.put_all(*range(6))
        assert [items for _, items in rig.sent] == [[0], [1, 2], [3, 4], [5]]

    run(main())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_who_gives_up_holds_up_nobody(number: int) -> None:
    """Whether it was under way, alone or with others, or still waiting."""

    async def main() -> None:
        rig = Rig()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rig.batcher.put("a", item)) for item in range(4)]
            await asyncio.sleep(0.5 if number == 0 else 1.5)
            tasks[number].cancel()
        rest = [task.result() for task in tasks if not task.cancelled()]
        assert rest == [2 * item for item in range(4) if item != number]
        await rig.background.aclose(timeout_s=10)

    run(main())


def test_who_gave_up_before_is_not_sent() -> None:
    """What it wanted to say it has left pending elsewhere."""

    async def main() -> None:
        rig = Rig()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rig.batcher.put("a", item)) for item in range(3)]
            await asyncio.sleep(0.5)
            tasks[1].cancel()
        assert rig.sent == [("a", [0]), ("a", [2])]

    run(main())


def test_all_hear_of_what_went_wrong() -> None:
    """And the next batch goes all the same."""

    async def main() -> None:
        rig = Rig()
        rig.breaks = ConnectionResetError("the node died")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(failing(rig, item)) for item in range(3)]
        assert [task.result() for task in tasks] == ["the node died"] * 3
        rig.breaks = None
        assert await rig.put_all(7) == [14]

    async def failing(rig: Rig, item: int) -> str:
        with pytest.raises(ConnectionResetError) as error:
            await rig.batcher.put("a", item)
        return str(error.value)

    run(main())
