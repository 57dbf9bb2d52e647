"""What differs between the copies of a name."""

from __future__ import annotations

import json

import pytest

from swiftish.cli.explain import target_of
from swiftish.cli.explanation import Copy, Explanation, values_of
from swiftish.cli.node import Unusable
from swiftish.cluster.transport import Kind
from swiftish.domain.names import Target
from swiftish.ring.device import Device

T0, T1, T2 = "1700000000.00000", "1700000001.00000", "1700000002.00000"


def copy(number: int, status: int, *, primary: bool = True, **values: str) -> Copy:
    device = Device(id=number, device=f"d{number}", port=6200)
    return Copy(device=device, primary=primary, status=status, values=values)


def explained(*copies: Copy, kind: Kind = "object") -> Explanation:
    return Explanation(
        kind=kind,
        path="/a/c/o",
        partition=1,
        digest="ff",
        folder="objects/1/f/ff",
        policy=0,
        copies=copies,
    )


def here(number: int, moment: str = T1, etag: str = "e", *, primary: bool = True) -> Copy:
    values = {"timestamp": moment, "data": moment, "bytes": "3", "etag": etag}
    return copy(number, 200, primary=primary, **values)


def gone(number: int, moment: str, *, primary: bool = True) -> Copy:
    return copy(number, 404, primary=primary, timestamp=moment)


def nothing(number: int) -> Copy:
    return copy(number, 404)


@pytest.mark.parametrize(
    ("copies", "behind"),
    [
        ([here(1), here(2), here(3)], []),
        ([here(1), here(2, T2), here(3, T2)], [1]),
        ([here(1), here(2), nothing(3)], [3]),
        ([here(1), here(2), copy(3, 507)], [3]),
        ([here(1), here(2), copy(3, 0)], [3]),
        ([here(1), here(2), copy(3, 503)], [3]),
        ([here(1, etag="x"), here(2)], [2]),
        # A tombstone counts, and one that was reclaimed is as good as one.
        ([gone(1, T2), here(2, T1), nothing(3)], [2]),
        ([gone(1, T2), gone(2, T1), nothing(3)], []),
        ([gone(1, T1), here(2, T2), here(3, T2)], [1]),
        # Of the same moment the deletion counts more.
        ([gone(1, T1), here(2, T1)], [2]),
        # A handoff should have nothing, or a tombstone.
        ([here(1), here(2), here(3, primary=False)], [3]),
        ([here(1), here(2), gone(3, T0, primary=False), copy(4, 507, primary=False)], []),
        # What only a handoff has, the primaries lack.
        ([nothing(1), nothing(2), here(3, primary=False)], [1, 2, 3]),
        # Nobody has it.
        ([nothing(1), nothing(2)], []),
        ([nothing(1), copy(2, 0)], [2]),
    ],
)
def test_what_is_not_as_it_should_be(copies: list[Copy], behind: list[int]) -> None:
    found = explained(*copies)
    assert [each.device.id for each in copies if found.is_behind(each)] == behind
    assert bool(found.findings()) == bool(behind)
    marked = [line for line in found.text().splitlines() if line.startswith("!")]
    assert len(marked) == len(behind)
    flags = [each["as_it_should_be"] for each in found.document()["copies"]]
    assert flags == [each.device.id not in behind for each in copies]


def test_the_text_says_what_each_holds() -> None:
    text = explained(here(1), gone(2, T2), nothing(3), copy(4, 507, primary=False)).text()
    assert "1700000001.00000 (2023-11-14T22:13:21)" in text
    assert "d1/objects/1/f/ff" in text
    for state in ("here", "deleted", "nothing", "507 out of service"):
        assert state in text
    assert "nobody has it" in explained(nothing(1)).text()


def test_json_is_json() -> None:
    document = json.loads(json.dumps(explained(here(1), nothing(2)).document()))
    assert document["copies"][0]["etag"] == "e"
    assert document["findings"] == [
        "1 of 2 primaries as it should be",
        "127.0.0.1:6200/d2: nothing",
    ]


def test_what_is_read_of_an_answer() -> None:
    headers = {
        "x-backend-put-timestamp": T1,
        "x-put-timestamp": T1,
        "x-backend-delete-timestamp": "0000000000.00000",
        "x-container-object-count": "3",
        "x-backend-storage-policy-index": "1",
        "x-container-meta-color": "secret",
    }
    assert values_of("container", headers) == {"put": T1, "objects": "3", "policy": "1"}
    assert values_of("object", {"etag": "e", "x-backend-timestamp": "?"}) == {"etag": "e"}


def test_paths() -> None:
    assert target_of("/a") == Target("a")
    assert target_of("/v1/a/c/o/p") == Target("a", "c", "o/p")
    for bad in ("", "a", "/", "/a/", "/a//o", "//c"):
        with pytest.raises(Unusable):
            target_of(bad)
