"""Containers and rows: totals, tombstones, the log and the marks after any history."""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from swiftish.container import broker
from swiftish.container.broker import Change, Info, RowChange
from swiftish.db import row_table
from swiftish.db.name_index import space_of
from swiftish.domain.limits import Limits
from swiftish.domain.listing import Query
from swiftish.domain.rows import ObjectRow, decode_row, encode_row, merge
from swiftish.domain.timestamp import Timestamp
from swiftish.http.replies import Refusal
from swiftish.runtime.environment import Environment, Writer

DIGEST = b"0123456789abcdef"
OTHER = b"another containe"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(tmp_path / "x.mdb", names=broker.TABLES)
    yield environment
    environment.close()


def at(raw: int) -> Timestamp:
    return Timestamp(raw)


def change(
    raw: int,
    metadata: Mapping[str, str] | None = None,
    *,
    policy_index: int | None = None,
    default: int = 0,
) -> Change:
    return Change(
        account="a",
        container="c",
        timestamp=at(raw),
        metadata={
            f"x-container-meta-{name}": (text, at(raw)) for name, text in (metadata or {}).items()
        },
        policy_index=policy_index,
        policy_index_default=default,
    )


def put(environment: Environment, asked: Change, digest: bytes = DIGEST) -> bool:
    work = partial(broker.put_container, digest=digest, change=asked, limits=Limits())
    return environment.write(work)[1]


def row(raw: int, size: int = 1) -> ObjectRow:
    return ObjectRow(at(raw), size, "e", False, "text/plain", at(raw), at(raw))


def put_row(
    environment: Environment, name: bytes, row: ObjectRow, *, policy_index: int = 0
) -> None:
    asked = RowChange(digest=DIGEST, name=name, policy_index=policy_index, row=row)
    environment.write(partial(broker.merge_row, change=asked))


def info(environment: Environment, digest: bytes = DIGEST) -> Info:
    with environment.read() as reader:
        found = broker.find(reader, digest)
    assert found is not None
    return found


def names(environment: Environment) -> list[bytes]:
    with environment.read() as reader:
        found = broker.find(reader, DIGEST)
        assert found is not None
        return [name for name, _ in broker.page(reader, found, Query(limit=1000))]


