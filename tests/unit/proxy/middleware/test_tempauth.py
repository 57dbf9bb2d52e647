"""Tempauth: tokens, who may what, account ACLs.  The tables are what real Swift answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from swiftish.domain.names import Target
from swiftish.http.message import Context, Request, Response
from swiftish.proxy.authorize import Answer, Verdict
from swiftish.proxy.infos import AccountInfo
from swiftish.proxy.middleware.tempauth import Tempauth, TempauthSettings, UserSettings
from swiftish.proxy.request import context_of
from swiftish.runtime.settings import build
from tests.fakes.cache import MemoryCache
from tests.fakes.clock import FakeClock
from tests.fakes.inner_app import InnerApp, KnownInfos, client_request


def user(name: str, *groups: str, key: str = "testing", url: str = "") -> UserSettings:
    account, _, person = name.partition(":")
    return UserSettings(account=account, user=person, key=key, groups=groups, url=url)


USERS = (
    user("test:tester", ".admin"),
    user("test2:tester2", ".admin"),
    user("test:tester3", key="testing3"),
    user("test5:tester5", "service"),
    user("test:tester6", ".reseller_admin"),
    user("test:reader", ".reseller_reader"),
)
SETTINGS = TempauthSettings(
    reseller_prefixes=("AUTH", "SERVICE"), require_group={"SERVICE": "service"}, user=USERS
)


class PlainCache(MemoryCache):
    """A cache whose content can be read and forged."""

    @property
    def content(self) -> dict[str, bytes]:
        return {key: value or b"" for key, (_, _, value) in self._entries.items()}

    def forge(self, key: str, value: bytes) -> None:
        self._put(key, 1e12, 0, value)


@dataclass
class World:
    """Tempauth over an app that only answers; as many workers as are asked for."""

    settings: TempauthSettings = SETTINGS
    clock: FakeClock = field(default_factory=FakeClock)
    app: InnerApp = field(default_factory=lambda: InnerApp(Response(status=299)))
    infos: KnownInfos = field(default_factory=KnownInfos)

    def __post_init__(self) -> None:
        self.cache = PlainCache(self.clock)
        self.tempauth = self.worker()

    def worker(self, settings: TempauthSettings | None = None) -> Tempauth:
        return Tempauth(
            self.app,
            settings=settings or self.settings,
            infos=self.infos,
            cache=self.cache,
            clock=self.clock,
        )

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        tempauth: Tempauth | None = None,
    ) -> Response:
        request = client_request(method, path, headers)
        return asyncio.run((tempauth or self.tempauth)(request))

    def log_in(
        self, name: str = "test:tester", key: str = "testing", *, tempauth: Tempauth | None = None
    ) -> Response:
        headers = {"x-auth-user": name, "x-auth-key": key}
        return self.ask("GET", "/auth/v1.0", headers, tempauth=tempauth)

    def token(self, name: str, *, tempauth: Tempauth | None = None) -> str:
        key = "testing3" if name == "test:tester3" else "testing"
        return self.log_in(name, key, tempauth=tempauth).headers["x-auth-token"]

    def headers(self, name: str | None, service: str | None = None) -> dict[str, str]:
        """The tokens of a user and perhaps of a service."""
        found = {} if name is None else {"x-auth-token": self.token(name)}
        if service is not None:
            found["x-service-token"] = self.token(service)
        return found

    def verdict(
        self,
        who: str | None,
        method: str,
        path: str,
        *,
        acl: str | None = None,
        referer: str | None = None,
        service: str | None = None,
    ) -> Answer:
        """What the controller hears of a request; `path` is account[/container[/object]]."""
        headers = self.headers(who, service)
        if referer is not None:
            headers["referer"] = referer
        assert self.ask(method, f"/v1/{path}", headers).status == 299
        authorizer = context_of(self.app.last).authorizer
        assert authorizer is not None
        return asyncio.run(authorizer(self.app.last, Target(*path.split("/", 2)), acl))

    def may(self, who: str | None, method: str, path: str, **rest: str | None) -> bool:
        return self.verdict(who, method, path, **rest).verdict is Verdict.ALLOWED


@pytest.fixture
def world() -> World:
    return World()


# ---- logging in --------------------------------------------------------------------------------


def test_log_in(world: World) -> None:
    """A token, for how long, and where to."""
    response = world.ask(
        "GET",
        "/auth/v1.0",
        {"x-auth-user": "test:tester", "x-auth-key": "testing", "host": "swift.example:81"},
    )
    assert response.status == 200
    token = response.headers["x-auth-token"]
    assert token.startswith("AUTH_tk")
    assert len(token) == len("AUTH_tk") + 32
    assert int(token.removeprefix("AUTH_tk"), 16) >= 0
    assert dict(response.headers) == {
        "content-type": "text/html; charset=UTF-8",
        "x-auth-token": token,
        "x-storage-token": token,
        "x-auth-token-expires": "86400",
        "x-storage-url": "http://swift.example:81/v1/AUTH_test",
    }


TESTER = {"x-auth-user": "test:tester", "x-auth-key": "testing"}
OLD_TESTER = {"x-storage-user": "tester", "x-storage-pass": "testing"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "realm"),
    [
        ("GET", "v1.0", TESTER, 200, None),
        ("GET", "v1.0/", TESTER, 200, None),
        ("GET", "v1.0/x/y", TESTER, 200, None),
        ("GET", "v1.0", {"x-storage-user": "test:tester", "x-storage-pass": "testing"}, 200, None),
        ("GET", "v1/test/auth", TESTER, 200, None),
        ("GET", "v1/test/auth", OLD_TESTER, 200, None),
        ("GET", "v1/test2/auth", TESTER, 401, "test2"),
        ("GET", "v1/test2/auth", OLD_TESTER, 401, "test2"),
        ("GET", "v1.0", TESTER | {"x-auth-key": "bad"}, 401, "test"),
        ("GET", "v1.0", TESTER | {"x-auth-key": "testing "}, 401, "test"),
        ("GET", "v1.0", TESTER | {"x-auth-key": "\udcff"}, 401, "test"),
        ("GET", "v1.0", TESTER | {"x-auth-user": "test:nobody"}, 401, "test"),
        ("GET", "v1.0", {"x-auth-user": "test:nobody"}, 401, "test"),
        ("GET", "v1.0", {"x-auth-user": "tester", "x-auth-key": "testing"}, 401, "unknown"),
        ("GET", "v1.0", {}, 401, "unknown"),
        ("GET", "v1.0", {"x-auth-user": 'a"\r\nb:c', "x-auth-key": "x"}, 401, "a%22%0D%0Ab"),
        ("GET", "", {}, 404, None),
        ("GET", "v1", {}, 400, None),
        ("GET", "v1/test/foo", {}, 400, None),
        ("GET", "v2.0", {}, 400, None),
        ("HEAD", "v1.0", TESTER, 405, None),
        ("PUT", "v1.0", {}, 405, None),
        ("OPTIONS", "v1.0", {}, 405, None),
    ],
)
def test_the_auth_endpoint(
    world: World, method: str, path: str, headers: dict[str, str], status: int, realm: str | None
) -> None:
    """Version 1.0 and the older form with the account in the path; nothing below it is asked."""
    response = world.ask(method, f"/auth/{path}", headers)
    assert response.status == status
    assert world.app.asked == []
    said = response.headers.get("www-authenticate")
    assert said == (None if realm is None else f'Swift realm="{realm}"')


def test_t96_an_unknown_user_looks_like_a_wrong_key(world: World) -> None:
    """T96: the same answer to the byte; and no user has the key that nobodies are compared with."""
    unknown, wrong = world.log_in("test:nobody", "x"), world.log_in("test:tester", "x")
    assert unknown.headers == wrong.headers
    bodies = [asyncio.run(each.body.read()) for each in (unknown, wrong)]
    assert bodies[0] == bodies[1]
    assert b"nobody" not in bodies[0]


def test_storage_urls() -> None:
    """The settings can say where clients find the storage, for all or for one user."""
    settings = TempauthSettings(
        storage_url="https://swift.example/",
        user=(user("té:a"), user("x:b", ".admin", url="https://other.example/v1/AUTH_special")),
    )
    world = World(settings=settings)
    assert world.log_in("té:a").headers["x-storage-url"] == "https://swift.example/v1/AUTH_t%C3%A9"
    special = world.log_in("x:b").headers["x-storage-url"]
    assert special == "https://other.example/v1/AUTH_special"
    assert world.may("x:b", "GET", "AUTH_special")
    assert world.may("x:b", "GET", "AUTH_x")
    request = Request(
        method="GET",
        path="/auth/v1.0",
        headers={"x-auth-user": "té:a", "x-auth-key": "testing", "host": "h"},
        context=Context(scheme="https"),
    )
    other = World(settings=TempauthSettings(user=(user("té:a"),)))
    response = asyncio.run(other.tempauth(request))
    assert response.headers["x-storage-url"] == "https://h/v1/AUTH_t%C3%A9"


def test_all_workers_give_the_same_token_until_it_ends(world: World) -> None:
    """A token is found by any worker, and given again for the rest of its life."""
    one, other = world.worker(), world.worker()
    token = world.token("test:tester", tempauth=one)
    world.clock.move(86_000)
    again = world.log_in("test:tester", tempauth=other)
    assert again.headers["x-auth-token"] == token
    assert again.headers["x-auth-token-expires"] == "400"
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token}).status == 299
    world.clock.move(401)
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token}).status == 401
    assert world.token("test:tester") != token
    assert world.token("test:tester") != world.token("test2:tester2")


def test_a_token_ends_even_if_the_cache_forgets_to_forget(world: World) -> None:
    """The end is in the entry, too."""
    token = world.token("test:tester")
    for key, value in world.cache.content.items():
        world.cache.forge(key, value)
    world.clock.move(86_401)
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token}).status == 401
    assert world.token("test:tester") != token


def test_a_token_that_the_cache_forgot_works_after_logging_in(world: World) -> None:
    """A cache may forget one of its two entries; logging in mends it."""
    token = world.token("test:tester")
    for key in list(world.cache.content):
        if token not in key and "token" in key:
            asyncio.run(world.cache.drop(key))
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token}).status == 401
    assert world.token("test:tester") == token
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token}).status == 299


def test_t94_the_cache_gives_no_tokens_and_makes_none(world: World) -> None:
    """T94, CVE-2017-16613: who reads the cache finds no token; who writes to it makes none."""
    token = world.token("test:tester")
    secret = token.removeprefix("AUTH_tk")
    for key, value in world.cache.content.items():
        for hidden in (secret, "testing"):
            assert hidden not in key
            assert hidden.encode() not in value
            assert bytes.fromhex(secret) not in value
    # A forger stores all that a token needs, but for the key of its user.
    forged = f"AUTH_tk{'0' * 32}"
    ours, theirs = World(), World(settings=TempauthSettings(user=(user("test:tester", key="x"),)))
    ours_token, theirs_token = ours.token("test:tester"), ""
    theirs_token = theirs.log_in("test:tester", "x").headers["x-auth-token"]
    for key, value in {**theirs.cache.content, **world.cache.content}.items():
        ours.cache.forge(key, value)
    for stolen in (forged, theirs_token):
        assert ours.ask("GET", "/v1/AUTH_test", {"x-auth-token": stolen}).status == 401
    assert ours.ask("GET", "/v1/AUTH_test", {"x-auth-token": ours_token}).status == 299


def test_t94_a_new_key_or_a_removed_user_ends_the_tokens(world: World) -> None:
    """T94: what the settings no longer say is no longer so, whatever is in the cache."""
    token = world.token("test:tester")
    headers = {"x-auth-token": token}
    rekeyed = world.worker(TempauthSettings(user=(user("test:tester", ".admin", key="new"),)))
    removed = world.worker(TempauthSettings(user=USERS[1:]))
    demoted = world.worker(TempauthSettings(user=(user("test:tester"),)))
    for worker, status in ((rekeyed, 401), (removed, 401), (demoted, 299), (world.tempauth, 299)):
        assert world.ask("GET", "/v1/AUTH_test", headers, tempauth=worker).status == status
    world.ask("GET", "/v1/AUTH_test", headers, tempauth=demoted)
    authorizer = context_of(world.app.last).authorizer
    assert authorizer is not None
    answer = asyncio.run(authorizer(world.app.last, Target("AUTH_test"), None))
    assert answer.verdict is Verdict.DENIED


def test_t97_nothing_secret_is_logged_or_shown(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """T97: not in logs, not in the log's fields, not in the repr of the settings."""
    caplog.set_level(logging.DEBUG)
    token = world.token("test:tester")
    world.log_in("test:tester", "wrong-key")
    world.ask("GET", "/v1/AUTH_test", {"x-auth-token": token})
    world.ask("GET", "/v1/AUTH_test", {"x-auth-token": "AUTH_tkbad"})
    said = caplog.text + str(context_of(world.app.last).log) + repr(world.settings)
    for secret in (token, "testing", "wrong-key", "AUTH_tkbad"):
        assert secret not in said
    assert context_of(world.app.last).user == "test:tester"


