"""Copies that know different things of one object: which of it lasts (reference 5, metadata
replication, stale_reads, missing_primaries, post handoff, object_handoff, update overrides)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.functional.account import Account
from tests.lab.lab import Lab
from tests.lab.look import Place, ask, copies, place
from tests.probe.cluster.steps import (
    ACCOUNT,
    Stamps,
    heal,
    metadata_of,
    on_primaries,
    spread,
    start,
    stop,
    tells,
)


@dataclass(frozen=True)
class Change:
    """One that only these primaries have heard of."""

    method: str
    heard_by: Sequence[int]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    place_in_time: int = 0  # 0: after those before it; -1: before the one before it


def put(*heard_by: int, body: bytes = b"x", at: int = 0, **headers: str) -> Change:
    return Change("PUT", heard_by, body, named(headers), at)


def post(*heard_by: int, at: int = 0, **headers: str) -> Change:
    return Change("POST", heard_by, b"", named(headers), at)


def delete(*heard_by: int, at: int = 0) -> Change:
    return Change("DELETE", heard_by, place_in_time=at)


def named(headers: Mapping[str, str]) -> dict[str, str]:
    families = {
        "meta_": "x-object-meta-",
        "sysmeta_": "x-object-sysmeta-",
        "transient_": "x-object-transient-sysmeta-",
    }
    found = {}
    for key, value in headers.items():
        name = key.replace("_", "-")
        for short, family in families.items():
            if key.startswith(short):
                name = family + key.removeprefix(short)
        found[name] = value
    return found


def make(
    lab: Lab, found: Place, changes: Sequence[Change], headers: Mapping[str, str] | None = None
) -> None:
    """Let each change reach whom it reached."""
    stamps = Stamps()
    moments = [stamps() for _ in range(2 * len(changes) + 2)]
    for number, change in enumerate(changes):
        moment = moments[2 * number + 1 if not change.place_in_time else 2 * number - 2]
        for index in change.heard_by:
            spot = found.primaries[index]
            said = {"x-timestamp": moment, **(headers or {}), **change.headers}
            if change.method == "PUT":
                said.setdefault("content-type", "text/plain")
            ask(lab, spot, change.method, found.at(spot), said, change.body)


@dataclass(frozen=True)
class Outcome:
    status: int
    body: bytes = b"x"
    meta: Mapping[str, str] = field(default_factory=dict)
    sysmeta: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/plain"


CASES: Mapping[str, tuple[Sequence[Change], Outcome]] = {
    "the newest data win": (
        [put(0, 1, 2, body=b"old"), put(1, body=b"new")],
        Outcome(200, b"new"),
    ),
    "newest metadata over them": (
        [put(0, 1, 2, meta_a="1"), post(2, meta_a="2"), post(0, meta_b="3")],
        Outcome(200, meta={"b": "3"}),
    ),
    "metadata older than the data are gone": (
        [put(0, 1, 2), post(0, meta_a="2"), put(1, body=b"new", meta_c="4")],
        Outcome(200, b"new", {"c": "4"}),
    ),
    "metadata newer than data that are not here yet": (
        [put(0, 1, 2, body=b"old"), post(0, meta_a="2"), put(1, 2, body=b"new", at=-1)],
        Outcome(200, b"new", {"a": "2"}),
    ),
    "sysmeta stays with its data": (
        [put(0, 1, 2, sysmeta_a="1", meta_a="1"), post(1, meta_b="2")],
        Outcome(200, meta={"b": "2"}, sysmeta={"a": "1"}),
    ),
    "the type has a moment of its own": (
        [put(0, 1, 2), post(0, content_type="text/html"), post(1, meta_a="2")],
        Outcome(200, meta={"a": "2"}, content_type="text/html"),
    ),
    "an older type does not come back with newer metadata": (
        [
            put(0, 1, 2),
            post(0, content_type="text/html"),
            put(1, 2, body=b"new", content_type="image/png"),
            post(0, meta_a="2"),
        ],
        Outcome(200, b"new", {"a": "2"}, content_type="image/png"),
    ),
    "a deletion trumps older data": (
        [put(0, 1, 2), delete(2)],
        Outcome(404),
    ),
    "a POST does not bring a deleted object back": (
        [put(0, 1, 2), delete(1, 2), post(0, meta_a="2")],
        Outcome(404),
    ),
    "data newer than the deletion do": (
        [put(0, 1, 2), delete(0, 1), put(2, body=b"new")],
        Outcome(200, b"new"),
    ),
    "an older deletion that was heard late does nothing": (
        [put(0, 1, 2), put(0, 1, 2, body=b"new"), delete(1, at=-1)],
        Outcome(200, b"new"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_metadata_replication(lab: Lab, account: Account, container: str, case: str) -> None:
    """Reference 5, metadata replication: whoever heard what, all end with the same."""
    changes, expected = CASES[case]
    found = place(lab, ACCOUNT, container, name := spread(lab, container))
    make(lab, found, changes)
    lab.once("object-replicator")
    lab.once("object-replicator")
    on_primaries(lab, container, name)
    for spot in found.primaries:
        status, headers, body = ask(lab, spot, "GET", found.at(spot))
        assert status == expected.status
        if status == 200:
            assert body == expected.body
            assert metadata_of(headers) == expected.meta
            assert metadata_of(headers, "x-object-sysmeta-") == expected.sysmeta
            assert headers["content-type"] == expected.content_type
    reply = account.request("GET", container, name)
    assert reply.status == expected.status


def test_stale_reads(lab: Lab, account: Account, container: str) -> None:
    """A plain GET may be answered with what an old copy has; X-Newest asks everybody."""
    name = spread(lab, container)
    account.put(container, name, b"old")
    primaries = place(lab, ACCOUNT, container, name).primaries
    stop(primaries[0])
    account.put(container, name, b"new")
    start(lab, primaries[0])
    newest = {"X-Newest": "true"}
    assert account.get(container, name, newest).body == b"new"
    assert account.get(container, name).body in (b"old", b"new")
    stop(*primaries[1:])
    assert account.get(container, name).body in (b"old", b"new")  # a handoff has it too
    start(lab, *primaries)
    heal(lab)
    assert {account.get(container, name).body for _ in range(6)} == {b"new"}


def test_missing_primaries(lab: Lab, account: Account, container: str) -> None:
    """404 is said when enough have said so; when those who should know are away it is 503."""
    name = spread(lab, container)
    account.put(container, name, b"x")
    found = place(lab, ACCOUNT, container, name)
    stop(found.primaries[0])
    assert account.get(container, name).body == b"x"
    assert account.request("GET", container, f"{name}-never").status == 404
    stop(found.primaries[1])
    assert account.get(container, name).body == b"x"
    stop(found.primaries[2])
    assert account.request("GET", container, name).status == 503
    start(lab, *found.primaries)
    assert account.get(container, name).body == b"x"


def test_post_that_finds_a_handoff(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, post handoff: two primaries never had the object, a handoff has it."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    stamp = Stamps()()
    holders = [found.primaries[0], found.handoffs[0]]
    for spot in holders:
        said = {"x-timestamp": stamp, "content-type": "text/plain"}
        assert ask(lab, spot, "PUT", found.at(spot), said, b"x")[0] == 201
    reply = account.request("POST", container, name, headers={"X-Object-Meta-A": "1"})
    assert reply.status == 202
    heal(lab)
    on_primaries(lab, container, name)
    assert account.request("HEAD", container, name).headers["x-object-meta-a"] == "1"


def test_post_to_what_nobody_reachable_has(lab: Lab, account: Account, container: str) -> None:
    """The other half: those who have it are away, so nobody can say that it does not exist."""
    name = spread(lab, container)
    account.put(container, name, b"x")
    found = place(lab, ACCOUNT, container, name)
    stop(*found.primaries)
    assert account.request("POST", container, name, headers={"X-Object-Meta-A": "1"}).status == 503
    start(lab, *found.primaries)
    assert account.get(container, name).body == b"x"


def test_object_handoff(lab: Lab, account: Account, container: str) -> None:
    """Reference 5, object_handoff main: written, read, deleted and written again with a primary
    away, each time another half of the cluster."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    absent, others = found.primaries[0], found.primaries[1:]
    stop(absent)
    account.put(container, name, b"first")
    start(lab, absent)
    stop(*others)
    assert account.get(container, name).body == b"first"  # of the handoff
    start(lab, *others)
    heal(lab)
    on_primaries(lab, container, name)
    stop(absent)
    assert account.request("DELETE", container, name).status == 204
    assert any(where.endswith("!") for where in copies(lab, ACCOUNT, container, name))
    start(lab, absent)
    newest = {"X-Newest": "true"}
    assert account.request("GET", container, name, headers=newest).status == 404
    heal(lab)
    (tombstone,) = on_primaries(lab, container, name)
    assert tombstone.endswith(".ts")
    assert account.names(container) == []
    account.put(container, name, b"second")
    assert account.get(container, name).body == b"second"
    assert account.names(container) == [name]


