"""Takes over the builder files of Swift, which are pickles of a dictionary (reference 3).

Pure.
"""

from array import array
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from swiftish.ring import plain_pickle
from swiftish.ring.builder import HOURS_MAX, POWER_MAX, REPLICAS_MAX, Builder
from swiftish.ring.builder_format import NOWHERE_OF, TABLE_ID_MAX, check
from swiftish.ring.device import Device, from_document
from swiftish.ring.errors import BadBuilder, RingError
from swiftish.ring.table import NOWHERE, Table, TableOfHours

NUMBER_MAX = 2**62

_DEVICE_KEYS = (
    *("id", "region", "zone", "ip", "port", "device", "weight", "meta"),
    *("replication_ip", "replication_port"),
)


def import_swift(data: bytes) -> Builder:
    """A builder with the same devices and the same partitions on them.

    Nothing that the file says is run.  Raises BadBuilder.
    """
    found = plain_pickle.load(data)
    if isinstance(found, plain_pickle.Instance):  # very old ones are an object
        found = found.state
    if not isinstance(found, dict) or "devs" not in found:
        raise BadBuilder("it is a pickle, but not of a builder")
    fields = _Fields(found)
    power = fields.whole("part_power")
    if not 0 <= power <= POWER_MAX:
        raise BadBuilder(f"the builder's part_power is {power}, not between 0 and {POWER_MAX}")
    if fields.whole("parts") != 1 << power:
        raise BadBuilder("the builder's parts are not as many as its part_power says")
    table = _table(found.get("_replica2part2dev"), partitions=1 << power)
    hours = None if table is None else _hours(found.get("_last_part_moves"), partitions=1 << power)
    builder = Builder(
        power=power,
        replicas=fields.number("replicas"),
        # More than a byte can count would be never: nothing is known to have moved so long ago.
        min_part_hours=min(fields.whole("min_part_hours"), HOURS_MAX),
        next_power=fields.whole("next_part_power", default=0) or None,
        overload=fields.number("overload", default=0.0),
        version=fields.whole("version"),
        id=fields.text("id") or fields.text("_id"),
        devices=_devices(found["devs"]),
        removed=_removed(found.get("_remove_devs")),
        devices_changed=bool(fields.number("devs_changed", default=0)),
        assignment=table,
        moved_hours_ago=hours,
        moved_epoch=int(fields.number("_last_part_moves_epoch", default=0)),
        dispersion=None if table is None else fields.number("dispersion", default=0),
    )
    check(builder)
    return builder


class _Fields:
    """A dictionary of Swift's; what is missing or None has its default.  Raises BadBuilder."""

    def __init__(self, found: Mapping[object, object]) -> None:
        self._found = found

    def number(self, key: str, *, default: float | None = None) -> int | float:
        value = self._found.get(key)
        if value is None:
            value = default
        if not isinstance(value, int | float) or not -NUMBER_MAX <= value <= NUMBER_MAX:
            raise BadBuilder(f"the builder's {key} is missing, or is no number")
        return value

    def whole(self, key: str, *, default: int | None = None) -> int:
        value = self.number(key, default=default)
        if value != int(value):
            raise BadBuilder(f"the builder's {key} is not a whole number")
        return int(value)

    def text(self, key: str) -> str:
        value = self._found.get(key)
        return str(value) if isinstance(value, str) else ""


def _devices(found: object) -> list[Device | None]:
    if not isinstance(found, list):
        raise BadBuilder("the builder has no list of devices")
    return [None if each is None else _device(each) for each in found]


def _device(found: object) -> Device:
    """Only plain values go on: to spell out others could take forever."""
    if not isinstance(found, dict):
        raise BadBuilder("the builder has a device that is not described")
    known = {key: found[key] for key in _DEVICE_KEYS if found.get(key) is not None}
    if not all(isinstance(value, str | int | float) for value in known.values()):
        raise BadBuilder("the builder has a device that is not described as it must be")
    try:
        return from_document(known)
    except RingError as error:
        raise BadBuilder(str(error)) from None


def _removed(found: object) -> set[int]:
    if not (found is None or isinstance(found, list)):
        raise BadBuilder("the builder's list of devices to remove is not what it must be")
    numbers = [each.get("id") if isinstance(each, dict) else None for each in found or []]
    removed = {number for number in numbers if isinstance(number, int)}
    if len(removed) != len(numbers):
        raise BadBuilder("the builder's list of devices to remove is not what it must be")
    return removed


def _table(found: object, *, partitions: int) -> Table | None:
    if not found:
        return None
    if not isinstance(found, list) or len(found) > REPLICAS_MAX + 1:
        raise BadBuilder("the builder's table is not what it must be")
    rows = [_numbers(row) for row in found]
    while rows and not len(rows[-1]):
        rows.pop()
    if not rows or any(len(row) != partitions for row in (rows[0], *rows[:-1])):
        raise BadBuilder("the builder's table has rows of another length than it has partitions")
    if len(rows[-1]) > partitions:
        raise BadBuilder("the builder's table has a row that is longer than it has partitions")
    table = np.full((len(rows), partitions), NOWHERE, np.int32)
    for number, row in enumerate(rows):
        placed = row != NOWHERE_OF.get(row.itemsize, -1)
        if int(row.max(where=placed, initial=0)) > TABLE_ID_MAX:
            raise BadBuilder("the builder's table names a device that is not there")
        table[number, : len(row)] = np.where(placed, row, 0)
        table[number, : len(row)][~placed] = NOWHERE
    return table


def _hours(found: object, *, partitions: int) -> TableOfHours:
    """None, an array or, after the partitions were doubled, a list."""
    if found is None:
        return np.zeros(partitions, np.uint8)
    if isinstance(found, list) and all(type(each) is int and 0 <= each <= 255 for each in found):
        found = array("B", found)
    numbers = _numbers(found)
    if len(numbers) != partitions or int(numbers.max(initial=0)) > HOURS_MAX:
        raise BadBuilder("the builder's list of when partitions moved is not what it must be")
    return numbers.astype(np.uint8)


def _numbers(found: object) -> npt.NDArray[np.unsignedinteger]:
    if not isinstance(found, array):
        raise BadBuilder("the builder's table is not what it must be")
    return np.frombuffer(found.tobytes(), f"u{found.itemsize}")
