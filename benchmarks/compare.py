"""Measure two servers in turn, and put their medians side by side in a Markdown table.

    python -m benchmarks.compare A=http://USER:KEY@HOST:PORT B=http://USER:KEY@HOST:PORT \\
        [--match A=REGEX] [--match B=REGEX] [--rounds 3] [--out FILE.md] [options of load.py]

The machine's speed drifts, so the two are measured in turn, and the order changes each round: AB,
BA, AB.  A ratio above 1 says that A is better: it answers more per second, or needs less time.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.client import BadTarget, Broken, Target
from benchmarks.load import PARTS, add_plan_arguments, measure, plan_of, print_header
from benchmarks.phases import Failed, Figure

Rounds = dict[str, list[list[Figure]]]  # by server, the figures of each round


def median_of(rounds: list[list[Figure]], key: str, name: str) -> float | None:
    """The median over the rounds of one number of one line."""
    values = [getattr(figure, name) for round_ in rounds for figure in round_ if figure.key == key]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def table(rounds: Rounds) -> str:
    """Markdown: a line per phase, the two servers' medians, and their ratios."""
    one, two = rounds
    lines = [
        f"| | {one} /s | {two} /s | ratio | {one} p50 ms | {two} p50 ms "
        f"| {one} p99 ms | {two} p99 ms | {one} CPU us | {two} CPU us | ratio |",
        "|---|" + "--:|" * 10,
    ]
    for key in dict.fromkeys(figure.key for figure in rounds[one][0]):
        large = "MiB" in key
        cells = [key + (", MB/s" if large else "")]
        rate = "mb_per_s" if large else "per_s"
        for name, better in ((rate, "more"), ("p50_ms", ""), ("p99_ms", ""), ("server_us", "less")):
            first = median_of(rounds[one], key, name)
            second = median_of(rounds[two], key, name)
            cells += [number(first), number(second)]
            if better:
                cells.append(ratio(first, second) if better == "more" else ratio(second, first))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(upper: float | None, lower: float | None) -> str:
    return f"**{upper / lower:.1f}**" if upper is not None and lower else ""


def noise(rounds: Rounds) -> str:
    """How busy others kept the machine meanwhile, and how steady the figures were."""
    figures = [figure for each in rounds.values() for round_ in each for figure in round_]
    others = statistics.median(figure.others_cores for figure in figures)
    spreads = []
    for each in rounds.values():
        for key in dict.fromkeys(figure.key for figure in each[0]):
            rates = [figure.per_s for round_ in each for figure in round_ if figure.key == key]
            spreads.append((max(rates) - min(rates)) / statistics.median(rates))
    return (
        f"{len(next(iter(rounds.values())))} rounds in turn; others used {others:.2f} cores "
        f"(median); from lowest to highest the rate of a line differed by "
        f"{statistics.median(spreads):.0%} (median).\n"
    )


def patterns(texts: Sequence[str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(regex) for name, _, regex in (text.partition("=") for text in texts)}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure two servers in turn.")
    parser.add_argument("targets", nargs=2, metavar="NAME=http://USER:KEY@HOST:PORT")
    parser.add_argument("--match", action="append", default=[], metavar="NAME=REGEX")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    add_plan_arguments(parser)
    parsed = parser.parse_args(arguments)
    servers = patterns(parsed.match)
    try:
        targets = [Target.parse(text) for text in parsed.targets]
        rounds: Rounds = {target.name: [] for target in targets}
        for turn in range(parsed.rounds):
            for target in targets if turn % 2 == 0 else reversed(targets):
                print_header(f"{target.name}, round {turn + 1} of {parsed.rounds}")
                figures = measure(
                    target, plan_of(parsed), parsed.part or PARTS, servers.get(target.name)
                )
                rounds[target.name].append(figures)
    except (BadTarget, Failed, Broken, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    text = table(rounds) + "\n" + noise(rounds)
    print("\n" + text)
    if parsed.out:
        parsed.out.write_text(text)
    if parsed.json:
        kept = {
            name: [[asdict(figure) for figure in figures] for figures in each]
            for name, each in rounds.items()
        }
        parsed.json.write_text(json.dumps(kept, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
