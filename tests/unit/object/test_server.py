"""The verbs of the object server, as docs/reference/backend.md has them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from swiftish.domain.timestamp import Timestamp
from swiftish.object.blocks import BLOCK_BYTES, Span
from swiftish.object.get import wanted
from swiftish.object.settings import ObjectSettings
from tests.fakes.object_node import NOW, ONE, Node, Pieces, serving


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_what_is_put_is_what_is_got(device: Path) -> None:
    """Bytes, metadata of every family, allowed headers; nothing else is kept."""

    async def scenario(node: Node) -> None:
        kept = {
            "x_object_meta_colour": "r\udcffd",
            "x_object_sysmeta_slo": "1",
            "x_object_transient_sysmeta_key": "k",
            "content_encoding": "gzip",
            "x_static_large_object": "True",
        }
        answer = await node.ask(
            "PUT", body=b"hello", at=5, content_type="text/plain", x_other="no", headers=kept
        )
        assert (answer.status, answer.headers) == (201, {"etag": md5(b"hello")})
        answer = await node.ask("GET")
        assert (answer.status, answer.body) == (200, b"hello")
        assert dict(answer.headers) == {
            **{name.replace("_", "-"): value for name, value in kept.items()},
            "etag": md5(b"hello"),
            "content-type": "text/plain",
            "last-modified": "Tue, 14 Nov 2023 22:13:25 GMT",
            "x-timestamp": "1700000005.00000",
            "x-backend-timestamp": "1700000005.00000",
            "x-backend-data-timestamp": "1700000005.00000",
            "x-backend-durable-timestamp": "1700000005.00000",
        }
        response = await node.open("HEAD")
        assert (response.status, response.headers, response.length) == (200, answer.headers, 5)
        assert await response.body.read() == b""

    serving(device, scenario)


@pytest.mark.parametrize("name", ["a/b//c", "..", "\n", "ä" * 512, "\U0001f600", "-" * 1024])
def test_t59_any_name(device: Path, name: str) -> None:
    """Whatever an object is called, it is stored and found."""

    async def scenario(node: Node) -> None:
        assert (await node.ask("PUT", name, b"x", at=1)).status == 201
        assert (await node.ask("GET", name)).body == b"x"
        assert (await node.ask("GET", name + "x")).status == 404

    serving(device, scenario)


@pytest.mark.parametrize(
    "size",
    [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 7],
)
@pytest.mark.parametrize("announced", [True, False])
def test_sizes_around_the_block(device: Path, seed: int, size: int, announced: bool) -> None:
    """Whatever the size, and whether or not it is known beforehand; in odd pieces; any range."""
    chance = random.Random(seed)
    data = chance.randbytes(size)
    cuts = sorted(chance.randrange(size + 1) for _ in range(5))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True) if a < b]

    async def scenario(node: Node) -> None:
        body = Pieces(*pieces, length=size if announced else None)
        answer = await node.ask("PUT", body=body, at=1)
        assert (answer.status, answer.headers["etag"]) == (201, md5(data))
        assert (await node.ask("GET")).body == data
        for _ in range(8 if size else 0):
            start = chance.randrange(size)
            stop = chance.randrange(start, size) + 1
            answer = await node.ask("GET", range=f"bytes={start}-{stop - 1}")
            assert answer.status == 206
            assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
            assert answer.body == data[start:stop]
        await node.quiet()

    serving(device, scenario, settings=ObjectSettings(sync_every_bytes=BLOCK_BYTES))


@pytest.mark.parametrize(
    ("text", "length", "span"),
    [
        ("bytes=0-4", 10, Span(0, 5)),
        ("bytes=5-", 10, Span(5, 10)),
        ("bytes=3-100", 10, Span(3, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-50", 10, Span(0, 10)),
        ("Bytes = 9-9", 10, Span(9, 10)),
        ("bytes=10-", 10, Span(0, 0)),
        ("bytes=-0", 10, Span(10, 10)),
        ("bytes=0-", 0, Span(0, 0)),
        ("bytes=-5", 0, None),
        ("bytes=5-2", 10, None),
        ("bytes=0-1,4-5", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=-", 10, None),
        ("bytes=--5", 10, None),
        ("bytes=+1-5", 10, None),
        ("bytes=0-" + "9" * 5000, 10, Span(0, 10)),
        ("lines=0-4", 10, None),
        ("", 10, None),
    ],
)
def test_t78_ranges(text: str, length: int, span: Span | None) -> None:
    """As real Swift answers; an empty span is a 416, None is the whole object."""
    found = wanted(text, length)
    assert (found and found.length and found) == (span and span.length and span)


def test_a_range_beyond_the_end(device: Path) -> None:
    """Is 416, and says how long the object is."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"0123456789", at=1)
        answer = await node.ask("GET", range="bytes=10-")
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")
        answer = await node.ask("GET", range="bytes=3-2")
        assert (answer.status, answer.body) == (200, b"0123456789")

    serving(device, scenario)


