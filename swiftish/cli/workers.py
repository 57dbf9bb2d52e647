"""`swiftish workers`: how the background workers of a node are, or one pass of one of them."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from swiftish.cli.node import Node, Unusable
from swiftish.cli.ring_tables import columns
from swiftish.cli.running import add_node_arguments, node_of, run_folder_of
from swiftish.cli.wiring import run_workers_once
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.logs import configure
from swiftish.runtime.settings import BadSettings
from swiftish.runtime.status import INTERVAL_S, WORKERS_FILE, read_status

HELP = "show the background workers of a node, or run one of them once"
STALE_S = 10 * INTERVAL_S
WATCH_INTERVAL_S = 1.0
_HEAD = ("worker", "state", "passes", "this pass", "rate", "left", "last pass", "errors", "done")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_node_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="show it again every second")
    parser.add_argument(
        "--once",
        metavar="WORKER",
        nargs="+",
        help="run a pass of each of these workers here and now, beside those that run anyway",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 1 with a sentence: nothing runs, no such worker, a pass with errors."""
    try:
        if arguments.once:
            return _once(node_of(arguments), arguments.once)
        return _show(run_folder_of(arguments) / WORKERS_FILE, watch=arguments.watch)
    except (Unusable, BadSettings) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _once(node: Node, names: list[str]) -> int:
    configure(node.settings.server.log_level)
    documents = asyncio.run(run_workers_once(node, names))
    print(table(documents, SystemClock().now()))
    return 1 if any(document["errors"] for document in documents) else 0


def _show(path: Path, *, watch: bool) -> int:
    while True:
        document = read_status(path)
        now = SystemClock().now()
        if document is None:
            raise Unusable(f"no workers run here: there is no {path}")
        if watch and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
        print(table(document["workers"], now))
        if (age_s := now - document["at"]) > STALE_S:
            print(f"swiftish: this is how it was {age_s:.0f} s ago: {path}", file=sys.stderr)
            return 1
        if not watch:
            return 0
        sys.stdout.flush()
        time.sleep(WATCH_INTERVAL_S)


def table(workers: list[dict[str, Any]], now: float) -> str:
    """A line for each worker."""
    return columns(_HEAD, [_row(each, now) for each in workers], left="<<")


def _row(worker: dict[str, Any], now: float) -> tuple[str, ...]:
    done, total, rate, left = (worker[key] for key in ("done", "total", "rate", "left"))
    share = f"{done:,}" if total is None else f"{done:,}/{total:,}"
    numbers = Counter(worker["counters"])
    for name, number in worker["gauges"].items():
        numbers[name.partition(" ")[0]] += number  # of all devices
    counters = " ".join(f"{name}={number:,}" for name, number in numbers.items())
    working = worker["state"] == "working"
    remaining = f"{left / rate:.0f} s" if working and left and rate else ""
    last = "" if not worker["passes"] else f"{worker['last_pass_s']:.1f} s"
    since_s = now - worker["last_pass_began"] - worker["last_pass_s"]
    ago = f", {since_s:.0f} s ago" if worker["passes"] else ""
    return (
        worker["name"],
        worker["state"],
        str(worker["passes"]),
        share,
        f"{rate:.1f}/s" if rate else "",
        remaining,
        last + ago,
        str(worker["errors"] or ""),
        counters,
    )
