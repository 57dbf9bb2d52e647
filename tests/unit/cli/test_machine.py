"""What Linux says, in Swift's shapes."""

from __future__ import annotations

import os
from pathlib import Path

from swiftish.cli import machine

SOCKETS = "sockets: used 1\nTCP: inuse 4 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 1 mem 1\n"


def test_the_shapes_of_swift(tmp_path: Path) -> None:
    (tmp_path / "loadavg").write_text("0.50 1.25 2.00 3/141 999\n")
    (tmp_path / "meminfo").write_text("MemTotal:       16 kB\nHugePages_Total:   0\n")
    (tmp_path / "mounts").write_text("/dev/sdb1 /srv/node/d1 xfs rw 0 0\n")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "sockstat").write_text(SOCKETS)
    assert machine.load(tmp_path) == {
        "1m": 0.5,
        "5m": 1.25,
        "15m": 2.0,
        "tasks": "3/141",
        "processes": 999,
    }
    assert machine.memory(tmp_path) == {"MemTotal": "16 kB", "HugePages_Total": "0"}
    assert machine.mounted(tmp_path) == [{"device": "/dev/sdb1", "path": "/srv/node/d1"}]
    page = os.sysconf("SC_PAGESIZE")
    expected = {"tcp_in_use": 4, "orphan": 1, "time_wait": 2, "tcp_mem_allocated_bytes": 3 * page}
    assert machine.sockets(tmp_path) == expected, "and no TCP6 where there is none"
    (tmp_path / "net" / "sockstat6").write_text("TCP6: inuse 7\n")
    assert machine.sockets(tmp_path)["tcp6_in_use"] == 7


def test_this_machine_has_all_of_it() -> None:
    assert machine.load()["1m"] is not None
    assert machine.memory()["MemTotal"]
    assert any(mount["path"] == "/" for mount in machine.mounted())
    assert machine.resident_bytes() > 1_000_000
