"""The query of a listing, checked before it reaches a storage server (reference 1.2, 1.3).

Pure.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

from swiftish.domain.names import is_utf8
from swiftish.http.message import Request
from swiftish.http.replies import Refusal

ACCOUNT_PARAMETERS = ("marker", "end_marker", "prefix", "delimiter", "reverse")
CONTAINER_PARAMETERS = (*ACCOUNT_PARAMETERS, "path")


def listing_query(request: Request, *, allowed: Sequence[str], limit_max: int) -> str:
    """The backend's query: the `allowed` parameters and a limit.

    A limit that is no number is ignored.  Raises Refusal 412 for one above `limit_max`, 400 for
    a value that is not UTF-8.
    """
    params = request.params
    if not params:
        return f"limit={limit_max}"
    kept = {"limit": str(_limit(params.get("limit", ""), limit_max))}
    for name in allowed:
        if name in params:
            if not is_utf8(params[name]):
                raise Refusal(400, f'"{name}" parameter not valid UTF-8')
            kept[name] = params[name]
    return urlencode(kept)


def _limit(text: str, limit_max: int) -> int:
    if not (text.isascii() and text.isdigit()):
        return limit_max
    if len(text) > len(str(limit_max)) + 1 or int(text) > limit_max:
        raise Refusal(412, f"Maximum limit is {limit_max}")
    return int(text)
