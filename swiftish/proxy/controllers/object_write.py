"""PUT of objects (reference 1.4, 2.2)."""

from swiftish.cluster.wire import OPEN_EXPIRED, kept_headers
from swiftish.domain.dates import http_date
from swiftish.domain.names import Target
from swiftish.http.message import Bytes, Request, Response
from swiftish.http.replies import Refusal, empty, status_page
from swiftish.proxy.authorize import authorize
from swiftish.proxy.controllers.backend import Backend, moves_expired
from swiftish.proxy.controllers.object_checks import (
    check_manifest,
    check_name,
    check_object_metadata,
    content_type,
    delete_at,
)
from swiftish.proxy.controllers.object_container import container_of
from swiftish.proxy.controllers.small_changes import HTML
from swiftish.proxy.infos import Infos
from swiftish.proxy.request import context_of


class ObjectWrite:
    """Stores objects in replicated policies."""

    def __init__(self, backend: Backend, infos: Infos) -> None:
        self._backend = backend
        self._infos = infos

    async def put(self, request: Request, target: Target) -> Response:
        """201, or 202 when a newer object is there already."""
        tags = request.headers.get("if-none-match", "*")
        if tags != "*" and "*" not in (tag.strip() for tag in tags.split(",")):
            raise Refusal(400, "If-None-Match only supports *")
        info = await container_of(self._infos, request, target)
        context = context_of(request)
        await authorize(context, request, target, acl=info.write_acl)
        if not info.exists:
            raise Refusal(404)
        context.log["policy"] = str(info.policy_index)
        policy = self._backend.policy(info.policy_index)
        size = self._checked_size(request)
        headers = self._checked_headers(request, target)
        headers["x-trans-id"] = context.transaction_id
        headers["x-backend-storage-policy-index"] = str(policy.index)
        place = self._backend.object(target, policy)
        stored = await self._backend.uploader.upload(
            place,
            request,
            headers=headers,
            updates=self._backend.object_updates(
                request,
                target,
                objects=len(place.primaries),
                delete_at=headers.get("x-delete-at"),
            ),
            size=size,
            size_max=self._backend.limits.max_file_size,
            given=self._backend.given_moment(request),
        )
        if stored.status != 201:
            return status_page(stored.status)
        return empty(
            201,
            {
                "content-type": HTML,
                "etag": stored.etag,
                "last-modified": http_date(stored.moment.seconds_ceiling),
            },
        )

    def _checked_size(self, request: Request) -> int | None:
        """Bytes to come; None for a chunked body.  Raises Refusal 411, 413."""
        size = request.body.length
        if size is not None and size > self._backend.limits.max_file_size:
            raise Refusal(413, "Your request is too large.")
        says = "content-length" in request.headers or "transfer-encoding" in request.headers
        nothing = size == 0 and isinstance(request.body, Bytes)
        if nothing and not says and request.source is None:
            raise Refusal(411, "Missing Content-Length header.")
        return size

    def _checked_headers(self, request: Request, target: Target) -> dict[str, str]:
        limits = self._backend.limits
        sent = request.headers
        check_name(target.object or "", limits)
        kind = content_type(sent, target.object or "")
        check_object_metadata(sent, limits)
        check_manifest(sent)
        moves = moves_expired(request)
        vanishes = delete_at(sent, self._backend.clock.now(), also_past=moves)
        headers = kept_headers("object", "PUT", sent)
        headers["content-type"] = kind
        if "if-none-match" in headers:
            headers["if-none-match"] = "*"  # whatever else the list has
        headers.pop("x-delete-at", None)
        if vanishes is not None:
            headers["x-delete-at"] = vanishes
        if moves:
            headers[OPEN_EXPIRED] = "true"
        return headers
