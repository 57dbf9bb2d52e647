"""PUT: an object's bytes, its metadata, its row in the container's listing.

Up to a block is read first and then stored in one hop into the device's threads.  Anything larger,
or conditional, is offered to the device before the first byte is read, and then written block by
block.  From the first step of the commit on, the request can no longer be cancelled: what is stored
is also told to the container, whether or not the client still waits to hear of it.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from swiftish.cluster.backend_app import Call
from swiftish.http.message import Body, Bytes, Response
from swiftish.http.replies import Refusal, empty
from swiftish.object.async_disk import AsyncDisk
from swiftish.object.blocks import BLOCK_BYTES
from swiftish.object.container_update import (
    Audience,
    ContainerUpdates,
    audience,
    queue_rows,
    row_of_put,
)
from swiftish.object.current import merge
from swiftish.object.metadata import SYSMETA, Metadata
from swiftish.object.objects import Objects, kept_headers, target_of
from swiftish.object.paths import Location
from swiftish.object.store import Conditions, Draft
from swiftish.object.writer import Writer


class Puts:
    """The verb that brings bytes."""

    def __init__(self, objects: Objects, updates: ContainerUpdates) -> None:
        self._objects = objects
        self._updates = updates

    async def put(self, call: Call) -> Response:
        location = self._objects.locate(call)
        conditions = self._objects.conditions(call)
        to = audience(call.headers)
        draft = Draft(
            timestamp=conditions.timestamp,
            content_type=call.headers.get("content-type") or "application/octet-stream",
            headers=kept_headers(call, now=conditions.now, with_sysmeta=True),
            expected_etag=_unquoted(call.headers.get("etag")),
        )
        if _must_be_offered(call):
            return await self._put_large(call, location, conditions, draft, to, [])
        pieces, size, ended = await _gather(call.request.body)
        if not ended:
            return await self._put_large(call, location, conditions, draft, to, pieces)
        _check_length(call, size)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        disk = self._objects.disk(call.device)
        work = disk.put_small(location, conditions, _completed(call, draft), data)
        return await self._to_the_end(call, location, to, work)

    async def _put_large(
        self,
        call: Call,
        location: Location,
        conditions: Conditions,
        draft: Draft,
        to: Audience,
        pieces: list[bytes],
    ) -> Response:
        disk = self._objects.disk(call.device)
        writer = disk.writer(location, with_md5=not _etag_follows(call))
        try:
            length = _announced_length(call) or 0
            replaced = await disk.begin_upload(location, conditions, writer, length)
            ended = False
            while pieces or not ended:
                if pieces:
                    await disk.append(writer, pieces)
                pieces = []
                if not ended:
                    pieces, _, ended = await _gather(call.request.body)
            _check_length(call, writer.length)
            draft = _completed(call, draft)
        except BaseException:
            disk.close_later(writer)
            raise
        work = self._commit_upload(disk, location, draft, writer, replaced)
        return await self._to_the_end(call, location, to, work)

    async def _commit_upload(
        self,
        disk: AsyncDisk,
        location: Location,
        draft: Draft,
        writer: Writer,
        replaced: int | None,
    ) -> tuple[Metadata, int | None]:
        return await disk.commit_upload(writer, location, draft), replaced

    async def _to_the_end(
        self,
        call: Call,
        location: Location,
        to: Audience,
        commit: Coroutine[Any, Any, tuple[Metadata, int | None]],
    ) -> Response:
        work = self._finish(call, location, to, commit)
        return await self._objects.to_the_end(work, name="store an object")

    async def _finish(
        self,
        call: Call,
        location: Location,
        to: Audience,
        commit: Coroutine[Any, Any, tuple[Metadata, int | None]],
    ) -> Response:
        metadata, replaced = await commit
        target = target_of(call)
        told, later = queue_rows(
            target,
            location.digest,
            to.queue,
            before=replaced,
            current=merge(metadata),
            timestamp=metadata.timestamp,
        )
        row = row_of_put(target, call.policy_index, metadata, to.container)
        await self._updates.tell(
            call.device, location.digest, [row, *told], call.request.context, later=later
        )
        return empty(201, {"etag": metadata.etag or ""})


async def _gather(body: Body) -> tuple[list[bytes], int, bool]:
    """A block's worth of pieces or a little more, how many bytes, and whether that was the end."""
    if isinstance(body, Bytes):
        data = body.take()
        return ([data] if data else []), len(data), True
    pieces: list[bytes] = []
    size = 0
    while size <= BLOCK_BYTES:
        piece = await body.read()
        if not piece:
            return pieces, size, True
        pieces.append(piece)
        size += len(piece)
    return pieces, size, False


def _announced_length(call: Call) -> int | None:
    """How many bytes there will be, if that was said.  Raises Refusal 400."""
    length = call.request.body.length
    text = call.headers.get("content-length")
    if length is None and text is not None:
        if not (text.isascii() and text.isdigit()):
            raise Refusal(400, "Content-Length is not a number.")
        return int(text)
    return length


def _must_be_offered(call: Call) -> bool:
    """Whether to look at what is there before the first byte is read: for the sake of a client
    that waits for 100 Continue, and because there may be no room for a large body."""
    length = _announced_length(call)
    in_memory = isinstance(call.request.body, Bytes)
    return (length or 0) > BLOCK_BYTES or ("if-none-match" in call.headers and not in_memory)


def _check_length(call: Call, size: int) -> None:
    """A body that ends early is a client that went away."""
    announced = _announced_length(call)
    if announced is not None and announced != size:
        raise Refusal(499)


def _etag_follows(call: Call) -> bool:
    return call.headers.get("x-backend-etag-follows", "").lower() in ("yes", "true", "1")


def _completed(call: Call, draft: Draft) -> Draft:
    """The draft with what is known only now that the body has been read."""
    trailers = call.request.trailers()
    etag = _unquoted(trailers.get("etag"))
    sysmeta = {name: value for name, value in trailers.items() if name.startswith(SYSMETA)}
    headers = {**draft.headers, **sysmeta} if sysmeta else draft.headers
    if _etag_follows(call):
        if etag is None:
            raise Refusal(400, "The ETag that was to follow did not come.")
        return replace(draft, etag=etag, headers=headers)
    return replace(draft, headers=headers, expected_etag=etag or draft.expected_etag)


def _unquoted(etag: str | None) -> str | None:
    return None if not etag else etag.strip('"').lower()
