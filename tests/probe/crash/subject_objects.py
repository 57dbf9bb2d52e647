"""Objects of one device: PUT, overwrite, POST, DELETE, one by one or several at a time.

    python -m tests.probe.crash.subject_objects ROOT KIND SEED

What must be there after a crash is worked out here once more, in a few stupid lines: some set of
operations has taken effect, with all that were acknowledged and none that were never begun, and of
those the newest counts.
"""

import asyncio
import hashlib
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path

from swiftish.domain.limits import MiB
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Body
from swiftish.object.index import Indexes, PendingUpdates
from swiftish.object.paths import INDEX
from swiftish.runtime.devices import LocalDevice
from tests.probe.crash.node import DEAF, DEVICE, HASH_PATH, NOW_S, Hasty, Node, ask, started
from tests.probe.crash.recorder import say

ACCOUNT = "AUTH_a"
BODY_SIZES = (0, 1, 700, 5000)
LARGE_SIZES = (MiB + 1, 2 * MiB, 2 * MiB + 4321)
# In the inode; in several values; in one large value; in the file, where ext4 has no room.
META_SIZES = (0, 30, 400, 1500, 6000)


@dataclass(frozen=True)
class Op:
    """One request.  `moment` is its timestamp, in units of 0.01 ms from NOW_S."""

    number: int
    verb: str
    name: tuple[str, str]  # container, object
    moment: int
    body: bytes = b""
    content_type: str | None = None
    meta: str = ""

    @property
    def timestamp(self) -> Timestamp:
        return Timestamp(Timestamp.from_seconds(NOW_S).raw + self.moment)

    @property
    def path(self) -> str:
        container, obj = self.name
        return f"{partition(self.name)}/{ACCOUNT}/{container}/{obj}"

    @property
    def headers(self) -> dict[str, str]:
        found = {
            "x-timestamp": self.timestamp.internal,
            "x-container-host": DEVICE.address,
            "x-container-device": DEVICE.device,
            "x-container-partition": "0",
        }
        if self.content_type is not None:
            found["content-type"] = self.content_type
        if self.meta:
            found["x-object-meta-note"] = self.meta
        return found


Name = tuple[str, str]
Round = list[Op]


def digest(name: Name) -> str:
    return HASH_PATH(ACCOUNT, *name).hex()


def partition(name: Name) -> int:
    return int(digest(name)[:1], 16) // 4  # as in a ring of four


def neighbours() -> list[Name]:
    """Six objects: two share a suffix folder, the others partitions; one container is deaf."""
    first = ("heard", "first")
    wanted = (partition(first), digest(first)[-3:])
    number = 0
    while (partition(("heard", f"{number}")), digest(("heard", f"{number}"))[-3:]) != wanted:
        number += 1
    others = [("heard", "other"), (DEAF, "one"), (DEAF, "two"), (DEAF, "three")]
    return [first, ("heard", f"{number}"), *others]


def plan(kind: str, seed: int) -> list[Round]:
    """`sequence`: one after the other; `parallel`: some at a time; `race`: on the same name;
    `large`: bodies of several blocks."""
    chance = random.Random(seed)
    names = neighbours()
    found: list[Round] = []
    number = 0
    for step in range({"sequence": 30, "parallel": 9, "race": 10, "large": 5}[kind]):
        if kind == "race":
            chosen = [chance.choice(names)] * chance.choice((2, 3))
        elif kind == "parallel":
            chosen = chance.sample(names, chance.choice((2, 3, 4)))
        else:
            chosen = [chance.choice(names[:3] if kind == "large" else names[::2])]
        operations: Round = []
        for name in chosen:
            moment = 10 * step + (chance.randrange(3) if kind == "race" else 0)
            verbs = ("PUT",) if step < 2 or kind == "large" else ("PUT", "PUT", "POST", "DELETE")
            verb = chance.choice(verbs)
            operations.append(operation(number, verb, name, moment, kind, chance))
            number += 1
        found.append(operations)
    return found


def operation(
    number: int, verb: str, name: Name, moment: int, kind: str, chance: random.Random
) -> Op:
    op = Op(number, verb, name, moment)
    meta = f"{number} {'m' * chance.choice(META_SIZES)}"
    content_type = f"text/x-{number}"
    if verb == "PUT":
        size = chance.choice(LARGE_SIZES if kind == "large" else BODY_SIZES)
        return replace(op, body=chance.randbytes(size), content_type=content_type, meta=meta)
    if verb == "POST":
        return replace(op, content_type=content_type if chance.random() < 0.5 else None, meta=meta)
    return op


