"""Who may do what: the owner, a colleague, a stranger, the public, and pages that refer."""

from __future__ import annotations

import json

import pytest

from tests.functional.account import Account

READ, LIST, WRITE = "read", "list", "write"
NOTHING: set[str] = set()


def allowed(who: Account, container: str) -> set[str]:
    """What somebody can do with a container that holds `there`, tried out."""
    found = set()
    for what, reply in {
        READ: who.request("GET", container, "there"),
        LIST: who.request("GET", container),
        WRITE: who.request("PUT", container, "new", body=b"x"),
    }.items():
        refused = 401 if who.token is None else 403
        assert reply.status in {200, 201, refused}, (what, reply)
        if reply.status == refused:
            assert b"secret" not in reply.body
        else:
            found.add(what)
    head = who.request("HEAD", container, "there").status
    assert (head == 200) == (READ in found)
    if WRITE in found:
        assert who.request("DELETE", container, "new").status == 204
    else:
        assert who.request("DELETE", container, "there").status in {401, 403}
        assert who.request("POST", container, "there").status in {401, 403}
    return found


@pytest.fixture
def shared(account: Account, container: str) -> str:
    account.put(container, "there", b"secret")
    return container


def set_acl(account: Account, container: str, *, read: str = "", write: str = "") -> None:
    headers = {"X-Container-Read": read, "X-Container-Write": write}
    assert account.request("POST", container, headers=headers).status == 204


def test_private_by_default(
    account: Account, colleague: Account, stranger: Account, shared: str
) -> None:
    """Without an ACL only the account's admins may do anything."""
    assert allowed(account, shared) == {READ, LIST, WRITE}
    for who in (colleague, account.with_token_of(stranger), account.anonymous()):
        assert allowed(who, shared) == NOTHING
        assert who.request("PUT", "a-container-of-mine").status in {401, 403}
        assert who.request("GET").status in {401, 403}


@pytest.mark.parametrize(
    ("read", "write", "expected"),
    [
        pytest.param("{account}:{user}", "", {READ, LIST}, id="one user reads"),
        pytest.param("{account}", "", {READ, LIST}, id="a whole account reads"),
        pytest.param("*:*", "", NOTHING, id="stars are for Keystone"),
        pytest.param("", "{account}:{user}", {WRITE}, id="writes and reads nothing"),
        pytest.param("{account}", "{account}", {READ, LIST, WRITE}, id="both"),
        pytest.param("{account}:someone", "other:{user}", NOTHING, id="others"),
        pytest.param(".r:*", "", {READ}, id="public reads, no listing"),
        pytest.param(".r:*,.rlistings", "", {READ, LIST}, id="public reads and lists"),
    ],
)
def test_another_accounts_user(
    account: Account, stranger: Account, shared: str, read: str, write: str, expected: set[str]
) -> None:
    """A user of another account may do just what the container's ACL says, at once."""
    names = who_is(stranger)
    set_acl(account, shared, read=read.format(**names), write=write.format(**names))
    guest = account.with_token_of(stranger)
    assert allowed(guest, shared) == expected
    assert guest.request("POST", shared).status == 403
    assert guest.request("DELETE", shared).status == 403
    assert account.get(shared, "there").body == b"secret"
    # Taken back, it is gone for the next request.
    set_acl(account, shared)
    assert allowed(guest, shared) == NOTHING


def who_is(user: Account) -> dict[str, str]:
    """The names that ACLs know the second user by: both fixtures of users are `name:name`."""
    account = user.root.rpartition("_")[2]
    return {"account": account, "user": f"{account.rstrip('0123456789')}er2"}


def test_a_user_without_admin(account: Account, colleague: Account, shared: str) -> None:
    """A user of the same account who is no admin needs an ACL as well."""
    assert colleague.root == account.root
    assert allowed(colleague, shared) == NOTHING
    group = account.root.rpartition("_")[2]
    set_acl(account, shared, read=group)
    assert allowed(colleague, shared) == {READ, LIST}


def test_acls_are_only_shown_to_the_owner(account: Account, stranger: Account, shared: str) -> None:
    """Who may read a container does not see who else may."""
    set_acl(account, shared, read=".r:*,.rlistings,someone:else")
    mine = account.request("HEAD", shared).headers
    assert mine["x-container-read"] == ".r:*,.rlistings,someone:else"
    for guest in (account.with_token_of(stranger), account.anonymous()):
        reply = guest.request("GET", shared)
        assert reply.status == 200
        assert "x-container-read" not in reply.headers