# ---- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "realm"),
    [
        ("/v1/AUTH_test", "AUTH_test"),
        ("/v1/AUTH_test/c/o", "AUTH_test"),
        ("/v1/SERVICE_test", "SERVICE_test"),
        ("/v1/OTHER_x/c", "OTHER_x"),
        ("/v1", "unknown"),
        ("/v1/", "unknown"),
        ("/nothing", "unknown"),
        ('/v1/"<script>\r\nSet-Cookie: x', "%22%3Cscript%3E%0D%0ASet-Cookie%3A%20x"),
        ("/v1/\udcff", "%FF"),
    ],
)
def test_an_unknown_token_of_ours(world: World, path: str, realm: str) -> None:
    """401 at once, also for what is public; the realm is quoted (CVE-2014-3497)."""
    for bad in (f"AUTH_tk{'0' * 32}", "AUTH_tk", "AUTH_", "AUTH_" + "x" * 8000, "AUTH_tk\udcff"):
        response = world.ask("GET", path, {"x-auth-token": bad})
        assert response.status == 401
        assert response.headers["www-authenticate"] == f'Swift realm="{realm}"'
    assert world.app.asked == []


def test_tokens_of_others_and_the_older_header(world: World) -> None:
    """Another auth system's token is no token; X-Storage-Token is one unless the newer is there."""
    token = world.token("test:tester")
    assert world.ask("GET", "/v1/AUTH_test", {"x-auth-token": "KEY_tkx"}).status == 299
    assert context_of(world.app.last).user is None
    assert world.ask("GET", "/v1/AUTH_test", {"x-storage-token": token}).status == 299
    assert context_of(world.app.last).user == "test:tester"
    both = {"x-storage-token": token, "x-auth-token": "AUTH_tkx"}
    assert world.ask("GET", "/v1/AUTH_test", both).status == 401
    bad_service = {"x-auth-token": token, "x-service-token": "AUTH_tkx"}
    assert world.ask("GET", "/v1/AUTH_test", bad_service).status == 299


