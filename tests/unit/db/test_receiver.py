"""The verb REPLICATE: whatever arrives is looked at; what makes no sense changes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from swiftish.cluster.documents import packed, unpacked
from swiftish.db import deltas, heads
from swiftish.db.claims import Claim
from swiftish.db.heads import Head
from swiftish.domain.rows import ObjectRow, encode_row
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.message import Bytes, Request, Response
from tests.fakes.db_cluster import HASH_PATH, Cluster, Node, play

DIGEST = HASH_PATH("a", "c")
ENVIRONMENT, LIFE = b"e" * 16, b"l" * 8
AT = Timestamp.from_seconds(20)
NOW_ISH = Timestamp.from_seconds(30)


def head(**changes: object) -> bytes:
    made: dict[str, Any] = {
        "id": 0,
        "account": "a",
        "container": "c",
        "created": AT,
        "put": AT,
        "status_changed": AT,
        "metadata": {"x-container-meta-a": ("1", AT)},
        "claims": {0: Claim(AT, ZERO, AT)},
    }
    return heads.encode(Head(**(made | changes)))


def row(**changes: Any) -> bytes:  # noqa: ANN401  (fields of several types)
    return encode_row(ObjectRow(AT, 5, "e", False, "t/p", AT, AT)._replace(**changes), 7)


def document(**changes: object) -> dict[str, Any]:
    """A merge of one container with one row; what is named is replaced."""
    fields: dict[str, Any] = {
        "digest": DIGEST,
        "head": head(),
        "since": None,
        "upto": [9, LIFE],
        "rows": [[0, b"o", row(), False]],
    }
    fields |= changes
    return {"environment": ENVIRONMENT, "databases": [list(fields.values())]}


async def replicate(node: Node, what: str, body: bytes) -> Response:
    request = Request(method="REPLICATE", path=f"/{node.name}/0/{what}", body=Bytes(body))
    return await node.answer("container", request)


def answer_of(response: Response) -> object:
    assert response.status == 200
    assert isinstance(response.body, Bytes)
    databases: object = unpacked(response.body.take())["databases"]
    return databases


def test_merge_and_offer(tmp_path: Path) -> None:
    """What came is there; what is known of it is what the next offer is answered with."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        spare = cluster.handoffs("a", "c")[0]
        offer = packed({"environment": ENVIRONMENT, "databases": [[DIGEST, 9, LIFE, False]]})
        assert answer_of(await replicate(node, "offer", offer)) == [[None, True]]
        assert answer_of(await replicate(spare, "offer", offer)) == [[None, False]]
        for _ in range(2):
            body = packed(document())
            assert answer_of(await replicate(node, "merge", body)) == [[[9, LIFE], True]]
        assert answer_of(await replicate(node, "offer", offer)) == [[[9, LIFE], True]]
        other = packed({"environment": b"f" * 16, "databases": [[DIGEST, 9, LIFE, False]]})
        assert answer_of(await replicate(node, "offer", other)) == [[None, True]]
        assert await node.names("container", "a/c") == ["o"]
        headers = (await node.ask("container", "HEAD", "a/c")).headers
        assert headers["x-container-bytes-used"] == "5"
        assert headers["x-container-meta-a"] == "1"

    play(tmp_path, script)


def test_what_is_missing_in_between(tmp_path: Path) -> None:
    """Rows that do not follow on what is known are merged, but not taken for all there is."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        body = packed(document(since=[5, LIFE]))
        assert answer_of(await replicate(node, "merge", body)) == [[None, True]]
        assert await node.names("container", "a/c") == ["o"]
        await replicate(node, "merge", packed(document()))
        late = document(since=[12, LIFE], upto=[15, LIFE], rows=[[0, b"p", row(), False]])
        assert answer_of(await replicate(node, "merge", packed(late))) == [[[9, LIFE], True]]
        good = document(since=[9, LIFE], upto=[15, LIFE], rows=[])
        assert answer_of(await replicate(node, "merge", packed(good))) == [[[15, LIFE], True]]
        assert await node.names("container", "a/c") == ["o", "p"]

    play(tmp_path, script)


def test_a_bygone_database_is_not_wanted(tmp_path: Path) -> None:
    """Who does not know it says that it has it."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        offer = packed({"environment": ENVIRONMENT, "databases": [[DIGEST, 9, LIFE, True]]})
        assert answer_of(await replicate(node, "offer", offer)) == [[[9, LIFE], True]]
        assert await node.kept("container") == {}

    play(tmp_path, script)


