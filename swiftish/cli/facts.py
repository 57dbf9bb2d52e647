"""What is known of a node: its rings, settings, devices and workers, in one JSON document.

`/recon/node` is that document; Swift's recon documents and the metrics of a node are made of it.

Pure.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RingFacts:
    """A ring as this process uses it; `path` is its file, `md5` what was in it."""

    path: str
    version: int
    md5: str
    replicas: int


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """A device of this node.  `trouble` is why it is out of service; then nothing else is known.

    `kinds` are the rings that it is in.  Sizes are in bytes.  `quarantined` counts by kind, `files`
    are the sizes of its tables, `gauges` is what the services say of it.
    """

    name: str
    path: str
    kinds: Sequence[str]
    trouble: str | None = None
    size: int = 0
    used: int = 0
    free: int = 0
    inodes: int = 0
    inodes_free: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A node at the moment `at`.

    `id` is another one each time the node is started.  `workers` are the documents of
    runtime/status.py as of `workers_at`; None where no workers run.
    """

    id: str
    at: float
    version: str
    services: Sequence[str]
    rings: Sequence[RingFacts]
    settings: str
    devices: Sequence[DeviceFacts] = ()
    workers: Sequence[Mapping[str, Any]] = ()
    workers_at: float | None = None

    def document(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def worker(self, name: str) -> Mapping[str, Any]:
        """What is known of a worker; empty when it does not run here."""
        return next((worker for worker in self.workers if worker["name"] == name), {})


class BadFacts(ValueError):
    """A document that is not of this shape."""


# What is read of a worker's document (runtime/status.py).
_WORKER = (
    *("name", "state", "passes", "pass_began", "last_pass_began", "last_pass_s", "done", "bytes"),
    *("errors", "last_error", "counters", "gauges", "rate", "left"),
)


def from_document(document: object) -> NodeFacts:
    """The facts in a document of perhaps another version, which may say more than we know.

    Raises BadFacts.
    """
    try:
        found = _known(NodeFacts, document)
        found["rings"] = [RingFacts(**_known(RingFacts, ring)) for ring in found["rings"]]
        found["devices"] = [DeviceFacts(**_known(DeviceFacts, each)) for each in found["devices"]]
        for worker in found["workers"]:
            if missing := [name for name in _WORKER if name not in worker]:
                raise BadFacts(f"a worker without its {missing[0]}")
        return NodeFacts(**found)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFacts(f"not a node's document: {error!r}") from None


def _known(cls: type, document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise BadFacts(f"not a node's document: {str(document)[:40]!r}")
    return {f.name: document[f.name] for f in dataclasses.fields(cls) if f.name in document}
