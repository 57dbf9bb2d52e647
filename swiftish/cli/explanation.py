"""What each device has of an account, a container or an object, and where they differ.

Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swiftish.cli.ring_tables import columns, count
from swiftish.cluster.transport import Kind
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.ring.device import Device

# What is shown of an answer, and compared: our name for it, and the headers that may say it.
SHOWN: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    "object": {
        "timestamp": ("x-backend-timestamp",),
        "data": ("x-backend-data-timestamp",),
        "bytes": ("content-length",),
        "etag": ("etag",),
        "delete at": ("x-delete-at",),
    },
    "container": {
        "put": ("x-backend-put-timestamp", "x-put-timestamp"),
        "deleted": ("x-backend-delete-timestamp",),
        "objects": ("x-container-object-count",),
        "bytes": ("x-container-bytes-used",),
        "policy": ("x-backend-storage-policy-index",),
    },
    "account": {
        "put": ("x-put-timestamp",),
        "containers": ("x-account-container-count",),
        "objects": ("x-account-object-count",),
        "bytes": ("x-account-bytes-used",),
        "status": ("x-account-status",),
    },
}
_MOMENTS = frozenset({"timestamp", "data", "put", "deleted"})


@dataclass(frozen=True, kw_only=True)
class Copy:
    """What one device answers; `status` 0 means that it does not, for the reason `error`."""

    device: Device
    primary: bool
    status: int
    error: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return 200 <= self.status < 300

    @property
    def knows(self) -> bool:
        """It has it, or knows that it was deleted."""
        return self.holds or (self.status == 404 and bool(self.values))

    @property
    def answers(self) -> bool:
        return self.holds or self.status == 404

    @property
    def moments(self) -> tuple[Timestamp, ...]:
        """By which it counts: the newest of its own first."""
        found = [_moment(text) for name, text in self.values.items() if name in _MOMENTS]
        return tuple(sorted(found, reverse=True))

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.holds:
            return "here"
        if self.status == 404:
            return "deleted" if self.values else "nothing"
        if self.status == 507:
            return "507 out of service"
        return f"{self.status} {self.error}".strip() if self.status else f"no answer {self.error}"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A name's place in its ring, and what is there.  `folder` is where it is on each device."""

    kind: Kind
    path: str
    partition: int
    digest: str
    folder: str
    policy: int | None
    copies: Sequence[Copy]

    @property
    def newest(self) -> Copy | None:
        """What the cluster has come to; None when nobody knows of it."""
        return max((c for c in self.copies if c.knows), key=_weight, default=None)

    def is_behind(self, copy: Copy) -> bool:
        """Whether a copy is not what it should be: on a primary the newest, elsewhere nothing."""
        newest = self.newest
        if not copy.primary:
            return copy.holds
        if newest is None:
            return not copy.answers
        if not newest.holds:  # a tombstone may have been reclaimed
            return copy.holds or not copy.answers
        return not (copy.holds and copy.values == newest.values)

    def findings(self) -> list[str]:
        """A sentence for each thing that replicators have yet to do, or a person."""
        primaries = [copy for copy in self.copies if copy.primary]
        good = sum(not self.is_behind(copy) for copy in primaries)
        found = []
        if good < len(primaries):
            found.append(
                f"{good} of {count(len(primaries), 'primary', 'primaries')} as it should be"
            )
        found += [f"{copy.device}: {copy.state}" for copy in primaries if self.is_behind(copy)]
        found += [
            f"{copy.device} is a handoff and has a copy"
            for copy in self.copies
            if not copy.primary and copy.holds
        ]
        return found

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "kind": self.kind,
            "path": self.path,
            "partition": self.partition,
            "hash": self.digest,
            "policy": self.policy,
            "copies": [
                {
                    "device": str(copy.device),
                    "primary": copy.primary,
                    "status": copy.status,
                    "state": copy.state,
                    "as_it_should_be": not self.is_behind(copy),
                    "folder": f"{copy.device.device}/{self.folder}",
                    **copy.values,
                }
                for copy in self.copies
            ],
            "findings": self.findings(),
        }

    def text(self) -> str:
        """For people; what is not as it should be has an exclamation mark."""
        lines = [f"{self.kind:<10} {self.path}", f"{'partition':<10} {self.partition}"]
        lines.append(f"{'hash':<10} {self.digest}")
        if self.policy is not None:
            lines.append(f"{'policy':<10} {self.policy}")
        names = list(SHOWN[self.kind])
        head = ("", "", "device", "state", *names, "on disk")
        rows = [
            (
                "!" if self.is_behind(copy) else "",
                "primary" if copy.primary else "handoff",
                str(copy.device),
                copy.state,
                *(self._shown(name, copy) for name in names),
                f"{copy.device.device}/{self.folder}",
            )
            for copy in self.copies
        ]
        table = columns(head, rows, left="<" * len(head))
        return "\n".join([*lines, *([] if self.newest else ["nobody has it"]), "", table])

    def _shown(self, name: str, copy: Copy) -> str:
        text = copy.values.get(name, "")
        if name in _MOMENTS and text:
            return f"{text} ({_moment(text).iso.partition('.')[0]})"
        return text


def values_of(kind: Kind, headers: Mapping[str, str]) -> dict[str, str]:
    """What a device's answer says of its copy, by the names of SHOWN; what it says not is left out,
    and so are moments that never were."""
    return dict(_values(kind, headers))


def _values(kind: Kind, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, sources in SHOWN[kind].items():
        text = next((headers[source] for source in sources if headers.get(source)), "")
        if text and not (name in _MOMENTS and _moment(text).raw == 0):
            yield name, text


def _weight(copy: Copy) -> tuple[Any, ...]:
    """The newest counts; of what is as new a deletion, then what is larger (backend.md)."""
    size = copy.values.get("bytes", "")
    return (
        copy.moments[:1],
        not copy.holds,
        copy.moments,
        int(size) if size.isdecimal() else 0,
        copy.values.get("etag", ""),
    )


def _moment(text: str) -> Timestamp:
    try:
        return Timestamp.parse(text)
    except BadTimestamp:
        return Timestamp(0)