big = 2**64 - 1
WRONG_MERGES: dict[str, Any] = {
    "no map": [],
    "nothing": {},
    "no environment": {"environment": b"short", "databases": []},
    "no databases": {"environment": ENVIRONMENT, "databases": 7},
    "too many databases": {"environment": ENVIRONMENT, "databases": [0] * 1001},
    "fields": {"environment": ENVIRONMENT, "databases": [[1, 2]]},
    "digest": document(digest=b"short"),
    "another's digest": document(digest=b"x" * 16),
    "head's type": document(head="text"),
    "no head": document(head=b"\xc1"),
    "a later head": document(head=packed([3, "a", "c"])),
    "an odd head": document(head=packed([2, "a", "c", 1, 2, 3, 4, 5, 6, 7])),
    "an account": document(head=head(container="", claims={})),
    "no account": document(head=head(account="")),
    "two names in one": document(head=head(account="a/c", container="")),
    "a name that is none": document(head=head(account=7)),
    "a long name": document(head=head(container="c" * 9000)),
    "no claims": document(head=head(claims={})),
    "an unknown policy": document(head=head(claims={5: Claim(AT, ZERO, AT)})),
    "a policy that is none": document(head=head(claims={"0": Claim(AT, ZERO, AT)})),
    "a split header": document(head=head(metadata={"x-container-meta-a": ("1\r\nb: c", AT)})),
    "an unknown header": document(head=head(metadata={"content-length": ("1", AT)})),
    "a header that is none": document(head=head(metadata={7: ("1", AT)})),
    "a value that is none": document(head=head(metadata={"x-container-meta-a": (7, AT)})),
    "many headers": document(
        head=head(metadata={f"x-container-meta-{n}": ("", AT) for n in range(1001)})
    ),
    "deleted by its owner": document(head=head(marked_deleted=True)),
    "deleted perhaps": document(head=head(marked_deleted=7)),
    "since": document(since=[1]),
    "since's number": document(since=[-1, LIFE]),
    "since's life": document(since=[1, b"short"]),
    "no upto": document(upto=None),
    "a number beyond all": document(upto=[big, LIFE]),
    "rows' type": document(rows={}),
    "too many rows": document(rows=[[0, b"o", row(), False]] * 1001),
    "a row's fields": document(rows=[[0, b"o", row()]]),
    "a row's policy": document(rows=[[5, b"o", row(), False]]),
    "a negative policy": document(rows=[[-1, b"o", row(), False]]),
    "no name": document(rows=[[0, b"", row(), False]]),
    "a name as text": document(rows=[[0, "o", row(), False]]),
    "a row's long name": document(rows=[[0, b"o" * 9000, row(), False]]),
    "no row": document(rows=[[0, b"o", b"", False]]),
    "a later row": document(rows=[[0, b"o", b"\x09" + row()[1:], False]]),
    "half a row": document(rows=[[0, b"o", row()[:30], False]]),
    "flags": document(rows=[[0, b"o", row()[:1] + b"\x01" + row()[2:], False]]),
    "a moment beyond time": document(
        rows=[[0, b"o", row()[:10] + b"\xff" * 8 + row()[18:], False]]
    ),
    "no entry": document(rows=[[0, b"o", row()[:18] + b'"a":1}', False]]),
    "a size that is none": document(rows=[[0, b"o", row().replace(b":5,", b":5.5,"), False]]),
    "a negative size": document(rows=[[0, b"o", row(size=-5), False]]),
    "a size beyond all": document(rows=[[0, b"o", row(size=big), False]]),
    "no etag": document(rows=[[0, b"o", row().replace(b'"e"', b"null"), False]]),
    "a long type": document(rows=[[0, b"o", row(content_type="x" * 9000), False]]),
    "younger than its type": document(rows=[[0, b"o", row(timestamp=NOW_ISH), False]]),
    "alive or not": document(rows=[[0, b"o", row(), 1]]),
}
WRONG_OFFERS: dict[str, Any] = {
    "no map": 7,
    "fields": {"environment": ENVIRONMENT, "databases": [[DIGEST, 9, LIFE]]},
    "digest": {"environment": ENVIRONMENT, "databases": [[b"", 9, LIFE, False]]},
    "number": {"environment": ENVIRONMENT, "databases": [[DIGEST, "9", LIFE, False]]},
    "true is no number": {"environment": ENVIRONMENT, "databases": [[DIGEST, True, LIFE, False]]},
    "too many": {"environment": ENVIRONMENT, "databases": [0] * (deltas.DATABASES_MAX + 1)},
}