def test_referrers(account: Account, shared: str) -> None:
    """`.r:` names the hosts whose pages may show an object; a minus takes hosts out again."""
    set_acl(account, shared, read=".r:example.com,.r:.good.org,.r:-bad.good.org")
    public = account.anonymous()
    cases = {
        "http://example.com/page": 200,
        "https://example.com:8443/page?a=b": 200,
        "http://www.example.com/page": 401,
        "http://www.good.org/": 200,
        "http://bad.good.org/": 401,
        "http://example.com.evil.net/": 401,
        "http://evil.net/example.com": 401,
        "nonsense": 401,
        "": 401,
    }
    for referrer, status in cases.items():
        reply = public.request("GET", shared, "there", headers={"Referer": referrer})
        assert reply.status == status, referrer
        listing = public.request("GET", shared, headers={"Referer": referrer})
        assert listing.status == 401, referrer
    assert public.request("GET", shared, "there").status == 401


@pytest.mark.parametrize("acl", [".r:", ".unknown:x", ".r:-", ".rx:*"], ids=repr)
def test_bad_acls(account: Account, shared: str, acl: str) -> None:
    """An ACL that makes no sense is 400, and the one that was there stays."""
    set_acl(account, shared, read=".r:*")
    reply = account.request("POST", shared, headers={"X-Container-Read": acl})
    assert reply.status == 400
    assert account.request("HEAD", shared).headers["x-container-read"] == ".r:*"


def test_no_referrers_for_writing(account: Account, shared: str) -> None:
    """The public can never write: a referrer in the write ACL is 400."""
    assert account.request("POST", shared, headers={"X-Container-Write": ".r:*"}).status == 400


def test_copying_needs_both_rights(account: Account, stranger: Account, shared: str) -> None:
    """COPY reads with the reader's rights and writes with the writer's."""
    stranger.put_container("mine")
    try:
        source = {
            "X-Copy-From": f"/{shared}/there",
            "X-Copy-From-Account": account.root.rpartition("/")[2],
        }
        assert stranger.request("PUT", "mine", "copy", headers=source).status == 403
        set_acl(account, shared, read=".r:*")
        assert stranger.request("PUT", "mine", "copy", headers=source).status == 201
        assert stranger.get("mine", "copy").body == b"secret"
        guest = account.with_token_of(stranger)
        copied = guest.request("COPY", shared, "there", headers={"Destination": f"{shared}/new"})
        assert copied.status == 403
    finally:
        stranger.empty_and_delete("mine")


def test_account_acls(account: Account, stranger: Account, shared: str) -> None:
    """An account's own ACL lets others read, write or administer all of it."""
    guest = account.with_token_of(stranger)
    names = who_is(stranger)
    someone = f"{names['account']}:{names['user']}"

    def grant(kind: str) -> None:
        acl = {"X-Account-Access-Control": json.dumps({kind: [someone]} if kind else {})}
        assert account.request("POST", headers=acl).status == 204

    try:
        grant("read-only")
        assert allowed(guest, shared) == {READ, LIST}
        assert guest.request("GET").status == 200
        assert guest.request("PUT", "new-container").status == 403
        assert guest.request("POST", headers={"X-Account-Meta-A": "b"}).status == 403
        grant("read-write")
        assert allowed(guest, shared) == {READ, LIST, WRITE}
        assert "x-account-access-control" not in guest.request("HEAD").headers
        grant("admin")
        assert guest.request("POST", shared, headers={"X-Container-Read": ".r:*"}).status == 204
        assert "x-account-access-control" in guest.request("HEAD").headers
    finally:
        reply = account.request("POST", headers={"X-Account-Access-Control": ""})
        assert reply.status == 204
    set_acl(account, shared)
    assert allowed(guest, shared) == NOTHING


@pytest.mark.parametrize(
    "token", ["", "AUTH_tk", "AUTH_tk" + "0" * 32, "x" * 4000, "AUTH_tk\u00e9"]
)
def test_made_up_tokens(account: Account, shared: str, token: str) -> None:
    """A token that was never given out opens nothing."""
    reply = account.anonymous().request("GET", shared, headers={"X-Auth-Token": token})
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Swift realm=")


@pytest.mark.parametrize(
    ("user", "key"),
    [("test:tester", "wrong"), ("test:nobody", "testing"), ("nobody", "x"), ("", ""), (":", "")],
)
def test_signing_in_needs_the_key(account: Account, user: str, key: str) -> None:
    """A wrong key or an unknown user is 401, and tells not which of the two it was."""
    with account.wire() as wire:
        headers = {"X-Auth-User": user, "X-Auth-Key": key}
        reply = wire.request("GET", "/auth/v1.0", headers)
    assert reply.status == 401
    assert "x-auth-token" not in reply.headers
