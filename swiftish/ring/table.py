"""Which device has which replica of which partition, as numbers: the tables of the builder.

A table has a row for each replica and a column for each partition; NOWHERE stands where a replica
has no device yet, and beyond the end of the last row when the number of replicas is fractional.
2.25 replicas are two whole rows, and a third for the first quarter of the partitions.

Pure.
"""

import math
from array import array

import numpy as np
import numpy.typing as npt

from swiftish.ring.errors import RingError

Table = npt.NDArray[np.int32]
TableOfHours = npt.NDArray[np.uint8]
Indexes = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

NOWHERE = -1
CHUNK = 1 << 15  # partitions that are worked on at a time where temporary tables are many


def row_lengths(*, replicas: float, partitions: int) -> list[int]:
    """How many partitions each row has: whole rows, and a shorter last one for the fraction."""
    fraction, whole = math.modf(replicas)
    lengths = [partitions] * int(whole)
    last = int(partitions * fraction)
    return [*lengths, last] if last else lengths


def empty_table(*, replicas: float, partitions: int) -> Table:
    """All NOWHERE."""
    rows = len(row_lengths(replicas=replicas, partitions=partitions))
    return np.full((rows, partitions), NOWHERE, np.int32)


def resized(table: Table, *, replicas: float) -> tuple[Table, Mask]:
    """The table with as many replicas, and where in it replicas belong.

    What is beyond is let go, what is new is NOWHERE.
    """
    partitions = table.shape[1]
    lengths = row_lengths(replicas=replicas, partitions=partitions)
    wanted = np.arange(partitions) < np.array(lengths)[:, None]
    sized = np.full(wanted.shape, NOWHERE, np.int32)
    kept = min(len(lengths), len(table))
    sized[:kept] = table[:kept]
    sized[~wanted] = NOWHERE
    return sized, wanted


def together(where: Table) -> npt.NDArray[np.int8]:
    """For each replica (row) of each partition: how many of the partition are in its tier."""
    found = np.ones(where.shape, np.int8)
    for row in range(1, len(where)):
        for before in range(row):
            same = where[row] == where[before]
            found[row] += same
            found[before] += same
    return found


def ranked(where: Table) -> npt.NDArray[np.int8]:
    """The how manieth of its partition in its tier each replica is, from the first row on."""
    found = np.ones(where.shape, np.int8)
    for row in range(1, len(where)):
        for before in range(row):
            found[row] += where[row] == where[before]
    return found


def beyond(count: npt.NDArray[np.int8], limits: npt.NDArray[np.int32], where: Table) -> Mask:
    """Where there are more than the tier's limit; `limits` by tier, NOWHERE has none."""
    if limits.min() == limits.max():  # as most levels are: spares looking each of them up
        return np.asarray((count > limits[0]) & (where != NOWHERE))
    return np.asarray((count > limits.take(where)) & (where != NOWHERE))


def rows_of(table: Table) -> "list[array[int]]":
    """The rows of a complete table as `Ring` has them: the last one ends where its ids end.

    Raises RingError when a replica has no device.
    """
    code = "H" if table.size == 0 or int(table.max()) < 0xFFFF else "I"
    width = np.uint16 if code == "H" else np.uint32
    rows = []
    for row in table:
        length = int(np.count_nonzero(row != NOWHERE))
        if not length or (row[:length] == NOWHERE).any():
            raise RingError("a replica has no device yet: the builder needs a rebalance")
        rows.append(array(code, row[:length].astype(width).tobytes()))
    return rows


def table_of(rows: "list[array[int]]", *, partitions: int) -> Table:
    """The other way round."""
    table = np.full((len(rows), partitions), NOWHERE, np.int32)
    for number, row in enumerate(rows):
        table[number, : len(row)] = np.frombuffer(row, dtype=f"u{row.itemsize}")
    return table
