"""The first half of a request: its line and its headers, from bytes to a `RequestHead`.

Strict where a second reader of the same bytes (a load balancer, a cache) could understand them
differently: then the request is refused and the connection closed (RFC 9112 11.2, faults T69).
Liberal in two things that Swift's clients need and general parsers refuse: header names may hold
UTF-8 (metadata can be called anything), and any token is a method (the answer to it is 405).
docs/decisions/0003-own-http-parser.md says what else was considered.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from swiftish.http.replies import Refusal

HEAD_END = b"\r\n\r\n"
# Digits of a Content-Length; 10**18 bytes are more than any object may have.
_LENGTH_DIGITS_MAX = 18
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NOT_IN_HOST = frozenset(" \t/\\@?#,\"<>'")
# Two of these would be two answers to the question where a request ends, or whom it is for.
_ONCE = frozenset({"host", "content-length", "transfer-encoding"})
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "COPY"})


@dataclass(slots=True)
class RequestHead:
    """`path` is percent-decoded once and not normalised at all; `query` is raw; `target` is both
    as they were sent.  `length` is None without a Content-Length."""

    method: str
    target: str
    path: str
    query: str
    headers: Mapping[str, str]
    length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    is_http_10: bool


def parse_head(data: bytes, *, line_bytes_max: int, headers_max: int) -> RequestHead:
    """Understand the bytes before the empty line (`data` ends without CR LF).

    Raises Refusal: 400, 417, 431 or 501; the connection can't be used any further.
    """
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends or b"\0" in data:
        raise Refusal(400, "Lines end with CR LF, and no header holds a CR, LF or NUL.")
    if len(data) > line_bytes_max and max(map(len, data.split(b"\r\n"))) > line_bytes_max:
        raise Refusal(431, f"No line may be longer than {line_bytes_max} bytes.")
    if ends > headers_max:
        raise Refusal(431, f"No more than {headers_max} headers are allowed.")
    lines = data.decode("utf-8", "surrogateescape").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3:
        raise Refusal(400, "The request line is not a method, a target and a version.")
    method, target, version = words
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refusal(400, "This server speaks HTTP/1.1 and HTTP/1.0.")
    if method not in _METHODS and not (method and _TOKEN.issuperset(method)):
        raise Refusal(400, "The method is not a token.")
    is_http_10 = version == "HTTP/1.0"
    headers = parse_headers(lines[1:])
    if target[:1] != "/":
        target = _origin_form(method, target, headers)
    elif "host" not in headers and not is_http_10:
        raise Refusal(400, "A request needs a Host header.")
    raw_path, _, query = target.partition("?")
    length, chunked = None, False
    if "content-length" in headers or "transfer-encoding" in headers:
        length, chunked = framing(headers, is_http_10=is_http_10)
    host = headers.get("host")
    if host and host not in _hosts:
        _check_host(host)
    return RequestHead(
        method=method,
        target=target,
        path=_decode(raw_path) if "%" in raw_path else raw_path,
        query=query,
        headers=headers,
        length=length,
        chunked=chunked,
        keep_alive=_keep_alive(headers.get("connection"), is_http_10=is_http_10),
        expects_continue="expect" in headers and _expects(headers["expect"], is_http_10=is_http_10),
        is_http_10=is_http_10,
    )


# ---- headers -----------------------------------------------------------------------------------

# Names as they were sent -> as the program calls them ("" for one to be dropped).  Clients send
# the same few names all the time; emptied when full, so that nobody can make it grow.
_names: dict[str, str] = {}
_NAMES_MAX = 1024
_NAME_LENGTH_MAX = 64


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Header lines without their ends.  Raises Refusal 400."""
    headers: dict[str, str] = {}
    known = _names
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Refusal(400, "A header line has no colon.")
        key = known.get(name)
        if key is None:
            key = learn(name)
        value = value.strip(" \t")
        if key not in headers:
            headers[key] = value
        elif key in _ONCE:
            raise Refusal(400, f"There are two {key} headers.")
        elif key:
            headers[key] = f"{headers[key]}, {value}"
    headers.pop("", None)
    return headers


