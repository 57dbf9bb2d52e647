"""Cross-origin requests: preflights, and what a browser may see of an answer (reference 1.18).

A container's metadata say who may: `access-control-allow-origin`, `-max-age` and
`-expose-headers`; the cluster's settings add to that.  Accounts take no part.
"""

from collections.abc import Mapping

from swiftish.domain.names import BadPath, Target, parse_target
from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import empty, status_page
from swiftish.proxy.infos import Infos

ANY = "*"

# What browsers may always see of an answer.
EXPOSED = (
    *("cache-control", "content-language", "content-type", "expires", "last-modified", "pragma"),
    *("etag", "x-timestamp", "x-trans-id", "x-openstack-request-id"),
)
_EXPOSED_FAMILIES = ("x-container-meta-", "x-object-meta-")

_CONTAINER_METHODS = ("GET", "PUT", "POST", "HEAD", "OPTIONS", "DELETE")
_OBJECT_METHODS = (*_CONTAINER_METHODS, "COPY")
_HTML = "text/html; charset=UTF-8"


class Cors:
    """Outside auth: a preflight carries no token, and a 401 must be readable too.

    Costs a look at one header where there is no Origin.  `strict` keeps answers from origins
    that are not allowed; without it every origin may read what its request was allowed to.
    """

    def __init__(
        self,
        app: Handler,
        *,
        infos: Infos,
        allow_origin: tuple[str, ...] = (),
        expose_headers: tuple[str, ...] = (),
        strict: bool = True,
    ) -> None:
        self._app = app
        self._infos = infos
        self._allow_origin = frozenset(allow_origin)
        self._exposed = EXPOSED + tuple(name.lower() for name in expose_headers)
        self._strict = strict

    async def __call__(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if not origin:
            return await self._app(request)
        try:
            target = parse_target(request.path)
        except BadPath:
            return await self._app(request)  # the router says so
        if target.container is None:
            return await self._app(request)
        if request.method == "OPTIONS":
            return await self._preflight(request, target, target.container, origin)
        response = await self._app(request)
        # Asked afterwards: the app has had to ask for it, and this may be what made the container.
        info = await self._infos.container(request, target.account, target.container)
        if self._strict and not self._is_allowed(info.meta, origin):
            return response
        return response.replace(headers=self._readable(response.headers, info.meta, origin))

    async def _preflight(
        self, request: Request, target: Target, container: str, origin: str
    ) -> Response:
        methods = _OBJECT_METHODS if target.object is not None else _CONTAINER_METHODS
        allow = {"allow": ", ".join(methods)}
        info = await self._infos.container(request, target.account, container)
        method = request.headers.get("access-control-request-method", "")
        if method not in methods or not self._is_allowed(info.meta, origin):
            return status_page(401, allow)
        headers = {
            **allow,
            "content-type": _HTML,
            **_allow_origin(info.meta, origin),
            "access-control-allow-methods": allow["allow"],
        }
        if max_age := info.meta.get("access-control-max-age"):
            headers["access-control-max-age"] = max_age
        if asked := _words(request.headers.get("access-control-request-headers", "")):
            headers["access-control-allow-headers"] = ", ".join(asked)
            headers["vary"] = _joined(headers.get("vary"), "Access-Control-Request-Headers")
        return empty(200, headers)

    def _is_allowed(self, meta: Mapping[str, str], origin: str) -> bool:
        allowed = self._allow_origin | set(meta.get("access-control-allow-origin", "").split())
        return ANY in allowed or origin in allowed

    def _readable(
        self, headers: Mapping[str, str], meta: Mapping[str, str], origin: str
    ) -> dict[str, str]:
        """The answer's headers, and those that let a page from `origin` read them."""
        exposed = [
            *self._exposed,
            *(name for name in headers if name.startswith(_EXPOSED_FAMILIES)),
            *(word.lower() for word in _words(meta.get("access-control-expose-headers", ""))),
        ]
        allowed = _allow_origin(meta, origin)
        if "vary" in allowed:
            allowed["vary"] = _joined(headers.get("vary"), allowed["vary"])
        return {
            **headers,
            "access-control-expose-headers": ", ".join(dict.fromkeys(exposed)),
            **allowed,
        }


def _allow_origin(meta: Mapping[str, str], origin: str) -> dict[str, str]:
    """Any origin, or this one; then a cache must keep the answers apart."""
    if meta.get("access-control-allow-origin", "").strip() == ANY:
        return {"access-control-allow-origin": ANY}
    return {"access-control-allow-origin": origin, "vary": "Origin"}


def _joined(before: str | None, more: str) -> str:
    return f"{before}, {more}" if before else more


def _words(text: str) -> list[str]:
    """Header names between commas or blanks, each once, whatever its case."""
    found = {word.lower(): word for word in text.replace(",", " ").split()}
    return list(found.values())
