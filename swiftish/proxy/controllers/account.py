"""Account verbs (reference 1.2); accounts are made by whoever first uses them."""

from swiftish.domain.names import Target
from swiftish.http.message import Bytes, Request, Response
from swiftish.http.replies import Refusal, empty, status_page
from swiftish.proxy.authorize import authorize
from swiftish.proxy.controllers.backend import Backend, wants_newest
from swiftish.proxy.controllers.listing_query import ACCOUNT_PARAMETERS, listing_query
from swiftish.proxy.controllers.owner_headers import without_owner_headers
from swiftish.proxy.controllers.small_changes import change_answer, check_length, checked_headers
from swiftish.proxy.info import CachedInfos, status_of_account
from swiftish.proxy.request import context_of

JSON = "application/json; charset=utf-8"


class AccountController:
    """GET, HEAD, POST; PUT and DELETE where the settings allow them."""

    def __init__(self, backend: Backend, infos: CachedInfos) -> None:
        self._backend = backend
        self._infos = infos

    async def read(self, request: Request, target: Target) -> Response:
        """GET and HEAD: a JSON listing of containers, or only the totals."""
        answer = await authorize(context_of(request), request, target, acl=None)
        self._check_name(target)
        query = ""
        if request.method == "GET":
            limit_max = self._backend.limits.account_listing_limit
            query = listing_query(request, allowed=ACCOUNT_PARAMETERS, limit_max=limit_max)
        response = await self._backend.reader.read(
            self._backend.account(target),
            request.sub(
                request.method,
                "",
                source="proxy",
                query=query,
                headers=self._backend.headers(request),
            ),
            newest=wants_newest(request),
        )
        status = status_of_account(response)
        if not response.ok:
            await response.body.aclose()
            if status == 404 and self._backend.settings.account_autocreate:
                return self._unused(request)
            return status_page(status)
        headers = without_owner_headers(
            self._backend.told("account", request, response), owner=answer.owner
        )
        return response.replace(headers={**headers, "accept-ranges": "bytes"})

    async def post(self, request: Request, target: Target) -> Response:
        """Change metadata; makes the account if it has never been used."""
        headers = await self._checked_headers(request, target)
        response = await self._change(request, target, "POST", headers)
        if response.status == 404 and self._backend.settings.account_autocreate:
            await self.create(request, target)
            response = await self._change(request, target, "POST", headers)
        return change_answer(response)

    async def put(self, request: Request, target: Target) -> Response:
        """Make an account: 201, or 202 when there is one."""
        headers = await self._checked_headers(request, target)
        self._need_management()
        response = await self._change(request, target, "PUT", headers)
        return change_answer(response)

    async def delete(self, request: Request, target: Target) -> Response:
        """Mark an account as deleted.  A query is a mistake: nothing is deleted (400)."""
        await authorize(context_of(request), request, target, acl=None)
        if request.query:
            raise Refusal(400, "A DELETE of an account takes no query parameters.")
        self._need_management()
        response = await self._change(request, target, "DELETE", {})
        return change_answer(response)

    async def create(self, request: Request, target: Target) -> bool:
        """Make the account of a request that needs one; whether it is there now."""
        return (await self._change(request, target, "PUT", {})).ok

    def _need_management(self) -> None:
        if not self._backend.settings.allow_account_management:
            raise Refusal(405, headers={"allow": "GET, POST, HEAD, OPTIONS"})

    async def _checked_headers(self, request: Request, target: Target) -> dict[str, str]:
        answer = await authorize(context_of(request), request, target, acl=None)
        self._check_name(target)
        sent = without_owner_headers(request.headers, owner=answer.owner)
        return checked_headers("account", request.method, sent, self._backend.limits)

    def _check_name(self, target: Target) -> None:
        check_length("Account", target.account, self._backend.limits.max_account_name_length)

    async def _change(
        self, request: Request, target: Target, method: str, headers: dict[str, str]
    ) -> Response:
        place = self._backend.account(target)
        sent = {**headers, **self._backend.headers(request)}
        async with self._infos.changing(context_of(request), Target(target.account)):
            return await self._backend.changes.send(
                place,
                [request.sub(method, "", source="proxy", headers=sent)] * len(place.primaries),
                given=self._backend.given_moment(request),
            )

    def _unused(self, request: Request) -> Response:
        """What an account looks like that nobody has used yet."""
        headers = {
            "content-type": JSON,
            "x-account-container-count": "0",
            "x-account-object-count": "0",
            "x-account-bytes-used": "0",
            "x-timestamp": self._backend.clock.timestamp().normal,
            "accept-ranges": "bytes",
        }
        if request.method == "HEAD":
            return empty(204, headers)
        return Response(status=200, headers=headers, body=Bytes(b"[]"))
