"""POST and DELETE of objects (reference 1.4, 2.2)."""

from collections.abc import Mapping

from swiftish.cluster.moments import moment_of
from swiftish.cluster.nodes import Place
from swiftish.cluster.wire import OPEN_EXPIRED, kept_headers
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy
from swiftish.domain.timestamp import Timestamp
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal, status_page
from swiftish.proxy.authorize import authorize
from swiftish.proxy.controllers.backend import Backend
from swiftish.proxy.controllers.object_checks import (
    check_manifest,
    check_object_metadata,
    content_type,
    delete_at,
)
from swiftish.proxy.controllers.object_container import container_of
from swiftish.proxy.controllers.small_changes import change_answer
from swiftish.proxy.infos import Infos
from swiftish.proxy.request import context_of


class ObjectChange:
    """Changes of an object that carry no data."""

    def __init__(self, backend: Backend, infos: Infos) -> None:
        self._backend = backend
        self._infos = infos

    async def post(self, request: Request, target: Target) -> Response:
        """Replace all metadata; the data, and the type unless one is given, stay."""
        policy = await self._allowed(request, target)
        headers = self._post_headers(request, target)
        place = self._backend.object(target, policy)
        sent = {**headers, **self._common(request, policy)}
        if self._backend.sees_expired(request):
            sent[OPEN_EXPIRED] = "true"
        requests = self._requests(request, target, place, "POST", sent)
        given = self._backend.given_moment(request)
        response = await self._backend.changes.post(place, requests, given=given)
        return status_page(response.status) if response.ok else change_answer(response)

    async def delete(self, request: Request, target: Target) -> Response:
        """Leave a tombstone: 204, or 404 when there was nothing."""
        policy = await self._allowed(request, target)
        headers = self._common(request, policy)
        if (expected := request.headers.get("x-if-delete-at")) is not None:
            if not (expected.isascii() and expected.isdigit()):
                raise Refusal(400, "X-If-Delete-At is not a whole number")
            headers["x-if-delete-at"] = expected
        place = self._backend.object(target, policy)
        given = self._backend.given_moment(request)
        if expected is not None:
            given = given or self._backend.clock.timestamp()  # it is to be older than a change
            await self._confirm_delete_at(request, place, headers, given)
        requests = self._requests(request, target, place, "DELETE", headers)
        return change_answer(await self._backend.changes.delete(place, requests, given=given))

    async def _confirm_delete_at(
        self, request: Request, place: Place, headers: Mapping[str, str], moment: Timestamp
    ) -> None:
        """Whether the newest copy of the object is the one that is to be deleted.

        A replica that missed a change would take its old copy for the one that is meant, and its
        tombstone would then go against the newer copies.  Raises Refusal 412 when the newest has
        another X-Delete-At, 409 when it is newer than the deletion, 503 when too few can say.
        """
        asked = {**headers, OPEN_EXPIRED: "true"}
        answers = await self._backend.fanout.gather(
            place,
            [request.sub("HEAD", "", source="proxy", headers=asked)] * len(place.primaries),
            self._backend.nodes.for_change(place),
            needed=place.quorum,
            patient=True,
        )
        if sum(1 for answer in answers if answer.status < 500) < place.quorum:
            raise Refusal(503)
        newest = max((answer for answer in answers if answer.ok), key=moment_of, default=None)
        if newest is None:
            return  # nobody has it: the servers know how to say that
        if _delete_at(newest.headers) != int(headers["x-if-delete-at"]):
            raise Refusal(409 if moment_of(newest) > moment else 412)

    async def _allowed(self, request: Request, target: Target) -> Policy:
        """The policy of the object's container, once the client may change it."""
        info = await container_of(self._infos, request, target)
        context = context_of(request)
        await authorize(context, request, target, acl=info.write_acl)
        if not info.exists:
            raise Refusal(404)
        context.log["policy"] = str(info.policy_index)
        return self._backend.policy(info.policy_index)

    def _post_headers(self, request: Request, target: Target) -> dict[str, str]:
        if "x-static-large-object" in request.headers:
            raise Refusal(400, "X-Static-Large-Object can't be set by a POST.")
        check_object_metadata(request.headers, self._backend.limits)
        check_manifest(request.headers)
        headers = kept_headers("object", "POST", request.headers)
        vanishes = delete_at(request.headers, self._backend.clock.now())
        headers.pop("x-delete-at", None)
        if vanishes is not None:
            headers["x-delete-at"] = vanishes
        if headers.get("content-type"):
            headers["content-type"] = content_type(request.headers, target.object or "")
        else:
            headers.pop("content-type", None)
        return headers

    def _common(self, request: Request, policy: Policy) -> dict[str, str]:
        headers = self._backend.headers(request)
        headers["x-backend-storage-policy-index"] = str(policy.index)
        return headers

    def _requests(
        self, request: Request, target: Target, place: Place, method: str, headers: dict[str, str]
    ) -> list[Request]:
        updates = self._backend.object_updates(
            request, target, objects=len(place.primaries), delete_at=headers.get("x-delete-at")
        )
        return [
            request.sub(method, "", source="proxy", headers={**headers, **update})
            for update in updates
        ]


def _delete_at(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-delete-at", "")
    return int(text) if text.isdecimal() else None