def learn(name: str) -> str:
    """A header's name as the program calls it, "" for one to be dropped.  Raises Refusal 400.

    Names with an underscore are dropped: a gateway interface somewhere behind or before us could
    take them for those with a dash (faults T88).
    """
    if not name or not all(c in _TOKEN or c >= "\x80" for c in name):
        # Also: white space before the colon, and a folded line.
        raise Refusal(400, "A header's name is not a token.")
    # Only ASCII has cases here: what U+0130 becomes depends on who lowers it.
    key = "" if "_" in name else _lower(name)
    if len(name) <= _NAME_LENGTH_MAX:
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        _names[name] = key
    return key


def _lower(name: str) -> str:
    if name.isascii():
        return name.lower()
    return name.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")


def _keep_alive(connection: str | None, *, is_http_10: bool) -> bool:
    if connection is None:
        return not is_http_10
    options = {option.strip() for option in connection.lower().split(",")}
    if "upgrade" in options:
        return False  # nothing to upgrade to; and nobody shall guess where the next request begins
    return "keep-alive" in options if is_http_10 else "close" not in options


def _expects(expect: str, *, is_http_10: bool) -> bool:
    if is_http_10:
        return False  # RFC 9110 10.1.1: to be ignored
    if expect.lower() != "100-continue":
        raise Refusal(417, "Only 100-continue can be expected.")
    return True


# Hosts that have been checked: of one server, clients know one or two.
_hosts: set[str] = set()
_HOSTS_MAX = 64
_HOST_LENGTH_MAX = 255


def _check_host(host: str) -> None:
    if not _NOT_IN_HOST.isdisjoint(host) or len(host) > _HOST_LENGTH_MAX:
        raise Refusal(400, "The Host header is not a host.")
    if len(_hosts) >= _HOSTS_MAX:
        _hosts.clear()
    _hosts.add(host)


# ---- where the body ends -----------------------------------------------------------------------


def _no_such_coding(coding: str) -> Refusal:
    """501 for a coding that we do not know (reference 1.0); 400 for what another reader may take
    for `chunked`, when we do not (T69)."""
    names = [name.strip().lower() for name in coding.split(",")]
    if any("chunked" in name and name != "chunked" for name in names):
        return Refusal(400, "The Transfer-Encoding looks like chunked, and is not.")
    return Refusal(501, "The only transfer encoding is chunked.")


def framing(headers: Mapping[str, str], *, is_http_10: bool) -> tuple[int | None, bool]:
    """The length, and whether the body comes in chunks.  Raises Refusal 400 or 501."""
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise _no_such_coding(coding)
        if length is not None:
            raise Refusal(400, "Content-Length and Transfer-Encoding contradict each other.")
        if is_http_10:
            raise Refusal(400, "HTTP/1.0 knows no Transfer-Encoding.")
        return None, True
    if length is None:
        return None, False
    if not (length.isascii() and length.isdigit()) or len(length) > _LENGTH_DIGITS_MAX:
        raise Refusal(400, "Content-Length is not a whole number.")
    return int(length), False


# ---- the target --------------------------------------------------------------------------------


def _origin_form(method: str, target: str, headers: dict[str, str]) -> str:
    """`http://host/path` -> `/path`; its host replaces the header's (RFC 9112 3.2.2)."""
    if target == "*" and method == "OPTIONS":
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        raise Refusal(400, "The target of a request begins with a slash.")
    slash, question = rest.find("/"), rest.find("?")
    end = min((at for at in (slash, question) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise Refusal(400, "The target names no host.")
    headers["host"] = authority
    return path if path[:1] == "/" else f"/{path}"


def _decode(path: str) -> str:
    encoded = path.encode("utf-8", "surrogateescape")
    return unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")