def test_the_newest_change_wins(device: Path) -> None:
    """What is older than what is stored is a conflict, and says with what."""

    async def scenario(node: Node) -> None:
        assert (await node.ask("PUT", body=b"five", at=5)).status == 201
        answer = await node.ask("PUT", body=b"older", at=4)
        assert answer.status == 409
        assert answer.headers["x-backend-timestamp"] == "1700000005.00000"
        assert (await node.ask("PUT", body=b"few", at=5)).status == 409
        assert (await node.ask("POST", at=5)).status == 409
        assert (await node.ask("POST", at=4)).status == 409
        assert (await node.ask("DELETE", at=4)).status == 409
        large = Pieces(b"x" * (BLOCK_BYTES + 1), length=BLOCK_BYTES + 1)
        assert (await node.ask("PUT", body=large, at=4)).status == 409
        assert large.read_count == 0
        assert (await node.ask("GET")).body == b"five"
        assert node.names() == ["+5.data"]
        assert (await node.ask("PUT", body=b"newer", at=Timestamp(int(NOW + 5) * 10**5, 1))).status
        assert (await node.ask("GET")).body == b"newer"

    serving(device, scenario)


def test_deleting(device: Path) -> None:
    """A tombstone hides what is older, is left also where nothing was, and says since when."""

    async def scenario(node: Node) -> None:
        assert (await node.ask("DELETE", at=1)).status == 404
        assert node.names() == ["+1.ts"]
        assert (await node.ask("PUT", body=b"too late", at=1)).status == 409
        assert (await node.ask("PUT", body=b"x", at=3)).status == 201
        assert (await node.ask("DELETE", at=4)).status == 204
        assert node.names() == ["+4.ts"]
        for method in ("GET", "HEAD"):
            answer = await node.ask(method)
            assert answer.status == 404
            assert answer.headers["x-backend-timestamp"] == "1700000004.00000"
        assert (await node.ask("POST", at=5)).status == 404
        assert (await node.ask("DELETE", at=3)).status == 404
        assert node.names() == ["+4.ts"], "CVE-2013-4155: a stale DELETE leaves nothing"
        assert (await node.ask("GET", "never")).headers.get("x-backend-timestamp") is None

    serving(device, scenario)


def test_posting(device: Path) -> None:
    """User metadata and allowed headers are replaced, system metadata and data are not."""

    async def scenario(node: Node) -> None:
        await node.ask(
            "PUT",
            body=b"data",
            at=1,
            content_type="text/plain",
            x_object_meta_a="1",
            x_object_sysmeta_s="sys",
            content_encoding="gzip",
            x_static_large_object="True",
        )
        answer = await node.ask(
            "POST", at=2, x_object_meta_b="2", x_object_sysmeta_s="no", x_static_large_object="x"
        )
        assert answer.status == 202
        assert answer.headers["x-object-sysmeta-s"] == "sys"
        assert answer.headers["x-backend-content-type"] == "text/plain"
        got = (await node.ask("GET")).headers
        assert "x-object-meta-a" not in got
        assert "content-encoding" not in got
        assert got["x-object-meta-b"] == "2"
        assert got["x-object-sysmeta-s"] == "sys"
        assert got["x-static-large-object"] == "True"
        assert got["etag"] == md5(b"data")
        assert got["x-timestamp"] == "1700000002.00000"
        assert got["x-backend-data-timestamp"] == "1700000001.00000"

        await node.ask("POST", at=3, content_type="image/png")
        await node.ask("POST", at=4, x_object_meta_c="3")
        got = (await node.ask("GET")).headers
        assert (got["content-type"], got["x-object-meta-c"]) == ("image/png", "3")
        assert node.names() == ["+1.data", "+4.-186a0.meta"]
        assert (await node.ask("PUT", body=b"new", at=5)).status == 201
        assert node.names() == ["+5.data"]

    serving(device, scenario)


