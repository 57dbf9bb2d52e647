"""What curl does on the wire, done by curl itself where there is one, and always by raw sockets."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.functional.account import Account
from tests.functional.wire import CutShort, Wire

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="this machine has no curl")

MiB = 1 << 20


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# ---- the same exchanges by raw socket ------------------------------------------------------------


def test_put_waits_for_100_continue(account: Account, container: str) -> None:
    """With Expect, the server says 100 Continue before any of the body has been sent."""
    body = os.urandom(3 * MiB)
    with account.wire() as wire:
        headers = account.headers({"Content-Length": str(len(body)), "Expect": "100-continue"})
        wire.send_head("PUT", account.path(container, "expected"), headers)
        assert wire.read_head().status == 100
        wire.send(body)
        reply = wire.read_reply("PUT")
        assert reply.status == 201
        assert reply.headers["etag"].strip('"') == md5(body)
        # The connection is as good as before.
        again = wire.request("GET", account.path(container, "expected"), account.headers())
    assert again.body == body


def test_zero_bytes_with_expect(account: Account, container: str) -> None:
    """An empty body needs no 100 Continue; with or without one the answer is 201."""
    with account.wire() as wire:
        headers = account.headers({"Content-Length": "0", "Expect": "100-continue"})
        wire.send_head("PUT", account.path(container, "empty"), headers)
        assert wire.read_reply("PUT").status == 201
    assert account.get(container, "empty").body == b""


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(401, {"X-Auth-Token": "AUTH_tk0000"}, id="bad token"),
        pytest.param(412, {"If-None-Match": "*"}, id="exists"),
        pytest.param(413, {"Content-Length": str(6 << 30)}, id="too large"),
        pytest.param(400, {"If-None-Match": '"abc"'}, id="condition not supported"),
        pytest.param(400, {"X-Delete-At": "soon"}, id="bad header"),
    ],
)
def test_refusal_instead_of_100(
    account: Account, container: str, status: int, headers: dict[str, str]
) -> None:
    """T73: a request that is refused gets the answer at once: no 100, and no body is waited for.

    Afterwards the connection is closed, or good for another request: nothing in between.
    """
    account.put(container, "there", b"as it was")
    asked = {"Content-Length": "1000000", "Expect": "100-continue", **headers}
    with account.wire() as wire:
        wire.send_head("PUT", account.path(container, "there"), account.headers(asked))
        head = wire.read_head()
        assert head.status == status
        wire.read_body(head)
        if head.headers.get("connection", "").lower() == "close":
            assert wire.at_end()
        else:
            assert next_answer(wire, account, container) in {200, None}
    assert account.get(container, "there").body == b"as it was"


def next_answer(wire: Wire, account: Account, container: str) -> int | None:
    """The status of another request on the connection; None when the server had closed it."""
    try:
        return wire.request("HEAD", account.path(container, "there"), account.headers()).status
    except (CutShort, BrokenPipeError, ConnectionResetError):
        return None


def test_chunked_upload_of_unknown_length(account: Account, container: str) -> None:
    """Chunks of any size, down to one byte, become one object."""
    body = os.urandom(2 * MiB + 17)
    cuts = [0, 1, 2, 65_535, 65_537, MiB, MiB + 1, len(body)]
    with account.wire() as wire:
        headers = account.headers({"Transfer-Encoding": "chunked"})
        wire.send_head("PUT", account.path(container, "chunks"), headers)
        for start, end in pairwise(cuts):
            wire.send_chunk(body[start:end])
        wire.send_chunk(b"")
        reply = wire.read_reply("PUT")
    assert reply.status == 201
    assert reply.headers["etag"].strip('"') == md5(body)
    found = account.get(container, "chunks")
    assert found.body == body
    assert found.headers["content-length"] == str(len(body))


def test_put_without_length(account: Account, container: str) -> None:
    """Neither Content-Length nor chunks: 411."""
    with account.wire() as wire:
        wire.send_head("PUT", account.path(container, "x"), account.headers())
        assert wire.read_reply("PUT").status == 411
    assert account.request("GET", container, "x").status == 404


def test_a_resumed_download(account: Account, container: str) -> None:
    """What `curl -C -` does: HEAD for the size, then a range from where the last try ended."""
    body = os.urandom(5 * MiB + 3)
    account.put(container, "resume", body)
    with account.wire() as wire:
        wire.send_head("GET", account.path(container, "resume"), account.headers())
        head = wire.read_head()
        start = wire.read_exactly(MiB + 5)
        wire.reset()
    assert head.headers["content-length"] == str(len(body))
    assert head.headers["accept-ranges"] == "bytes"
    conditions = {"Range": f"bytes={len(start)}-", "If-Match": head.headers["etag"]}
    rest = account.get(container, "resume", conditions)
    assert rest.status == 206
    assert rest.headers["content-range"] == f"bytes {len(start)}-{len(body) - 1}/{len(body)}"
    assert start + rest.body == body


def test_head_has_no_body(account: Account, container: str) -> None:
    """T75: HEAD tells what GET would say and sends no byte more, so the next answer is in step."""
    account.put(container, "size", b"0123456789", {"X-Object-Meta-Kind": "digits"})
    with account.wire() as wire:
        target = account.path(container, "size")
        for _ in range(3):
            head = wire.request("HEAD", target, account.headers())
            whole = wire.request("GET", target, account.headers())
            assert whole.body == b"0123456789"
            for name in ("content-length", "etag", "content-type", "x-object-meta-kind"):
                assert head.headers[name] == whole.headers[name]
        assert wire.request("HEAD", account.root, account.headers()).status == 204
        assert wire.request("GET", target, account.headers()).body == b"0123456789"


def test_several_requests_in_one_packet(account: Account, container: str) -> None:
    """Pipelined requests are answered all, in order."""
    for number in range(5):
        account.put(container, f"p{number}", b"%d" % number)
    with account.wire() as wire:
        heads = [
            wire.head_bytes("GET", account.path(container, f"p{number}"), account.headers())
            for number in range(5)
        ]
        wire.send(b"".join(heads))
        assert [wire.read_reply().body for _ in heads] == [b"0", b"1", b"2", b"3", b"4"]


# ---- curl itself ---------------------------------------------------------------------------------


def curl(account: Account, *arguments: str, data: bytes = b"") -> bytes:
    """Standard output of curl with the user's token; its exit status must be 0."""
    token = account.token
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "120", "-H", f"X-Auth-Token: {token}", *arguments],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def url(account: Account, container: str, name: str) -> str:
    return f"http://{account.host}:{account.port}{account.path(container, name)}"


