"""Container ACLs and account ACLs."""

from __future__ import annotations

import pytest

from swiftish.domain.account_acl import (
    NOBODY,
    BadAccountAcl,
    clean_account_acl,
    parse_account_acl,
)
from swiftish.domain.acl import Acl, BadAcl, clean_acl


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (".r:*", ".r:*"),
        (".r:*,.rlistings", ".r:*,.rlistings"),
        (" a , b:c ,, .r : * ", "a,b:c,.r:*"),
        (".r:*.com", ".r:.com"),
        (".r:*com", ".r:com"),
        (".r:**", ".r:*"),
        (".r:*:80", ".r::80"),
        (".ref:x", ".r:x"),
        (".referer:-x.com", ".r:-x.com"),
        (".referrer:*", ".r:*"),
        (".r:- *.com", ".r:-.com"),
        (".r:-*", ".r:-*"),
        (".foo", ".foo"),
        (":x", ":x"),
        ("a:", "a:"),
        ("*:*", "*:*"),
        ("a%2cb", "a%2cb"),
        (",", ""),
        (" ", ""),
    ],
)
def test_clean_acl(value: str, stored: str) -> None:
    """What is stored is trimmed, with one spelling for each thing; cleaning it again changes
    nothing."""
    assert clean_acl("X-Container-Read", value) == stored
    assert clean_acl("x-container-read", stored) == stored


@pytest.mark.parametrize(
    "value", [".r:", ".r:-", ".r:.", ".r:-.", ".foo:x", ".R:*", "a,.r:", "\udce9:x"]
)
def test_bad_acl(value: str) -> None:
    """An unknown designator or a referrer without host is refused, for reading and writing."""
    for name in ("x-container-read", "x-container-write"):
        with pytest.raises(BadAcl):
            clean_acl(name, value)


def test_referrers_can_not_write() -> None:
    """Anybody can send any Referer."""
    with pytest.raises(BadAcl):
        clean_acl("X-Container-Write", "a:b,.r:*")
    assert clean_acl("X-Container-Write", "a:b,.rlistings") == "a:b,.rlistings"


ANYWHERE, EX, SUB, NONE = "http://any.org/x", "http://ex.com/a", "https://a.ex.com:80/", None


@pytest.mark.parametrize(
    ("acl", "allowed"),
    [
        ("", []),
        ("a:b", []),
        (".rlistings", []),
        (".r:*", [ANYWHERE, EX, SUB, NONE]),
        (".r:ex.com", [EX]),
        (".r:.ex.com", [SUB]),
        (".r:*,.r:-ex.com", [ANYWHERE, SUB, NONE]),
        (".r:*,.r:-.ex.com", [ANYWHERE, EX, NONE]),
        (".r:-ex.com,.r:*", [ANYWHERE, EX, SUB, NONE]),  # the last that matches decides
        (".r:unknown", [NONE]),
        (".r:-*", []),
    ],
)
def test_referrers(acl: str, allowed: list[str | None]) -> None:
    """By host or by `.suffix`; in order, the last that matches decides."""
    parsed = Acl.parse(acl)
    assert [r for r in (ANYWHERE, EX, SUB, NONE) if parsed.allows_referrer(r)] == allowed


@pytest.mark.parametrize("referer", ["http://[bad", "http://", "ex.com", "\udcff", "//", ":"])
def test_a_referer_that_is_no_url(referer: str) -> None:
    """It has no host, and breaks nothing."""
    assert Acl.parse(".r:*").allows_referrer(referer)
    assert not Acl.parse(".r:ex.com").allows_referrer(referer)


def test_groups() -> None:
    """Groups are unquoted when they are compared, so that a comma can be in a name."""
    acl = Acl.parse("a,b%2cc:d,.rlistings,.r:*")
    assert acl.groups == {"a", "b,c:d", ".rlistings"}
    assert acl.lets_referrers_list
    assert Acl.parse(None) == Acl()


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("  ", ""),
        ("{}", ""),
        ('{"admin": [] }', '{"admin":[]}'),
        ('{"read-only":["b","a"],"admin":["x:y"]}', '{"admin":["x:y"],"read-only":["b","a"]}'),
        ('{"admin":["\\u00e9"]}', '{"admin":["\\u00e9"]}'),
        ('{"admin":["é😀"]}', '{"admin":["\\u00e9\\ud83d\\ude00"]}'),
    ],
)
def test_account_acl(text: str, stored: str) -> None:
    """Stored is compact sorted ASCII; cleaning it again changes nothing."""
    assert clean_account_acl(text) == stored
    assert clean_account_acl(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        *("x", "[]", "0", "null", '"admin"', '{"bad":[]}', '{"admin":"x"}', '{"admin":[1]}'),
        *('{"admin":null}', '{"admin":[["a"]]}', '{"admin":["a"]}x', '{"admin":["\udcff"]}'),
        *("[" * 4000, '{"admin":' * 1000),
    ],
)
def test_bad_account_acl(text: str) -> None:
    """Anything but an object of the three lists of strings is refused, and lets nobody in."""
    with pytest.raises(BadAccountAcl):
        clean_account_acl(text)
    assert parse_account_acl(text) == NOBODY


def test_parse_account_acl() -> None:
    """What is stored comes back as sets."""
    acl = parse_account_acl('{"admin":["a"],"read-only":["b","c"]}')
    assert [set(groups) for groups in (acl.admin, acl.read_write, acl.read_only)] == [
        {"a"},
        set(),
        {"b", "c"},
    ]
