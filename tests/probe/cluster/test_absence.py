"""A node that comes back after longer than tombstones are kept (T25; reference 5, dark_data)."""

from __future__ import annotations

import shutil
import time

from swiftish.domain.rows import VERSION, packed
from swiftish.object.index import PRESENCE
from swiftish.runtime.environment import Environment, Writer
from tests.functional.account import Account
from tests.lab.lab import Lab
from tests.lab.look import Spot, ask, copies, place
from tests.probe.cluster.steps import ACCOUNT, heal, spread, start, stop, tells

DAY_S = 86_400.0


def say_present(spot: Spot, *, since_s: float, seen_s: float) -> None:
    """As if this device had been in step from then to then, so many seconds ago."""
    now = time.time()
    note = packed([VERSION, now - since_s, now - seen_s, None])

    def write(writer: Writer) -> None:
        writer.put(PRESENCE, b"presence", note)

    environment = Environment(spot.disk.path / "index.mdb", names=(PRESENCE,))
    environment.write(write)
    environment.close()


def test_t25_no_deleted_object_comes_back(lab: Lab, account: Account, container: str) -> None:
    """It was away when an object was deleted, and came back when nobody remembered that.  What it
    has of old goes to its quarantine; what all have, and what is new on it, stays."""
    for node in lab.storage:
        node.configure({"object": {"replicator_thorough_every": 1}})
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    sleeper, *others = found.primaries
    kept = next(
        n
        for n in (f"kept{i}" for i in range(10_000))
        if str(sleeper) in map(str, place(lab, ACCOUNT, container, n).primaries)
    )
    account.put(container, kept, b"kept")
    told = place(lab, ACCOUNT, container)
    old = {"x-timestamp": f"{time.time() - 25 * DAY_S:.5f}", "content-type": "text/plain"}
    for spot in found.primaries:
        assert ask(lab, spot, "PUT", found.at(spot), old, b"x")[0] == 201
    stop(sleeper)
    gone = {"x-timestamp": f"{time.time() - 15 * DAY_S:.5f}", **tells(told, *told.primaries)}
    for spot in others:
        assert ask(lab, spot, "DELETE", found.at(spot), gone)[0] == 204
    stop(*others)
    for spot in others:
        shutil.rmtree(found.folder(spot))  # reclaimed
        say_present(spot, since_s=40 * DAY_S, seen_s=60)
    say_present(sleeper, since_s=40 * DAY_S, seen_s=18 * DAY_S)
    start(lab, *found.primaries)
    for _ in range(2):
        heal(lab)
    assert copies(lab, ACCOUNT, container, name) == {}
    assert account.request("GET", container, name).status == 404
    assert account.names(container) == [kept]
    assert account.get(container, kept).body == b"kept"
    assert (sleeper.disk.path / "quarantined" / "objects" / found.digest).is_dir()


def test_all_away_for_as_long_forget_nothing(lab: Lab, account: Account, container: str) -> None:
    """A cluster that was turned off for a month: nobody can have deleted anything."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    old = {"x-timestamp": f"{time.time() - 25 * DAY_S:.5f}", "content-type": "text/plain"}
    holder = found.primaries[0]
    assert ask(lab, holder, "PUT", found.at(holder), old, b"x")[0] == 201
    stop(*found.primaries)
    for spot in found.primaries:
        say_present(spot, since_s=40 * DAY_S, seen_s=18 * DAY_S)
    start(lab, *found.primaries)
    for _ in range(2):
        heal(lab)
    assert len(copies(lab, ACCOUNT, container, name)) == 3
    assert account.get(container, name).body == b"x"
