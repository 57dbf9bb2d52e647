"""Users in the settings, tokens in the cache: auth version 1 (reference 1.16).

Who asks is found out here; what they may do says tempauth_authorizer.py, which the controllers
ask once they know the ACL.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swiftish.domain.account_acl import BadAccountAcl, clean_account_acl
from swiftish.domain.names import BadPath, Target, parse_target, quote
from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import plain, status_page
from swiftish.proxy.cache import Cache
from swiftish.proxy.infos import Infos
from swiftish.proxy.middleware.tempauth_authorizer import (
    ACCOUNT_ACL,
    NO_GROUPS,
    Reseller,
    TempauthAuthorizer,
    challenge,
)
from swiftish.proxy.middleware.tempauth_tokens import Tokens, User
from swiftish.proxy.request import context_of
from swiftish.runtime.clock import Clock

AUTH_PATH = "/auth/"
ACCOUNT_ACL_HEADER = "x-account-access-control"
STORED_ACL_HEADER = f"x-account-sysmeta-{ACCOUNT_ACL}"

_HTML = "text/html; charset=UTF-8"
_NOBODYS_KEY = hashlib.sha256(b"compared with, so that an unknown user takes as long").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """One user.  `groups` may hold `.admin` (of the account), `.reseller_admin` and
    `.reseller_reader` (of all accounts).  `url` replaces the storage URL, account and all."""

    account: str
    user: str
    key: str = field(repr=False)
    groups: tuple[str, ...] = ()
    url: str = ""

    def __post_init__(self) -> None:
        if not (self.account and self.user and self.key):
            raise ValueError("a user needs an account, a name and a key")
        if ":" in self.account:
            raise ValueError(f"an account's name can't hold a colon: {self.account!r}")
        if any("," in text for text in (self.account, self.user, *self.groups)):
            raise ValueError(f"a comma would end the name in an ACL: {self.account}:{self.user}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TempauthSettings:
    """`reseller_prefixes`: accounts are called PREFIX_name; tokens begin with the first prefix.

    `require_group`: a group that users of a prefix must have besides, by their own token or by
    X-Service-Token.  `storage_url`: scheme and host of storage URLs (default: the request's own).
    """

    reseller_prefixes: tuple[str, ...] = ("AUTH",)
    require_group: Mapping[str, str] = field(default_factory=dict)
    token_life_s: int = 86_400
    storage_url: str = ""
    user: tuple[UserSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.reseller_prefixes:
            raise ValueError("reseller_prefixes: at least one is needed, perhaps an empty one")
        for prefix in self.require_group:
            if prefix not in self.reseller_prefixes:
                raise ValueError(f"require_group: {prefix!r} is none of reseller_prefixes")
        names = [f"{user.account}:{user.user}" for user in self.user]
        if len(set(names)) < len(names):
            raise ValueError("user: two users have the same account and name")


class Tempauth:
    """Answers /auth/...; for all else finds out who asks and leaves an Authorizer behind.

    Answers 401 at once to a token that it should know and does not.  Outside everything that
    makes subrequests in the client's name, inside CORS (whose preflights carry no token).
    """

    def __init__(
        self,
        app: Handler,
        *,
        settings: TempauthSettings,
        infos: Infos,
        cache: Cache,
        clock: Clock,
    ) -> None:
        self._app = app
        self._infos = infos
        self._storage_url = settings.storage_url.rstrip("/")
        prefixes = [_prefix(text) for text in settings.reseller_prefixes]
        self._prefix = prefixes[0]
        self._reseller = Reseller(
            # The longest first: an empty prefix fits every account.
            prefixes=tuple(sorted(prefixes, key=len, reverse=True)),
            require_group={_prefix(p): group for p, group in settings.require_group.items()},
        )
        self._users = {user.name: user for user in (_user(u, prefixes) for u in settings.user)}
        self._tokens = Tokens(
            self._users,
            cache=cache,
            clock=clock,
            prefix=f"{self._prefix}tk",
            life_s=settings.token_life_s,
        )

    async def __call__(self, request: Request) -> Response:
        if request.path.startswith(AUTH_PATH):
            return await self._log_in(request)
        headers = request.headers
        context = context_of(request)
        groups = NO_GROUPS
        token = headers.get("x-auth-token") or headers.get("x-storage-token") or ""
        if token and token.startswith(self._prefix):
            user = await self._tokens.user_of(token)
            if user is None:
                return _unauthorized(_account_in(request.path))
            context.user = user.name
            groups = user.groups
            if service_token := headers.get("x-service-token"):
                service = await self._tokens.user_of(service_token)
                if service is not None:
                    groups |= service.groups
        context.authorizer = TempauthAuthorizer(self._reseller, self._infos, groups)
        if ACCOUNT_ACL_HEADER in headers:
            try:
                request = _with_stored_acl(request)
            except BadAccountAcl as error:
                return plain(400, f"X-Account-Access-Control invalid: {error}")
        response = await self._app(request)
        if STORED_ACL_HEADER in response.headers:
            return await self._with_shown_acl(request, response, context.authorizer)
        return response

    async def _with_shown_acl(
        self, request: Request, response: Response, authorizer: TempauthAuthorizer
    ) -> Response:
        """The account's ACL as clients know it, for owners only."""
        headers = dict(response.headers)
        acl = headers.pop(STORED_ACL_HEADER)
        answer = await authorizer(request, Target(_account_in(request.path)), None)
        if answer.owner and acl:
            headers[ACCOUNT_ACL_HEADER] = acl
        return response.replace(headers=headers)

    # ---- logging in ------------------------------------------------------------------------

    async def _log_in(self, request: Request) -> Response:
        version, _, rest = request.path.removeprefix(AUTH_PATH).partition("/")
        if not version:
            return status_page(404)
        if request.method != "GET":
            return status_page(405, {"allow": "GET"})
        headers = request.headers
        name = headers.get("x-auth-user") or headers.get("x-storage-user") or ""
        key = headers.get("x-auth-key") or headers.get("x-storage-pass") or ""
        account = name.partition(":")[0] if ":" in name else ""
        if version == "v1":
            account, _, rest = rest.partition("/")
            if rest != "auth":
                return status_page(400)
            if ":" not in name:
                name = f"{account}:{name}"
            elif not name.startswith(f"{account}:"):
                name = ""
        elif version != "v1.0":
            return status_page(400)
        user = self._users.get(name)
        # Who asks learns nothing from the time it takes: not whether there is such a user, nor
        # how much of the key is right (T96).
        given = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        right = hmac.compare_digest(given, user.key_digest if user else _NOBODYS_KEY)
        if user is None or not right:
            return _unauthorized(account)
        token, expires_in_s = await self._tokens.issue(user)
        return Response(
            status=200,
            headers={
                "content-type": _HTML,
                "x-auth-token": token,
                "x-storage-token": token,
                "x-auth-token-expires": str(expires_in_s),
                "x-storage-url": user.url or self._url_of(request, user.account_id),
            },
        )

    def _url_of(self, request: Request, account_id: str) -> str:
        base = self._storage_url
        if not base:
            base = f"{request.context.scheme}://{request.headers.get('host', 'localhost')}"
        return f"{base}/v1/{quote(account_id)}"


def _prefix(text: str) -> str:
    """`AUTH` or `AUTH_` -> `AUTH_`; the empty prefix stays empty."""
    return f"{text}_" if text and not text.endswith("_") else text


def _user(settings: UserSettings, prefixes: Sequence[str]) -> User:
    account_id = settings.url.rstrip("/").rpartition("/")[2] or f"{prefixes[0]}{settings.account}"
    name = f"{settings.account}:{settings.user}"
    groups = {settings.account, name, *settings.groups}
    if ".admin" in groups:
        groups.remove(".admin")
        groups |= {f"{prefix}{settings.account}" for prefix in prefixes} | {account_id}
    return User(
        name=name,
        key=settings.key.encode(),
        groups=frozenset(groups),
        account_id=account_id,
        url=settings.url,
    )


def _account_in(path: str) -> str:
    """The account that `/v1/account/...` names; "" when it names none."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 else ""


def _unauthorized(account: str) -> Response:
    return status_page(401, challenge(account))


def _with_stored_acl(request: Request) -> Request:
    """On a PUT or POST of an account, its ACL as it is stored.

    It is not asked who the client is: whoever may change an account at all is its owner.
    Raises BadAccountAcl, whatever the request is for.
    """
    headers = dict(request.headers)
    acl = clean_account_acl(headers.pop(ACCOUNT_ACL_HEADER))
    if request.method in ("PUT", "POST"):
        try:
            target = parse_target(request.path)
        except BadPath:
            return request  # the router says so
        if target.container is None:
            headers[STORED_ACL_HEADER] = acl
    return request.replace(headers=headers)
