"""A count in short steps is right at the moment it ends, whatever others write meanwhile (T62)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from swiftish.container import broker
from swiftish.container.broker import RowChange
from swiftish.container.schema import SCHEMA
from swiftish.db import census as module
from swiftish.db import heads, row_table
from swiftish.db.census import Census, Flaws, Gone, State
from swiftish.db.heads import Totals
from swiftish.domain.rows import ObjectRow
from swiftish.domain.timestamp import Timestamp
from swiftish.runtime.environment import Environment, Reader, Writer

DIGEST = b"d" * 16


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    monkeypatch.setattr(module, "ROWS_MAX", 60)
    monkeypatch.setattr(module, "CHUNK_ROWS", 5)
    monkeypatch.setattr(module, "FOLLOWED_MAX", 15)
    environment = Environment(tmp_path / "containers.mdb", names=broker.TABLES)
    yield environment
    environment.close()


def make(writer: Writer) -> int:
    head = heads.new_head(
        writer, account="a", container="c", timestamp=Timestamp(1), policy_index=0
    )
    heads.save(writer, DIGEST, head, Totals())
    return head.id


def change(writer: Writer, chance: random.Random, moment: int, *, count: int) -> None:
    """Some objects come, change or go."""
    for _ in range(count):
        name = chance.choice([b"%04d", b"%04d" + b"x" * 600]) % chance.randrange(300)
        at = Timestamp(moment)
        if chance.random() < 0.3:
            row = ObjectRow.tombstone(at)
        else:
            row = ObjectRow(at, chance.randrange(1000), "e", False, "text/plain", at, at)
        policy = chance.choice([0, 0, 0, 2])
        broker.merge_row(writer, RowChange(digest=DIGEST, name=name, policy_index=policy, row=row))


def sums(reader: Reader, database_id: int) -> dict[int, list[int]]:
    """The stupid way."""
    found: dict[int, list[int]] = {}
    for _, policy, _, stored in row_table.changes_since(reader, database_id, 0):
        row, _ = SCHEMA.decode(stored)
        if not row.deleted:
            amounts = found.setdefault(policy, [0, 0])
            amounts[0] += 1
            amounts[1] += row.size
    return found


def drift(writer: Writer, database_id: int, *, by: int) -> None:
    totals = heads.find_totals(writer, database_id)
    totals.add(0, (by, 7 * by))
    heads.save_totals(writer, database_id, totals)


def totals_of(environment: Environment, database_id: int) -> tuple[Totals, dict[int, list[int]]]:
    with environment.read() as reader:
        return heads.find_totals(reader, database_id), sums(reader, database_id)


@pytest.mark.parametrize("planted", [0, 1, -3])
def test_t62_a_count_among_changes(
    environment: Environment, chance: random.Random, planted: int
) -> None:
    """Drift is found if and only if there is one; after the repair there is none."""
    for _ in range(10):
        database_id = environment.write(make)
        environment.write(partial(change, chance=chance, moment=10, count=400))
        environment.write(partial(drift, database_id=database_id, by=planted))
        census = Census(SCHEMA, DIGEST, database_id)
        moment, state = 20, State.GOES_ON
        while state is State.GOES_ON:
            with environment.read() as reader:
                state = census.step(reader)
            count = chance.choice([0, 0, 1, 5, 30])
            environment.write(partial(change, chance=chance, moment=moment, count=count))
            moment += 1
        assert state is State.DONE
        assert census.flaws == Flaws(drift=bool(planted))
        if not planted:
            continue
        while not environment.write(census.repair):
            with environment.read() as reader:
                census.step(reader)
            environment.write(partial(change, chance=chance, moment=moment, count=3))
            moment += 1
        totals, wanted = totals_of(environment, database_id)
        found = {policy: list(each) for policy, each in totals.by_policy.items() if any(each)}
        assert found == wanted


def test_an_empty_one(environment: Environment) -> None:
    """Has nothing to count, and can have drifted all the same."""
    database_id = environment.write(make)
    for planted in (0, 4):
        environment.write(partial(drift, database_id=database_id, by=planted))
        census = Census(SCHEMA, DIGEST, database_id)
        with environment.read() as reader:
            while census.step(reader) is not State.DONE:
                pass
        assert census.flaws.drift == bool(planted)


def test_totals_that_cannot_be_read(environment: Environment, chance: random.Random) -> None:
    """Are made anew."""
    database_id = environment.write(make)
    environment.write(partial(change, chance=chance, moment=10, count=100))
    environment.write(lambda writer: writer.put("totals", database_id.to_bytes(8, "big"), b"?"))
    census = Census(SCHEMA, DIGEST, database_id)
    with environment.read() as reader:
        while census.step(reader) is not State.DONE:
            pass
    assert census.flaws.drift
    while not environment.write(census.repair):
        pass
    totals, wanted = totals_of(environment, database_id)
    assert totals.by_policy == wanted


def test_one_that_is_removed_meanwhile(environment: Environment) -> None:
    """Ends the count."""
    database_id = environment.write(make)
    census = Census(SCHEMA, DIGEST, database_id)
    environment.write(partial(heads.delete, digest=DIGEST, database_id=database_id))
    with environment.read() as reader, pytest.raises(Gone):
        census.step(reader)


def test_one_that_changes_too_fast(
    environment: Environment, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is given up some day."""
    monkeypatch.setattr(module, "CHASES_MAX", 20)
    database_id = environment.write(make)
    census = Census(SCHEMA, DIGEST, database_id)
    moment, state = 10, State.GOES_ON
    while state is State.GOES_ON and moment < 200:
        environment.write(partial(change, chance=chance, moment=moment, count=100))
        with environment.read() as reader:
            state = census.step(reader)
        moment += 1
    assert state is State.GIVEN_UP