def test_hostile_documents(tmp_path: Path) -> None:
    """Each is refused, and nothing of it is written, not even what stood before the wrong part."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        good = document()["databases"][0]
        for what, wrong in WRONG_MERGES.items():
            assert (await replicate(node, "merge", packed(wrong))).status == 400, what
            if isinstance(wrong, dict) and isinstance(wrong.get("databases"), list):
                mixed = {**wrong, "databases": [good, *wrong["databases"]]}
                assert (await replicate(node, "merge", packed(mixed))).status == 400, what
        for what, wrong in WRONG_OFFERS.items():
            assert (await replicate(node, "offer", packed(wrong))).status == 400, what
        for garbage in (b"", b"\xc1", b"\x91" * 5000, b"\x81\x90\x01", b"\xdd\xff\xff\xff\xff"):
            assert (await replicate(node, "merge", garbage)).status == 400
            assert (await replicate(node, "offer", garbage)).status == 400
        assert (await replicate(node, "other", packed(document()))).status == 400
        assert await node.kept("container") == {}

    play(tmp_path, script)


def test_bytes_that_were_flipped(tmp_path: Path, chance: random.Random) -> None:
    """A good document with some other bytes in it is taken or refused, but never breaks anything:
    what is there afterwards can be read, and its totals are the sums of its rows."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        good = packed(document(rows=[[0, b"o%d" % n, row(size=n), n % 3 == 0] for n in range(9)]))
        for _ in range(400):
            body = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            assert (await replicate(node, "merge", bytes(body))).status in (200, 400)
        assert (await replicate(node, "merge", good)).status == 200
        await node.kept("container")
        assert isinstance(await node.names("container", "a/c"), list)

    play(tmp_path, script)


def test_a_row_says_nothing_that_was_not_read(tmp_path: Path) -> None:
    """What else somebody puts into a row's entry does not get into a listing."""

    async def script(cluster: Cluster) -> None:
        node = cluster.primaries("a", "c")[0]
        sly = row().replace(b'"hash"', b'"name":"/etc/passwd","hash"')
        await replicate(node, "merge", packed(document(rows=[[0, b"o", sly, False]])))
        assert await node.names("container", "a/c") == ["o"]
        response = await node.ask("container", "GET", "a/c")
        assert isinstance(response.body, Bytes)
        assert b"passwd" not in response.body.take()

    play(tmp_path, script)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        packed([]),
        packed({"databases": []}),
        packed({"databases": [[None]]}),
        packed({"databases": [[None, 1]]}),
        packed({"databases": [[[1, b"short"], True]]}),
        packed({"databases": [[["1", LIFE], True]]}),
    ],
)
def test_answers_that_make_no_sense(tmp_path: Path, answer: bytes) -> None:
    """A peer that says nonsense is as good as silent."""

    async def script(cluster: Cluster) -> None:
        one, two = cluster.nodes.values()
        await cluster.make("a/c", on=[one])

        async def nonsense(request: Request) -> Response:
            return Response(status=200, body=Bytes(answer))

        two.handlers["container"] = nonsense
        await cluster.run(on=[one])
        worker = next(w for w in one.container.workers if w.name == "container-replicator")
        assert worker.report.gauges["below_replicas d0"] == 1
        assert worker.report.errors == 0

    play(tmp_path, script, size=2, replicas=2)
