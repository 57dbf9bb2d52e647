"""Which files of a hash folder count: the one rule that all writers, readers and workers share.

The rules (reference 2.4), for replicated policies:
- The newest tombstone makes everything as old as itself or older obsolete.
- The newest `.data` that is left is the object; it makes older `.data` and `.ts` obsolete, and
  every `.meta` that is not newer.
- Of the `.meta` that are left the newest counts, and one older one if the content type in it is
  newer than the newest's.
A file that is obsolete stays obsolete whatever else arrives, so in whatever order files arrive and
obsolete ones are removed, every replica ends with the same files.

Fragments of erasure-coded objects and names that are not ours are left alone.

Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swiftish.domain.timestamp import Timestamp
from swiftish.object.filenames import FileName, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a hash folder holds.  `obsolete` may be removed once the winner is durable."""

    data: FileName | None = None
    meta: FileName | None = None
    content_type_meta: FileName | None = None  # older than `meta`, its content type is newer
    tombstone: FileName | None = None
    obsolete: tuple[str, ...] = ()

    @property
    def winners(self) -> tuple[FileName, ...]:
        """The files that count."""
        files = (self.data, self.tombstone, self.meta, self.content_type_meta)
        return tuple(file for file in files if file is not None)

    @property
    def change_timestamp(self) -> Timestamp | None:
        """When the object was last written or deleted; changes of its metadata don't count."""
        winner = self.data or self.tombstone
        return None if winner is None else winner.timestamp

    @property
    def meta_timestamp(self) -> Timestamp | None:
        """As `change_timestamp`, but changes of its metadata do count."""
        winner = (self.data and self.meta) or self.data or self.tombstone
        return None if winner is None else winner.timestamp


NOTHING = State()


def judge(names: Iterable[str]) -> State:
    """The state of a folder that holds `names`, in any order."""
    data: list[FileName] = []
    metas: list[FileName] = []
    tombstones: list[FileName] = []
    for name in names:
        file = parse(name)
        if file is None or file.fragment is not None:
            continue
        (data if file.kind == "data" else metas if file.kind == "meta" else tombstones).append(file)
    if len(data) == 1 and not metas and not tombstones:
        return State(data=data[0])  # the folder of almost every object

    tombstone = max(tombstones, key=_age, default=None)
    newest = max(data, key=_age, default=None)
    if newest is not None and tombstone is not None:
        if newest.timestamp > tombstone.timestamp:
            tombstone = None
        else:
            newest = None
    since = newest or tombstone
    live = [m for m in metas if since is None or m.timestamp > since.timestamp]
    meta = max(live, key=_age, default=None)
    content_type_meta = _content_type_meta(live, meta)
    kept = {newest, tombstone, meta, content_type_meta}
    return State(
        data=newest,
        meta=meta,
        content_type_meta=content_type_meta,
        tombstone=tombstone,
        obsolete=tuple(f.text for f in (*data, *metas, *tombstones) if f not in kept),
    )


def reclaimable(state: State, *, before: Timestamp) -> tuple[str, ...]:
    """The tombstone, and `.meta` without an object, that are older than the reclaim age.

    Whoever removes them must be sure that every replica has heard of the deletion.
    """
    if state.data is not None:
        return ()
    orphans = (state.tombstone, state.meta, state.content_type_meta)
    return tuple(f.text for f in orphans if f is not None and f.timestamp < before)


def _age(file: FileName) -> tuple[Timestamp, Timestamp, str]:
    """Newest last.  Two `.meta` of one moment differ in their content types' age, if at all."""
    content_type = file.content_type_timestamp
    return file.timestamp, content_type or Timestamp(0), file.text


def _content_type_meta(live: list[FileName], meta: FileName | None) -> FileName | None:
    dated = [m for m in live if m.content_type_timestamp is not None]
    best = max(dated, key=lambda m: (m.content_type_timestamp, m.timestamp, m.text), default=None)
    if best is None or meta is None or best is meta:
        return None
    if best.content_type_timestamp == meta.content_type_timestamp:
        return None
    return best
