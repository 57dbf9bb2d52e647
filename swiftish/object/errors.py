"""What a device can tell us instead of an object.

Pure.
"""

import errno

from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import DamagedBody


class ObjectError(Exception):
    """Any of these; object/refusals.py says what the client is told."""


class Corrupt(ObjectError, DamagedBody):
    """What is on disk is not what was written; it has been moved to the quarantine.

    `path` is where it was, `reason` what was wrong, for the log.  Never a 404: the object was
    here, and other replicas may still have it.  Whoever reads a body goes on elsewhere.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Conflict(ObjectError):
    """Something that counts more is stored already; `timestamp` says how new it is."""

    def __init__(self, timestamp: Timestamp) -> None:
        super().__init__(f"stored already: {timestamp.internal}")
        self.timestamp = timestamp


class NoObject(ObjectError):
    """There is no object; `timestamp` says since when, where that is known."""

    def __init__(self, timestamp: Timestamp | None = None) -> None:
        super().__init__("no object")
        self.timestamp = timestamp


class Exists(ObjectError):
    """There is an object, and the request wanted none."""


class WrongDeleteAt(ObjectError):
    """The object's X-Delete-At is not the one that the request named."""


class EtagMismatch(ObjectError):
    """The bytes that came are not the bytes that were meant."""


class BelowReserve(ObjectError):
    """The free space that is left on the device is kept for deletes."""


class SyncFailed(ObjectError):
    """A sync failed: the device is out of service, and the change must not be acknowledged."""


class RaceLost(BlockingIOError):
    """Somebody else changed the same thing in between, again and again; trying later may help."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EAGAIN, text)


class BadMetadata(ValueError):
    """Bytes that are not an object's metadata; the message says what is wrong with them."""
