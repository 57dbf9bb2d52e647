"""/info, and what it is made of."""

from __future__ import annotations

import asyncio
import hmac

import orjson
import pytest

from swiftish.domain.limits import Limits
from swiftish.domain.policy import Policy, PolicySet
from swiftish.http.message import Response
from swiftish.proxy.capabilities import capabilities
from swiftish.proxy.middleware.info import Info, InfoSettings
from tests.fakes.clock import FakeClock
from tests.fakes.inner_app import InnerApp, client_request

POLICIES = PolicySet(
    (
        Policy(index=0, name="gold", aliases=("old",), default=True),
        Policy(index=1, name="silver"),
        Policy(index=2, name="lead", deprecated=True),
    )
)
SHOWN = capabilities(
    limits=Limits(),
    policies=POLICIES,
    allow_account_management=True,
    account_autocreate=True,
    allow_open_expired=False,
    strict_cors_mode=True,
    tempauth=True,
)


def ask(
    method: str, settings: InfoSettings | None = None, *, query: str = "", origin: str | None = None
) -> Response:
    info = Info(
        InnerApp(Response(status=299)),
        capabilities=SHOWN,
        clock=FakeClock(),
        settings=settings or InfoSettings(),
    )
    headers = {} if origin is None else {"origin": origin}
    return asyncio.run(info(client_request(method, "/info", headers, query=query)))


def page(response: Response) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = orjson.loads(asyncio.run(response.body.read()))
    return found


def test_capabilities() -> None:
    """Swift's names; deprecated policies are nobody's business; what is off is not there."""
    swift = SHOWN["swift"]
    assert swift["policies"] == [
        {"name": "gold", "aliases": "gold, old", "default": True},
        {"name": "silver", "aliases": "silver"},
    ]
    assert swift["max_file_size"] == 5368709122
    assert swift["allow_open_expired"] is False
    names = {
        *("version", "strict_cors_mode", "policies", "allow_account_management"),
        *("account_autocreate", "allow_open_expired", "max_file_size", "max_meta_name_length"),
        *("max_meta_value_length", "max_meta_count", "max_meta_overall_size", "max_header_size"),
        *("max_request_line", "max_object_name_length", "container_listing_limit"),
        *("account_listing_limit", "max_account_name_length", "max_container_name_length"),
        "extra_header_count",
    }
    assert set(swift) == names
    assert SHOWN["tempauth"] == {"account_acls": True}


def test_methods() -> None:
    """GET, HEAD with GET's length, OPTIONS; nothing else."""
    get, head, options = ask("GET"), ask("HEAD"), ask("OPTIONS")
    assert (get.status, head.status, options.status) == (200, 200, 200)
    assert get.headers["content-type"] == "application/json; charset=UTF-8"
    assert head.length == get.body.length
    assert options.headers["allow"] == "HEAD, GET, OPTIONS"
    assert page(get) == SHOWN
    assert ask("PUT").status == 405
    assert ask("DELETE").headers["allow"] == "HEAD, GET, OPTIONS"


def test_other_paths_pass() -> None:
    """`/info/` and `/info/x` are the router's."""
    info = Info(
        InnerApp(Response(status=299)),
        capabilities=SHOWN,
        clock=FakeClock(),
        settings=InfoSettings(),
    )
    for path in ("/info/", "/info/x", "/v1/info", "/"):
        assert asyncio.run(info(client_request("GET", path))).status == 299


def test_origin() -> None:
    """Any page may read it."""
    headers = ask("GET", origin="http://x").headers
    assert headers["access-control-allow-origin"] == "http://x"
    assert headers["access-control-expose-headers"] == "x-trans-id"


def test_hidden() -> None:
    """Not exposed: 403 whoever asks; sections and keys can be hidden one by one."""
    assert ask("GET", InfoSettings(expose=False)).status == 403
    hidden = InfoSettings(disallowed_sections=("tempauth", "swift.version", "none", "none.x"))
    shown = page(ask("GET", hidden))
    assert "tempauth" not in shown
    assert "version" not in shown["swift"]
    assert "policies" in shown["swift"]


NOW = int(FakeClock().now())


def signed(
    method: str, expires: int | str, *, key: bytes = b"secret", digest: str = "sha256"
) -> str:
    message = f"{method}\n{expires}\n/info".encode()
    signature = hmac.new(key, message, digest).hexdigest()
    return f"swiftinfo_sig={signature}&swiftinfo_expires={expires}"


ADMIN = InfoSettings(admin_key="secret", disallowed_sections=("tempauth",))


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_admin(digest: str) -> None:
    """Who signs sees everything; a signature for GET is good for HEAD, not the other way."""
    query = signed("GET", NOW + 10, digest=digest)
    shown = page(ask("GET", ADMIN, query=query))
    assert shown["admin"] == {"disallowed_sections": ["tempauth"]}
    assert shown["tempauth"] == {"account_acls": True}
    assert ask("HEAD", ADMIN, query=query).status == 200
    assert ask("HEAD", ADMIN, query=signed("HEAD", NOW + 10, digest=digest)).status == 200
    assert ask("GET", ADMIN, query=signed("HEAD", NOW + 10, digest=digest)).status == 401


@pytest.mark.parametrize(
    "query",
    [
        signed("GET", NOW - 1),
        signed("GET", NOW + 10, key=b"other"),
        signed("GET", NOW + 10, digest="md5"),
        signed("GET", f"{NOW + 10}.5"),
        signed("GET", "-5"),
        signed("GET", "9" * 5000),
        f"swiftinfo_expires={NOW + 10}",
        "swiftinfo_sig=" + "a" * 40,
        "swiftinfo_sig=" + "%ff" * 40 + f"&swiftinfo_expires={NOW + 10}",
        signed("GET", NOW + 10) + f"&swiftinfo_expires={NOW + 20}",
    ],
)
def test_bad_signatures(query: str) -> None:
    """401 for anything else; without a key there is no admin view at all (403)."""
    assert ask("GET", ADMIN, query=query).status == 401
    assert ask("GET", query=query).status == 403