# ---- T93: who may what ---------------------------------------------------------------------------

ANONYMOUS, OWNER, ADMIN_ELSEWHERE, PLAIN = None, "test2:tester2", "test:tester", "test:tester3"
SERVICE, RESELLER, READER = "test5:tester5", "test:tester6", "test:reader"
EVERYBODY = (ANONYMOUS, OWNER, ADMIN_ELSEWHERE, PLAIN, SERVICE, RESELLER, READER)
GUESTS = (ANONYMOUS, ADMIN_ELSEWHERE, PLAIN, SERVICE)
TEST = (ADMIN_ELSEWHERE, PLAIN)  # users of the account `test`, beside the reseller's

NOWHERE, EX, SUB, ANYWHERE = None, "http://ex.com/a", "http://a.ex.com:80/", "http://any.org"


@pytest.mark.parametrize(
    ("acl", "referer", "lists", "reads"),
    [
        (None, ANYWHERE, (), ()),
        (".r:*", NOWHERE, (), GUESTS),
        (".r:*", "http://[bad", (), GUESTS),
        (".r:*,.rlistings", NOWHERE, GUESTS, GUESTS),
        (".rlistings", ANYWHERE, (), ()),
        (".r:ex.com", NOWHERE, (), ()),
        (".r:ex.com", EX, (), GUESTS),
        (".r:ex.com", SUB, (), ()),
        (".r:.ex.com,.rlistings", EX, (), ()),
        (".r:.ex.com,.rlistings", SUB, GUESTS, GUESTS),
        (".r:*,.r:-ex.com,.rlistings", EX, (), ()),
        (".r:*,.r:-ex.com,.rlistings", SUB, GUESTS, GUESTS),
        (".r:-ex.com,.r:*", EX, (), GUESTS),
        ("test:tester3", ANYWHERE, (PLAIN,), (PLAIN,)),
        ("test%3Atester3", ANYWHERE, (PLAIN,), (PLAIN,)),
        ("test", ANYWHERE, TEST, TEST),
        ("AUTH_test", ANYWHERE, (ADMIN_ELSEWHERE,), (ADMIN_ELSEWHERE,)),
        ("service", ANYWHERE, (SERVICE,), (SERVICE,)),
        ("*", ANYWHERE, (), ()),
        ("*:*", ANYWHERE, (), ()),
    ],
)
def test_t93_container_acls(
    world: World,
    acl: str | None,
    referer: str | None,
    lists: tuple[str | None, ...],
    reads: tuple[str | None, ...],
) -> None:
    """T93: who lists the container and who reads its objects under a read ACL."""
    for path, method, let_in in (
        ("AUTH_test2/c", "GET", lists),
        ("AUTH_test2/c", "HEAD", lists),
        ("AUTH_test2/c/o", "GET", reads),
        ("AUTH_test2/c/o", "HEAD", reads),
    ):
        for who in GUESTS:
            answer = world.verdict(who, method, path, acl=acl, referer=referer)
            refused = Verdict.DENIED if who else Verdict.UNAUTHENTICATED
            assert answer.verdict is (Verdict.ALLOWED if who in let_in else refused), who
            assert not answer.owner
            assert not answer.reseller
        for who in (OWNER, RESELLER, READER):
            answer = world.verdict(who, method, path, acl=acl, referer=referer)
            assert answer.verdict is Verdict.ALLOWED
            assert answer.owner == (who != READER)
            assert answer.reseller == (who == RESELLER)


