"""Container verbs (reference 1.3)."""

from swiftish.domain.acl import BadAcl, clean_acl
from swiftish.domain.names import Target
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal, status_page
from swiftish.proxy.authorize import authorize
from swiftish.proxy.controllers.account import AccountController
from swiftish.proxy.controllers.backend import Backend, wants_newest
from swiftish.proxy.controllers.listing_query import CONTAINER_PARAMETERS, listing_query
from swiftish.proxy.controllers.owner_headers import without_owner_headers
from swiftish.proxy.controllers.small_changes import change_answer, check_length, checked_headers
from swiftish.proxy.info import CachedInfos
from swiftish.proxy.request import context_of
from swiftish.proxy.update_targets import account_updates


class ContainerController:
    """GET, HEAD, PUT, POST and DELETE of containers."""

    def __init__(self, backend: Backend, infos: CachedInfos, accounts: AccountController) -> None:
        self._backend = backend
        self._infos = infos
        self._accounts = accounts

    async def read(self, request: Request, target: Target) -> Response:
        """GET and HEAD: a JSON listing of objects, or only the totals."""
        info = await self._infos.container(request, target.account, _name(target))
        if info.status >= 500:
            raise Refusal(503)
        context = context_of(request)
        answer = await authorize(context, request, target, acl=info.read_acl)
        query = ""
        if request.method == "GET":
            limit_max = self._backend.limits.container_listing_limit
            query = listing_query(request, allowed=CONTAINER_PARAMETERS, limit_max=limit_max)
        if not info.exists:
            return status_page(404)
        # Its info may be remembered from before the account was deleted.
        await self._need_account(request, target, create=False)
        response = await self._backend.reader.read(
            self._backend.container(target),
            request.sub(
                request.method,
                "",
                source="proxy",
                query=query,
                headers=self._backend.headers(request),
            ),
            newest=wants_newest(request),
        )
        if not response.ok:
            await response.body.aclose()
            return status_page(response.status)
        told = self._backend.told("container", request, response)
        headers = dict(without_owner_headers(told, owner=answer.owner))
        headers["accept-ranges"] = "bytes"
        policy = response.headers.get("x-backend-storage-policy-index", "0")
        self._name_policy(headers, policy)
        context.log["policy"] = policy
        return response.replace(headers=headers)

    async def put(self, request: Request, target: Target) -> Response:
        """Make a container, 201, or update its metadata, 202; makes its account too."""
        answer = await authorize(context_of(request), request, target, acl=None)
        headers = self._kept(request, owner=answer.owner)
        policy = self._policy_headers(request)
        check_length("Container", _name(target), self._backend.limits.max_container_name_length)
        await self._need_account(request, target, create=True)
        return await self._change(request, target, "PUT", {**headers, **policy})

    async def post(self, request: Request, target: Target) -> Response:
        """Change metadata and ACLs."""
        answer = await authorize(context_of(request), request, target, acl=None)
        headers = self._kept(request, owner=answer.owner)
        await self._need_account(request, target, create=False)
        return await self._change(request, target, "POST", headers)

    async def delete(self, request: Request, target: Target) -> Response:
        """Delete an empty container."""
        await authorize(context_of(request), request, target, acl=None)
        await self._need_account(request, target, create=False)
        return await self._change(request, target, "DELETE", {})

    async def _need_account(self, request: Request, target: Target, *, create: bool) -> None:
        account = await self._infos.account(request, target.account)
        settings = self._backend.settings
        if account.status == 404 and create and settings.account_autocreate:
            check_length("Account", target.account, self._backend.limits.max_account_name_length)
            if await self._accounts.create(request, target):
                return
            account = await self._infos.account(request, target.account)
        if account.status >= 500:
            raise Refusal(503)
        if not account.exists:
            raise Refusal(404)
        most = settings.max_containers_per_account
        if create and 0 < most <= account.container_count:
            known = await self._infos.container(request, target.account, _name(target))
            if not known.exists:
                raise Refusal(403, f"Reached container limit of {most}")

    async def _change(
        self, request: Request, target: Target, method: str, headers: dict[str, str]
    ) -> Response:
        place = self._backend.container(target)
        account = self._backend.account(target)
        common = {**headers, **self._backend.headers(request)}
        updates: list[dict[str, str]] = [{}] * len(place.primaries)
        if method != "POST":
            updates = account_updates(
                partition=account.partition,
                accounts=account.primaries,
                containers=len(place.primaries),
            )
        async with self._infos.changing(context_of(request), target):
            response = await self._backend.changes.send(
                place,
                [
                    request.sub(method, "", source="proxy", headers={**common, **update})
                    for update in updates
                ],
                given=self._backend.given_moment(request),
            )
        if method == "DELETE" and response.status == 202:
            return status_page(404)  # no replica had it
        return change_answer(response)

    def _kept(self, request: Request, *, owner: bool) -> dict[str, str]:
        sent = without_owner_headers(request.headers, owner=owner)
        kept = checked_headers("container", request.method, sent, self._backend.limits)
        for name in ("x-container-read", "x-container-write"):
            if kept.get(name):
                try:
                    kept[name] = clean_acl(name, kept[name])
                except BadAcl as error:
                    raise Refusal(400, str(error)) from None
        return kept

    def _policy_headers(self, request: Request) -> dict[str, str]:
        """The policy asked for by name, or what it is to be if the container is new."""
        name = request.headers.get("x-storage-policy")
        if not name:
            return {"x-backend-storage-policy-default": str(self._backend.policies.default.index)}
        policy = self._backend.policies.by_name(name)
        if policy is None:
            raise Refusal(400, f"Invalid X-Storage-Policy {name[:100]!r}")
        if policy.deprecated:
            raise Refusal(400, f"Storage Policy {policy.name!r} is deprecated")
        context_of(request).log["policy"] = str(policy.index)
        return {"x-backend-storage-policy-index": str(policy.index)}

    def _name_policy(self, headers: dict[str, str], index: str) -> None:
        policy = self._backend.policies.by_index(int(index)) if index.isdigit() else None
        if policy is not None:
            headers["x-storage-policy"] = policy.name


def _name(target: Target) -> str:
    assert target.container is not None
    return target.container
