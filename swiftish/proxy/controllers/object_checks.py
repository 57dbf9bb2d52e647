"""What may be stored: names, sizes, types, times to delete (reference 1.4).

Pure.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from swiftish.domain.expiry import DELETE_AT_MAX
from swiftish.domain.limits import Limits
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.metadata_check import BadMetadata, check_metadata
from swiftish.domain.mime import guess_content_type
from swiftish.domain.names import is_utf8
from swiftish.http.replies import Refusal


def content_type(headers: Mapping[str, str], name: str) -> str:
    """The type to store: the client's, or a guess by the name's ending where it gave none.

    Raises Refusal 400 for one that is not UTF-8, or that uses the system's own parameters.
    """
    given = headers.get("content-type", "")
    detect = headers.get("x-detect-content-type", "").lower() in TRUE_WORDS
    if not given or detect:
        return guess_content_type(name)
    if not is_utf8(given):
        raise Refusal(400, "Content-Type is not valid UTF-8")
    if ";" in given:
        for parameter in given.split(";")[1:]:
            if parameter.strip().lower().startswith("swift_"):
                raise Refusal(400, "Invalid Content-Type, swift_* is not a valid parameter name.")
    return given


def check_name(name: str, limits: Limits) -> None:
    """Raises Refusal 400 for a name of too many bytes."""
    length = len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))
    if length > limits.max_object_name_length:
        raise Refusal(
            400, f"Object name length of {length} longer than {limits.max_object_name_length}"
        )


def check_object_metadata(headers: Mapping[str, str], limits: Limits) -> None:
    """Raises Refusal 400 for metadata beyond the limits."""
    try:
        check_metadata(headers, "object", limits)
    except BadMetadata as error:
        raise Refusal(400, str(error)) from None


def check_manifest(headers: Mapping[str, str]) -> None:
    """X-Object-Manifest names a container and a prefix.  Raises Refusal 400."""
    value = headers.get("x-object-manifest")
    if value is None:
        return
    container, slash, prefix = unquote(value).removeprefix("/").partition("/")
    if not (container and slash and prefix) or "?" in value or "&" in value or prefix[:1] == "/":
        raise Refusal(400, "X-Object-Manifest must be in the format container/prefix")


def delete_at(headers: Mapping[str, str], now: float, *, also_past: bool = False) -> str | None:
    """When the object is to vanish, as ten digits; X-Delete-After counts from `now`.

    Raises Refusal 400 for what is not a whole number, or not in the future unless `also_past`.
    """
    after = headers.get("x-delete-after")
    if after is not None:
        name, seconds = "X-Delete-After", int(now) + _whole_number("X-Delete-After", after)
    elif (at := headers.get("x-delete-at")) is not None:
        name, seconds = "X-Delete-At", _whole_number("X-Delete-At", at)
    else:
        return None
    if seconds <= now and not also_past:
        raise Refusal(400, f"{name} in past")
    return f"{min(seconds, DELETE_AT_MAX):010d}"


def _whole_number(name: str, text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.removeprefix("-").isdigit():
        raise Refusal(400, f"Non-integer {name}")
    return int(digits[:20])  # what has more digits is beyond the end of time anyway