def refused(work: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        work()
    return caught.value


def test_totals_are_the_sums_of_the_rows(environment: Environment, chance: random.Random) -> None:
    """T54, T62: after any history, in any order and with repetitions, nothing has drifted.

    Rows are what merging all that arrived gives; totals are their sums, in each policy; the log
    has one entry for each row; tombstones are not among the live.
    """
    put(environment, change(1))
    model: dict[tuple[int, bytes], ObjectRow] = {}
    choices = [b"n%d" % n for n in range(12)] + [b"long" * 200, b"long" * 200 + b"er"]
    past: list[tuple[int, bytes, ObjectRow]] = []
    for _ in range(600):
        if past and chance.random() < 0.2:
            policy_index, name, new = chance.choice(past)  # an update that is sent again
        else:
            policy_index, name = chance.choice((0, 0, 2)), chance.choice(choices)
            new = row(chance.randrange(1, 60), chance.randrange(5))
            if chance.random() < 0.4:
                new = ObjectRow.tombstone(new.timestamp)
            elif chance.random() < 0.3:
                new = new._replace(metadata_timestamp=at(chance.randrange(1, 60)))
            past.append((policy_index, name, new))
        put_row(environment, name, new, policy_index=policy_index)
        key = (policy_index, name)
        model[key] = merge(model[key], new) if key in model else new

    found = info(environment)
    with environment.read() as reader:
        for policy_index in (0, 2):
            live = {
                name: kept
                for (policy, name), kept in model.items()
                if policy == policy_index and not kept.deleted
            }
            sizes = [kept.size for kept in live.values()]
            assert found.totals.by_policy[policy_index] == [len(sizes), sum(sizes)]
            space = space_of(found.head.id, policy_index)
            stored = dict(row_table.ROWS.walk(reader, space))
            assert list(stored) == sorted(live)
            for name, value in stored.items():
                assert decode_row(value, deleted=False)[0] == live[name]
        log = list(row_table.changes_since(reader, found.head.id, 0))
        assert {(policy, name) for _, policy, name, _ in log} == model.keys()
        assert len(log) == len(model)
        for number, policy, name, kept in log:
            assert decode_row(kept.value, deleted=kept.deleted) == (model[policy, name], number)
        assert log == sorted(log, key=lambda entry: entry[0])
        half = log[len(log) // 2][0]
        assert list(row_table.changes_since(reader, found.head.id, half)) == [
            entry for entry in log if entry[0] > half
        ]


def test_t9_an_older_row_does_not_bring_back_what_was_deleted(environment: Environment) -> None:
    """T9: a tombstone outlives a PUT that comes late, and yields to one that is newer."""
    put(environment, change(1))
    put_row(environment, b"n", row(5))
    put_row(environment, b"n", ObjectRow.tombstone(at(7)))
    put_row(environment, b"n", row(6))
    assert names(environment) == []
    put_row(environment, b"n", row(8))
    assert names(environment) == [b"n"]


def test_a_container_made_again_is_empty_and_new(environment: Environment) -> None:
    """It shows no old rows or metadata, may have another policy, and keeps its first timestamp."""
    assert put(environment, change(1, {"colour": "red"}, default=2))
    put_row(environment, b"n", row(3), policy_index=2)
    put_row(environment, b"n", ObjectRow.tombstone(at(4)), policy_index=2)
    environment.write(partial(broker.delete_container, digest=DIGEST, timestamp=at(5)))
    assert info(environment).is_deleted
    assert put(environment, change(6, policy_index=0))
    found = info(environment)
    assert not found.is_deleted
    assert names(environment) == []
    assert found.head.policy_index == 0
    assert found.head.metadata["x-container-meta-colour"] == ("", at(5))
    assert (found.head.created, found.head.put, found.head.status_changed) == (at(1), at(6), at(6))


def test_put_again_merges(environment: Environment) -> None:
    """The second PUT makes nothing; per key of the metadata the newest value stays."""
    assert put(environment, change(5, {"a": "1", "b": "1"}))
    assert not put(environment, change(7, {"a": "2", "b": ""}))
    assert not put(environment, change(6, {"a": "late", "c": "3"}))
    found = info(environment)
    values = {name[-1]: value for name, (value, _) in found.head.metadata.items()}
    assert values == {"a": "2", "b": "", "c": "3"}
    assert found.head.put == at(7)


def test_refusals_change_nothing(environment: Environment) -> None:
    """Another policy, a newer deletion, objects inside, too much metadata, no such container."""
    limits = Limits()

    def delete(raw: int, digest: bytes = DIGEST) -> Callable[[], object]:
        work = partial(broker.delete_container, digest=digest, timestamp=at(raw))
        return lambda: environment.write(work)

    put(environment, change(5, policy_index=2))
    put_row(environment, b"n", row(6), policy_index=0)
    before = info(environment)
    conflict = refused(lambda: put(environment, change(7, policy_index=0)))
    assert (conflict.status, conflict.headers) == (409, {"x-backend-storage-policy-index": "2"})
    assert refused(delete(8)).status == 409  # in any policy
    assert refused(delete(8, OTHER)).status == 404
    many = {f"m{n}": "x" for n in range(limits.max_meta_count + 1)}
    assert refused(lambda: put(environment, change(7, many))).status == 400
    assert refused(lambda: put(environment, change(7, many), OTHER)).status == 400
    post = partial(broker.post_container, digest=OTHER, change=change(1), limits=limits)
    assert refused(lambda: environment.write(post)).status == 404
    assert info(environment) == before
    put_row(environment, b"n", ObjectRow.tombstone(at(7)), policy_index=0)
    delete(9)()
    assert refused(lambda: put(environment, change(8))).headers == {
        "x-backend-timestamp": at(9).internal
    }
    with environment.read() as reader:
        assert broker.find(reader, OTHER) is None


def test_a_deletion_that_comes_late(environment: Environment) -> None:
    """It deletes nothing, but what was set before it is gone, as if it had come in time."""

    def deleted(raw: int) -> int:
        work = partial(broker.delete_container, digest=DIGEST, timestamp=at(raw))
        return environment.write(work)[1]

    put(environment, change(1, {"a": "1"}))
    put(environment, change(9, {"b": "1"}))
    assert deleted(5) == 409
    found = info(environment)
    assert not found.is_deleted
    assert {name[-1]: value for name, (value, _) in found.head.metadata.items()} == {
        "a": "",
        "b": "1",
    }
    assert [deleted(10), deleted(11), deleted(10)] == [204, 404, 404]


def test_t60_a_row_that_comes_after_the_deletion(environment: Environment) -> None:
    """T60: an object that was put while its container was deleted is found: no orphan."""
    put(environment, change(1))
    environment.write(partial(broker.delete_container, digest=DIGEST, timestamp=at(5)))
    put_row(environment, b"n", row(4))
    assert not info(environment).is_deleted
    assert names(environment) == [b"n"]


def test_marks(environment: Environment) -> None:
    """A change marks the container; what was told removes the mark, unless it changed since."""

    def dirty() -> list[broker.Unreported]:
        with environment.read() as reader:
            return broker.dirty(reader, after=b"", limit=10)

    def tell(writer: Writer) -> None:
        broker.told(writer, reports)

    put(environment, change(1))
    put(environment, change(1), OTHER)
    reports = dirty()
    assert [report.digest for report in reports] == [DIGEST, OTHER]
    put_row(environment, b"n", row(3))
    environment.write(tell)
    reports = dirty()
    assert [report.digest for report in reports] == [DIGEST]
    assert reports[0].info.objects == 1
    put_row(environment, b"n", row(3))  # changes nothing
    environment.write(tell)
    assert dirty() == []


def test_everything_is_there_after_opening_again(environment: Environment) -> None:
    """Heads, rows and totals are what they were."""
    put(environment, change(1, {"a": "x\udcff"}))
    put_row(environment, b"n\xff", row(3, 42))
    before = info(environment)
    environment.close()
    again = Environment(environment.path, names=broker.TABLES)
    assert info(again) == before
    assert names(again) == [b"n\xff"]
    again.close()


def test_rows_fit(environment: Environment) -> None:
    """A common row takes less than 200 bytes: pages of 4 KiB hold twenty."""
    etag = "d41d8cd98f00b204e9800998ecf8427e"
    stored = encode_row(row(10**14)._replace(etag=etag, content_type="application/octet-stream"), 1)
    assert len(stored) < 200
