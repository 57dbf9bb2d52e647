"""The heads of responses: spelled as Swift spells them, and nothing stored can end a line."""

from __future__ import annotations

import random

import pytest

from swiftish.http.response_head import response_head


def head(headers: dict[str, str], status: int = 200, length: int | None = 5) -> bytes:
    return response_head(
        status,
        headers,
        length=length,
        chunked=length is None,
        connection="",
        transaction_id="tx1",
        date="Sun, 06 Nov 1994 08:49:37 GMT",
    )


def test_spelling() -> None:
    """Title-Case; ours are said once, whatever the handler says."""
    assert head(
        {
            "etag": "x",
            "x-object-meta-foo": "b\udcffr",
            "x-account-meta-uni\u0e12k": "\u0e12",
            "www-authenticate": "y",
            "x-trans-id": "forged",
            "content-length": "9",
            "date": "never",
            "transfer-encoding": "chunked",
        }
    ) == (
        b"HTTP/1.1 200 OK\r\nEtag: x\r\nX-Object-Meta-Foo: b\xffr\r\n"
        b"X-Account-Meta-Uni\xe0\xb8\x92K: \xe0\xb8\x92\r\nWww-Authenticate: y\r\n"
        b"Content-Length: 5\r\nX-Trans-Id: tx1\r\nX-Openstack-Request-Id: tx1\r\n"
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
    )
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head({}, length=None)
    assert head({}, status=499).startswith(b"HTTP/1.1 499 Client Disconnect\r\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "1\r\nX-Evil: 1"),
        ("x-a", "1\nX-Evil: 1"),
        ("x-a", "1\rX-Evil: 1"),
        ("x-a", "\r\n\r\n<html>"),
        ("x-a", "1\0X-Evil: 1"),
        ("x-a\r\nx-evil", "1"),
        ("x-a\n", "1"),
        ("x-a\0", "1"),
        ("", "1"),
        ("x-evil: 1\r\n", ""),
    ],
)
def test_t82_nothing_splits_a_response(name: str, value: str) -> None:
    """Neither a name nor a value can add a line to a response."""
    data = head({name: value, "x-b": "2"})
    lines = data[:-4].split(b"\r\n")
    assert data.count(b"\r\n\r\n") == 1
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
    assert b"\0" not in data
    assert not any(line.lower().startswith((b"x-evil", b"<")) for line in lines)
    assert b"X-B: 2" in lines


def test_t82_random_values(chance: random.Random) -> None:
    """There are as many lines as headers, for any text, half surrogate pairs too."""
    alphabet = "ab:\r\n\0 \x0b\x0c\x1c\x85\u2028\ud800\udcff\u0e12"
    for _ in range(300):
        headers = {
            "".join(chance.choices(alphabet, k=4)): "".join(chance.choices(alphabet, k=6))
            for _ in range(3)
        }
        data = head(headers)
        assert data.endswith(b"\r\n\r\n")
        assert data.count(b"\r\n") <= 5 + 3 + 1
        assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
