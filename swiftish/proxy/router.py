"""Target and method to controller: the innermost Handler of the proxy."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from swiftish.domain.names import Target, parse_target
from swiftish.http.message import Request, Response
from swiftish.http.replies import Refusal, empty
from swiftish.proxy.controllers.account import AccountController
from swiftish.proxy.controllers.container import ContainerController
from swiftish.proxy.controllers.object_change import ObjectChange
from swiftish.proxy.controllers.object_read import ObjectRead
from swiftish.proxy.controllers.object_write import ObjectWrite
from swiftish.proxy.request import context_of

Verb: TypeAlias = Callable[[Request, Target], Awaitable[Response]]


class Router:
    """A Handler.  Raises BadPath for a path that names nothing, and Refusal 405."""

    def __init__(
        self,
        *,
        account: AccountController,
        container: ContainerController,
        read: ObjectRead,
        write: ObjectWrite,
        change: ObjectChange,
    ) -> None:
        self._account: Mapping[str, Verb] = {
            "GET": account.read,
            "PUT": account.put,
            "POST": account.post,
            "HEAD": account.read,
            "DELETE": account.delete,
        }
        self._container: Mapping[str, Verb] = {
            "GET": container.read,
            "PUT": container.put,
            "POST": container.post,
            "HEAD": container.read,
            "DELETE": container.delete,
        }
        self._object: Mapping[str, Verb] = {
            "GET": read.read,
            "PUT": write.put,
            "POST": change.post,
            "HEAD": read.read,
            "DELETE": change.delete,
        }

    async def __call__(self, request: Request) -> Response:
        target = parse_target(request.path, reserved=context_of(request).internal)
        verbs, extra = self._verbs(target)
        verb = verbs.get(request.method)
        if verb is None:
            allow = ", ".join([*verbs, "OPTIONS", *extra])
            if request.method == "OPTIONS":
                return empty(200, {"allow": allow, "content-type": "text/html; charset=UTF-8"})
            raise Refusal(405, headers={"allow": allow})
        return await verb(request, target)

    def _verbs(self, target: Target) -> tuple[Mapping[str, Verb], tuple[str, ...]]:
        if target.object is not None:
            return self._object, ("COPY",)  # middleware/copy.py knows how
        if target.container is not None:
            return self._container, ()
        return self._account, ()
