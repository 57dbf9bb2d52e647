"""GET /info: what this cluster can do (reference 1.1).

Everybody may ask.  Who signs the request with the admin key sees the `admin` section, too.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import empty, status_page
from swiftish.proxy.capabilities import Capabilities
from swiftish.runtime.clock import Clock

INFO_PATH = "/info"

_ALLOW = "HEAD, GET, OPTIONS"
_DIGESTS = {40: "sha1", 64: "sha256", 128: "sha512"}  # by the length of the signature in hex


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoSettings:
    """`expose`: whether anybody may ask at all.  `admin_key`: signs requests for everything.

    `disallowed_sections`: shown only with a signature; `section` or `section.key`.
    """

    expose: bool = True
    admin_key: str = field(default="", repr=False)
    disallowed_sections: tuple[str, ...] = ()


class Info:
    """Outside auth: who asks need not be known."""

    def __init__(
        self,
        app: Handler,
        *,
        capabilities: Capabilities,
        clock: Clock,
        settings: InfoSettings,
        admin: Mapping[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._settings = settings
        self._public = orjson.dumps(_without(capabilities, settings.disallowed_sections))
        hidden = {"disallowed_sections": list(settings.disallowed_sections)}
        self._admin = orjson.dumps({**capabilities, "admin": {**(admin or {}), **hidden}})

    async def __call__(self, request: Request) -> Response:
        if request.path != INFO_PATH:
            return await self._app(request)
        if request.method == "OPTIONS":
            headers = {"allow": _ALLOW, "content-type": "text/html; charset=UTF-8"}
            return empty(200, headers)
        if request.method not in ("GET", "HEAD"):
            return status_page(405, {"allow": _ALLOW})
        if not self._settings.expose:
            return status_page(403)
        page = self._public
        params = request.params
        if "swiftinfo_sig" in params or "swiftinfo_expires" in params:
            if not self._settings.admin_key:
                return status_page(403)
            if not self._is_signed(request.method, params):
                return status_page(401)
            page = self._admin
        headers = {"content-type": "application/json; charset=UTF-8"}
        if origin := request.headers.get("origin"):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "x-trans-id"
            headers["vary"] = "Origin"
        if request.method == "HEAD":
            return Response(status=200, headers=headers, length=len(page))
        return Response(status=200, headers=headers, body=Bytes(page))

    def _is_signed(self, method: str, params: Mapping[str, str]) -> bool:
        """Whether the query proves the admin key; a signature for GET is good for HEAD."""
        signature, expires = params.get("swiftinfo_sig", ""), params.get("swiftinfo_expires", "")
        digest = _DIGESTS.get(len(signature))
        if digest is None or not (expires.isascii() and expires.isdigit() and len(expires) < 20):
            return False
        if int(expires) < self._clock.now():
            return False
        given = signature.encode("utf-8", "surrogateescape")
        key = self._settings.admin_key.encode()
        right = False
        for each in ("HEAD", "GET") if method == "HEAD" else (method,):
            message = f"{each}\n{expires}\n{INFO_PATH}".encode()
            wanted = hmac.digest(key, message, digest).hex().encode()
            right |= hmac.compare_digest(given, wanted)
        return right


def _without(capabilities: Capabilities, hidden: Sequence[str]) -> dict[str, dict[str, Any]]:
    shown = {section: dict(values) for section, values in capabilities.items()}
    for name in hidden:
        section, dot, key = name.partition(".")
        if dot:
            shown.get(section, {}).pop(key, None)
        else:
            shown.pop(section, None)
    return shown
