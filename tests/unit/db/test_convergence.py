"""Replicas converge: any changes, any order of exchanges, any of them cut short or repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swiftish.account import broker as accounts
from swiftish.account.schema import SCHEMA as ACCOUNT_SCHEMA
from swiftish.cluster.documents import packed, unpacked
from swiftish.container import broker as containers
from swiftish.container.schema import SCHEMA as CONTAINER_SCHEMA
from swiftish.db import deltas, numbers, receiver, reclaim
from swiftish.db.deltas import Wanted
from swiftish.db.heads import Totals
from swiftish.db.reclaim import Tour
from swiftish.db.schema import Schema
from swiftish.domain.limits import Limits
from swiftish.domain.metadata import present
from swiftish.domain.rows import ContainerRow, ObjectRow
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.replies import Refusal
from swiftish.runtime.environment import Environment, Writer
from tests.fakes.db_cluster import Kept, kept_of

DIGESTS = {"a/c": b"c" * 16, "a": b"a" * 16}
LIMITS = Limits()

Change = Callable[[Writer], object]


class Replica:
    """One environment, without a server around it."""

    def __init__(self, path: Path, schema: Schema[Any]) -> None:
        tables = containers.TABLES if schema is CONTAINER_SCHEMA else accounts.TABLES
        self.environment = Environment(path, names=tables, sync=False, map_size_bytes=2**24)
        self.environment.write(numbers.begin_life)
        self.schema = schema
        self.cutoff = 0.0  # what was deleted before is old
        self.sent: list[bytes] = []  # merge documents, packed

    def change(self, work: Change) -> None:
        with suppress(Refusal):
            self.environment.write(work)

    def push(self, other: Replica, *, rows_max: int = 1000, documents: int = 1000) -> bool:
        """Tell another replica what it lacks, in so many documents at most; whether that is all."""
        with self.environment.read() as reader:
            own = numbers.environment_id(reader)
            pairs, _, _ = deltas.read_offers(
                reader, self.schema, after=b"", limit=10, cutoff=self.cutoff
            )
        document = roundtrip(deltas.offer_document(own, [offer for _, offer in pairs]))
        environment, offers = deltas.parse_offers(document)
        with other.environment.read() as reader:
            known = [receiver.known_point(reader, environment, offer) for offer in offers]
        wanted = [
            Wanted(offer.digest, point)
            for offer, point in zip(offers, known, strict=True)
            if point != offer.last
        ]
        for _ in range(documents):
            if not wanted:
                return True
            with self.environment.read() as reader:
                (delta,) = deltas.read_deltas(reader, wanted[:1], rows_max=rows_max)
            self.sent.append(packed(deltas.merge_document(own, [delta])))
            (point,) = other.take(self.sent[-1])
            if point != delta.upto or delta.is_all:
                wanted.pop(0)
            else:
                wanted[0].since = point
        return not wanted

    def take(self, document: bytes) -> list[object]:
        """Merge a document; again, it changes nothing."""
        environment, arrived = deltas.parse_deltas(unpacked(document), self.schema)
        merge = partial(receiver.merge, schema=self.schema, environment=environment)
        return self.environment.write(
            lambda writer: [merge(writer, arrived=each, cutoff=self.cutoff) for each in arrived]
        )

    def reclaim(self, others: list[Replica]) -> None:
        """Forget all that was deleted, as a replicator does: when the others have all of it."""
        if not all(self.push(other) for other in others):
            return
        with self.environment.read() as reader:
            pairs, _, _ = deltas.read_offers(reader, self.schema, after=b"", limit=10, cutoff=0)
            found = [each for each, _ in pairs]
            old = reclaim.old_tombstones(reader, self.schema, Tour(found), self.cutoff)

        def forget(writer: Writer) -> None:
            if self.schema is CONTAINER_SCHEMA:
                containers.told(writer, containers.dirty(writer, after=b"", limit=10))
            reclaim.forget_tombstones(writer, self.schema, old, self.cutoff)
            for each in found:
                reclaim.forget_metadata(writer, each, self.cutoff)
                reclaim.forget_database(writer, self.schema, each, self.cutoff)

        self.environment.write(forget)

    def seen(self) -> dict[str, tuple[Any, ...]]:
        """What clients can see."""
        return {
            name: (
                {key: row for key, row in kept.rows.items() if not row.deleted},
                present(kept.head.metadata),
                kept.head.policy_index,
                kept.by_policy,
            )
            for name, kept in self.kept().items()
            if not self.schema.is_deleted(
                kept.head, Totals(by_policy={i: list(each) for i, each in kept.by_policy.items()})
            )
        }

    def kept(self) -> dict[str, Kept]:
        with self.environment.read() as reader:
            return dict(kept_of(reader, self.schema))

    def last(self) -> int:
        with self.environment.read() as reader:
            return numbers.last(reader)


def roundtrip(document: object) -> object:
    return unpacked(packed(document))


# ---- what may happen to a replica --------------------------------------------------------------

moments = st.builds(Timestamp, st.integers(1, 12), st.integers(0, 1))
names = st.sampled_from([b"o1", b"o2", b"long" * 200, b"long" * 200 + b"er"])


def put_container(at: Timestamp, policy_index: int, value: str) -> Change:
    asked = containers.Change(
        account="a",
        container="c",
        timestamp=at,
        metadata={"x-container-meta-k": (value, at)},
        policy_index_default=policy_index,
    )
    digest = DIGESTS["a/c"]
    return partial(containers.put_container, digest=digest, change=asked, limits=LIMITS)


def delete_container(at: Timestamp) -> Change:
    return partial(containers.delete_container, digest=DIGESTS["a/c"], timestamp=at)


def put_row(name: bytes, policy_index: int, at: Timestamp, size: int, meta: Timestamp) -> Change:
    row = ObjectRow(at, size, "e", False, "t/p", at, max(at, meta))
    return partial(
        containers.merge_row,
        change=containers.RowChange(
            digest=DIGESTS["a/c"], name=name, policy_index=policy_index, row=row
        ),
    )


def delete_row(name: bytes, policy_index: int, at: Timestamp) -> Change:
    return partial(
        containers.merge_row,
        change=containers.RowChange(
            digest=DIGESTS["a/c"],
            name=name,
            policy_index=policy_index,
            row=ObjectRow.tombstone(at),
        ),
    )


policies = st.sampled_from([0, 2])
container_changes = (
    st.builds(put_container, moments, policies, st.sampled_from(["1", "2", ""]))
    | st.builds(delete_container, moments)
    | st.builds(put_row, names, policies, moments, st.integers(0, 2), moments)
    | st.builds(delete_row, names, policies, moments)
)


def put_account(at: Timestamp, value: str) -> Change:
    asked = accounts.Change(account="a", timestamp=at, metadata={"x-account-meta-k": (value, at)})
    return partial(accounts.put_account, digest=DIGESTS["a"], change=asked, limits=LIMITS)


def delete_account(at: Timestamp) -> Change:
    return partial(accounts.delete_account, digest=DIGESTS["a"], timestamp=at)


def report(name: bytes, put: Timestamp, delete: Timestamp, count: int, policy: int) -> Change:
    row = ContainerRow(put, delete, count, count, policy, max(put, delete))
    return partial(
        accounts.put_container, digest=DIGESTS["a"], account="a", container=name, row=row
    )


account_changes = (
    st.builds(put_account, moments, st.sampled_from(["1", ""]))
    | st.builds(delete_account, moments)
    | st.builds(report, names, moments, moments | st.just(ZERO), st.integers(0, 2), policies)
)


History: TypeAlias = list[tuple[Any, ...]]


def histories(
    changes: st.SearchStrategy[Change], *, replicas: int = 3
) -> st.SearchStrategy[History]:
    """Changes of one of some replicas, and exchanges between two, perhaps cut short; where there
    are four, one of the first three alone may forget what is old."""
    replica = st.integers(0, replicas - 1)
    exchange = st.tuples(replica, replica, st.integers(1, 2), st.integers(1, 3))
    steps: st.SearchStrategy[tuple[Any, ...]] = st.tuples(replica, changes) | exchange
    if replicas > 3:
        steps |= st.tuples(st.integers(0, 2))
    return st.lists(steps, max_size=25)


@contextmanager
def replicas_after(
    schema: Schema[Any], history: History, *, count: int = 3, cutoff: float = 0.0
) -> Iterator[list[Replica]]:
    """The first three of them know each other, and forget only what all three have."""
    with TemporaryDirectory() as folder:
        replicas = [Replica(Path(folder) / f"{n}.mdb", schema) for n in range(count)]
        try:
            for replica in replicas:
                replica.cutoff = cutoff
            for step in history:
                do(replicas, step)
            yield replicas
        finally:
            for replica in replicas:
                replica.environment.close()


def do(replicas: list[Replica], step: tuple[Any, ...]) -> None:
    first = replicas[step[0]]
    match step[1:]:
        case ():
            first.reclaim([other for other in replicas[:3] if other is not first])
        case (change,):
            first.change(change)
        case (target, rows_max, documents) if replicas[target] is not first:
            first.push(replicas[target], rows_max=rows_max, documents=documents)


def come_to_rest(replicas: list[Replica]) -> None:
    """Everybody pushes to everybody until nobody has anything new to say: soon."""
    pairs = [(a, b) for a in replicas for b in replicas if a is not b]
    for _ in range(5):
        before = [replica.last() for replica in replicas]
        for a, b in pairs:
            assert a.push(b)
        if before == [replica.last() for replica in replicas]:
            return
    raise AssertionError("they do not come to rest")


def converge(schema: Schema[Any], history: History) -> None:
    with replicas_after(schema, history) as replicas:
        come_to_rest(replicas)
        are_alike(replicas)


def converge_with_a_stray(schema: Schema[Any], history: History) -> None:
    with replicas_after(schema, history, count=4, cutoff=1.0) as (*primaries, stray):
        for primary in primaries:
            assert stray.push(primary)
        come_to_rest(primaries)
        first, *others = [primary.seen() for primary in primaries]
        assert others == [first, first]


def are_alike(replicas: list[Replica]) -> None:
    """To the last tombstone; and nothing that is sent again changes anything."""
    first, *others = [replica.kept() for replica in replicas]
    assert others == [first, first]
    # Whatever was sent may arrive once more, at anybody, late, and in any order.
    numbers_before = [replica.last() for replica in replicas]
    for replica in replicas:
        for other in replicas:
            for document in reversed(other.sent):
                if other is not replica:
                    replica.take(document)
    assert [replica.last() for replica in replicas] == numbers_before
    assert [replica.kept() for replica in replicas] == [first] * 3


@settings(max_examples=60)
@given(histories(container_changes))
def test_t26_t54_containers_converge(history: History) -> None:
    """T26, T54: all replicas end with the same rows, head and policy, with totals that are the
    sums of the rows; what is sent twice changes nothing."""
    converge(CONTAINER_SCHEMA, history)


@settings(max_examples=40)
@given(histories(account_changes))
def test_t26_t54_accounts_converge(history: History) -> None:
    """The same for accounts."""
    converge(ACCOUNT_SCHEMA, history)


@settings(max_examples=60)
@given(histories(container_changes, replicas=4))
def test_t25_containers_converge_while_things_are_forgotten(history: History) -> None:
    """T25: tombstones, keys and whole containers go, by one replica sooner than by the others, and
    a fourth that nobody waits for comes with what it has of old: the three agree in the end."""
    converge_with_a_stray(CONTAINER_SCHEMA, history)


@settings(max_examples=40)
@given(histories(account_changes, replicas=4))
def test_t25_accounts_converge_while_things_are_forgotten(history: History) -> None:
    """The same for accounts."""
    converge_with_a_stray(ACCOUNT_SCHEMA, history)


@pytest.mark.parametrize("what", ["row", "key"])
def test_t25_what_one_has_forgotten_and_the_others_not_yet(what: str) -> None:
    """T25: a stray that had been away for long brings something old back to a replica which has
    forgotten that it was deleted: the others remind it."""
    at = [Timestamp(n) for n in range(10)]
    put, delete = {
        "row": (put_row(b"o1", 0, at[2], 1, at[2]), delete_row(b"o1", 0, at[3])),
        "key": (put_container(at[2], 0, "old"), put_container(at[3], 0, "")),
    }[what]
    with replicas_after(CONTAINER_SCHEMA, [], count=4, cutoff=1.0) as (one, two, three, stray):
        for replica in (one, stray):
            replica.change(put_container(at[1], 0, ""))
            replica.change(put)
        come_to_rest([one, two, three])
        one.change(delete)
        come_to_rest([one, two, three])
        one.reclaim([two, three])
        assert one.kept() != two.kept()
        for primary in (one, two, three):
            stray.push(primary)
        come_to_rest([one, two, three])
        for primary in (one, two, three):
            live, metadata, *_ = primary.seen()["a/c"]
            assert (live, metadata) == ({}, {})


def test_a_tombstone_that_came_after_the_offer_is_not_forgotten() -> None:
    """It is old, but nobody else has heard of it yet."""
    with replicas_after(CONTAINER_SCHEMA, [], cutoff=1.0) as (one, *_):
        one.change(put_container(Timestamp(1), 0, "1"))
        with one.environment.read() as reader:
            pairs = deltas.read_offers(reader, one.schema, after=b"", limit=1, cutoff=1.0)[0]
        one.change(delete_row(b"o1", 0, Timestamp(2)))
        tour = Tour([found for found, _ in pairs])
        with one.environment.read() as reader:
            assert reclaim.old_tombstones(reader, one.schema, tour, 1.0) == []
