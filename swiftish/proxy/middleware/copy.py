"""Server-side copies: COPY, and PUT with X-Copy-From (reference 1.5).

The source's body streams into the PUT of the destination; neither is ever in memory whole.  Both
requests are authorized like any other by their own controllers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from swiftish.domain.limits import Limits
from swiftish.domain.listing import TRUE_WORDS
from swiftish.domain.names import (
    RESERVED,
    BadPath,
    Target,
    is_utf8,
    parse_target,
    quote,
    split_pair,
)
from swiftish.http.message import Handler, Request, Response
from swiftish.http.replies import Refusal

SOURCE = "copy"  # in the log

_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
# What of the client's request also holds for reading the source.
_FOR_SOURCE = (*_CONDITIONS, "range", "referer", "user-agent", "x-open-expired")
# What does not hold for writing the destination.
_NOT_FOR_DESTINATION = frozenset(
    {
        *("content-length", "destination", "destination-account", "expect", "if-match"),
        *("if-modified-since", "if-unmodified-since", "range", "transfer-encoding"),
        *("x-copy-from", "x-copy-from-account", "x-fresh-metadata", "x-newest"),
    }
)
# What the copy keeps of the source beside its metadata, unless it is to be fresh.
_KEPT = frozenset(
    {
        *("cache-control", "content-disposition", "content-encoding", "content-language"),
        *("content-type", "expires", "x-delete-at", "x-robots-tag"),
    }
)
_KEPT_FAMILIES = ("x-object-meta-", "x-object-sysmeta-", "x-object-transient-sysmeta-")
_KEPT_ALWAYS = ("x-object-sysmeta-", "content-type")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One copy as asked for; `version` is the path's first part."""

    version: str
    source: Target
    destination: Target


class Copy:
    """Inside auth (each half asks for itself), outside all that counts or checks what is PUT."""

    def __init__(self, app: Handler, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, request: Request) -> Response:
        if request.method == "PUT":
            if not request.headers.get("x-copy-from"):
                return await self._app(request)
        elif request.method != "COPY":
            return await self._app(request)
        try:
            target = parse_target(request.path)
        except BadPath:
            return await self._app(request)  # the router says so
        if target.object is None:
            return await self._app(request)  # a container is just made; a COPY of one is a 405
        try:
            return await self._copy(request, _read_copy(request, target))
        except Refusal as refusal:
            return refusal.response()

    async def _copy(self, request: Request, copy: _Copy) -> Response:
        source = await self._app(_source_request(request, copy))
        if source.status not in (200, 206):
            return source
        async with source:
            if source.status == 206 and "content-range" not in source.headers:
                raise Refusal(400, "A copy takes one range at most.")
            length = source.body.length
            if length is None or length > self._limits.max_file_size:
                raise Refusal(413, "The source is larger than an object may be.")
            headers = _destination_headers(request, source)
            response = await self._app(
                request.sub(
                    "PUT",
                    f"/{copy.version}{copy.destination.path}",
                    source=SOURCE,
                    query=request.query,
                    headers=headers,
                    body=source.body,
                )
            )
            if response.status != 201:
                return response
            return response.with_headers(_copied_headers(copy, source, headers))


def _read_copy(request: Request, target: Target) -> _Copy:
    """What is to be copied where.  Raises Refusal 400, 412."""
    headers = request.headers
    version = request.path.split("/", 2)[1]
    if request.method == "PUT":
        if request.body.length:
            raise Refusal(400, "A copy takes no body.")
        account = _account(headers, "X-Copy-From-Account", target.account)
        other = _object(headers, "X-Copy-From", account)
        return _Copy(version=version, source=other, destination=target)
    account = _account(headers, "Destination-Account", target.account)
    if not headers.get("destination"):
        raise Refusal(412, "Destination header required")
    other = _object(headers, "Destination", account)
    return _Copy(version=version, source=target, destination=other)


def _account(headers: Mapping[str, str], header: str, default: str) -> str:
    text = headers.get(header.lower())
    if text is None:
        return default
    account = unquote(text, errors="surrogateescape")
    if not account or "/" in account or not _is_clean(account):
        raise Refusal(412, f"{header} header must be the name of an account")
    return account


def _object(headers: Mapping[str, str], header: str, account: str) -> Target:
    text = unquote(headers[header.lower()], errors="surrogateescape")
    try:
        container, obj = split_pair(text)
    except ValueError:
        raise Refusal(
            412, f"{header} header must be of the form <container name>/<object name>"
        ) from None
    if not _is_clean(text):
        raise Refusal(412, "Invalid UTF8 or contains NULL")
    return Target(account, container, obj)


def _is_clean(text: str) -> bool:
    return is_utf8(text) and RESERVED not in text


def _source_request(request: Request, copy: _Copy) -> Request:
    headers = {name: request.headers[name] for name in _FOR_SOURCE if name in request.headers}
    headers["x-newest"] = "true"
    return request.sub(
        "GET",
        f"/{copy.version}{copy.source.path}",
        source=SOURCE,
        query=request.query,
        headers=headers,
    )


def _destination_headers(request: Request, source: Response) -> dict[str, str]:
    """The source's metadata, then the request's own over them."""
    sent = request.headers
    fresh = sent.get("x-fresh-metadata", "").lower() in TRUE_WORDS
    if fresh:
        headers = {
            name: value for name, value in source.headers.items() if name.startswith(_KEPT_ALWAYS)
        }
    else:
        headers = {
            name: value
            for name, value in source.headers.items()
            if name in _KEPT or name.startswith(_KEPT_FAMILIES)
        }
    # A manifest is copied as one only when the manifest itself was asked for.
    manifest = source.headers.get("x-object-manifest")
    if manifest is not None and request.params.get("multipart-manifest") == "get":
        headers["x-object-manifest"] = manifest
    if "x-delete-after" in sent:
        headers.pop("x-delete-at", None)
    for name, value in sent.items():
        if name not in _NOT_FOR_DESTINATION:
            headers[name] = value
    # The whole way from disk to disk is checked; the checksum of a range only the client can know.
    if source.status == 200 and "etag" in source.headers:
        headers["etag"] = source.headers["etag"].strip('"')
    return headers


def _copied_headers(copy: _Copy, source: Response, headers: Mapping[str, str]) -> dict[str, str]:
    """What the answer says beside the PUT's own: where from, and which metadata it has now."""
    said = {
        name: value
        for name, value in headers.items()
        if name.startswith("x-object-meta-") or name == "x-delete-at"
    }
    assert copy.source.container is not None
    assert copy.source.object is not None
    said["x-copied-from"] = quote(f"{copy.source.container}/{copy.source.object}")
    said["x-copied-from-account"] = quote(copy.source.account)
    if "last-modified" in source.headers:
        said["x-copied-from-last-modified"] = source.headers["last-modified"]
    return said
