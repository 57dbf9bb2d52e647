"""How far the audit of a device's policy is, and how the last whole one went; in the index.

Table audits: `<auditor>/<datadir>` -> [version, passes, this pass, cursor, last pass].
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from swiftish.domain.rows import VERSION, UnknownVersion, packed, unpacked
from swiftish.object.index import AUDITS
from swiftish.runtime.environment import Reader, Writer


class Cursor(NamedTuple):
    """A hash folder; they are walked in this order."""

    partition: int
    suffix: str
    digest: str


@dataclass(slots=True, kw_only=True)
class Pass:
    """What one pass has found.  Times in seconds since the epoch; `ended` 0: it is under way.

    `quarantined` were bad; `errors` could not be looked at.
    """

    began: float = 0.0
    ended: float = 0.0
    files: int = 0
    bytes: int = 0
    quarantined: int = 0
    errors: int = 0


@dataclass(slots=True, kw_only=True)
class AuditRecord:
    """`passes` are those that came to their end; `cursor` is the last folder that is done."""

    passes: int = 0
    current: Pass = field(default_factory=Pass)
    cursor: Cursor | None = None
    last: Pass | None = None


def load(reader: Reader, auditor: str, datadir: str) -> AuditRecord:
    """A fresh one when there is none, or none that can be read: then the pass begins again."""
    value = reader.get(AUDITS, _key(auditor, datadir))
    if value is None:
        return AuditRecord()
    try:
        _, passes, current, cursor, last = unpacked(value)
        return AuditRecord(
            passes=passes,
            current=_pass(current),
            cursor=None if cursor is None else Cursor(*cursor),
            last=None if last is None else _pass(last),
        )
    except (UnknownVersion, TypeError, ValueError):
        return AuditRecord()


def save(writer: Writer, auditor: str, datadir: str, record: AuditRecord) -> None:
    last = None if record.last is None else _fields(record.last)
    value = packed((VERSION, record.passes, _fields(record.current), record.cursor, last))
    writer.put(AUDITS, _key(auditor, datadir), value)


def records(reader: Reader) -> dict[str, AuditRecord]:
    """All of a device's, by `<auditor>/<datadir>`: for people and for /recon."""
    found = {}
    for key, _ in reader.scan(AUDITS):
        name = key.decode("utf-8", "replace")
        auditor, _, datadir = name.partition("/")
        found[name] = load(reader, auditor, datadir)
    return found


def _key(auditor: str, datadir: str) -> bytes:
    return f"{auditor}/{datadir}".encode()


def _fields(each: Pass) -> tuple[float | int, ...]:
    return each.began, each.ended, each.files, each.bytes, each.quarantined, each.errors


def _pass(fields: list[float | int]) -> Pass:
    began, ended, files, size, quarantined, errors = fields
    return Pass(
        began=float(began),
        ended=float(ended),
        files=int(files),
        bytes=int(size),
        quarantined=int(quarantined),
        errors=int(errors),
    )
