"""Break simulated clusters for an hour, and say what came of it: `make soak`.

    scripts/soak.py [--minutes 60] [--seed N] [--days 5]

Each run is a seed of its own (tests/simulation/nemesis/), in a process of its own, on every core
but one.  One line says how each went; the last how many virtual hours and operations they were.
The first that fails ends it, with its report and the way to have it again, and exit status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = "tests.simulation.nemesis"
LINE = re.compile(r"seed (\d+): \w+, (\d+) virtual hours, (\d+) operations, (\d+) changes")


def command(seed: int, days: int) -> list[str]:
    return [sys.executable, "-m", MODULE, "--seed", str(seed), "--days", str(days)]


def run(seed: int, days: int) -> tuple[int, str]:
    """The exit status and the report of one seed.  Sets are in the same order each time."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command(seed, days), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def hint(seed: int, days: int) -> str:
    """The failing seed again, with as few days as it takes."""
    for fewer in range(1, days):
        if run(seed, fewer)[0]:
            days = fewer
            break
    shown = " ".join(["python", *command(seed, days)[1:]])
    return f"again: PYTHONHASHSEED=0 {shown}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Break simulated clusters for a while.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="of the first run; else by the time of day")
    parser.add_argument("--days", type=int, default=5, help="of each run")
    options = parser.parse_args()
    began = time.monotonic()
    until = began + 60 * options.minutes
    seed = options.seed if options.seed is not None else time.time_ns() // 10**9 % 10**6 * 1000
    at_once = max(1, (os.cpu_count() or 1) - 1)
    hours = operations = runs = 0
    print(f"seeds from {seed}, {at_once} at once, for {options.minutes:g} minutes", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        running: dict[Future[tuple[int, str]], int] = {}
        while running or time.monotonic() < until:
            while len(running) < at_once and time.monotonic() < until:
                running[pool.submit(run, seed, options.days)] = seed
                seed += 1
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                number = running.pop(each)
                status, report = each.result()
                if status:
                    print(report, hint(number, options.days), sep="\n", flush=True)
                    return 1
                print(report.strip(), flush=True)
                if (found := LINE.search(report)) is not None:
                    hours += int(found[2])
                    operations += int(found[3])
                    runs += 1
    minutes = (time.monotonic() - began) / 60
    print(
        f"{runs} runs, nothing wrong: {hours:,} virtual hours ({hours / minutes:,.0f} a minute), "
        f"{operations:,} operations"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
