"""Which policy a container has: the rules as a table, and that no order of meetings matters."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swiftish.db.claims import Claim, deleted, joined, made_again, used, winner
from swiftish.domain.timestamp import ZERO, Timestamp

GOLD, SILVER = 0, 2


def claim(made: int, *, put: int | None = None, delete: int = 0) -> Claim:
    return Claim(Timestamp(put or made), Timestamp(delete), Timestamp(made))


@pytest.mark.parametrize(
    ("gold", "silver", "wins"),
    [
        # A live container beats one that is deleted.
        (claim(2), claim(1, delete=3), GOLD),
        (claim(1, delete=3), claim(2), SILVER),
        (claim(1, delete=3, put=4), claim(1, delete=9), GOLD),
        # Of two that are deleted, the one whose status changed last.
        (claim(1, delete=5), claim(2, delete=6), SILVER),
        (claim(1, delete=6), claim(2, delete=5), GOLD),
        # One made again after a deletion beats one that never was.
        (claim(1), claim(5, delete=4), SILVER),
        (claim(5, delete=4), claim(1), GOLD),
        (claim(5, delete=5), claim(1), GOLD),  # in the same moment
        # Of two made again, one whose put precedes the latest deletion loses.
        (claim(5, delete=4), claim(9, delete=8), SILVER),
        (claim(9, delete=8), claim(5, delete=4), GOLD),
        (claim(5, delete=4, put=10), claim(9, delete=8), GOLD),  # then the earlier, as below
        # Otherwise the earlier.
        (claim(1), claim(2), GOLD),
        (claim(2), claim(1), SILVER),
        (claim(5, delete=4), claim(6, delete=4), GOLD),
        # And of one moment the lower index.
        (claim(1), claim(1), GOLD),
    ],
)
def test_t63_the_rules(gold: Claim, silver: Claim, wins: int) -> None:
    """T63: reference 2.7, rule by rule."""
    assert winner({GOLD: gold, SILVER: silver}) == wins
    assert winner({SILVER: silver, GOLD: gold}) == wins


def test_one_or_none() -> None:
    """A container that was made once has no choice, an account no policy."""
    assert winner({7: claim(1, delete=2)}) == 7
    assert winner({}) == 0


moments = st.builds(Timestamp, st.integers(0, 6), st.integers(0, 1))
claims = st.builds(Claim, moments, moments, moments)
sets = st.dictionaries(st.sampled_from([0, 1, 2]), claims, max_size=3)


@given(sets, sets, sets)
def test_joining_obeys_the_laws(
    a: dict[int, Claim], b: dict[int, Claim], c: dict[int, Claim]
) -> None:
    """Replicas that have met in any order know the same, and so have the same policy."""
    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, a) == a
    policies = set()
    for x, y, z in itertools.permutations((a, b, c)):
        policies.add(winner(joined(joined(x, y), z)))
    assert len(policies) == 1


@given(sets, st.sampled_from([0, 1, 2]), st.integers(7, 9))
def test_what_is_made_again_wins(known: dict[int, Claim], policy_index: int, raw: int) -> None:
    """A container that was deleted, and everywhere as far as is known, is made in the policy that
    was asked for; to use it, or to delete it, does not move it."""
    delete = max((claim.delete for claim in known.values()), default=ZERO)
    if any(claim.put >= delete for claim in known.values()):
        delete = Timestamp(7)
    again = made_again(known, policy_index, delete=delete, timestamp=Timestamp(raw))
    assert winner(again) == policy_index
    assert winner(used(again, Timestamp(10))) == policy_index
    gone = deleted(again, Timestamp(11))
    assert all(claim.delete == Timestamp(11) for claim in gone.values())
