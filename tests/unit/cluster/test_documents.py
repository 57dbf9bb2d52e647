"""Documents between nodes: what comes is looked at before it is believed."""

import asyncio

import pytest

from swiftish.cluster.documents import BadDocument, answered, asked, packed, reply, unpacked
from swiftish.http.message import Bytes, Response
from swiftish.http.replies import Refusal


def test_there_and_back() -> None:
    document = {"a": [1, b"\xff", "\udcff", None], 7: {"b": 1.5}}
    assert unpacked(packed(document)) == document
    assert asyncio.run(answered(reply(document))) == document
    assert asyncio.run(asked(Bytes(packed(document)))) == document


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc1", b"\x92\x01", b"\x01\x02", b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff"),
        b"\x81\x90\x01",
    ],
)
def test_garbage(data: bytes) -> None:
    """None of it is more than a refusal: nothing, an unused code, too little, too much, too deep,
    an array of four billion, a list for a key."""
    with pytest.raises(BadDocument):
        unpacked(data)
    with pytest.raises(Refusal) as caught:
        asyncio.run(asked(Bytes(data)))
    assert caught.value.status == 400
    with pytest.raises(BadDocument):
        asyncio.run(answered(Response(status=200, body=Bytes(data))))


def test_a_limit() -> None:
    with pytest.raises(Refusal) as caught:
        asyncio.run(asked(Bytes(packed(b"x" * 100)), size_max=50))
    assert caught.value.status == 413
