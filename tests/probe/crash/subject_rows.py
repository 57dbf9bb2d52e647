"""Rows and their totals in an LMDB environment of the product's, one by one and in shared commits.

    python -m tests.probe.crash.subject_rows ROOT SYNC ROUNDS SEED

Each round changes several names at once, so that the changes share commits; every change writes
its row, an entry of a log and the totals in one transaction.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swiftish.runtime.environment import Environment, EnvironmentTrouble, Reader, Writer
from tests.probe.crash.recorder import say

NAMES = tuple(f"name-{number}" for number in range(12))
TABLES = ("rows", "log", "totals")
FILE = "rows.mdb"
MAP_SIZE_BYTES = 64 * 1024 * 1024
VALUE_SIZES = (0, 40, 200, 900, 5000)  # the last takes pages of its own

TOTAL = b"total"


@dataclass(frozen=True)
class Change:
    """Put a value, or delete when it is None."""

    number: int
    name: str
    value: bytes | None


def rounds(count: int, seed: int) -> list[list[Change]]:
    """Changes of different names, some at the same time, some alone."""
    chance = random.Random(seed)
    found: list[list[Change]] = []
    number = 0
    for _ in range(count):
        changes: list[Change] = []
        for name in chance.sample(NAMES, chance.choice((1, 1, 2, 5))):
            value = chance.randbytes(chance.choice(VALUE_SIZES)) if chance.random() < 0.8 else None
            changes.append(Change(number, name, value))
            number += 1
        found.append(changes)
    return found


def apply(change: Change, writer: Writer) -> None:
    count, size, done = totals(writer)
    key = change.name.encode()
    old = writer.get("rows", key)
    if old is not None:
        count, size = count - 1, size - len(old) + 4
        writer.delete("rows", key)
    if change.value is not None:
        count, size = count + 1, size + len(change.value)
        writer.put("rows", key, change.number.to_bytes(4, "big") + change.value)
    writer.put("log", change.number.to_bytes(4, "big"), key)
    writer.put("totals", TOTAL, f"{count} {size} {done + 1}".encode())


def totals(reader: Reader) -> tuple[int, int, int]:
    """(rows, bytes in their values, changes so far)."""
    found = reader.get("totals", TOTAL)
    count, size, done = (found or b"0 0 0").split()
    return int(count), int(size), int(done)


def open_environment(root: Path, *, sync: bool = True) -> Environment:
    return Environment(root / FILE, names=TABLES, map_size_bytes=MAP_SIZE_BYTES, sync=sync)


async def change_one(environment: Environment, change: Change) -> None:
    say(f"begin {change.number}")
    await environment.commit(partial(apply, change))
    say(f"done {change.number}")


async def run(root: Path, *, sync: bool, planned: Sequence[Sequence[Change]]) -> None:
    environment = open_environment(root, sync=sync)
    for changes in planned:
        async with asyncio.TaskGroup() as group:
            for change in changes:
                group.create_task(change_one(environment, change))
    environment.close()


def judge(root: Path, marks: Sequence[str], planned: Sequence[Sequence[Change]]) -> str | None:
    """The environment opens; every acknowledged change counts; rows, log and totals agree."""
    try:
        environment = open_environment(root)
    except EnvironmentTrouble as trouble:
        return f"the environment does not open: {trouble}"
    try:
        with environment.read() as reader:
            complaint = check(reader, marks, planned)
        if len(marks) % 4 == 0:  # what is found can be built upon; a sync takes long
            environment.write(partial(apply, Change(10**6, NAMES[0], b"after the crash")))
    except EnvironmentTrouble as trouble:
        return f"the environment is broken: {trouble}"
    finally:
        environment.close()
    return complaint


def check(reader: Reader, marks: Sequence[str], planned: Sequence[Sequence[Change]]) -> str | None:
    said = [mark.split() for mark in marks]
    begun = {int(number) for word, number in said if word == "begin"}
    done = {int(number) for word, number in said if word == "done"}
    rows = {key.decode(): value for key, value in reader.scan("rows")}
    logged = {int.from_bytes(key, "big") for key, _ in reader.scan("log")}
    if not done <= logged:
        return f"acknowledged and lost: {sorted(done - logged)}"
    if not logged <= begun:
        return f"there, and never begun: {sorted(logged - begun)}"
    wanted = {}
    for change in (change for changes in planned for change in changes):
        if change.number in logged:
            wanted[change.name] = change
    expected = {
        name: change.number.to_bytes(4, "big") + change.value
        for name, change in wanted.items()
        if change.value is not None
    }
    if rows != expected:
        wrong = [n for n in rows.keys() | expected.keys() if rows.get(n) != expected.get(n)]
        return f"rows that no set of whole changes leaves: {sorted(wrong)}"
    sizes = sum(len(value) - 4 for value in rows.values())
    if totals(reader) != (len(rows), sizes, len(logged)):
        return f"totals {totals(reader)} of {len(rows)} rows, {sizes} bytes, {len(logged)} changes"
    return None


def main(arguments: Sequence[str]) -> None:
    root, sync, count, seed = arguments
    planned = rounds(int(count), int(seed))
    asyncio.run(run(Path(root), sync=sync == "synced", planned=planned))


if __name__ == "__main__":
    main(sys.argv[1:])
