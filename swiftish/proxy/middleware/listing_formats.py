"""Listings as the client wants them: text, JSON or XML (reference 1.2, 1.3).

Controllers always answer with JSON, which passes through here untouched.

XML 1.0 has no spelling for most control characters, so in XML (only there) a replacement
character stands for each of them: one odd name must not make a whole listing unreadable.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from swiftish.domain.accept import BadAccept, best_match
from swiftish.domain.limits import MiB
from swiftish.domain.names import API_VERSIONS, is_utf8
from swiftish.http.bodies import read_all
from swiftish.http.message import Bytes, Handler, Request, Response
from swiftish.http.replies import Refusal

TEXT, JSON = "text/plain", "application/json"
OFFERS = (TEXT, JSON, "application/xml", "text/xml")

# Ten thousand rows of the longest names, each byte of them escaped, are well below this.
LISTING_BYTES_MAX = 128 * MiB

_BY_NAME = {"json": JSON, "xml": "application/xml"}

_Rows = Sequence[Mapping[str, Any]]


class ListingFormats:
    """Inside whatever adds headers by request; outside auth: a 406 needs nobody's rights."""

    def __init__(self, app: Handler) -> None:
        self._app = app

    async def __call__(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return await self._app(request)
        names = _listed_names(request.path)
        if names is None:
            return await self._app(request)
        params = request.params
        try:
            content_type = _choose(params.get("format", ""), request.headers.get("accept", ""))
        except Refusal as refusal:
            return refusal.response()
        response = await self._app(request)
        if response.status not in (200, 204) or not _is_listing(response):
            return response
        headers = {**response.headers, "content-type": f"{content_type}; charset=utf-8"}
        if "format" not in params:
            headers["vary"] = f"{headers['vary']}, Accept" if "vary" in headers else "Accept"
        if request.method == "HEAD":
            return response.replace(headers=headers, length=0)
        if content_type == JSON:
            return response.replace(headers=headers)
        async with response:
            listing = await read_all(response.body, size_max=LISTING_BYTES_MAX)
        rows: _Rows = orjson.loads(listing)
        if content_type != TEXT:
            body = _xml(names, rows)
        elif rows:
            body = "".join([f"{row.get('name') or row['subdir']}\n" for row in rows])
        else:
            return Response(status=204, headers=headers)
        return Response(status=200, headers=headers, body=Bytes(body.encode()))


def _choose(asked: str, accept: str) -> str:
    """The content type by the query's `format`, or else by what the client accepts.

    Raises Refusal 400 when that makes no sense, 406 when there is nothing for the client.
    """
    if asked:
        if not is_utf8(asked):
            raise Refusal(400, '"format" parameter not valid UTF-8')
        return _BY_NAME.get(asked.lower(), TEXT)
    try:
        liked = best_match(accept, OFFERS)
    except BadAccept as error:
        raise Refusal(400, str(error)) from None
    if liked is None:
        raise Refusal(406)
    return liked


def _is_listing(response: Response) -> bool:
    """Not so when a middleware further in has made a page of its own."""
    return response.headers.get("content-type", JSON).startswith(JSON)


def _listed_names(path: str) -> Sequence[str] | None:
    """[account] or [account, container] when the path is theirs; None for anything else."""
    parts = path.split("/", 4)
    if len(parts) < 3 or parts[1] not in API_VERSIONS or not parts[2] or parts[0]:
        return None
    if len(parts) == 5 and (parts[4] or not parts[3]):
        return None
    return [part for part in parts[2:] if part]


# ---- XML -------------------------------------------------------------------------------------

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

# Characters that text or an attribute can't hold as they are; most names have none of them.
_SPECIAL = re.compile('[&<>"\\x00-\\x1f\ufffe\uffff]')

_IN_TEXT: dict[int, str] = dict.fromkeys((*range(0x20), 0xFFFE, 0xFFFF), "\ufffd")
_IN_TEXT |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
del _IN_TEXT[ord("\n")], _IN_TEXT[ord("\t")]
_IN_ATTRIBUTE = _IN_TEXT | {ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}


def _xml(names: Sequence[str], rows: _Rows) -> str:
    """A whole document; accounts have a row on each line, containers all in one."""
    name = _attribute(names[-1])
    if len(names) == 1:
        lines = "".join([f"{_container(row)}\n" for row in rows])
        return f'{_DECLARATION}<account name="{name}">\n{lines}</account>'
    if not rows:
        return f'{_DECLARATION}<container name="{name}" />'
    return f'{_DECLARATION}<container name="{name}">{"".join(map(_object, rows))}</container>'


def _container(row: Mapping[str, Any]) -> str:
    if "subdir" in row:
        return f'<subdir name="{_attribute(row["subdir"])}" />'
    policy = row.get("storage_policy")
    return (
        f"<container><name>{_text(row['name'])}</name><count>{row['count']}</count>"
        f"<bytes>{row['bytes']}</bytes><last_modified>{row['last_modified']}</last_modified>"
        + (f"<storage_policy>{_text(policy)}</storage_policy>" if policy else "")
        + "</container>"
    )


def _object(row: Mapping[str, Any]) -> str:
    if "subdir" in row:
        name = row["subdir"]
        return f'<subdir name="{_attribute(name)}"><name>{_text(name)}</name></subdir>'
    return (
        f"<object><name>{_text(row['name'])}</name><hash>{_text(row['hash'])}</hash>"
        f"<bytes>{row['bytes']}</bytes><content_type>{_text(row['content_type'])}</content_type>"
        f"<last_modified>{row['last_modified']}</last_modified></object>"
    )


def _text(text: str) -> str:
    return text.translate(_IN_TEXT) if _SPECIAL.search(text) else text


def _attribute(text: str) -> str:
    return text.translate(_IN_ATTRIBUTE) if _SPECIAL.search(text) else text
