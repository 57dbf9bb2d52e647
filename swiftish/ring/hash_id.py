"""Which cluster a ring is for: a name of its hash prefix and suffix that does not give them away.

With another prefix or suffix every name falls into another partition, so a server with the wrong
one finds nothing and stores everything in the wrong place.  A ring carries the name of the right
ones, and who loads it compares.

Pure.
"""

import hashlib
import hmac
import struct

from swiftish.ring.errors import RingError
from swiftish.ring.ring import Ring

_LABEL = b"swiftish: the hash prefix and suffix of a cluster"
_LENGTHS = struct.Struct(">QQ")
DIGITS = 16


def hash_id(prefix: bytes, suffix: bytes) -> str:
    """Sixteen hex digits; others for every other prefix and suffix."""
    secret = _LENGTHS.pack(len(prefix), len(suffix)) + prefix + suffix
    return hmac.digest(secret, _LABEL, hashlib.sha256).hex()[:DIGITS]


def check(ring: Ring, expected: str) -> None:
    """Raises RingError when the ring says that it is for another cluster.  It may say nothing."""
    if ring.hash_id and ring.hash_id != expected:
        raise RingError(
            "the ring was made for a cluster with another hash prefix or suffix "
            f"({ring.hash_id}, not {expected})"
        )
