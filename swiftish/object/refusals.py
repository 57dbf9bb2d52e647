"""What a client is told when a device has no answer, or none that may be given.

Pure.
"""

from swiftish.http.replies import Refusal
from swiftish.object.errors import (
    BelowReserve,
    Conflict,
    Corrupt,
    EtagMismatch,
    Exists,
    NoObject,
    ObjectError,
    SyncFailed,
    WrongDeleteAt,
)
from swiftish.runtime.errnos import EXHAUSTED


def refusal_of(error: ObjectError | OSError) -> Refusal:
    """The answer that goes with an error (docs/reference/backend.md)."""
    match error:
        case Conflict():
            return Refusal(409, headers={"x-backend-timestamp": error.timestamp.internal})
        case NoObject(timestamp=None):
            return Refusal(404)
        case NoObject(timestamp=timestamp):
            assert timestamp is not None
            return Refusal(404, headers={"x-backend-timestamp": timestamp.internal})
        case Exists() | WrongDeleteAt():
            return Refusal(412)
        case EtagMismatch():
            return Refusal(422)
        case Corrupt():
            text = "This copy of the object is damaged."
            return Refusal(503, text, {"x-backend-damaged": "true"})
        case BelowReserve() | SyncFailed():
            return Refusal(507)
        case OSError():
            # Out of descriptors or memory is our trouble and passes; all else is the device's.
            return Refusal(503 if error.errno in EXHAUSTED else 507, str(error.strerror))
        case _:
            raise AssertionError(f"no answer for {error!r}")
