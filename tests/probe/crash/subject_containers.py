"""A container's rows through the container server, one by one and in shared commits.

    python -m tests.probe.crash.subject_containers ROOT SEED

What must be there after a crash: the container, for each name the newest of the acknowledged rows
or of those under way, and totals that are the sums of the rows.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from swiftish.domain.timestamp import Timestamp
from tests.probe.crash.node import DEVICE, NOW_S, Node, ask, started
from tests.probe.crash.recorder import say

CONTAINER = "0/AUTH_a/rows"
ROUNDS = 25
# Short, longer than a key, and names of which one is the other's beginning.
NAMES = ("a", "a/b", "n" * 600, "n" * 600 + "/more", "\N{SNOWMAN}", "z" * 1024)


@dataclass(frozen=True)
class Row:
    """One change of a row; a deletion when `size` is None.  Number 0 makes the container."""

    number: int
    name: str
    moment: int
    size: int | None

    @property
    def headers(self) -> dict[str, str]:
        timestamp = Timestamp(Timestamp.from_seconds(NOW_S).raw + self.moment)
        return {
            "x-timestamp": timestamp.internal,
            "x-size": str(self.size),
            "x-etag": f"{self.number:032x}",
            "x-content-type": "text/plain",
        }


def plan(seed: int) -> list[list[Row]]:
    """Rounds of changes at one time, of different names."""
    chance = random.Random(seed)
    found = [[Row(0, "", 0, None)]]
    number = 1
    for step in range(1, ROUNDS):
        rows: list[Row] = []
        for name in chance.sample(NAMES, chance.choice((1, 2, 4))):
            size = chance.randrange(10**6) if chance.random() < 0.7 else None
            # Sometimes an old row arrives late, and changes nothing.
            moment = 10 * step - (25 if chance.random() < 0.2 else 0)
            rows.append(Row(number, name, max(1, moment), size))
            number += 1
        found.append(rows)
    return found


async def perform(node: Node, row: Row) -> None:
    say(f"begin {row.number}")
    if row.number == 0:
        status, _, _ = await ask(node.containers.handler, "PUT", CONTAINER, row.headers)
    else:
        verb = "DELETE" if row.size is None else "PUT"
        path = f"{CONTAINER}/{row.name}"
        status, _, _ = await ask(node.containers.handler, verb, path, row.headers)
    assert status in {201, 202, 204}, f"row {row.number} was answered with {status}"
    say(f"done {row.number}")


async def run(root: Path, planned: Sequence[Sequence[Row]]) -> None:
    async with started(root) as node:
        for rows in planned:
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    group.create_task(perform(node, row))


def prepare(root: Path) -> None:
    """A device with an environment for containers, made before a recording begins."""
    (root / DEVICE.device).mkdir()
    asyncio.run(_touch(root))


async def _touch(root: Path) -> None:
    async with started(root) as node:
        await ask(node.containers.handler, "HEAD", CONTAINER, {})


def judge(root: Path, marks: Sequence[str], planned: Sequence[Sequence[Row]]) -> str | None:
    (root / DEVICE.device).mkdir(exist_ok=True)
    return asyncio.run(examine(root, marks, [row for rows in planned for row in rows]))


async def examine(root: Path, marks: Sequence[str], rows: Sequence[Row]) -> str | None:
    said = [(word, int(number)) for word, number in (mark.split() for mark in marks)]
    begun = {number for word, number in said if word == "begin"}
    done = {number for word, number in said if word == "done"}
    async with started(root) as node:
        status, headers, body = await ask(node.containers.handler, "GET", CONTAINER, {})
        if status == 404 and 0 not in done:
            return None
        if status != 200:
            return f"the listing answers {status}"
        listed = {entry["name"]: entry for entry in orjson.loads(body)}
        if list(listed) != sorted(listed, key=str.encode):
            return "the listing is out of order"
        for name in NAMES:
            mine = [row for row in rows if row.name == name and row.number in begun]
            found = listed.get(name)
            shown = None if found is None else (found["bytes"], int(found["hash"], 16))
            legal = outcomes([r for r in mine if r.number in done], mine)
            if shown not in legal:
                return f"the row of {name[:20]} shows {shown}; legal: {legal}"
        sums = {
            "x-container-object-count": str(len(listed)),
            "x-container-bytes-used": str(sum(entry["bytes"] for entry in listed.values())),
        }
        wrong = {key: headers[key] for key, value in sums.items() if headers[key] != value}
        if wrong:
            return f"the totals are {wrong} of {sums}"
        if len(marks) % 4:  # a sync takes long
            return None
        new = Row(10**6, "after the crash", 10**6, 1)
        path = f"{CONTAINER}/{new.name}"
        status, _, _ = await ask(node.containers.handler, "PUT", path, new.headers)
        return None if status == 201 else f"a new row is answered with {status}"


def outcomes(done: Sequence[Row], begun: Sequence[Row]) -> list[tuple[int, int] | None]:
    """(size, number) of the newest that is done, or of one as new or newer that was begun."""
    newest = max((row.moment for row in done), default=-1)
    legal = [row for row in begun if row.moment >= newest]
    shown = [None if row.size is None else (row.size, row.number) for row in legal]
    return shown if done else [None, *shown]


def main(arguments: Sequence[str]) -> None:
    root, seed = arguments
    asyncio.run(run(Path(root), plan(int(seed))))


if __name__ == "__main__":
    main(sys.argv[1:])
