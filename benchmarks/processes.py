"""CPU time of a server's processes, from /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds so far: of the server, of this process, and of the whole machine."""

    server_s: float
    own_s: float
    machine_s: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            server_s=self.server_s - earlier.server_s,
            own_s=self.own_s - earlier.own_s,
            machine_s=self.machine_s - earlier.machine_s,
        )

    @property
    def others_s(self) -> float:
        """What neither the server nor the load used: a noisy machine shows here."""
        return max(0.0, self.machine_s - self.server_s - self.own_s)


def usage(server: re.Pattern[str] | None) -> Usage:
    """`server` matches the command lines of the server's processes; None: its time is 0."""
    times = os.times()
    return Usage(
        server_s=0.0 if server is None else sum(map(cpu_s, matching(server))),
        own_s=times.user + times.system,
        machine_s=machine_cpu_s(),
    )


def matching(pattern: re.Pattern[str]) -> list[int]:
    """Processes, other than this one and its parents, whose command line matches."""
    ours = {os.getpid(), os.getppid()}
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and int(entry.name) not in ours
        and pattern.search(command_line(entry))
    ]


def command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_cpu_s() -> float:
    """All that was not idle, waiting or stolen."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS_PER_S
