"""Names of any length as keys: order, exactness, and no trace of what was deleted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swiftish.db.name_index import META, NameIndex, space_of
from swiftish.runtime.environment import Environment, Reader, Writer

INDEX = NameIndex("names")
SPACE, BEFORE, AFTER = space_of(2), space_of(1, 0xFFFE), space_of(2, 1)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    path: Path = tmp_path_factory.mktemp("names") / "x.mdb"
    environment = Environment(path, names=[META, "names"])
    yield environment
    environment.close()


class Undo(Exception):
    """Leaves the environment as it was."""


class Sorted:
    """The twin: a dict, sorted when asked."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.items = items

    def walk(self, start: bytes, stop: bytes | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        found = [
            item
            for item in sorted(self.items.items())
            if item[0] >= start and (stop is None or item[0] < stop)
        ]
        return found[::-1] if reverse else found


# Around the ends of parts and of LMDB's keys, with long common beginnings.
stems = st.sampled_from([b"a", b"\xc3\xbc", b"\xff", b"\0", b"/"])
lengths = st.sampled_from([1, 2, *range(478, 483), *range(509, 515), 959, 960, 961, 1023, 1024])
long_names = st.builds(
    lambda stem, length, tail: (stem * 1024)[: length - len(tail)] + tail,
    stems,
    lengths,
    st.sampled_from([b"", b"\0", b"\xff", b"a", b"b", b"\xf0\x9f\x98\x80"]),
)
names = (long_names | st.binary(min_size=1, max_size=4)).filter(bool)


@settings(max_examples=200)
@given(
    st.lists(names, max_size=25),
    st.lists(names, max_size=6),
    st.tuples(st.just(b"") | names, st.none() | names),
)
def test_t59_as_a_sorted_list(
    environment: Environment,
    put: list[bytes],
    deleted: list[bytes],
    bounds: tuple[bytes, bytes | None],
) -> None:
    """T59: names of 1 to 1,024 bytes keep their bytes and their order, both ways, from anywhere."""
    twin = Sorted({})

    def work(writer: Writer) -> None:
        for other in (BEFORE, AFTER):
            INDEX.put(writer, other, b"\xff" * 600, b"other")
        for name in put:
            INDEX.put(writer, SPACE, name, name[:5])
            twin.items[name] = name[:5]
        for name in deleted + put[::3]:
            assert INDEX.delete(writer, SPACE, name) == (name in twin.items)
            twin.items.pop(name, None)
        for name in put + deleted:
            assert INDEX.get(writer, SPACE, name) == twin.items.get(name)
        for start, stop in ((b"", None), bounds):
            for reverse in (False, True):
                found = list(INDEX.walk(writer, SPACE, start, stop, reverse=reverse))
                assert found == twin.walk(start, stop, reverse=reverse)
        for name in list(twin.items):
            INDEX.delete(writer, SPACE, name)
        left = list(writer.scan("names", start=SPACE, stop=AFTER))
        assert left == []
        raise Undo

    with pytest.raises(Undo):
        environment.write(work)


def test_short_names_cost_nothing(environment: Environment) -> None:
    """One key for a name of up to 480 bytes, whatever it is."""

    def work(writer: Writer) -> None:
        for length in range(1, 481):
            INDEX.put(writer, SPACE, b"\xff" * length, b"")
        assert len(list(writer.scan("names"))) == 480
        assert list(writer.scan(META)) == []
        raise Undo

    with pytest.raises(Undo):
        environment.write(work)


def test_many_long_names_with_one_beginning(environment: Environment) -> None:
    """A deep folder: finding a page of it does not read the rest."""
    stem = b"x" * 700

    def work(writer: Writer) -> None:
        for number in range(3000):
            INDEX.put(writer, SPACE, b"%b/%06d" % (stem, number), b"")
        walk = INDEX.walk(writer, SPACE, b"%b/%06d" % (stem, 2990))
        assert [name[-4:] for name, _ in walk] == [b"%04d" % n for n in range(2990, 3000)]
        raise Undo

    with pytest.raises(Undo):
        environment.write(work)


def test_a_reader_sees_nothing_of_other_spaces(environment: Environment) -> None:
    """Spaces are neighbours and keep apart."""
    environment.write(lambda writer: INDEX.put(writer, AFTER, b"a" * 500, b"theirs"))

    def found(reader: Reader, space: bytes) -> list[bytes]:
        return [value for _, value in INDEX.walk(reader, space)]

    with environment.read() as reader:
        assert found(reader, SPACE) == []
        assert found(reader, AFTER) == [b"theirs"]
    environment.write(lambda writer: INDEX.delete(writer, AFTER, b"a" * 500))
