"""GET and HEAD."""

from email.utils import formatdate
from functools import lru_cache

from swiftish.cluster.backend_app import Call
from swiftish.domain.ranges import UNSATISFIABLE, parse_range
from swiftish.http.message import Bytes, Response
from swiftish.http.replies import Refusal
from swiftish.object.async_disk import ObjectBody
from swiftish.object.blocks import Span
from swiftish.object.current import Current
from swiftish.object.errors import NoObject
from swiftish.object.objects import Objects, open_expired


def wanted(text: str, length: int) -> Span | None:
    """The bytes that a Range header of one range asks for, of an object of `length` bytes.

    None when the header is to be ignored: it asks for several ranges, or makes no sense.  An
    empty span when it makes sense and there are no such bytes (416).
    """
    if "," in text:
        return None
    spans = parse_range(text, length)
    if spans is None:
        return None
    if spans is UNSATISFIABLE:
        return Span(0, 0)
    first, last = spans[0]
    return Span(first, last + 1)


class Reads:
    """The verbs that change nothing."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def get(self, call: Call) -> Response:
        location = self._objects.locate(call)
        now, see_expired = self._objects.clock.now(), open_expired(call)
        asked = call.headers.get("range")

        def choose(current: Current) -> Span:
            _refuse_expired(current, now=now, see_expired=see_expired)
            span = wanted(asked, current.content_length) if asked else None
            if span is None:
                return Span(0, current.content_length)
            if not span.length:
                raise _unsatisfiable(current)
            return span

        disk = self._objects.disk(call.device)
        current, span, first, reader = await disk.open(location, choose)
        assert span is not None
        headers = answer_headers(current)
        status = 200
        if asked and wanted(asked, current.content_length) is not None:
            status = 206
            headers["content-range"] = (
                f"bytes {span.start}-{span.stop - 1}/{current.content_length}"
            )
        if len(first) == span.length:
            return Response(status=status, headers=headers, body=Bytes(first))
        body = ObjectBody(disk, reader, first, span.length)
        return Response(status=status, headers=headers, body=body)

    async def head(self, call: Call) -> Response:
        location = self._objects.locate(call)
        now, see_expired = self._objects.clock.now(), open_expired(call)

        def choose(current: Current) -> None:
            _refuse_expired(current, now=now, see_expired=see_expired)

        current, _, _, _ = await self._objects.disk(call.device).open(location, choose)
        return Response(status=200, headers=answer_headers(current), length=current.content_length)


def answer_headers(current: Current) -> dict[str, str]:
    """What GET and HEAD say of an object (docs/reference/backend.md)."""
    timestamp, data_timestamp = current.timestamp, current.data.timestamp.internal
    return {
        **current.headers,
        "etag": current.etag,
        "content-type": current.content_type,
        "last-modified": _http_date(timestamp.seconds_ceiling),
        "x-timestamp": timestamp.normal,
        "x-backend-timestamp": timestamp.internal,
        "x-backend-data-timestamp": data_timestamp,
        "x-backend-durable-timestamp": data_timestamp,
    }


@lru_cache(maxsize=1024)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _refuse_expired(current: Current, *, now: float, see_expired: bool) -> None:
    if not see_expired and current.expired(now=now):
        raise NoObject(current.timestamp)


def _unsatisfiable(current: Current) -> Refusal:
    headers = answer_headers(current)
    headers["content-range"] = f"bytes */{current.content_length}"
    headers["content-type"] = "text/html; charset=UTF-8"
    return Refusal(416, headers=headers)
