"""GET and HEAD of objects (reference 1.0, 1.4)."""

from contextlib import suppress

from swiftish.cluster.downloader import DownloadBroken
from swiftish.cluster.nodes import Place
from swiftish.cluster.wire import OPEN_EXPIRED
from swiftish.domain.conditional import HEADERS as CONDITIONS
from swiftish.domain.conditional import Verdict, evaluate, evaluate_absent
from swiftish.domain.names import Target
from swiftish.domain.ranges import parse_range
from swiftish.domain.timestamp import BadTimestamp, Timestamp
from swiftish.http.byteranges import ranged
from swiftish.http.message import Body, Request, Response
from swiftish.http.replies import status_page
from swiftish.proxy.authorize import authorize
from swiftish.proxy.controllers.backend import Backend, wants_newest
from swiftish.proxy.controllers.object_container import container_of
from swiftish.proxy.infos import Infos
from swiftish.proxy.request import context_of


class ObjectRead:
    """Reads objects of replicated policies."""

    def __init__(self, backend: Backend, infos: Infos) -> None:
        self._backend = backend
        self._infos = infos

    async def read(self, request: Request, target: Target) -> Response:
        """The object, or the ranges of it that are asked for, if the conditions hold."""
        info = await container_of(self._infos, request, target)
        context = context_of(request)
        await authorize(context, request, target, acl=info.read_acl)
        if not info.exists:
            return _absent(request)
        policy = self._backend.policy(info.policy_index)
        context.log["policy"] = str(policy.index)
        place = self._backend.object(target, policy)
        headers = self._backend.headers(request)
        headers["x-backend-storage-policy-index"] = str(policy.index)
        if self._backend.sees_expired(request):
            headers[OPEN_EXPIRED] = "true"
        asked = request.headers.get("range") if request.method == "GET" else None
        if asked is not None:
            if "," in asked:
                return await self._ranges(request, place, headers, asked)
            headers["range"] = asked
        response = await self._ask(request, request.method, place, headers)
        return await self._answer(request, response)

    async def _ask(
        self, request: Request, method: str, place: Place, headers: dict[str, str]
    ) -> Response:
        return await self._backend.reader.download(
            place,
            Request(method=method, path="", headers=headers, context=request.context),
            newest=wants_newest(request),
        )

    async def _ranges(
        self, request: Request, place: Place, headers: dict[str, str], asked: str
    ) -> Response:
        """Several ranges: how long the object is first, then each range in its turn."""
        whole = await self._ask(request, "HEAD", place, headers)
        answer = await self._answer(request, whole)
        if answer.status != 200:
            return answer
        length = whole.length if whole.length is not None else whole.body.length
        assert length is not None, "objects say how long they are"

        async def opener(first: int, last: int) -> Body:
            part = await self._ask(
                request, "GET", place, {**headers, "range": f"bytes={first}-{last}"}
            )
            if part.status in (200, 206) and _same_version(whole, part):
                return part.body
            await part.body.aclose()
            raise DownloadBroken(f"{place.path!r} changed while it was read")

        return await ranged(opener, answer.headers, length=length, spans=parse_range(asked, length))

    async def _answer(self, request: Request, response: Response) -> Response:
        """What the client hears of a node's answer."""
        if response.status not in (200, 206, 416):
            await response.body.aclose()
            page = _absent(request) if response.status == 404 else status_page(response.status)
            since = response.headers.get("x-backend-timestamp")
            if since is not None and context_of(request).internal:
                return page.with_headers({"x-backend-timestamp": since})
            return page
        headers = self._backend.told("object", request, response)
        headers["accept-ranges"] = "bytes"
        verdict = _conditions(request, response)
        if verdict is not Verdict.PROCEED:
            await response.body.aclose()
            headers.pop("content-range", None)
            return Response(status=verdict.value, headers=headers)
        if response.status == 416:
            await response.body.aclose()
            page = status_page(416)
            return page.replace(headers={**page.headers, **headers})
        return Response(
            status=response.status, headers=headers, body=response.body, length=response.length
        )


def _absent(request: Request) -> Response:
    """404, or 412 for who wanted it only if there is one."""
    if evaluate_absent(request.headers) is Verdict.PRECONDITION_FAILED:
        return Response(status=412)
    return status_page(404)


def _conditions(request: Request, response: Response) -> Verdict:
    headers = request.headers
    if not any(name in headers for name in CONDITIONS):
        return Verdict.PROCEED
    seconds: int | None = None
    with suppress(BadTimestamp):
        seconds = Timestamp.parse(response.headers.get("x-timestamp", "")).seconds_ceiling
    return evaluate(
        request.method,
        headers,
        etag=response.headers.get("etag"),
        last_modified_seconds=seconds,
    )


def _same_version(one: Response, other: Response) -> bool:
    return all(
        one.headers.get(name) == other.headers.get(name)
        for name in ("etag", "x-backend-data-timestamp")
    )
