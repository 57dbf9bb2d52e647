"""The awaitable face of one device's objects: one hop into its threads per call.

When a request is cancelled while a thread works for it, the thread goes on.  What it opens then is
closed by a hop of its own, which waits for it: readers and writers have a lock for that, and refuse
to begin once they have been closed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from swiftish.http.message import Body
from swiftish.object import store
from swiftish.object.blocks import Span
from swiftish.object.current import Current
from swiftish.object.disk import Disk
from swiftish.object.errors import ObjectError
from swiftish.object.mark import Mark
from swiftish.object.metadata import Metadata
from swiftish.object.paths import Location
from swiftish.object.reader import Choose, ObjectReader
from swiftish.object.refusals import refusal_of
from swiftish.object.store import Conditions, Draft
from swiftish.object.writer import Writer
from swiftish.runtime.tasks import Background

P = ParamSpec("P")
T = TypeVar("T")


class ObjectBody(Body):
    """The bytes of an open object, block by verified block.

    `read` raises Corrupt at a block that is not what was written: none of it is handed out, and
    the file is in quarantine.
    """

    def __init__(self, disk: "AsyncDisk", reader: ObjectReader, first: bytes, length: int) -> None:
        self.length = length
        self._disk = disk
        self._reader = reader
        self._first = first
        self._left = length - len(first)

    async def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if not self._left:
            return b""
        block = await self._disk.device.threads.run(self._reader.read)
        self._left -= len(block)
        return block

    async def aclose(self) -> None:
        self._first = b""
        if self._left:
            self._left = 0
            self._disk.close_later(self._reader)


class AsyncDisk:
    """Objects of one device, for a server: what the device says comes as a Refusal."""

    def __init__(self, disk: Disk, background: Background) -> None:
        self.device = disk.device
        self._disk = disk
        self._background = background
        self._mark = Mark(disk)

    async def open(
        self, location: Location, choose: Choose
    ) -> tuple[Current, Span | None, bytes, ObjectReader]:
        """See ObjectReader.open.  What is not all in the first bytes is read through ObjectBody."""
        reader = ObjectReader(self._disk, location)
        try:
            current, span, first = await self._run(reader.open, choose)
        except asyncio.CancelledError:
            self.close_later(reader)
            raise
        return current, span, first, reader

    async def put_small(
        self, location: Location, conditions: Conditions, draft: Draft, data: bytes
    ) -> tuple[Metadata, int | None]:
        return await self._change(store.put_small, self._disk, location, conditions, draft, data)

    def writer(self, location: Location, *, with_md5: bool) -> Writer:
        """For an upload; whoever has it closes it, with `close_later` at least."""
        return Writer(self._disk, location, with_md5=with_md5)

    async def begin_upload(
        self, location: Location, conditions: Conditions, writer: Writer, length: int
    ) -> int | None:
        return await self._run(store.begin_upload, self._disk, location, conditions, writer, length)

    async def append(self, writer: Writer, pieces: Sequence[bytes]) -> None:
        await self._run(writer.append, pieces)

    async def commit_upload(self, writer: Writer, location: Location, draft: Draft) -> Metadata:
        try:
            return await self._change(store.commit_upload, writer, location, draft)
        except BaseException:
            self.close_later(writer)  # it may not even have begun
            raise

    async def post(
        self,
        location: Location,
        conditions: Conditions,
        *,
        content_type: str | None,
        headers: dict[str, str],
        open_expired: bool,
    ) -> tuple[Current, int | None]:
        return await self._change(
            store.post,
            self._disk,
            location,
            conditions,
            content_type=content_type,
            headers=headers,
            open_expired=open_expired,
        )

    async def delete(
        self, location: Location, conditions: Conditions, *, if_delete_at: int | None
    ) -> tuple[bool, int | None]:
        return await self._change(
            store.delete, self._disk, location, conditions, if_delete_at=if_delete_at
        )

    async def run_blocking(
        self, work: Callable[Concatenate[Disk, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(disk, …)` in the device's threads, for workers; its errors are its own."""
        return await self.device.threads.run(work, self._disk, *args, **kwargs)

    def close(self, *, clean: bool) -> None:
        """Say that this process changes the device's objects no more.  Blocking, briefly."""
        self._mark.close(clean=clean)

    def close_later(self, opened: ObjectReader | Writer) -> None:
        """Close a reader or writer in the device's threads, without waiting for it."""
        self._background.start(self.device.threads.run(opened.close), name="close an object")

    async def _change(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def marked() -> T:
            self._mark.touch()
            return work(*args, **kwargs)

        return await self._run(marked)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self.device.threads.run(work, *args, **kwargs)
        except (ObjectError, OSError) as error:
            raise refusal_of(error) from error