@pytest.mark.parametrize(
    ("acl", "writes"),
    [
        (None, ()),
        ("test:tester3", (PLAIN,)),
        ("test", TEST),
        ("AUTH_test", (ADMIN_ELSEWHERE,)),
        (".rlistings", ()),
    ],
)
def test_t93_write_acls(world: World, acl: str | None, writes: tuple[str, ...]) -> None:
    """T93: who changes objects; nobody but the owner changes the container, reseller's readers
    change nothing."""
    for who in (*GUESTS, READER):
        for method in ("PUT", "POST", "DELETE"):
            let_in = who in writes or (who == READER and acl == "test")
            assert world.may(who, method, "AUTH_test2/c/o", acl=acl) == let_in
            assert not world.may(who, method, "AUTH_test2/c")
            assert not world.may(who, method, "AUTH_test2")


def test_t93_accounts(world: World) -> None:
    """T93: an administrator does all but make and delete the account; a reseller's that too."""
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        makes = method in ("PUT", "DELETE")
        looks = method in ("GET", "HEAD")
        assert world.may(OWNER, method, "AUTH_test2") != makes
        assert world.may(RESELLER, method, "AUTH_test2")
        assert world.may(READER, method, "AUTH_test2") == looks
        for administrator in (OWNER, RESELLER):
            assert world.may(administrator, method, "AUTH_test2/c")
            assert world.may(administrator, method, "AUTH_test2/c/o")
        for who in GUESTS:
            assert not world.may(who, method, "AUTH_test2")
        for account in ("AUTH_", "SERVICE_", "AUTH_.system", "OTHER_test2", "test2", "auth_test2"):
            for who in EVERYBODY:
                assert not world.may(who, method, account)
                assert not world.may(who, method, f"{account}/c/o")


