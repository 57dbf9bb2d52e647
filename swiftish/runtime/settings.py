"""TOML to frozen dataclasses, once, at start.

The dataclasses live beside the code that they configure; their fields, types and defaults are
the settings.  Everything wrong is said with the setting's full path: an unknown key (and the
nearest right name), a value of the wrong type, one that is missing.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Table = dict[str, Any]


class BadSettings(Exception):
    """The settings can't be used; the message names the file, the setting and what is wrong."""


def read_toml(path: Path) -> Table:
    """The file's tables.  Raises BadSettings when it can't be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not TOML: {error}") from None


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Tables merged key by key; any other value in `over` replaces what is in `under`.

    A table never hides a value that should have been one: `build` is to complain of it.
    """
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        elif below is None or not isinstance(value, dict):
            merged[key] = value
    return merged


def build(cls: type[T], table: Mapping[str, Any], *, where: str = "") -> T:
    """Make a `cls` (a dataclass) from a TOML table.

    `where` is the path so far, for messages.  Raises BadSettings.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        if key not in fields:
            nearest = difflib.get_close_matches(key, fields, n=1)
            known = f"known here: {', '.join(fields)}"
            hint = f"did you mean {nearest[0]!r}?" if nearest else known
            raise BadSettings(f"{path}: unknown setting; {hint}")
        values[key] = _convert(hints[key], value, path)
    missing = dataclasses.MISSING
    for name, spec in fields.items():
        optional = spec.default is not missing or spec.default_factory is not missing
        if not optional and name not in values:
            raise BadSettings(f"{where}.{name}: missing" if where else f"{name}: missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise BadSettings(f"{where or 'settings'}: {error}") from None


def _convert(hint: object, value: object, path: str) -> object:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        choices = [a for a in arguments if a is not type(None)]
        assert len(choices) == 1, f"{path}: only optional types are understood"
        return _convert(choices[0], value, path)
    if origin is typing.Literal:
        if value not in arguments:
            raise BadSettings(f"{path}: {value!r} is none of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise BadSettings(f"{path}: must be a list")
        return tuple(_convert(arguments[0], v, f"{path}[{i}]") for i, v in enumerate(value))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise BadSettings(f"{path}: must be a table")
        return build(typing.cast("type[Any]", hint), value, where=path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise BadSettings(f"{path}: must be a table")
        return {k: _convert(arguments[1], v, f"{path}.{k}") for k, v in value.items()}
    return _scalar(hint, value, path)


_NAMES: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    bool: "true or false",
}


def _scalar(hint: object, value: object, path: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is hint:
        return value
    raise BadSettings(f"{path}: must be {_NAMES.get(hint, hint)}, not {value!r}")
