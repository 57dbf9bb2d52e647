"""Fill a container of an OpenStack Swift with rows, through Swift's own container broker.

    SWIFT_DIR=/etc/swift PYTHON fill_swift.py ACCOUNT CONTAINER DEVICES... [--rows 1000000]

Run it with the Python that Swift is installed in, on the machine that has its disks; DEVICES are
the folders that hold device folders (`devices` in the server's settings).  The container must be
there, and its servers may run.  The rows are those of fill.py.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROWS_PER_BATCH = 10_000
ROWS_PER_FOLDER = 1000
ETAG_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def fill(database: Path, account: str, container: str, count: int) -> None:
    backend = importlib.import_module("swift.container.backend")
    timestamps = importlib.import_module("swift.common.utils.timestamp")
    broker = backend.ContainerBroker(str(database), account=account, container=container)
    began = time.monotonic()
    oldest = time.time() - count / 1e5  # noqa: TID251 -- a program of its own, in Swift's Python
    for start in range(0, count, ROWS_PER_BATCH):
        broker.merge_items(
            [
                {
                    "name": f"d{number // ROWS_PER_FOLDER:04}/o{number % ROWS_PER_FOLDER:06}",
                    "created_at": timestamps.Timestamp(oldest + number / 1e5).internal,
                    "size": 1024,
                    "content_type": "application/octet-stream",
                    "etag": ETAG_OF_NOTHING,
                    "deleted": 0,
                    "storage_policy_index": 0,
                }
                for number in range(start, min(start + ROWS_PER_BATCH, count))
            ]
        )
    print(f"{database}: {count} rows in {time.monotonic() - began:.0f} s", flush=True)


def databases(account: str, container: str, roots: Sequence[Path]) -> list[Path]:
    """Where the replicas of the container's database are, below these folders."""
    utils = importlib.import_module("swift.common.utils")
    utils.set_swift_dir(os.environ["SWIFT_DIR"])
    digest = utils.hash_path(account, container)
    pattern = f"*/containers/*/{digest[-3:]}/{digest}/{digest}.db"
    return sorted(path for root in roots for path in root.glob(pattern))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Fill a container of an OpenStack Swift.")
    parser.add_argument("account")
    parser.add_argument("container")
    parser.add_argument("roots", nargs="+", type=Path, metavar="DEVICES")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parsed = parser.parse_args(arguments)
    found = databases(parsed.account, parsed.container, parsed.roots)
    if not found:
        print("fill_swift: there is no such container below these folders", file=sys.stderr)
        return 1
    for database in found:
        fill(database, parsed.account, parsed.container, parsed.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
