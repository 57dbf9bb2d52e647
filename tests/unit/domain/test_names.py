"""Names and paths (reference 1.0, 2.2 step 5)."""

import pytest

from swiftish.domain.names import BadPath, Target, is_utf8, parse_target, quote, split_pair


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/a", Target("a")),
        ("/v1/a/", Target("a")),
        ("/v1.0/a/c", Target("a", "c")),
        ("/v1/a/c/", Target("a", "c")),
        ("/v1/a/c/o", Target("a", "c", "o")),
        ("/v1/a/c//o//", Target("a", "c", "/o//")),
        ("/v1/a/c/../o", Target("a", "c", "../o")),
        ("/v1/a/c/o\nx", Target("a", "c", "o\nx")),
        ("/v1/a/c/%2F", Target("a", "c", "%2F")),
        ("/v1/a/./..", Target("a", ".", "..")),
    ],
)
def test_a_path_names_its_target_unchanged(path: str, target: Target) -> None:
    """No normalisation: what the client wrote after the container is the object's name."""
    assert parse_target(path) == target


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1", 412),
        ("/v1/", 412),
        ("/v1//c/o", 404),
        ("/v1/a//o", 404),
        ("/v1/a//", 404),  # not the account: a DELETE of it would be a sad mistake
        ("/v1//", 404),
        ("/", 404),
        ("//a", 404),
        ("/v9/a", 400),
        ("/v1/a/c/\0o", 412),
        ("/v1/a/c/\udcff", 412),
    ],
)
def test_a_path_that_names_nothing_is_refused(path: str, status: int) -> None:
    with pytest.raises(BadPath) as caught:
        parse_target(path)
    assert caught.value.status == status


def test_quoting_keeps_every_byte() -> None:
    assert quote("/a b/ü\udcff?%") == "/a%20b/%C3%BC%FF%3F%25"
    assert is_utf8("ü")
    assert not is_utf8("\udcff")


def test_split_pair_needs_both_halves() -> None:
    assert split_pair("/c/o/p") == ("c", "o/p")
    assert split_pair("c//o") == ("c", "/o")
    for text in ("", "/", "c", "/c", "c/", "//o"):
        with pytest.raises(ValueError, match="not container/object"):
            split_pair(text)
