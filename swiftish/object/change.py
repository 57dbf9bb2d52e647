"""POST and DELETE."""

from swiftish.cluster.backend_app import Call
from swiftish.http.message import Response
from swiftish.http.replies import Refusal, empty
from swiftish.object.container_update import (
    Audience,
    ContainerUpdates,
    audience,
    queue_rows,
    row_of_delete,
    row_of_post,
)
from swiftish.object.current import STATIC_LARGE_OBJECT
from swiftish.object.metadata import SYSMETA
from swiftish.object.objects import Objects, kept_headers, open_expired, target_of
from swiftish.object.paths import Location
from swiftish.object.store import Conditions


class Changes:
    """The verbs without a body.  Neither can be cancelled once it has begun."""

    def __init__(self, objects: Objects, updates: ContainerUpdates) -> None:
        self._objects = objects
        self._updates = updates

    async def post(self, call: Call) -> Response:
        location = self._objects.locate(call)
        conditions = self._objects.conditions(call)
        headers = kept_headers(call, now=conditions.now, with_sysmeta=False)
        headers.pop(STATIC_LARGE_OBJECT, None)  # as the PUT left it
        work = self._post(call, location, conditions, headers, audience(call.headers))
        return await self._objects.to_the_end(work, name="change an object")

    async def _post(
        self,
        call: Call,
        location: Location,
        conditions: Conditions,
        headers: dict[str, str],
        to: Audience,
    ) -> Response:
        current, before = await self._objects.disk(call.device).post(
            location,
            conditions,
            content_type=call.headers.get("content-type") or None,
            headers=headers,
            open_expired=open_expired(call),
        )
        target = target_of(call)
        told, later = queue_rows(
            target,
            location.digest,
            to.queue,
            before=before,
            current=current,
            timestamp=current.timestamp,
        )
        row = row_of_post(target, call.policy_index, current, to.container)
        await self._updates.tell(
            call.device, location.digest, [row, *told], call.request.context, later=later
        )
        sysmeta = {n: v for n, v in current.headers.items() if n.startswith(SYSMETA)}
        return empty(202, {**sysmeta, "x-backend-content-type": current.content_type})

    async def delete(self, call: Call) -> Response:
        location = self._objects.locate(call)
        conditions = self._objects.conditions(call)
        to = audience(call.headers)
        if_delete_at = _whole_number(call.headers.get("x-if-delete-at"))
        work = self._delete(call, location, conditions, if_delete_at, to)
        return await self._objects.to_the_end(work, name="delete an object")

    async def _delete(
        self,
        call: Call,
        location: Location,
        conditions: Conditions,
        if_delete_at: int | None,
        to: Audience,
    ) -> Response:
        existed, before = await self._objects.disk(call.device).delete(
            location, conditions, if_delete_at=if_delete_at
        )
        target, timestamp = target_of(call), conditions.timestamp
        _, later = queue_rows(
            target, location.digest, to.queue, before=before, current=None, timestamp=timestamp
        )
        row = row_of_delete(target, call.policy_index, timestamp, to.container)
        await self._updates.tell(
            call.device, location.digest, [row], call.request.context, later=later
        )
        headers = {"x-backend-timestamp": conditions.timestamp.internal}
        return empty(204, headers) if existed else Refusal(404, headers=headers).response()


def _whole_number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refusal(400, "X-If-Delete-At is not a whole number.")
    return int(text)