def test_t93_service_tokens(world: World) -> None:
    """T93: a service's prefix needs the administrator's token and one of the service."""
    for who, service, allowed in (
        (ADMIN_ELSEWHERE, SERVICE, True),
        (ADMIN_ELSEWHERE, None, False),
        (ADMIN_ELSEWHERE, ADMIN_ELSEWHERE, False),
        (PLAIN, SERVICE, False),
        (SERVICE, None, False),
        (SERVICE, SERVICE, False),
        (None, SERVICE, False),
        (RESELLER, None, True),
    ):
        for path in ("SERVICE_test", "SERVICE_test/c", "SERVICE_test/c/o"):
            answer = world.verdict(who, "GET", path, service=service)
            assert (answer.verdict is Verdict.ALLOWED) == allowed, (who, service)
            if not who:
                assert answer.verdict is Verdict.UNAUTHENTICATED
    # To the ordinary account the service's token adds nothing.
    assert not world.may(PLAIN, "GET", "AUTH_test", service=SERVICE)
    assert world.may(ADMIN_ELSEWHERE, "GET", "AUTH_test", service=SERVICE)


def test_options_are_for_everybody(world: World) -> None:
    """A preflight carries no token."""
    for who in EVERYBODY:
        assert world.may(who, "OPTIONS", "AUTH_test2/c/o")


