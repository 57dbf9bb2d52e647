"""POST and DELETE of objects (reference 1.4, 2.2)."""

import itertools

from swiftish.cluster.best_response import DELETE_OVERRIDES, best_response
from swiftish.cluster.nodes import Place
from swiftish.cluster.wire import kept_headers
from swiftish.domain.names import Target
from swiftish.domain.policy import Policy
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
from swiftish.proxy.controllers.small_changes import change_answer
from swiftish.proxy.infos import Infos
from swiftish.proxy.request import context_of
from swiftish.proxy.update_targets import container_updates


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
        requests = self._requests(request, target, place, "POST", sent)
        candidates = self._backend.nodes.for_write(place)
        # Only primaries: a handoff that has the object is asked where a primary has not.
        primaries = itertools.islice(candidates, len(requests))
        answers = await self._backend.fanout.gather(place, requests, primaries, needed=place.quorum)
        best = best_response(answers, needed=place.quorum)
        if best is None or not best.ok:
            missing = sum(1 for answer in answers if answer.status == 404)
            done = sum(1 for answer in answers if answer.status == 202)
            if done and missing:
                answers += await self._backend.fanout.gather(
                    place, requests[:missing], candidates, needed=missing
                )
                accepted = [answer for answer in answers if answer.ok]
                # Some have changed it: "there is none" would be wrong, and so would "done".
                best = accepted[0] if len(accepted) >= place.quorum else None
        if best is None:
            return status_page(503)
        return status_page(202) if best.ok else change_answer(best)

    async def delete(self, request: Request, target: Target) -> Response:
        """Leave a tombstone: 204, or 404 when there was nothing."""
        policy = await self._allowed(request, target)
        headers = self._common(request, policy)
        if (expected := request.headers.get("x-if-delete-at")) is not None:
            if not (expected.isascii() and expected.isdigit()):
                raise Refusal(400, "X-If-Delete-At is not a whole number")
            headers["x-if-delete-at"] = expected
        place = self._backend.object(target, policy)
        response = await self._backend.fanout.send(
            place,
            self._requests(request, target, place, "DELETE", headers),
            self._backend.nodes.for_write(place),
            needed=place.quorum,
            overrides=DELETE_OVERRIDES,
        )
        return change_answer(response)

    async def _allowed(self, request: Request, target: Target) -> Policy:
        """The policy of the object's container, once the client may change it."""
        info = await self._infos.container(request, target.account, target.container or "")
        if info.status >= 500:
            raise Refusal(503)
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
        headers = self._backend.change_headers(request)
        headers["x-backend-storage-policy-index"] = str(policy.index)
        return headers

    def _requests(
        self, request: Request, target: Target, place: Place, method: str, headers: dict[str, str]
    ) -> list[Request]:
        containers = self._backend.container(target)
        updates = container_updates(
            partition=containers.partition,
            containers=containers.primaries,
            objects=len(place.primaries),
        )
        return [
            request.sub(method, "", source="proxy", headers={**headers, **update})
            for update in updates
        ]