def test_etags(device: Path) -> None:
    """A wrong one stores nothing; one that follows is believed, and system metadata with it."""

    async def scenario(node: Node) -> None:
        large = b"x" * (BLOCK_BYTES + 1)
        for data in (b"data", large):
            assert (await node.ask("PUT", body=data, at=1, etag=md5(b"else"))).status == 422
            assert (
                await node.ask("PUT", body=data, at=1, x_backend_etag_follows="yes")
            ).status == 400
            assert node.names() == []
            answer = await node.ask(
                "PUT",
                body=data,
                at=1,
                x_backend_etag_follows="yes",
                trailers={"etag": "0" * 32, "x-object-sysmeta-late": "1", "x-other": "no"},
            )
            assert (answer.status, answer.headers["etag"]) == (201, "0" * 32)
            got = (await node.ask("HEAD")).headers
            assert (got["etag"], got["x-object-sysmeta-late"]) == ("0" * 32, "1")
            assert "x-other" not in got
            answer = await node.ask(
                "PUT",
                body=data,
                at=2,
                etag=md5(data),
                x_backend_etag_follows="yes",
                trailers={"etag": "1" * 32},
            )
            assert answer.status == 422
            await node.ask("PUT", body=data, at=2, etag=f'"{md5(data)}"')
            assert (await node.ask("HEAD")).headers["etag"] == md5(data)
            await node.quiet()
            for path in node.folder().iterdir():
                path.unlink()
            node.folder().rmdir()

    serving(device, scenario)


def test_bodies_that_end_early(device: Path) -> None:
    """Are 499 and leave nothing; what the body itself raises passes through."""

    async def scenario(node: Node) -> None:
        for size in (10, 3 * BLOCK_BYTES):
            body = Pieces(b"x" * (size - 1), length=size)
            assert (await node.ask("PUT", body=body, at=1)).status == 499
            body = Pieces(b"x" * (size - 1), length=size, error=ConnectionResetError("gone"))
            with pytest.raises(ConnectionResetError, match="gone"):
                await node.ask("PUT", body=body, at=1)
            await node.quiet()
            assert node.names() == []
        assert node.containers.rows == []

    serving(device, scenario)


def test_if_none_match(device: Path) -> None:
    """`*` wants no object: a deleted or an expired one is none."""

    async def scenario(node: Node) -> None:
        async def put(at: int, **headers: str) -> int:
            return (await node.ask("PUT", at=at, if_none_match="*", headers=headers)).status

        assert await put(1, x_delete_at=str(int(NOW) + 60)) == 201
        assert await put(2) == 412
        node.clock.move(60)
        assert await put(3) == 201
        assert await put(4) == 412
        await node.ask("DELETE", at=5)
        assert await put(6) == 201

    serving(device, scenario)


def test_expiry(device: Path) -> None:
    """An object whose X-Delete-At has come is gone, unless somebody asks for such."""

    async def scenario(node: Node) -> None:
        when = str(int(NOW) + 60)
        assert (await node.ask("PUT", at=1, x_delete_at=when)).status == 201
        assert (await node.ask("GET")).headers["x-delete-at"] == when
        node.clock.move(60)
        for method in ("GET", "HEAD"):
            answer = await node.ask(method)
            assert answer.status == 404
            assert answer.headers["x-backend-timestamp"] == "1700000001.00000"
            assert (await node.ask(method, x_backend_open_expired="true")).status == 200
        assert (await node.ask("POST", at=61)).status == 404
        assert (await node.ask("POST", at=61, x_backend_open_expired="true")).status == 202
        assert (await node.ask("GET")).status == 200, "the POST took X-Delete-At away"
        assert (await node.ask("POST", at=62, x_delete_at=when)).status == 400, "it is past"
        assert (await node.ask("PUT", at=62, x_delete_at="soon")).status == 400
        later = str(int(NOW) + 100)
        await node.ask("POST", at=63, x_delete_at=later)
        node.clock.move(100)
        assert (await node.ask("DELETE", at=101)).status == 404
        assert node.names()[0] == "+101.ts"

    serving(device, scenario)


