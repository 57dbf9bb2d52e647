"""One run, or some, from the command line: see `--help`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.nemesis.campaign import Plan, harsh, run
from tests.simulation.nemesis.mutants import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(description="Break a simulated cluster; is it right after?")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--runs", type=int, default=1, help="so many, each with the next seed")
    parser.add_argument("--days", type=int, default=3, help="of each run")
    parser.add_argument("--faults", help="only these, with commas between them")
    parser.add_argument("--mutant", choices=[name for name in MUTANTS if name], help="a known bug")
    parser.add_argument("--harsh", action="store_true", help="much in little time")
    parser.add_argument("--stop", action="store_true", help="after the first that fails")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        faults = tuple(options.faults.split(",")) if options.faults else None
        plan = Plan.of(seed, days=options.days, faults=faults)
        verdict = run(harsh(seed) if options.harsh else plan, mutant=options.mutant)
        sys.stdout.write(verdict.report() + "\n")
        sys.stdout.flush()
        failed += bool(verdict.complaints)
        if failed and options.stop:
            break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
