"""A walk over all hash folders of a device's policy, in order.  Blocking.

It lists a folder when it comes to it, so what is made behind it meanwhile waits for the next walk.
"""

from collections.abc import Callable, Iterator

from swiftish.object.audit_record import Cursor
from swiftish.object.disk import Disk
from swiftish.object.exchange.protocol import is_hash, is_suffix
from swiftish.object.partitions import listed
from swiftish.runtime.errnos import UNREADABLE

# A folder above the hash folders that cannot be listed, and why.
Complain = Callable[[str, OSError], None]


def places(disk: Disk, datadir: str, after: Cursor | None, complain: Complain) -> Iterator[Cursor]:
    """Yield the hash folders behind `after`.  What cannot be listed is left out, with a complaint.

    A hash folder may be in the wrong suffix: that is for the caller to see.  Raises OSError when
    the process has run out of something.
    """
    partitions = [int(name) for name in _listed(disk, datadir, complain) if _is_number(name)]
    for partition in sorted(partitions):
        if after is not None and partition < after.partition:
            continue
        here = f"{datadir}/{partition}"
        suffixes = [name for name in _listed(disk, here, complain) if is_suffix(name)]
        for suffix in suffixes:
            if after is not None and (partition, suffix) < after[:2]:
                continue
            for digest in _listed(disk, f"{here}/{suffix}", complain):
                place = Cursor(partition, suffix, digest)
                if is_hash(digest) and (after is None or place > after):
                    yield place


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and str(int(name)) == name


def _listed(disk: Disk, relative: str, complain: Complain) -> list[str]:
    try:
        return listed(disk, relative)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        complain(relative, error)
        return []
