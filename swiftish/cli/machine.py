"""What Linux says of the machine, in the shapes of Swift's recon (reference 2.13).  Blocking."""

import os
from pathlib import Path

PROC = Path("/proc")


def load(proc: Path = PROC) -> dict[str, object]:
    one, five, fifteen, tasks, last = (proc / "loadavg").read_text().split()
    return {
        "1m": float(one),
        "5m": float(five),
        "15m": float(fifteen),
        "tasks": tasks,
        "processes": int(last),
    }


def memory(proc: Path = PROC) -> dict[str, str]:
    pairs = (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def mounted(proc: Path = PROC) -> list[dict[str, str]]:
    fields = (line.split() for line in (proc / "mounts").read_text().splitlines())
    return [{"device": found[0], "path": found[1]} for found in fields if len(found) > 1]


def sockets(proc: Path = PROC) -> dict[str, int]:
    """What is in use of TCP; memory in bytes."""
    found: dict[str, int] = {}
    tcp = _numbers(proc / "net" / "sockstat", "TCP:")
    if tcp:
        found = {
            "tcp_in_use": tcp["inuse"],
            "orphan": tcp["orphan"],
            "time_wait": tcp["tw"],
            "tcp_mem_allocated_bytes": tcp["mem"] * os.sysconf("SC_PAGESIZE"),
        }
    if six := _numbers(proc / "net" / "sockstat6", "TCP6:"):
        found["tcp6_in_use"] = six["inuse"]
    return found


def resident_bytes(proc: Path = PROC) -> int:
    """Memory of this process that is in use."""
    return int((proc / "self" / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _numbers(path: Path, head: str) -> dict[str, int]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        if line.startswith(head):
            words = line.split()[1:]
            return dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return {}