def test_refusals_say_where_to_log_in(world: World) -> None:
    """A 401 names the account, quoted."""
    answer = world.verdict(None, "GET", 'AUTH_"\n/c')
    assert answer.headers == {"www-authenticate": 'Swift realm="AUTH_%22%0A"'}
    assert world.verdict(PLAIN, "GET", "AUTH_test2/c").headers == {}


# ---- account ACLs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "allowed", "owner"),
    [
        ("admin", "GET HEAD POST PUT cGET cPUT cPOST cDELETE oGET oPUT", True),
        ("read-write", "GET HEAD cGET cPUT cPOST cDELETE oGET oPUT", False),
        ("read-only", "GET HEAD cGET oGET", False),
        ("none", "", False),
    ],
)
def test_t93_account_acls(world: World, level: str, allowed: str, owner: bool) -> None:
    """T93: three levels; only `admin` may change the account and sees what owners see."""
    acl = f'{{"{level}":["test:tester3"]}}'
    world.infos.accounts["AUTH_test2"] = AccountInfo(
        status=204, sysmeta={"core-access-control": acl}
    )
    paths = {"": "AUTH_test2", "c": "AUTH_test2/c", "o": "AUTH_test2/c/o"}
    everything = "GET HEAD POST PUT cGET cPUT cPOST cDELETE oGET oPUT"
    for what in everything.split():
        method, path = what.lstrip("co"), paths[what[0] if what[0] in paths else ""]
        answer = world.verdict(PLAIN, method, path)
        assert (answer.verdict is Verdict.ALLOWED) == (what in allowed.split()), what
        assert answer.owner == owner
        assert not answer.reseller
        for who in (ANONYMOUS, ADMIN_ELSEWHERE, SERVICE):
            assert not world.may(who, method, path)


