"""How many container updates are pending in a device's index, and for how long."""

from collections.abc import Mapping
from itertools import islice

from swiftish.domain.timestamp import Timestamp
from swiftish.object.index import PENDING
from swiftish.runtime.environment import Reader

# Keys begin with the object's hash, so the first ones are a fair sample of all: of more than this
# the oldest of the sample is said.
SAMPLE_MAX = 10_000
_MOMENT = slice(16, 32)  # in a key (object/index.py)


def backlog(reader: Reader, now: float) -> Mapping[str, float]:
    """`pending_updates` and `pending_oldest_s`, which is 0 when there are none."""
    count = reader.count(PENDING)
    keys = (key for key, _ in islice(reader.scan(PENDING), SAMPLE_MAX)) if count else ()
    oldest = min((Timestamp.unpack(key[_MOMENT]).seconds for key in keys), default=now)
    return {"pending_updates": count, "pending_oldest_s": max(0.0, now - oldest)}
