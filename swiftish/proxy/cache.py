"""What several workers remember together: infos and tokens.

A value is stored only if nobody has dropped the key since the reader began to fetch it, so that
a change of an ACL is seen by the next request to any worker of the machine.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """`value` is None when nothing (fresh) is stored; `generation` goes into `store`."""

    value: bytes | None
    generation: int


class Cache(Protocol):
    """Keys are text of any length; values bytes; times in seconds."""

    async def look_up(self, key: str) -> Entry: ...

    async def store(self, key: str, value: bytes, *, ttl_s: float, generation: int) -> bool:
        """Store unless the key was dropped since `look_up` gave `generation`."""
        ...

    async def drop(self, key: str) -> None:
        """Forget the key; stores that began before are refused."""
        ...
