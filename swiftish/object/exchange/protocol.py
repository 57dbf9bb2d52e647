"""The messages of an exchange, and everything that is refused in them.

A file is told from another by its name and its *check*: the checksum of its metadata, which hold
the checksum of its bytes.  So two files of one name (two changes of one moment, T26) differ too.

What arrives is taken for hostile.  A file is only taken in when its metadata name an object whose
hash is that of the folder, when the partition is that of the hash, and when its name is the one
that we would give it: so nothing can be written but where it belongs, under names of ours.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from swiftish.domain.hashing import HashPath, partition_of
from swiftish.domain.limits import MiB
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.object.errors import BadMetadata
from swiftish.object.filenames import FileName, data_name, meta_name, parse, tombstone_name
from swiftish.object.metadata import IN_FILE_BYTES_MAX, Metadata, decode
from swiftish.object.paths import Location

# Of each file of one hash folder that counts: its name and its check.
Files: TypeAlias = Mapping[str, int]
# What became of a file: it is stored; something is stored that counts more; there is no room.
Outcome: TypeAlias = Literal["stored", "newer", "full"]
OUTCOMES: tuple[Outcome, ...] = ("stored", "newer", "full")

HASHES_MAX = 1000  # in one offer
NAMES_MAX = 8  # of one hash; four can count
FILES_MAX = 100  # in one document
FILES_BYTES_MAX = 1 * MiB
SMALL_BYTES_MAX = FILES_BYTES_MAX // 4  # what is larger is sent by itself
HEAD_BYTES_MAX = IN_FILE_BYTES_MAX + 4096  # of a file that is sent by itself
HEAD_LENGTH_BYTES = 4
_HASH_DIGITS = frozenset("0123456789abcdef")
_CHECK_MAX = 2**64 - 1


class BadMessage(ValueError):
    """A document is no message of ours, or says what cannot be."""


def is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 32 and _HASH_DIGITS.issuperset(text)


def is_suffix(text: object) -> bool:
    return isinstance(text, str) and len(text) == 3 and _HASH_DIGITS.issuperset(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a device says of itself with each answer: whether the partition is its own by its ring,
    and since when it has been in step (object/presence.py)."""

    primary: bool
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The answer to `digests`."""

    standing: Standing
    digests: Mapping[str, int]

    def document(self) -> object:
        return [_standing(self.standing), dict(self.digests)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """`files` by hash.  Who is to keep what this device gives up (`for_good`) makes sure that what
    it holds already is whole, and durable, before it says so."""

    files: Mapping[str, Files]
    for_good: bool

    def document(self) -> object:
        return [self.for_good, {digest: dict(files) for digest, files in self.files.items()}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """The answer to an offer: what is lacking, by hash; which of the objects that were offered are
    deleted here, and when; `full`: no room for bytes."""

    standing: Standing
    wanted: Mapping[str, Sequence[str]]
    deleted: Mapping[str, Timestamp]
    full: bool

    def document(self) -> object:
        wanted = {digest: list(names) for digest, names in self.wanted.items()}
        deleted = {digest: timestamp.internal for digest, timestamp in self.deleted.items()}
        return [_standing(self.standing), wanted, deleted, self.full]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A file without its bytes: `encoded` are its metadata as they are stored."""

    digest: str
    name: str
    encoded: bytes

    def document(self) -> list[object]:
        return [self.digest, self.name, self.encoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A file that may be taken in, if its bytes match its metadata."""

    location: Location
    file: FileName
    metadata: Metadata
    encoded: bytes


def _standing(standing: Standing) -> list[object]:
    return [standing.primary, standing.since]


# ---- reading ---------------------------------------------------------------------------------


def parse_digests(document: Any) -> Digests:  # noqa: ANN401
    """Raises BadMessage, like all of these."""
    standing, digests = _fields(document, 2)
    for suffix, digest in _mapping(digests, 4096).items():
        if not (is_suffix(suffix) and _is_check(digest)):
            raise BadMessage("a digest is none")
    return Digests(standing=_parse_standing(standing), digests=digests)


def parse_offer(document: Any, *, partition: int, power: int) -> Offer:  # noqa: ANN401
    """An offer for a partition of a ring of 2**power of them."""
    for_good, files = _fields(document, 2)
    for digest, names in _mapping(files, HASHES_MAX).items():
        if not is_hash(digest) or partition_of(bytes.fromhex(digest), power=power) != partition:
            raise BadMessage("a hash is not of this partition")
        for name, check in _mapping(names, NAMES_MAX).items():
            _parse_name(name)
            if not _is_check(check):
                raise BadMessage("a check is none")
    return Offer(files=files, for_good=_boolean(for_good))


def parse_wants(document: Any, offered: Mapping[str, Files]) -> Wants:  # noqa: ANN401
    """Only what was offered can be wanted, or deleted."""
    standing, wanted, deleted, full = _fields(document, 4)
    for digest, names in _mapping(wanted, HASHES_MAX).items():
        if not isinstance(names, list) or not 0 < len(names) <= NAMES_MAX:
            raise BadMessage("names are no list")
        if not all(isinstance(name, str) and name in offered.get(digest, ()) for name in names):
            raise BadMessage("something is wanted that was not offered")
        if len(set(names)) < len(names):
            raise BadMessage("something is wanted twice")
    moments = {}
    for digest, moment in _mapping(deleted, HASHES_MAX).items():
        if digest not in offered:
            raise BadMessage("something is deleted that was not offered")
        moments[digest] = _parse_moment(moment)
    return Wants(
        standing=_parse_standing(standing), wanted=wanted, deleted=moments, full=_boolean(full)
    )


def parse_files(document: Any) -> list[tuple[Head, bytes]]:  # noqa: ANN401
    if not isinstance(document, list) or len(document) > FILES_MAX:
        raise BadMessage("not a list of files, or too many")
    found = []
    for each in document:
        *head, data = _fields(each, 4)
        if not isinstance(data, bytes):
            raise BadMessage("the bytes are none")
        found.append((parse_head(head), data))
    return found


def parse_head(document: Any) -> Head:  # noqa: ANN401
    digest, name, encoded = _fields(document, 3)
    if not (is_hash(digest) and isinstance(name, str) and isinstance(encoded, bytes)):
        raise BadMessage("the head of a file is none")
    if not 0 < len(encoded) <= IN_FILE_BYTES_MAX:
        raise BadMessage("there are never so many metadata")
    return Head(digest=digest, name=name, encoded=encoded)


def parse_outcomes(document: Any, count: int) -> list[Outcome]:  # noqa: ANN401
    if not isinstance(document, list) or len(document) != count:
        raise BadMessage("not an outcome for each file")
    for each in document:
        if each not in OUTCOMES:
            raise BadMessage("an outcome is none")
    return document


def admitted(
    head: Head, *, hash_path: HashPath, datadir: str, partition: int, power: int
) -> Incoming:
    """What a head says, if the file belongs where it is to go.  Raises BadMessage."""
    file = _parse_name(head.name)
    try:
        metadata = decode(head.encoded)
    except BadMetadata as error:
        raise BadMessage(str(error)) from None
    digest = digest_of(metadata.name, hash_path)
    if digest != head.digest:
        raise BadMessage("the metadata are of another object")
    if partition_of(bytes.fromhex(digest), power=power) != partition:
        raise BadMessage("the object is of another partition")
    if trouble := mismatch(file, metadata):
        raise BadMessage(trouble)
    location = Location(datadir=datadir, partition=partition, digest=digest, name=metadata.name)
    return Incoming(location=location, file=file, metadata=metadata, encoded=head.encoded)


def digest_of(name: str, hash_path: HashPath) -> str:
    """The hash of a name as metadata have it; empty for what is no name of an object."""
    first, *parts = name.split("/", 3)
    return hash_path(*parts).hex() if not first and len(parts) == 3 and all(parts) else ""


def mismatch(file: FileName, metadata: Metadata) -> str:
    """What is wrong with metadata for a file so called; empty when nothing is."""
    if metadata.timestamp != file.timestamp:
        return f"the metadata are of {metadata.timestamp.internal}"
    of_content = (metadata.content_length, metadata.etag, metadata.checksum)
    if file.kind == "data":
        length = metadata.content_length
        if None in of_content or not isinstance(length, int) or length < 0:
            return "the length, the ETag or the checksum is missing"
    elif of_content != (None, None, None):
        return "there is content where there is none"
    elif metadata.content_type_timestamp != file.content_type_timestamp:
        return "the age of the content type is another"
    return ""


def _parse_name(name: object) -> FileName:
    """A name that is spelled just as we do."""
    file = parse(name) if isinstance(name, str) else None
    if file is None or file.fragment is not None or file.text != _spelled(file):
        raise BadMessage("a file's name is none of ours")
    return file


def _spelled(file: FileName) -> str:
    if file.kind == "data":
        return data_name(file.timestamp)
    if file.kind == "ts":
        return tombstone_name(file.timestamp)
    return meta_name(file.timestamp, file.content_type_timestamp)


def _parse_moment(text: object) -> Timestamp:
    try:
        return Timestamp.parse(text if isinstance(text, str) else "")
    except BadTimestamp as error:
        raise BadMessage(str(error)) from None


def _parse_standing(document: object) -> Standing:
    primary, since = _fields(document, 2)
    if isinstance(since, bool) or not isinstance(since, int | float):
        raise BadMessage("a moment is none")
    return Standing(primary=_boolean(primary), since=since)


def _fields(document: object, count: int) -> list[Any]:
    if not isinstance(document, list) or len(document) != count:
        raise BadMessage(f"not a list of {count}")
    return document


def _mapping(document: object, count_max: int) -> dict[Any, Any]:
    if not isinstance(document, dict) or len(document) > count_max:
        raise BadMessage("not a map, or too large")
    return document


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadMessage("neither true nor false")
    return value


def _is_check(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _CHECK_MAX
