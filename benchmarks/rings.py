"""The ring builder's time and memory, beside swift-ring-builder's in the same run.

    python -m benchmarks.rings [--swift BIN/swift-ring-builder] [--rounds 3]

1,000 devices over 2 regions, 8 zones and 100 hosts, part power 18, 3 replicas: create, add all in
one command, rebalance, remove one, rebalance; then how long a server takes to load the ring, and
to look up primaries.  The two take turns; medians are printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

OURS = Path(__file__).resolve().parents[1] / "tools" / "ring-builder"
POWER, REPLICAS, DEVICES, HOSTS, ZONES, REGIONS = 18, 3, 1000, 100, 8, 2
FINE = (0, 1)  # exit codes: 1 is a warning

LOAD = {
    "swiftish": """
from swiftish.ring.format import decode
load = lambda path: decode(open(path, "rb").read())
""",
    "swift": "from swift.common.ring import RingData; load = RingData.load",
}
TIMED = """
import sys, time
{load}
times = []
for _ in range(7):
    start = time.perf_counter(); load(sys.argv[1]); times.append(time.perf_counter() - start)
print(sorted(times)[3] * 1000)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--swift", type=Path, help="the real swift-ring-builder")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tools = {"swiftish": OURS} | ({"swift": options.swift} if options.swift else {})
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(options.rounds):
        for name, tool in tools.items():
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            for (what, unit), value in measure(name, tool).items():
                found[what, unit][name].append(value)
    print_table(found, list(tools))
    return 0


def measure(name: str, tool: Path) -> dict[tuple[str, str], float]:
    """One life of a builder."""
    figures: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        builder = Path(folder) / "object.builder"
        commands = {
            "create": ["create", str(POWER), str(REPLICAS), "1"],
            "add 1,000 devices": ["add", *devices()],
            "rebalance": ["rebalance"],
            "remove one": ["remove", "d5"],
            "rebalance after it": ["rebalance"],
        }
        total = 0.0
        for what, arguments in commands.items():
            wall_s, cpu_s, peak_mib = run([str(tool), str(builder), *arguments])
            figures[what, "s"], figures[what, "CPU s"] = wall_s, cpu_s
            if "rebalance" in what:
                figures[what, "MiB at the peak"] = peak_mib
            if what in {"create", "add 1,000 devices", "rebalance"}:
                total += wall_s
        figures["create, add and rebalance", "s"] = total
        figures["load the ring", "ms"] = load_ms(name, tool, builder.with_name("object.ring.gz"))
        if name == "swiftish":
            figures["primaries of a partition", "us"] = lookup_us(
                builder.with_name("object.ring.gz")
            )
    return figures


def devices() -> list[str]:
    """Pairs of device and weight, as the command takes them."""
    words = []
    for number in range(DEVICES):
        host = number * HOSTS // DEVICES
        region, zone = host % REGIONS + 1, host % ZONES + 1
        words += [f"r{region}z{zone}-10.0.0.{host + 1}:6200/d{number % 10}", "4000"]
    return words


def run(command: list[str]) -> tuple[float, float, float]:
    """(seconds, CPU seconds, MiB at the peak)."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - start
    if child.returncode not in FINE:
        raise SystemExit(f"{command[:4]} exited with {child.returncode}")
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def load_ms(name: str, tool: Path, ring: Path) -> float:
    """How long a server takes to load the ring, in milliseconds: the median of seven."""
    python = sys.executable if name == "swiftish" else str(tool.with_name("python"))
    code = TIMED.format(load=LOAD[name])
    done = subprocess.run(
        [python, "-c", code, str(ring)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def lookup_us(path: Path) -> float:
    """Microseconds for the primaries of one partition, over a million of them."""
    from swiftish.ring.format import decode  # noqa: PLC0415 -- after the children, not before

    ring = decode(path.read_bytes())
    start = time.perf_counter()
    for _ in range(4):
        for partition in range(ring.partitions):
            ring.primaries(partition)
    return (time.perf_counter() - start) / 4 / ring.partitions * 1e6


def print_table(found: dict[tuple[str, str], dict[str, list[float]]], names: list[str]) -> None:
    print(f"| | {' | '.join(names)} | times |")
    print(f"|---|{'--:|' * len(names)}--:|")
    for (what, unit), by_name in found.items():
        middle = {name: statistics.median(values) for name, values in by_name.items()}
        cells = [f"{middle[name]:.3g}" if name in middle else "" for name in names]
        ratio = f"{middle['swift'] / middle['swiftish']:.1f}" if "swift" in middle else ""
        print(f"| {what}, {unit} | {' | '.join(cells)} | {ratio} |")


if __name__ == "__main__":
    sys.exit(main())