def test_setting_an_account_acl(world: World) -> None:
    """It is checked, and stored as system metadata of the account; an empty one removes it."""
    for method in ("PUT", "POST"):
        for sent, stored in (('{"admin": ["a"]}', '{"admin":["a"]}'), ("{}", ""), ("", "")):
            world.ask(method, "/v1/AUTH_test", {"x-account-access-control": sent, "x-b": "c"})
            assert world.app.last.headers == {
                "x-b": "c",
                "x-account-sysmeta-core-access-control": stored,
            }
    # Anywhere else it means nothing.
    for method, path in (("GET", "/v1/AUTH_test"), ("POST", "/v1/AUTH_test/c"), ("PUT", "/v1")):
        world.ask(method, path, {"x-account-access-control": '{"admin":["a"]}'})
        assert "x-account-sysmeta-core-access-control" not in world.app.last.headers


def test_a_bad_account_acl(world: World) -> None:
    """400 with a sentence, whoever asks and for whatever."""
    for method, path in (("POST", "/v1/AUTH_test"), ("GET", "/v1/AUTH_test/c")):
        response = world.ask(method, path, {"x-account-access-control": '{"bad":[]}'})
        assert response.status == 400
        text = asyncio.run(response.body.read()).decode()
        assert text.startswith("X-Account-Access-Control invalid: ")
    assert world.app.asked == []


def test_seeing_an_account_acl(world: World) -> None:
    """Owners see it under its client's name, others not at all, nobody as it is stored."""
    acl = '{"admin":["x"],"read-only":["test:tester3"]}'
    world.infos.accounts["AUTH_test2"] = AccountInfo(
        status=204, sysmeta={"core-access-control": acl}
    )
    stored = {"x-account-sysmeta-core-access-control": acl, "x-timestamp": "1"}
    world.app.answer = Response(status=204, headers=stored)
    for who, shown in ((OWNER, acl), (RESELLER, acl), (PLAIN, None), (READER, None)):
        response = world.ask("HEAD", "/v1/AUTH_test2", world.headers(who))
        assert response.headers.get("x-account-access-control") == shown
        assert "x-account-sysmeta-core-access-control" not in response.headers
        assert response.headers["x-timestamp"] == "1"


# ---- settings ----------------------------------------------------------------------------------


def test_settings_from_toml() -> None:
    """As the settings file has them."""
    settings = build(
        TempauthSettings,
        {
            "reseller_prefixes": ["AUTH", "SERVICE"],
            "require_group": {"SERVICE": "service"},
            "user": [{"account": "test", "user": "tester", "key": "testing", "groups": [".admin"]}],
        },
    )
    assert settings == TempauthSettings(
        reseller_prefixes=("AUTH", "SERVICE"),
        require_group={"SERVICE": "service"},
        user=(user("test:tester", ".admin"),),
    )


def test_settings_that_make_no_sense() -> None:
    """Said at start, not when somebody logs in."""
    with pytest.raises(ValueError, match="two users"):
        TempauthSettings(user=(user("a:b"), user("a:b", key="other")))
    with pytest.raises(ValueError, match="none of reseller_prefixes"):
        TempauthSettings(require_group={"SERVICE": "x"})
    with pytest.raises(ValueError, match="at least one"):
        TempauthSettings(reseller_prefixes=())
    for bad in (
        ("", "b", "k"),
        ("a", "", "k"),
        ("a", "b", ""),
        ("a:b", "c", "k"),
        ("a,b", "c", "k"),
    ):
        with pytest.raises(ValueError, match=r"needs|colon|comma"):
            UserSettings(account=bad[0], user=bad[1], key=bad[2])


def test_an_empty_prefix() -> None:
    """Accounts need not have a prefix; then every token is ours."""
    world = World(settings=TempauthSettings(reseller_prefixes=("",), user=(user("a:b", ".admin"),)))
    token = world.token("a:b")
    assert token.startswith("tk")
    assert world.may("a:b", "GET", "a")
    assert not world.may("a:b", "GET", "b")
    assert world.ask("GET", "/v1/a", {"x-auth-token": "anything"}).status == 401
