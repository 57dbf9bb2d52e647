"""From one placement to the next: what must move is gathered, then placed.

Pure.
"""

import hashlib
from collections.abc import Callable, Collection

import numpy as np

from swiftish.ring import gather, place
from swiftish.ring.gather import Placement
from swiftish.ring.table import NOWHERE, Mask, Table, ranked, resized
from swiftish.ring.targets import Plan


def rebalance(
    before: Table,
    plan: Plan,
    *,
    removed: Collection[int],
    may_move: Mask,
    seed: str | int,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Table, Mask]:
    """Place all replicas of the plan, moving as few as it takes.

    `removed` are the ids of devices that must be left whatever `may_move` (by partition) says;
    so must any device by a second replica of a partition, as an imported table may have.
    Returns the new table, and by partition whether a replica of it moved.
    """
    table, exists = resized(before, replicas=plan.replicas)
    gone = np.zeros(len(plan.tree.of[0]), np.bool_)
    gone[list(removed)] = True
    # NOWHERE is the last entry of `gone`, which is False.  Of two on one device one goes at once.
    left = gone[table] | ((ranked(table) > 1) & (table != NOWHERE))
    table[left] = NOWHERE
    kept = table.copy()
    placement = Placement(
        table=table,
        exists=exists,
        loose=exists & (table == NOWHERE),
        may_move=may_move,
        touched=np.asarray(left.any(axis=0)),
        rng=np.random.Generator(np.random.PCG64(_number(seed))),
    )
    progress("gathering")
    gather.for_dispersion(placement, plan)
    gather.for_balance(placement, plan)
    progress("placing")
    after = place.place(placement, plan)
    assert ((after != NOWHERE) == exists).all()
    moved = left | ((after != kept) & (kept != NOWHERE))
    return after, np.asarray(moved.any(axis=0))


def _number(seed: str | int) -> int:
    """Whatever names a seed, as 128 bits; 1 and "1" are the same."""
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:16], "big")
