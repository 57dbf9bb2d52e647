"""Settings: TOML to dataclasses, and what is said about mistakes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from swiftish.runtime.settings import BadSettings, build, merge, read_toml


@dataclass(frozen=True, kw_only=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Auth:
    user: tuple[User, ...] = ()
    require: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Node:
    timeout_s: float = 1.0
    retries: int = 3
    level: Literal["info", "debug"] = "info"
    limit: int | None = None
    auth: Auth = field(default_factory=Auth)

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError("retries can't be negative")


def test_every_kind_of_value() -> None:
    found = build(
        Node,
        {
            "timeout_s": 2,
            "limit": 5,
            "auth": {"user": [{"name": "a", "groups": ["x"]}], "require": {"S": "service"}},
        },
    )
    assert found == Node(
        timeout_s=2.0,
        limit=5,
        auth=Auth(user=(User(name="a", groups=("x",)),), require={"S": "service"}),
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"retrys": 1}, "retrys: unknown setting; did you mean 'retries'?"),
        ({"auth": {"users": []}}, "auth.users: unknown setting; did you mean 'user'?"),
        ({"zzz": 1}, "zzz: unknown setting; known here: timeout_s, retries"),
        ({"auth": {"user": [{"groups": []}]}}, "auth.user[0].name: missing"),
        ({"auth": {"user": [{"name": 1}]}}, "auth.user[0].name: must be text in quotes, not 1"),
        ({"retries": True}, "retries: must be a whole number, not True"),
        ({"retries": 1.5}, "retries: must be a whole number, not 1.5"),
        ({"level": "loud"}, "level: 'loud' is none of 'info', 'debug'"),
        ({"auth": 1}, "auth: must be a table"),
        ({"auth": {"user": {}}}, "auth.user: must be a list"),
        ({"auth": {"require": {"S": 1}}}, "auth.require.S: must be text in quotes"),
        ({"retries": -1}, "retries can't be negative"),
    ],
)
def test_mistakes_are_said_with_their_full_path(table: dict[str, object], message: str) -> None:
    with pytest.raises(BadSettings) as caught:
        build(Node, table)
    assert message in str(caught.value)


def test_merge_goes_into_tables_and_replaces_the_rest() -> None:
    under = {"a": {"x": 1, "y": [1]}, "b": 1}
    assert merge(under, {"a": {"y": [2]}, "c": 2}) == {"a": {"x": 1, "y": [2]}, "b": 1, "c": 2}
    assert under == {"a": {"x": 1, "y": [1]}, "b": 1}
    assert merge({"a": 3}, {"a": {"x": 1}}) == {"a": 3}, "a mistake must not be hidden"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"nowhere\.toml: No such file"):
        read_toml(tmp_path / "nowhere.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [")
    with pytest.raises(BadSettings, match=r"broken\.toml: not TOML"):
        read_toml(broken)
