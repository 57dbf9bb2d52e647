"""Measure one server.

    python -m benchmarks.load NAME=http://USER:KEY@HOST:PORT [--match REGEX] [options]

    --match REGEX        the server's processes, by their command lines: its CPU time per request
    --part PART          small, large or listing (with --listing); may be repeated; default: all
    --concurrency 1,16   for small objects
    --duration S         of each phase with small objects
    --size BYTES         of small objects
    --listing CONTAINER  a container that is full already (benchmarks/README.md says how)
    --json FILE          keep the figures

The table goes to standard output as it comes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.client import BadTarget, Broken, Target
from benchmarks.phases import Bench, Failed, Figure, Plan

PARTS = ("small", "large", "listing")
COLUMNS = (
    *("what", "conc", "count", "per s", "MB/s", "p50 ms", "p99 ms"),
    *("server us", "client us", "others"),
)
WIDTHS = (20, 5, 8, 9, 9, 9, 9, 10, 10, 7)


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--concurrency", default="1,16,64")
    parser.add_argument("--duration", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--large-size", type=int, default=64 << 20)
    parser.add_argument("--large-count", type=int, default=6)
    parser.add_argument("--large-concurrency", type=int, default=1)
    parser.add_argument("--listing")
    parser.add_argument("--json", type=Path)


def plan_of(parsed: argparse.Namespace) -> Plan:
    return Plan(
        concurrencies=tuple(int(text) for text in parsed.concurrency.split(",")),
        duration_s=parsed.duration,
        small_bytes=parsed.size,
        large_bytes=parsed.large_size,
        large_count=parsed.large_count,
        large_concurrency=parsed.large_concurrency,
        listing=parsed.listing,
    )


def measure(
    target: Target, plan: Plan, parts: Sequence[str], server: re.Pattern[str] | None
) -> list[Figure]:
    """All parts, printed line by line.  Raises Failed and Broken."""
    bench = Bench(target, plan, server, report=print_figure)
    if "small" in parts:
        bench.small_objects()
    if "large" in parts:
        bench.large_objects()
    if "listing" in parts and plan.listing is not None:
        bench.listings()
    return bench.figures


def print_header(name: str) -> None:
    print(f"\n{name}")
    print_row(COLUMNS)


def print_figure(figure: Figure) -> None:
    print_row(
        (
            figure.what,
            str(figure.concurrency),
            str(figure.count),
            f"{figure.per_s:.1f}",
            f"{figure.mb_per_s:.1f}",
            f"{figure.p50_ms:.2f}",
            f"{figure.p99_ms:.2f}",
            "" if figure.server_us is None else f"{figure.server_us:.0f}",
            f"{figure.client_us:.0f}",
            f"{figure.others_cores:.2f}",
        )
    )


def print_row(cells: Sequence[str]) -> None:
    first, *rest = zip(cells, WIDTHS, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    print(" ".join(aligned), flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure one server.")
    parser.add_argument("target", metavar="NAME=http://USER:KEY@HOST:PORT")
    parser.add_argument("--match")
    add_plan_arguments(parser)
    parsed = parser.parse_args(arguments)
    try:
        target = Target.parse(parsed.target)
        print_header(target.name)
        pattern = re.compile(parsed.match) if parsed.match else None
        figures = measure(target, plan_of(parsed), parsed.part or PARTS, pattern)
    except (BadTarget, Failed, Broken, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
