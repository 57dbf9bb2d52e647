"""Policies (reference 2.11)."""

import pytest

from swiftish.domain.policy import BadPolicies, Policy, PolicySet, quorum_size

GOLD = Policy(index=0, name="gold", aliases=("Au",), default=True, replicas=3)


def test_found_by_any_name_in_any_case() -> None:
    policies = PolicySet((GOLD, Policy(index=1, name="silver")))
    assert policies.by_name("GOLD") is GOLD
    assert policies.by_name("au") is GOLD
    assert policies.by_name("tin") is None
    assert policies.default is GOLD
    assert [p.datadir for p in policies] == ["objects", "objects-1"]


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ((Policy(index=0, name="x"),), "index 0"),
        ((Policy(index=1, name="Gold"),), "called 'Gold'"),
        ((Policy(index=1, name="x", aliases=("AU",)),), "called 'AU'"),
        ((Policy(index=1, name="a b"),), "use letters"),
        ((Policy(index=1, name="x", default=True),), "exactly one"),
    ],
)
def test_sets_that_make_no_sense_are_refused(others: tuple[Policy, ...], why: str) -> None:
    with pytest.raises(BadPolicies, match=why):
        PolicySet((GOLD, *others))


def test_index_0_and_a_default_that_is_not_deprecated_are_needed() -> None:
    with pytest.raises(BadPolicies, match="index 0"):
        PolicySet((Policy(index=1, name="x", default=True),))
    with pytest.raises(BadPolicies, match="deprecated"):
        PolicySet((Policy(index=0, name="x", default=True, deprecated=True),))


def test_quorums() -> None:
    assert [quorum_size(n) for n in range(1, 7)] == [1, 1, 2, 2, 3, 3]
