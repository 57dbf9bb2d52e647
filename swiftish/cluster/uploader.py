"""Stores one body on a replica set.

Small bodies are read whole, checked, and sent to all nodes at once, each as the same bytes: a
node that refuses costs no more than asking the next one.  Larger ones, and those with a condition,
are offered first and then streamed, and cluster/upload.py says what happens next; here is who does
it.

The MD5 that the ETag needs is computed once, here; the nodes are told it when the body has ended.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swiftish.cluster.calls import Calls
from swiftish.cluster.changes import in_time
from swiftish.cluster.fanout import Fanout
from swiftish.cluster.moments import Met, met
from swiftish.cluster.nodes import Nodes, Place
from swiftish.cluster.upload import settle
from swiftish.cluster.upload_stream import UploadStream
from swiftish.domain.limits import KiB, MiB
from swiftish.domain.timestamp import ZERO, Timestamp
from swiftish.http.bodies import Prefixed
from swiftish.http.message import Body, Bytes, Request
from swiftish.http.replies import Refusal
from swiftish.runtime.clock import Clock
from swiftish.runtime.tasks import Background
from swiftish.runtime.threads import DeviceThreads

log = logging.getLogger(__name__)

# Below this an MD5 takes less time than telling a thread to do it.
INLINE_MD5_BYTES_MAX = 64 * KiB


@dataclass(frozen=True, slots=True)
class Stored:
    """`status` 201, or 202 when a newer object is there; `etag` is the body's MD5 in hex.

    `moment` is the object's timestamp.
    """

    status: int
    etag: str
    moment: Timestamp


class Uploader:
    """Uploads to replica sets.  `threads` compute the checksums of large bodies."""

    def __init__(
        self,
        calls: Calls,
        nodes: Nodes,
        fanout: Fanout,
        background: Background,
        threads: DeviceThreads,
        clock: Clock,
        *,
        whole_body_size_max: int = MiB,
        commit_timeout_s: float = 60.0,
    ) -> None:
        self._calls = calls
        self._background = background
        self._threads = threads
        self._clock = clock
        self._commit_timeout_s = commit_timeout_s
        self._nodes = nodes
        self._fanout = fanout
        self._whole_body_size_max = whole_body_size_max

    async def upload(
        self,
        place: Place,
        request: Request,
        *,
        headers: Mapping[str, str],
        updates: Sequence[Mapping[str, str]],
        size: int | None,
        size_max: int,
        given: Timestamp | None = None,
    ) -> Stored:
        """Store `request.body`, which has `size` bytes if that is known, with `headers`.

        `updates` are further headers for each replica; `given` is the object's moment where an
        internal actor has one.  Raises Refusal: 408 and whatever else the body raises, 412, 413,
        422 when it is not what its ETag says, 499 when it ends early, 500 when nodes disagree on
        what they stored, 503 when too few could store it.
        """
        headers = {**headers, "x-backend-etag-follows": "yes"}
        expected = headers.pop("etag", "").strip().strip('"')
        body = request.body
        # A condition is asked first: a node that has not heard of the object would store what
        # the client is told was refused.
        offer = "expect" in request.headers or "if-none-match" in headers
        if not offer and (size or 0) <= self._whole_body_size_max:
            try:
                data, ended = await read_up_to(body, self._whole_body_size_max)
            except OSError as error:  # the body of a copy, whose source broke
                log.warning("the source of an upload broke", extra={"reason": repr(error)})
                raise Refusal(503) from None
            if len(data) > size_max:
                raise Refusal(413, "Your request is too large.")
            if ended:
                if size is not None and len(data) != size:
                    raise Refusal(499)
                return await self._send_whole(
                    place,
                    request,
                    data,
                    headers=headers,
                    updates=updates,
                    expected=expected,
                    given=given,
                )
            body = Prefixed(data, body)
        request = request.replace(body=body)

        async def attempt(moment: Timestamp) -> tuple[Stored, Met]:
            stream = UploadStream(
                place=place,
                request=request.replace(headers={**headers, "x-timestamp": moment.internal}),
                updates=updates,
                candidates=self._nodes.for_upload(place),
                expected=expected,
                size=size,
                size_max=size_max,
                calls=self._calls,
                background=self._background,
                threads=self._threads,
                commit_timeout_s=self._commit_timeout_s,
                post_quorum_timeout_s=self._fanout.post_quorum_timeout_s,
            )
            status = await stream.run()
            # Only what has not been read yet can be sent again.
            newest = ZERO if stream.begun else stream.newest
            return _stored(status, stream.etag, moment), Met(newest, won=status == 201)

        return await in_time(self._clock, given, attempt)

    async def _send_whole(
        self,
        place: Place,
        request: Request,
        data: bytes,
        *,
        headers: Mapping[str, str],
        updates: Sequence[Mapping[str, str]],
        expected: str,
        given: Timestamp | None,
    ) -> Stored:
        etag = await self._md5(data)
        trailers = {"etag": etag, **request.trailers()}
        if (expected and expected != etag) or trailers["etag"] != etag:
            raise Refusal(422)

        async def attempt(moment: Timestamp) -> tuple[Stored, Met]:
            stamped = {**headers, "x-timestamp": moment.internal}
            requests = [
                Request(
                    method="PUT",
                    path="",
                    headers={**stamped, **update} if update else stamped,
                    trailers=lambda: trailers,
                    context=request.context,
                )
                for update in updates
            ]
            answers = await self._fanout.gather(
                place, requests, self._nodes.for_upload(place), needed=place.quorum, data=data
            )
            etags = {r.headers["etag"].strip('"') for r in answers if r.ok and "etag" in r.headers}
            statuses = [answer.status for answer in answers]
            status = settle(statuses, etags, needed=place.quorum)
            return _stored(status, etag, moment), met(answers, moment, needed=place.quorum)

        return await in_time(self._clock, given, attempt)

    async def _md5(self, data: bytes) -> str:
        if len(data) <= INLINE_MD5_BYTES_MAX:
            return hashlib.md5(data, usedforsecurity=False).hexdigest()
        digest = hashlib.md5(usedforsecurity=False)
        await self._threads.run(digest.update, data)
        return digest.hexdigest()


def _stored(status: int, etag: str, moment: Timestamp) -> Stored:
    if status == 409:
        return Stored(202, etag, moment)  # something newer is stored: it has been overtaken
    if status // 100 != 2:
        raise Refusal(status)
    return Stored(status, etag, moment)


async def read_up_to(body: Body, size: int) -> tuple[bytes, bool]:
    """The first bytes of a body, until they are more than `size`; and whether it has ended."""
    if isinstance(body, Bytes):
        return body.take(), True
    first = await body.read()
    if body.length is not None and len(first) == body.length:
        return first, True  # the usual small body: one piece, no copy
    pieces = [first]
    total = len(first)
    while pieces[-1]:
        if total > size:
            return b"".join(pieces), False
        pieces.append(await body.read())
        total += len(pieces[-1])
    return b"".join(pieces), True