OVERRIDES = {
    "x-object-sysmeta-container-update-override-etag": "d" * 32,
    "x-object-sysmeta-container-update-override-size": "99",
}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=str)
def test_update_overrides(lab: Lab, account: Account, container: str, order: Sequence[int]) -> None:
    """Reference 5, update overrides: the PUT's update was missed and a POST came after; in the
    listing is what the PUT said, in whichever order the replicas tell."""
    name = spread(lab, container)
    found = place(lab, ACCOUNT, container, name)
    told = place(lab, ACCOUNT, container)
    changes = [
        Change("PUT", order, b"12345", OVERRIDES),
        post(*order, meta_a="1", content_type="image/png"),
    ]
    make(lab, found, changes, tells(told, told.primaries[0]))
    heal(lab)
    (row,) = account.rows(container)
    assert (row["bytes"], row["hash"], row["content_type"]) == (99, "d" * 32, "image/png")


@pytest.mark.parametrize("form", ["length", "no length", "chunked", "empty chunks"])
def test_if_none_match(lab: Lab, account: Account, container: str, form: str) -> None:
    """Reference 5, if_none_match on PUT: 412 in all forms, and the object is as it was."""
    name = spread(lab, container)
    account.put(container, name, b"original")
    headers = account.headers({"If-None-Match": "*", "Expect": "100-continue"})
    with account.wire() as wire:
        if form in ("length", "no length"):
            headers["Content-Length"] = "5" if form == "length" else "0"
        else:
            headers["Transfer-Encoding"] = "chunked"
        wire.send_head("PUT", account.path(container, name), headers)
        head = wire.read_head()
        if head.status == 100:
            wire.send({"length": b"other", "chunked": b"5\r\nother\r\n0\r\n\r\n"}.get(form, b""))
            if form == "empty chunks":
                wire.send(b"0\r\n\r\n")
            head = wire.read_head()
    assert head.status == 412
    assert account.get(container, name).body == b"original"
