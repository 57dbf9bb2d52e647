"""Turn a reader of spans into the whole, a part, several parts, or a 416 (reference 1.0).

The length of an answer of several parts is computed before the first byte is read, so that it too
has a Content-Length; each part is opened when it is its turn.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from swiftish.domain.ranges import UNSATISFIABLE, Span, Spans
from swiftish.http.bodies import Joined
from swiftish.http.bodies import Opener as PartOpener
from swiftish.http.message import Body, Bytes, Response
from swiftish.http.replies import status_page
from swiftish.http.response_head import one_line

# Opens the bytes from the first to the last, both included; the body has just these bytes.
Opener: TypeAlias = Callable[[int, int], Awaitable[Body]]


async def ranged(
    opener: Opener, headers: Mapping[str, str], *, length: int, spans: Spans
) -> Response:
    """The answer to a GET of an object of `length` bytes, of which `spans` are wanted.

    `headers` are those of the whole object (etag, content-type, metadata ...).  A single span is
    opened before the answer is made, so that what the opener raises can still become a status.
    """
    headers = {**headers, "accept-ranges": "bytes"}
    if spans is UNSATISFIABLE:
        return unsatisfiable(headers, length=length)
    if spans is None:
        body = await opener(0, length - 1) if length else Bytes()
        return Response(status=200, headers=headers, body=body, length=length)
    if len(spans) == 1:
        first, last = spans[0]
        headers["content-range"] = f"bytes {first}-{last}/{length}"
        body = await opener(first, last)
        return Response(status=206, headers=headers, body=body, length=last - first + 1)
    boundary = os.urandom(16).hex()
    content_type = headers.get("content-type", "application/octet-stream")
    headers["content-type"] = f"multipart/byteranges;boundary={boundary}"
    multipart = Multipart(
        opener, spans, length=length, content_type=content_type, boundary=boundary
    )
    return Response(status=206, headers=headers, body=multipart, length=multipart.length)


def unsatisfiable(headers: Mapping[str, str], *, length: int) -> Response:
    """416, with the object's own headers and its length."""
    page = status_page(416)
    return page.replace(headers={**page.headers, **headers, "content-range": f"bytes */{length}"})


class Multipart(Joined):
    """`multipart/byteranges` (RFC 9110 14.6): for each span a head and its bytes, and an end."""

    def __init__(
        self,
        opener: Opener,
        spans: Sequence[Span],
        *,
        length: int,
        content_type: str,
        boundary: str,
    ) -> None:
        openers: list[PartOpener] = []
        size = 0
        between = ""
        for first, last in spans:
            head = (
                f"{between}--{boundary}\r\nContent-Type: {one_line(content_type)}\r\n"
                f"Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
            ).encode("utf-8", "surrogateescape")
            openers += [partial(_in_memory, head), partial(opener, first, last)]
            size += len(head) + last - first + 1
            between = "\r\n"
        end = f"\r\n--{boundary}--".encode()
        openers.append(partial(_in_memory, end))
        super().__init__(openers, length=size + len(end))


async def _in_memory(data: bytes) -> Body:
    return Bytes(data)
