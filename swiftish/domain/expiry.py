"""The queue of objects that are to expire: its names, and how to read them (reference 2.3, 2.9).

For every object with X-Delete-At there is a row in an account of the system's own.  The row's
container is the day on which the object expires, some seconds less, so that the objects of one day
are spread over a hundred containers; its name says when, and which object.

Pure.
"""

from dataclasses import dataclass

from swiftish.domain.names import Target

QUEUE_ACCOUNT = ".expiring_objects"
QUEUE_POLICY = 0  # accounts of the system's own are always in the first policy
DELETE_AT_MAX = 9_999_999_999
ASYNC_DELETED = "application/async-deleted"  # a row of this type: delete, whatever is there

_DAY_S = 86_400
_CONTAINERS_PER_DAY = 100


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the queue: `target` is to be gone at `delete_at` (seconds since the epoch).

    An `unconditional` one is deleted also when it has another X-Delete-At, or none.
    """

    container: str
    name: str
    delete_at: int
    target: Target
    unconditional: bool = False


def queue_container(delete_at: int, digest: bytes) -> str:
    """The queue's container for an object; `digest` is the hash of the object's name."""
    spread = int.from_bytes(digest, "big") % _CONTAINERS_PER_DAY
    return _ten_digits(delete_at // _DAY_S * _DAY_S - spread)


def queue_name(delete_at: int, target: Target) -> str:
    """The name of an object's row."""
    return f"{_ten_digits(delete_at)}-{target.path[1:]}"


def queue_content_type(size: int) -> str:
    """The content type of an object's row: the queue knows how many bytes will expire."""
    return f"text/plain;swift_expirer_bytes={size}"


def holds_due(container: str, now: float) -> bool:
    """Whether a container of the queue may hold what has expired by now.

    A name that is no number is not the queue's.
    """
    return container.isascii() and container.isdigit() and int(container) <= now


def parse_task(container: str, name: str, content_type: str) -> Task | None:
    """What a row says; None for one that makes no sense."""
    digits, dash, path = name.partition("-")
    names = path.split("/", 2)
    if not (dash and digits.isascii() and digits.isdigit() and len(names) == 3 and all(names)):
        return None
    return Task(container, name, int(digits), Target(*names), content_type == ASYNC_DELETED)


def end_of_due(now: float) -> str:
    """The end marker of a listing of what has expired by `now`."""
    return _ten_digits(int(now) + 1)


def _ten_digits(seconds: int) -> str:
    return f"{min(max(seconds, 0), DELETE_AT_MAX):010d}"
