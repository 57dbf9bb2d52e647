"""msgpack documents between nodes: what a node says that is not an object's bytes.

Whatever arrives is taken for hostile until it has been looked at: it has a size, its form is
checked field by field by whoever asked for it, and it is never code.
"""

from collections.abc import Mapping
from typing import Any

import msgpack

from swiftish.domain.limits import MiB
from swiftish.http.bodies import TooLong, read_all
from swiftish.http.message import Body, Bytes, Response
from swiftish.http.replies import Refusal

CONTENT_TYPE = "application/msgpack"
DOCUMENT_BYTES_MAX = 64 * MiB


class BadDocument(ValueError):
    """The bytes are no document, or not one of the form that was asked for."""


def packed(document: object) -> bytes:
    """msgpack of plain values; text that was not UTF-8 keeps its bytes."""
    data: bytes = msgpack.packb(document, unicode_errors="surrogateescape")
    return data


def unpacked(data: bytes) -> Any:  # noqa: ANN401  (whoever asked knows what it must be)
    """The other way round.  Raises BadDocument."""
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BadDocument(f"not msgpack: {error}") from None


def reply(document: object, headers: Mapping[str, str] | None = None) -> Response:
    """A 200 with a document."""
    data = packed(document)
    return Response(
        status=200, headers={"content-type": CONTENT_TYPE, **(headers or {})}, body=Bytes(data)
    )


async def asked(body: Body, *, size_max: int = DOCUMENT_BYTES_MAX) -> Any:  # noqa: ANN401
    """The document in a request.  Raises Refusal 400 for what is none, 413 for too much."""
    try:
        return unpacked(await read_all(body, size_max=size_max))
    except TooLong:
        raise Refusal(413, f"A document may have {size_max} bytes.") from None
    except BadDocument as error:
        raise Refusal(400, f"The body is no document: {error}") from None


async def answered(response: Response, *, size_max: int = DOCUMENT_BYTES_MAX) -> Any:  # noqa: ANN401
    """The document in an answer, which is closed.  Raises BadDocument, OSError."""
    async with response:
        try:
            return unpacked(await read_all(response.body, size_max=size_max))
        except Refusal as error:
            raise BadDocument(str(error)) from None
