"""What the expirer does with the rows of its queue: when, in which order, with what result.

Pure.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from hashlib import md5

from swiftish.domain.expiry import Task
from swiftish.domain.names import Target


class Outcome(Enum):
    DONE = "done"  # the object is gone
    MOOT = "moot"  # there is nothing left to do: the row goes all the same
    KEEP = "keep"  # try again in the next pass


def outcome(status: int, *, age_s: float, reclaim_age_s: float) -> Outcome:
    """What the answer to a DELETE means for its row, `age_s` after the object was to be gone.

    404 and 412 may come from replicas that have not heard of the object yet.  Until all replicas
    must have heard of everything, the row stays.  409: something newer is there.
    """
    if 200 <= status < 300:
        return Outcome.DONE
    if status == 409 or (status in (404, 412) and age_s > reclaim_age_s):
        return Outcome.MOOT
    return Outcome.KEEP


def delay_s(target: Target, delays: Mapping[str, float]) -> float:
    """For how long an object is kept beyond its time: its container's delay, or its account's."""
    container = f"{target.account}/{target.container}"
    return delays.get(container, delays.get(target.account, 0.0))


def is_due(task: Task, now: float, delays: Mapping[str, float]) -> bool:
    """Whether an object is to be deleted by now.  Unconditional deletions are never delayed."""
    wait_s = 0.0 if task.unconditional else delay_s(task.target, delays)
    return task.delete_at + wait_s <= now


def is_in_share(task: Task, *, processes: int, process: int) -> bool:
    """Whether a task is that of number `process` of so many processes."""
    name = f"{task.container}/{task.name}".encode("utf-8", "surrogateescape")
    digest = md5(name, usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") % processes == process


def interleaved(tasks: Iterable[Task]) -> deque[Task]:
    """The same tasks, those of each container apart: so that no container has all the deletions
    to hear of at once."""
    queues: defaultdict[tuple[str, str | None], deque[Task]] = defaultdict(deque)
    for task in tasks:
        queues[task.target.account, task.target.container].append(task)
    turn = deque(queues.values())
    order: deque[Task] = deque()
    while turn:
        queue = turn.popleft()
        order.append(queue.popleft())
        if queue:
            turn.append(queue)
    return order