class Pieces(Body):
    """A body that arrives as from a socket."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    async def read(self) -> bytes:
        piece, self._left = self._left[:300_000], self._left[300_000:]
        return bytes(piece)


async def perform(node: Node, op: Op) -> None:
    say(f"begin {op.number}")
    status, _, _ = await ask(node.objects.handler, op.verb, op.path, op.headers, Pieces(op.body))
    assert status < 500, f"operation {op.number} was answered with {status}"
    say(f"done {op.number} {status}")


async def run(root: Path, planned: Sequence[Round]) -> None:
    async with started(root) as node:
        for operations in planned:
            async with asyncio.TaskGroup() as group:
                for op in operations:
                    group.create_task(perform(node, op))


# ---- the judge -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """An object as a client sees it."""

    body: bytes
    etag: str
    content_type: str
    note: str
    timestamp: str


def judge(root: Path, marks: Sequence[str], planned: Sequence[Round]) -> str | None:
    """Every name shows the outcome of a legal set of operations; what is pending is pending;
    everything can be written again."""
    return asyncio.run(examine(root, marks, [op for operations in planned for op in operations]))


async def examine(root: Path, marks: Sequence[str], ops: Sequence[Op]) -> str | None:
    said = [mark.split() for mark in marks]
    begun = {int(words[1]) for words in said if words[0] == "begin"}
    statuses = {int(words[1]): int(words[2]) for words in said if words[0] == "done"}
    (root / DEVICE.device).mkdir(exist_ok=True)  # mounted, whatever is on it
    missing = not_pending(root, [op for op in ops if statuses.get(op.number) in OK])
    if missing:
        return f"acknowledged, and the container will never hear of it: {missing}"
    async with started(root, files=Hasty()) as node:
        for name in sorted({op.name for op in ops}):
            mine = [op for op in ops if op.name == name and op.number in begun]
            done = [op for op in mine if statuses.get(op.number, 0) // 100 == 2]
            # A DELETE of nothing leaves a tombstone; a conflict leaves nothing.
            perhaps = [op for op in mine if statuses.get(op.number, 404) == 404]
            status, seen = await look(node, name)
            legal = list(outcomes(done, perhaps))
            if status not in {200, 404} or seen not in legal:
                return describe(name, status, seen, legal)
        return await write_again(node, ops, len(marks))


OK = {201, 202, 204}


def outcomes(done: Sequence[Op], perhaps: Sequence[Op]) -> Iterable[Seen | None]:
    """What a name may show: all that is done has happened, and any of what may have."""
    sets = chain.from_iterable(combinations(perhaps, size) for size in range(len(perhaps) + 1))
    for extra in sets:
        yield from outcome([*done, *extra])


def outcome(happened: Sequence[Op]) -> Iterable[Seen | None]:
    """The newest PUT with the newest POST after it, unless a DELETE is as new as the PUT."""
    puts = [op for op in happened if op.verb == "PUT"]
    deleted = max((op.moment for op in happened if op.verb == "DELETE"), default=-1)
    newest = max((op.moment for op in puts), default=-1)
    if newest <= deleted:
        yield None
        return
    posts = sorted((op.moment, op.number) for op in happened if op.verb == "POST")
    later = [number for moment, number in posts if moment > newest]
    by_number = {op.number: op for op in happened}
    for put in (op for op in puts if op.moment == newest):
        # Two of one moment: either, but not a mixture.
        last = [by_number[n] for n in later if by_number[n].moment == by_number[later[-1]].moment]
        for meta in last or [put]:
            typed = [by_number[n] for n in later if by_number[n].content_type is not None]
            for kind in [op for op in typed if op.moment == typed[-1].moment] or [put]:
                yield Seen(
                    body=put.body,
                    etag=hashlib.md5(put.body, usedforsecurity=False).hexdigest(),
                    content_type=kind.content_type or "",
                    note=meta.meta,
                    timestamp=meta.timestamp.internal,
                )


async def look(node: Node, name: Name) -> tuple[int, Seen | None]:
    path = Op(0, "GET", name, 0).path
    status, headers, body = await ask(node.objects.handler, "GET", path, {})
    if status != 200:
        return status, None
    return status, seen_in(headers, body)


def seen_in(headers: Mapping[str, str], body: bytes) -> Seen:
    return Seen(
        body=body,
        etag=headers["etag"],
        content_type=headers["content-type"],
        note=headers.get("x-object-meta-note", ""),
        timestamp=headers["x-backend-timestamp"],
    )


def describe(name: Name, status: int, seen: Seen | None, legal: Sequence[Seen | None]) -> str:
    def short(one: Seen | None) -> str:
        if one is None:
            return "nothing"
        return f"{len(one.body)} bytes {one.etag[:8]} {one.content_type} of {one.timestamp}"

    wanted = " or ".join(sorted({short(one) for one in legal}))
    return f"GET {'/'.join(name)} answers {status}, {short(seen)}; legal: {wanted}"


def not_pending(root: Path, acknowledged: Sequence[Op]) -> list[int]:
    """Numbers of acknowledged changes of the deaf container without a pending update."""
    wanted = [op for op in acknowledged if op.name[0] == DEAF]
    path = root / DEVICE.device / INDEX
    if not wanted or not path.exists():
        return [op.number for op in wanted]
    indexes = Indexes()
    pending = PendingUpdates(LocalDevice(DEVICE.device, path.parent), indexes.environments)
    found = {(u.timestamp, u.object) for _, u in pending.read(after=b"", limit=10**6)}
    indexes.close()
    return [op.number for op in wanted if (op.timestamp, op.name[1]) not in found]


async def write_again(node: Node, ops: Sequence[Op], turn: int) -> str | None:
    """What a crash leaves is no obstacle: a new object can be stored and read."""
    names = sorted({op.name for op in ops})
    name = names[turn % len(names)]
    new = Op(10**6, "PUT", name, 10**9, b"after the crash", "text/new", "new")
    status, _, _ = await ask(node.objects.handler, "PUT", new.path, new.headers, Pieces(new.body))
    if status != 201:
        return f"a new PUT of {'/'.join(name)} answers {status}"
    status, seen = await look(node, name)
    if seen not in outcome([new]):
        return describe(name, status, seen, list(outcome([new])))
    return None


def main(arguments: Sequence[str]) -> None:
    root, kind, seed = arguments
    asyncio.run(run(Path(root), plan(kind, int(seed))))


if __name__ == "__main__":
    main(sys.argv[1:])
