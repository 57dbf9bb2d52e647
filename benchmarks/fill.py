"""Fill a container of a stopped swiftish with rows, the way its container server stores them.

    python -m benchmarks.fill DATA ACCOUNT CONTAINER [--rows 1000000] [--config FILE]

The container must be there (PUT it first), and the server must be stopped; its lock is held
meanwhile.  Every replica gets every row, by the same function that a row of a PUT goes through, a
thousand of them per commit.  Names are dNNNN/oNNNNNN.  There are no objects behind them: what is
measured is the listing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from swiftish.cli.node import Node, Unusable
from swiftish.cli.onenode import lock, open_node
from swiftish.container import broker
from swiftish.container.broker import RowChange
from swiftish.db.pool import Pool
from swiftish.domain.hashing import HashPath
from swiftish.domain.rows import ObjectRow
from swiftish.domain.timestamp import Timestamp
from swiftish.http.replies import Refusal
from swiftish.runtime.clock import SystemClock
from swiftish.runtime.devices import Devices
from swiftish.runtime.environment import Writer
from swiftish.runtime.settings import BadSettings, read_toml

ROWS_PER_COMMIT = 1000
ROWS_PER_FOLDER = 1000
ETAG_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def changes(digest: bytes, count: int, now: Timestamp) -> Iterator[RowChange]:
    """Rows in the order of their names, each 10 microseconds newer than the one before."""
    oldest = now.raw - count
    for number in range(count):
        timestamp = Timestamp(oldest + number)
        folder, place = divmod(number, ROWS_PER_FOLDER)
        yield RowChange(
            digest=digest,
            name=b"d%04d/o%06d" % (folder, place),
            policy_index=0,
            row=ObjectRow(
                timestamp=timestamp,
                size=1024,
                etag=ETAG_OF_NOTHING,
                deleted=False,
                content_type="application/octet-stream",
                content_type_timestamp=timestamp,
                metadata_timestamp=timestamp,
            ),
        )


def merge_all(batch: Sequence[RowChange], writer: Writer) -> None:
    for change in batch:
        broker.merge_row(writer, change)


async def fill(node: Node, account: str, container: str, count: int) -> None:
    """Raises Refusal 404 when there is no such container."""
    cluster = node.settings.cluster
    hash_path = HashPath(prefix=cluster.hash_prefix.encode(), suffix=cluster.hash_suffix.encode())
    digest = hash_path(account, container)
    devices = Devices(node.devices_root, node.device_names())
    pool = Pool("containers", tables=broker.TABLES)
    now = SystemClock().timestamp()
    ring = node.rings.container.current()
    try:
        for replica in ring.primaries(ring.partition(digest)):
            device = devices.get(replica.device)
            assert device is not None, f"{replica.device} is not there"
            began = time.monotonic()
            batch: list[RowChange] = []
            for change in changes(digest, count, now):
                batch.append(change)
                if len(batch) == ROWS_PER_COMMIT:
                    await pool.commit(device, partial(merge_all, batch))
                    batch = []
            await pool.commit(device, partial(merge_all, batch))
            took_s = time.monotonic() - began
            print(f"{device.name}: {count} rows in {took_s:.0f} s", flush=True)
    finally:
        pool.close()
        devices.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Fill a container of a stopped swiftish.")
    parser.add_argument("data", type=Path)
    parser.add_argument("account")
    parser.add_argument("container")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--config", type=Path)
    parsed = parser.parse_args(arguments)
    try:
        data = parsed.data.absolute()
        held = lock(data)
        above = read_toml(parsed.config) if parsed.config else {}
        node = open_node(data, above, source=parsed.config, users=[]).node
        asyncio.run(fill(node, parsed.account, parsed.container, parsed.rows))
        os.close(held)
    except (Unusable, BadSettings, Refusal) as error:
        print(f"fill: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
