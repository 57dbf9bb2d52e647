"""What a receiver of replicas lets in: files of ours, whole, where they belong; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.cluster.documents import packed, unpacked
from swiftish.domain.checksums import xxh3_64
from swiftish.domain.timestamp import Timestamp
from swiftish.object.exchange.protocol import (
    FILES_MAX,
    HASHES_MAX,
    BadMessage,
    Digests,
    Head,
    Offer,
    Standing,
    Wants,
    admitted,
    parse_digests,
    parse_files,
    parse_head,
    parse_offer,
    parse_outcomes,
    parse_wants,
)
from swiftish.object.metadata import Metadata, encode
from tests.fakes.object_cluster import HASH_PATH, ObjectCluster, in_cluster

MOMENT = Timestamp(170000000000000)
DATA = Metadata(
    name="/a/c/o",
    timestamp=MOMENT,
    content_length=3,
    etag="900150983cd24fb0d6963f7d28e17f72",
    content_type="text/plain",
    checksum=xxh3_64(b"abc"),
)
META = Metadata(
    name="/a/c/o",
    timestamp=MOMENT,
    content_type="text/plain",
    content_type_timestamp=Timestamp(MOMENT.raw - 10),
)
DIGEST = HASH_PATH("a", "c", "o").hex()
POWER = 3
PARTITION = int(DIGEST[:2], 16) >> 5
ELSEWHERE = HASH_PATH("a", "c", "p").hex()
NAME = "1700000000.00000.data"
META_NAME = "1700000000.00000-a.meta"


def admit(head: Head, *, partition: int = PARTITION) -> None:
    admitted(head, hash_path=HASH_PATH, datadir="objects", partition=partition, power=POWER)


def head(name: str = NAME, metadata: Metadata = DATA, digest: str = DIGEST) -> Head:
    return Head(digest=digest, name=name, encoded=encode(metadata))


def test_what_is_admitted() -> None:
    """The location is that of the name in the metadata."""
    for good in (
        head(),
        head(META_NAME, META),
        head("1700000000.00000.ts", Metadata(name="/a/c/o", timestamp=MOMENT)),
    ):
        found = admitted(
            good, hash_path=HASH_PATH, datadir="objects-1", partition=PARTITION, power=POWER
        )
        assert found.location.folder == f"objects-1/{PARTITION}/{DIGEST[-3:]}/{DIGEST}"
        assert found.location.name == "/a/c/o"


@pytest.mark.parametrize(
    "bad",
    [
        head("../../../x.data"),
        head("/etc/passwd"),
        head("1700000000.00000.data/../x"),
        head("1700000000.00000"),
        head("1700000000.0.data"),  # not as we spell it
        head("1700000000.00000_a.data"),
        head("1700000000.00000#1#d.data"),
        head("1700000000.00000+0.data"),
        head("1700000001.00000.data"),  # another moment than the metadata's
        head("1700000000.00000.ts"),  # with content
        head(digest=ELSEWHERE),
        head(digest="../.." + DIGEST[5:]),
        head(metadata=replace(DATA, name="/a/c/p")),
        head(metadata=replace(DATA, name="a/c/o")),
        head(metadata=replace(DATA, name="/a/c")),
        head(metadata=replace(DATA, name="/a//o")),
        head(metadata=replace(DATA, checksum=None)),
        head(metadata=replace(DATA, content_length=-1)),
        head(META_NAME, DATA),
        head("1700000000.00000.meta", META),  # the age of the content type is missing
        head("1700000000.00000- a.meta", META),
        head("1700000000.00000-0a.meta", META),
        Head(digest=DIGEST, name=NAME, encoded=encode(DATA)[:-1]),
        Head(digest=DIGEST, name=NAME, encoded=b"nonsense"),
    ],
    ids=lambda bad: bad.name[:40],
)
def test_what_is_not_admitted(bad: Head) -> None:
    """A name that is not ours, or not of these metadata; metadata of another object."""
    with pytest.raises(BadMessage):
        admit(bad)


def test_another_partition() -> None:
    """A file is only taken in where its hash belongs."""
    with pytest.raises(BadMessage):
        admit(head(), partition=PARTITION + 1)


STANDING = Standing(primary=True, since=5.0)
OFFER = Offer(files={DIGEST: {NAME: 7}}, for_good=True)
PARSERS: dict[str, Callable[[Any], object]] = {
    "digests": parse_digests,
    "offer": lambda document: parse_offer(document, partition=PARTITION, power=POWER),
    "wants": lambda document: parse_wants(document, OFFER.files),
    "files": parse_files,
    "head": parse_head,
    "outcomes": lambda document: parse_outcomes(document, 2),
}


def test_messages_come_through() -> None:
    """What one packs the other reads."""
    digests = Digests(standing=STANDING, digests={"abc": 2**64 - 1})
    wants = Wants(standing=STANDING, wanted={DIGEST: [NAME]}, deleted={DIGEST: MOMENT}, full=False)
    files = [[*head().document(), b"abc"]]
    assert PARSERS["digests"](unpacked(packed(digests.document()))) == digests
    assert PARSERS["offer"](unpacked(packed(OFFER.document()))) == OFFER
    assert PARSERS["wants"](unpacked(packed(wants.document()))) == wants
    assert PARSERS["files"](unpacked(packed(files))) == [(head(), b"abc")]
    assert PARSERS["outcomes"](["stored", "newer"]) == ["stored", "newer"]


@pytest.mark.parametrize(
    ("what", "document"),
    [
        ("digests", [[True, 5.0], {"../": 1}]),
        ("digests", [[True, 5.0], {"abc": -1}]),
        ("digests", [[True, 5.0], {"abc": True}]),
        ("digests", [[1, 5.0], {}]),
        ("digests", [[True, "now"], {}]),
        ("digests", {}),
        ("offer", [True, {ELSEWHERE: {NAME: 7}}]),
        ("offer", [True, {DIGEST.upper(): {NAME: 7}}]),
        ("offer", [True, {b"x" * 16: {NAME: 7}}]),
        ("offer", [True, {DIGEST: {"x/../y.data": 7}}]),
        ("offer", [True, {DIGEST: {NAME: "7"}}]),
        ("offer", [True, {DIGEST: [NAME]}]),
        ("offer", [True, {DIGEST: {f"170000000{n}.00000.data": 1 for n in range(9)}}]),
        ("offer", [True, {f"{PARTITION * 32:02x}{n:030x}": {} for n in range(HASHES_MAX + 1)}]),
        ("offer", [None, {}]),
        ("wants", [[True, 5.0], {ELSEWHERE: [NAME]}, {}, False]),
        ("wants", [[True, 5.0], {DIGEST: ["1700000009.00000.data"]}, {}, False]),
        ("wants", [[True, 5.0], {DIGEST: []}, {}, False]),
        ("wants", [[True, 5.0], {DIGEST: [NAME, NAME]}, {}, False]),
        ("wants", [[True, 5.0], {DIGEST: NAME}, {}, False]),
        ("wants", [[True, 5.0], {}, {ELSEWHERE: MOMENT.internal}, False]),
        ("wants", [[True, 5.0], {}, {DIGEST: "now"}, False]),
        ("wants", [[True, 5.0], {}, {DIGEST: 5}, False]),
        ("files", [[DIGEST, NAME, b"x", b""]] * (FILES_MAX + 1)),
        ("files", [[DIGEST, NAME, b"x"]]),
        ("files", [[DIGEST, NAME, b"x", "text"]]),
        ("head", [DIGEST, NAME, b""]),
        ("head", [DIGEST, 5, b"x"]),
        ("outcomes", ["stored"]),
        ("outcomes", ["stored", "lost"]),
        ("outcomes", ["stored", ["stored"]]),
    ],
)
def test_messages_that_are_refused(what: str, document: object) -> None:
    """Each field is looked at."""
    with pytest.raises(BadMessage):
        PARSERS[what](document)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(st.sampled_from(sorted(PARSERS)), plain)
def test_any_document(what: str, document: object) -> None:
    """Is a message, or refused as none."""
    with suppress(BadMessage):
        PARSERS[what](document)


def test_hostile_requests(device: Path) -> None:
    """400 for what makes no sense, 422 for bytes that are not what was meant; nothing is written
    anywhere, and the node serves on."""

    async def scenario(cluster: ObjectCluster) -> None:
        number = cluster.homes()[0]
        good = [*head().document(), b"abc"]
        framed = packed(head().document())
        length = len(framed).to_bytes(4, "big")
        for what, document, status in (
            ("nonsense", [], 400),
            ("", [], 400),
            ("offer", b"\xc1", 400),
            ("offer", [], 400),
            ("files", b"", 400),
            ("files", [good, [*head("../../x.data").document(), b""]], 400),
            ("files", [[*head().document(), b"abcd"]], 422),
            ("files", [[*head().document(), b"abx"]], 422),
            ("file", b"\x00", 400),
            ("file", b"\xff\xff\xff\xff", 400),
            ("file", b"\x00\x00\x00\x00", 400),
            ("file", length + framed[:-1], 400),
            ("file", length + framed + b"ab", 422),
            ("file", length + framed + b"abx", 422),
            ("file", length + framed + b"abcd", 422),
            ("file", length + packed(head(META_NAME, META).document()), 400),
        ):
            found = await cluster.tell(number, what, document)
            assert found[0] == status, (what, document, found)
        await asyncio.sleep(1)  # writers are closed in the background
        wrong = (cluster.partition() + 1) % cluster.ring.partitions
        for partition, what in ((wrong, "files"), (99, "digests"), (2**70, "digests")):
            status, _ = await cluster.tell(number, what, [good], partition=partition)
            assert status == 400
        assert not list(cluster.nodes[number].path.rglob("*.data"))
        assert not list(cluster.nodes[number].path.rglob("objects/*/*/*"))
        status, body = await cluster.tell(number, "files", [good])
        assert (status, unpacked(body)) == (200, ["stored"])
        assert (await cluster.ask(number, "GET"))[1] == b"abc"

    in_cluster(device, scenario)


def test_no_rings_no_replication(device: Path) -> None:
    """A policy that this node has not heard of is answered 503."""

    async def scenario(cluster: ObjectCluster) -> None:
        number = cluster.homes()[0]
        status, _ = await cluster.tell(number, "digests", policy=3)
        assert status == 503

    in_cluster(device, scenario)
