"""What workers ask of the whole cluster: a proxy's inner pipeline, with typed calls.

A worker is handed a SwiftClient and never sees a proxy: all that the client knows is a Handler in
the same process.  It tries again what fails for the moment, and raises what does not go away.
"""

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from swiftish.cluster.listings import (
    ContainerEntry,
    ObjectEntry,
    container_entry,
    entries,
    object_entry,
)
from swiftish.domain.limits import MiB
from swiftish.domain.names import Target
from swiftish.http.bodies import TooLong, read_all
from swiftish.http.message import Body, Bytes, Handler, Request, Response

TRIES = 3
BACK_OFF_S = 0.5  # before the second try; doubled for the next
LISTING_BYTES_MAX = 64 * MiB

_NONE: Mapping[str, str] = {}


class UnexpectedStatus(Exception):
    """An answer that the caller did not ask for; `status` is what it was."""

    def __init__(self, method: str, target: Target, status: int) -> None:
        super().__init__(f"{method} {target.path}: {status}")
        self.status = status


class Refused(UnexpectedStatus):
    """4xx: the cluster works, and says no."""


class Unavailable(UnexpectedStatus):
    """5xx, again and again: too little of the cluster works."""


class SwiftClient:
    """Asks `handler`, an inner pipeline.

    All of its methods raise Refused and Unavailable; those that read, OSError when that breaks.
    """

    def __init__(
        self, handler: Handler, *, tries: int = TRIES, back_off_s: float = BACK_OFF_S
    ) -> None:
        assert tries >= 1
        self._handler = handler
        self._tries = tries
        self._back_off_s = back_off_s

    async def list_containers(
        self, account: str, *, marker: str = "", end_marker: str = "", limit: int | None = None
    ) -> list[ContainerEntry]:
        """The page of an account's containers behind `marker`; empty at the end, and for an
        account that does not exist."""
        page = await self._list(Target(account), marker, end_marker, limit)
        return entries(page, container_entry)

    async def list_objects(
        self,
        account: str,
        container: str,
        *,
        marker: str = "",
        end_marker: str = "",
        limit: int | None = None,
    ) -> list[ObjectEntry]:
        """The page of a container's objects behind `marker`; empty at the end, and for a container
        that does not exist."""
        page = await self._list(Target(account, container), marker, end_marker, limit)
        return entries(page, object_entry)

    async def head(self, target: Target, headers: Mapping[str, str] = _NONE) -> Response:
        """What is known of an account, a container or an object; also a 404."""
        return await self._ask("HEAD", target, headers, also=(404,))

    async def get_object(self, target: Target, headers: Mapping[str, str] = _NONE) -> Response:
        """An object, or a 404.  Its body is the caller's to close."""
        return await self._send("GET", target, headers, also=(404,))

    async def put_object(
        self, target: Target, body: Body, headers: Mapping[str, str] = _NONE
    ) -> Response:
        """Store a body, once: what has been read can't be sent again."""
        length = {} if body.length is None else {"content-length": str(body.length)}
        sent = {**headers, **length}
        return await whole(await self._send("PUT", target, sent, body=body, tries=1))

    async def post_object(self, target: Target, headers: Mapping[str, str]) -> Response:
        """Replace an object's metadata."""
        return await self._ask("POST", target, headers)

    async def put_container(
        self, account: str, container: str, headers: Mapping[str, str] = _NONE
    ) -> Response:
        """Make a container, or change it."""
        return await self._ask("PUT", Target(account, container), headers)

    async def delete(
        self, target: Target, headers: Mapping[str, str] = _NONE, *, also: Sequence[int] = (404,)
    ) -> Response:
        """Delete a container or an object; `also` are statuses that are not raised."""
        return await self._ask("DELETE", target, headers, also=also)

    async def _list(self, target: Target, marker: str, end_marker: str, limit: int | None) -> bytes:
        asked = {"marker": marker, "end_marker": end_marker, "limit": limit}
        query = urlencode({name: value for name, value in asked.items() if value})
        response = await self._ask("GET", target, _NONE, also=(404,), query=query)
        return in_memory(response) if response.ok else b""

    async def _ask(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        *,
        also: Sequence[int] = (),
        query: str = "",
    ) -> Response:
        """The answer, its body in memory."""
        return await whole(await self._send(method, target, headers, also=also, query=query))

    async def _send(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        *,
        also: Sequence[int] = (),
        query: str = "",
        body: Body | None = None,
        tries: int | None = None,
    ) -> Response:
        tries = tries or self._tries
        status = 503
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(self._back_off_s * 2 ** (attempt - 1))
            response = await self._handler(
                Request(
                    method=method,
                    path=f"/v1{target.path}",
                    query=query,
                    headers=headers,
                    body=body or Bytes(),
                )
            )
            status = response.status
            if response.ok or status in also:
                return response
            await response.body.aclose()
            if status < 500:
                raise Refused(method, target, status)
        raise Unavailable(method, target, status)


async def whole(response: Response) -> Response:
    """The same answer with its body in memory.  Raises OSError when it breaks, or is too large."""
    if isinstance(response.body, Bytes):
        return response
    async with response:
        try:
            data = await read_all(response.body, size_max=LISTING_BYTES_MAX)
        except TooLong:
            raise OSError(f"an answer of more than {LISTING_BYTES_MAX} bytes") from None
    return response.replace(body=Bytes(data))


def in_memory(response: Response) -> bytes:
    """The body of an answer that is in memory."""
    assert isinstance(response.body, Bytes)
    return response.body.take()
