"""How many updates are pending, and for how long."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from swiftish.domain.timestamp import Timestamp
from swiftish.object import backlog as backlogs
from swiftish.object.backlog import backlog
from swiftish.object.index import PENDING, TABLES, Update, pack_update, pending_key
from swiftish.runtime.environment import Environment, Writer

NOW = 1_700_000_000.0


def update(number: int, age_s: float) -> tuple[bytes, bytes]:
    found = Update(
        method="PUT",
        account="a",
        container="c",
        object=f"o{number}",
        timestamp=Timestamp.from_seconds(NOW - age_s),
        policy=0,
        partition=1,
        headers={},
        nodes=(),
    )
    return pending_key(f"{number:032x}", found), pack_update(found)


def test_the_oldest_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment(tmp_path / "index.mdb", names=TABLES)
    try:
        with environment.read() as reader:
            assert backlog(reader, NOW) == {"pending_updates": 0, "pending_oldest_s": 0}
        for number, age_s in enumerate((5.0, 90.0, 7.0)):
            key, value = update(number, age_s)
            environment.write(partial(Writer.put, name=PENDING, key=key, value=value))
        with environment.read() as reader:
            found = backlog(reader, NOW)
            assert found == {"pending_updates": 3, "pending_oldest_s": pytest.approx(90)}
            assert backlog(reader, NOW - 3600)["pending_oldest_s"] == 0, "a clock was set back"
            monkeypatch.setattr(backlogs, "SAMPLE_MAX", 1)
            found = backlog(reader, NOW)
            assert found == {"pending_updates": 3, "pending_oldest_s": pytest.approx(5)}
    finally:
        environment.close()