def test_t64_deleting_only_what_has_expired(device: Path) -> None:
    """X-If-Delete-At must be the object's own X-Delete-At, or nothing is deleted."""

    async def scenario(node: Node) -> None:
        when = str(int(NOW) + 60)
        assert (await node.ask("DELETE", at=1, x_if_delete_at="soon")).status == 400
        assert (await node.ask("DELETE", at=1, x_if_delete_at=when)).status == 404
        assert node.names() == []
        await node.ask("PUT", at=2, x_delete_at=when)
        assert (await node.ask("DELETE", at=1, x_if_delete_at=when)).status == 409
        assert (await node.ask("DELETE", at=3, x_if_delete_at="7")).status == 412
        node.clock.move(60)
        assert (await node.ask("DELETE", at=61, x_if_delete_at=when)).status == 204
        assert node.names() == ["+61.ts"]
        await node.ask("PUT", at=62)
        assert (await node.ask("DELETE", at=63, x_if_delete_at=when)).status == 412

    serving(device, scenario)


def test_policies_have_folders_of_their_own(device: Path) -> None:
    """Objects of one policy are not those of another; one that nobody knows is 503."""

    async def scenario(node: Node) -> None:
        await node.ask("PUT", body=b"gold", at=1)
        silver = {"x_backend_storage_policy_index": "1"}
        assert (await node.ask("GET", headers=silver)).status == 404
        await node.ask("PUT", body=b"silver", at=1, headers=silver)
        assert (await node.ask("GET")).body == b"gold"
        assert (await node.ask("GET", headers=silver)).body == b"silver"
        assert len(list(node.folder(policy=1).iterdir())) == 1
        answer = await node.ask("GET", x_backend_storage_policy_index="7")
        assert answer.status == 503

    serving(device, scenario)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {}),
        ("PUT", {"x_timestamp": "soon"}),
        ("DELETE", {}),
        ("POST", {}),
        ("PUT", {"x_timestamp": "1", "x_container_host": "h:1", "x_container_device": "a,b"}),
        ("PUT", {"x_timestamp": "1", "x_container_partition": "x", "content_length": "0"}),
        ("PUT", {"x_timestamp": "1", "x_backend_storage_policy_index": "x"}),
    ],
)
def test_requests_that_make_no_sense(device: Path, method: str, headers: dict[str, str]) -> None:
    """Are 400 and change nothing."""

    async def scenario(node: Node) -> None:
        assert (await node.ask(method, headers=headers)).status == 400
        assert node.names() == []

    serving(device, scenario)


def test_a_device_out_of_service(device: Path) -> None:
    """Is 507 for everything; one that is not mounted is not written to (T33)."""

    async def scenario(node: Node) -> None:
        node.path.rmdir()
        assert (await node.ask("PUT", at=1)).status == 507
        assert not node.path.exists()
        assert (await node.ask("GET")).status == 404
        node.device.fail("for the test")
        for method in ("PUT", "GET", "HEAD", "POST", "DELETE"):
            assert (await node.ask(method, at=1)).status == 507

    serving(device, scenario)


def test_the_container_hears_of_every_change(device: Path) -> None:
    """A row per PUT, POST and DELETE, with what system metadata override in it."""

    async def scenario(node: Node) -> None:
        row = ONE
        await node.ask("PUT", body=b"abc", at=1, content_type="text/plain", headers=row)
        await node.ask("POST", at=2, content_type="text/html", headers=row)
        await node.ask("POST", at=3, headers=row)
        await node.ask("DELETE", at=4, headers=row)
        override = "x_object_sysmeta_container_update_override_"
        overrides = {override + "size": "9", override + "etag": "e; x=1"}
        await node.ask("PUT", at=5, headers={**row, **overrides})
        told = [(method, dict(headers)) for method, _, headers in node.containers.rows]
        for _, headers in told:
            assert headers.pop("x-backend-storage-policy-index") == "0"
            assert headers.pop("x-trans-id")
        assert {path for _, path, _ in node.containers.rows} == {"/sdc/2/a/c/o"}
        changed = {
            "x-size": "3",
            "x-etag": md5(b"abc"),
            "x-timestamp": "1700000001.00000",
            "x-content-type": "text/html",
            "x-content-type-timestamp": "1700000002.00000",
        }
        assert told[0][1] == {
            "x-size": "3",
            "x-etag": md5(b"abc"),
            "x-timestamp": "1700000001.00000",
            "x-content-type": "text/plain",
        }
        assert told[1][1] == {**changed, "x-meta-timestamp": "1700000002.00000"}
        assert told[2][1] == {**changed, "x-meta-timestamp": "1700000003.00000"}
        assert told[3] == ("DELETE", {"x-timestamp": "1700000004.00000"})
        assert (told[4][1]["x-size"], told[4][1]["x-etag"]) == ("9", "e; x=1")

    serving(device, scenario)
