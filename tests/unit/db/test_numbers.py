"""Numbers of changes: which of them mean the same after an environment was restored."""

import shutil
from pathlib import Path

import pytest

from swiftish.db import numbers, sync_points
from swiftish.db.name_index import META
from swiftish.db.sync_points import KEPT, POINTS, Point
from swiftish.runtime.environment import Environment

TABLES = (META, POINTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.mdb"


class Opened:
    """An environment as a process opens it."""

    def __init__(self, path: Path) -> None:
        self.environment = Environment(path, names=TABLES, sync=False)
        self.environment.write(numbers.begin_life)

    def give(self, count: int) -> Point:
        for _ in range(count):
            self.environment.write(numbers.take)
        with self.environment.read() as reader:
            return sync_points.here(reader, numbers.last(reader))

    def holds(self, point: Point) -> bool:
        with self.environment.read() as reader:
            return sync_points.holds(reader, point, last=numbers.last(reader))

    def close(self) -> None:
        self.environment.close()


def test_numbers_go_on(path: Path) -> None:
    """Each number is given once, also after opening again; what was given before still counts."""
    opened = Opened(path)
    first = opened.give(3)
    assert first.number == 3
    opened.close()
    opened = Opened(path)
    second = opened.give(1)
    assert second.number == 4
    assert second.life != first.life
    assert opened.holds(first)
    assert opened.holds(second)
    assert not opened.holds(Point(5, second.life))  # not given yet
    assert not opened.holds(Point(3, second.life))
    opened.close()


def test_t9_a_restored_snapshot_is_noticed(path: Path, tmp_path: Path) -> None:
    """T9: numbers that the snapshot does not know are not taken for those it gives again, however
    far it has got since; those from before the snapshot still count."""
    opened = Opened(path)
    before = opened.give(5)
    opened.close()
    shutil.copy(path, tmp_path / "snapshot")
    opened = Opened(path)
    lost = opened.give(3)
    opened.close()
    shutil.copy(tmp_path / "snapshot", path)
    opened = Opened(path)
    assert not opened.holds(lost)
    opened.give(10)
    assert not opened.holds(lost)
    assert opened.holds(before)
    opened.close()


def test_a_life_without_numbers_leaves_nothing(path: Path) -> None:
    """Opening again and again does not make the environment grow."""
    found = set()
    for _ in range(5):
        opened = Opened(path)
        with opened.environment.read() as reader:
            assert reader.count(META) == 2
            found.add(numbers.environment_id(reader))
        opened.close()
    (own,) = found
    assert any(own)


def test_numbers_from_before_there_were_lives(path: Path) -> None:
    """They are all of one life, which is none."""
    environment = Environment(path, names=TABLES, sync=False)
    environment.write(lambda writer: numbers.start_at(writer, 2**40))
    environment.write(numbers.begin_life)
    with environment.read() as reader:
        assert sync_points.here(reader, 57) == (57, numbers.NO_LIFE)
        assert numbers.last(reader) == 2**40
    environment.close()


def test_points(path: Path) -> None:
    """The newest of each environment; of those used last, so many."""
    opened = Opened(path)
    ids = [bytes([n]) * 16 for n in range(KEPT + 2)]

    def save(n: int, number: int) -> None:
        opened.environment.write(
            lambda writer: sync_points.save(writer, 1, ids[n], Point(number, b"lifelife"))
        )

    for n in range(KEPT):
        save(n, n)
    save(0, 100)
    save(KEPT, 0)
    with opened.environment.read() as reader:
        assert sync_points.find(reader, 1, ids[0]) == (100, b"lifelife")
        assert sync_points.find(reader, 1, ids[1]) is None  # the one used longest ago
        assert sync_points.find(reader, 1, ids[2]) is not None
        assert sync_points.find(reader, 2, ids[0]) is None
    opened.environment.write(lambda writer: sync_points.forget(writer, 1))
    with opened.environment.read() as reader:
        assert sync_points.find(reader, 1, ids[0]) is None
    opened.close()
