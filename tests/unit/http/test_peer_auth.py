"""Signatures: good for one request on one connection, and for nothing else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.http.peer_auth import SIGNATURE, Signer, Trouble, Verifier, signature

KEY = b"of the cluster"
HEADERS = {"host": "10.0.0.1:6200", "x-timestamp": "1.00000", "content-length": "3"}
PLACE = ("PUT", "/sda/7/AUTH_a/c/o%20?x=y")


def pair(key: bytes = KEY, *, challenge: str = "c1") -> tuple[Signer, Verifier]:
    verifier = Verifier(KEY)
    verifier.challenge("c1")
    return Signer(key, challenge), verifier


def signed(signer: Signer, headers: Mapping[str, str] = HEADERS) -> dict[str, str]:
    return {**headers, SIGNATURE: signer.sign(*PLACE, headers)}


def test_what_is_signed() -> None:
    """The form is fixed: nodes of different versions must agree on it."""
    text = "c1\n1\nPUT\n/sda/7/AUTH_a/c/o%20?x=y\ncontent-length:3\nhost:10.0.0.1:6200\n"
    expected = hmac.new(KEY, (text + "x-timestamp:1.00000").encode(), hashlib.sha256).hexdigest()
    assert signature(KEY, "c1", 1, *PLACE, HEADERS) == expected
    more = {"connection": "close", "keep-alive": "x", SIGNATURE: "y", **HEADERS}
    assert signature(KEY, "c1", 1, *PLACE, more) == expected


def test_requests_one_after_another() -> None:
    """Each has a signature of its own, though they are alike."""
    signer, verifier = pair()
    seen = set()
    for _ in range(100):
        headers = signed(signer)
        seen.add(headers[SIGNATURE])
        assert verifier.trouble(*PLACE, headers) is None
    assert len(seen) == 100


def test_t90_a_replay_on_the_same_connection() -> None:
    """The number has moved on."""
    signer, verifier = pair()
    first = signed(signer)
    assert verifier.trouble(*PLACE, first) is None
    assert verifier.trouble(*PLACE, first) is Trouble.WRONG
    signer, verifier = pair()
    first, second = signed(signer), signed(signer)
    assert verifier.trouble(*PLACE, second) is Trouble.WRONG
    assert verifier.trouble(*PLACE, first) is Trouble.WRONG, "nor in another order"


def test_t90_a_replay_on_another_connection() -> None:
    """It has another challenge; so has this one when it asks again."""
    signer, verifier = pair()
    first = signed(signer)
    other = Verifier(KEY)
    assert other.trouble(*PLACE, first) is Trouble.UNCHALLENGED
    other.challenge("c2")
    assert other.trouble(*PLACE, first) is Trouble.WRONG
    verifier.challenge("c3")
    assert verifier.trouble(*PLACE, first) is Trouble.WRONG
    signer = Signer(KEY, "c3")
    verifier.challenge("c3")
    assert verifier.trouble(*PLACE, signed(signer)) is None


@pytest.mark.parametrize(
    ("method", "target", "changes"),
    [
        ("DELETE", PLACE[1], {}),
        ("PUT", "/sda/7/AUTH_a/c/o ?x=y", {}),
        ("PUT", "/sda/7/AUTH_a/c/p", {}),
        ("PUT", PLACE[1], {"x-timestamp": "2.00000"}),
        ("PUT", PLACE[1], {"content-length": "4"}),
        ("PUT", PLACE[1], {"host": "10.0.0.2:6200"}),
        ("PUT", PLACE[1], {"x-more": ""}),
        ("PUT", PLACE[1], {"transfer-encoding": "chunked"}),
        ("PUT", PLACE[1], {SIGNATURE: "0" * 64}),
        ("PUT", PLACE[1], {SIGNATURE: ""}),
        ("PUT", PLACE[1], {SIGNATURE: "\udcff" * 64}),
        ("PUT", PLACE[1], {SIGNATURE: "\u00fc"}),
    ],
)
def test_t90_a_request_that_was_altered(method: str, target: str, changes: dict[str, str]) -> None:
    signer, verifier = pair()
    headers = {**signed(signer), **changes}
    assert verifier.trouble(method, target, headers) is Trouble.WRONG


def test_t90_no_key_or_a_wrong_one() -> None:
    _, verifier = pair()
    assert verifier.trouble(*PLACE, HEADERS) is Trouble.UNSIGNED
    for key in (b"", b"of another", KEY.upper()):
        signer, verifier = pair(key)
        assert verifier.trouble(*PLACE, signed(signer)) is Trouble.WRONG


text = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=6)
name = st.text("ab-", max_size=3)
heads = st.tuples(text, text, st.dictionaries(name, text, max_size=3))


@given(heads, heads)
def test_no_two_requests_are_signed_alike(
    one: tuple[str, str, dict[str, str]], other: tuple[str, str, dict[str, str]]
) -> None:
    """Nothing can be moved from one part of a request to another."""
    same = signature(KEY, "c", 1, *one) == signature(KEY, "c", 1, *other)
    assert same is (one == other)