@needs_curl
@pytest.mark.parametrize("size", [0, 1, 1023, MiB - 1, MiB, MiB + 1, 20 * MiB + 1])
def test_curl_uploads_a_file(account: Account, container: str, tmp_path: Path, size: int) -> None:
    """`curl -T` (which expects a 100 from 1 MiB on) stores a file, and curl gets it back."""
    body = os.urandom(size)
    (tmp_path / "file").write_bytes(body)
    target = url(account, container, "file")
    code = curl(
        account, "-T", str(tmp_path / "file"), "-w", "%{http_code}", "-o", "/dev/null", target
    )
    assert code == b"201"
    assert curl(account, target) == body


@needs_curl
def test_curl_expects_100_for_a_small_file(account: Account, container: str) -> None:
    """An Expect that the user asked for is answered, too, and curl does not wait its second."""
    arguments = ("-T", "-", "-H", "Expect: 100-continue", "-w", "%{http_code} %{time_total}")
    out = curl(account, *arguments, url(account, container, "e"), data=b"small")
    code, took_s = out.split()[-2:]
    assert code == b"201"
    assert float(took_s) < 0.9
    assert curl(account, url(account, container, "e")) == b"small"


@needs_curl
def test_curl_uploads_standard_input(account: Account, container: str) -> None:
    """`curl -T -` sends chunks, for it does not know the length."""
    body = os.urandom(3 * MiB)
    out = curl(account, "-T", "-", "-w", "%{http_code}", url(account, container, "in"), data=body)
    assert out.endswith(b"201")
    assert curl(account, url(account, container, "in")) == body


@needs_curl
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(b"401", ["-H", "X-Auth-Token: wrong"], id="bad token"),
        pytest.param(b"412", ["-H", "If-None-Match: *"], id="exists"),
        pytest.param(b"422", ["-H", "ETag: d41d8cd98f00b204e9800998ecf8427e"], id="other MD5"),
        pytest.param(b"413", ["-H", "Content-Length: 6442450944"], id="too large"),
    ],
)
def test_curl_is_refused(
    account: Account, container: str, tmp_path: Path, status: bytes, headers: list[str]
) -> None:
    """A refused upload shows curl the status that it must, and leaves what was there."""
    account.put(container, "there", b"as it was")
    (tmp_path / "file").write_bytes(os.urandom(4 * MiB))
    arguments = ["-T", str(tmp_path / "file"), "-H", "Expect: 100-continue", *headers]
    if status == b"401":  # the token that goes with every call here would be the first of two
        account = account.anonymous()
    target = url(account, container, "there")
    done = subprocess.run(
        ["curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null", *arguments]
        + ([] if account.token is None else ["-H", f"X-Auth-Token: {account.token}"])
        + [target],
        capture_output=True,
        check=False,
    )
    assert done.stdout == status, done.stderr


@needs_curl
def test_curl_ranges_and_resume(account: Account, container: str, tmp_path: Path) -> None:
    """`-r` gets pieces and the end; `-C -` goes on with half a file; `-I` is a HEAD."""
    body = os.urandom(2 * MiB + 11)
    account.put(container, "file", body)
    target = url(account, container, "file")
    assert curl(account, "-r", "0-0", target) == body[:1]
    assert curl(account, "-r", "1048575-1048576", target) == body[MiB - 1 : MiB + 1]
    assert curl(account, "-r", "-11", target) == body[-11:]
    parts = curl(account, "-r", "0-9,100-109", target)
    assert body[:10] in parts
    assert body[100:110] in parts
    half = tmp_path / "half"
    half.write_bytes(body[: MiB + 3])
    curl(account, "-C", "-", "-o", str(half), target)
    assert half.read_bytes() == body
    head = curl(account, "-I", target).decode().lower()
    assert f"content-length: {len(body)}" in head
    assert md5(body) in head
